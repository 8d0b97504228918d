"""Run a model over the folds of a pool, as it would have spoken day by day."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.errors import BadInputError
from services.inference.known import FURTHEST_D, Flags, Ints
from services.inference.model import Model
from services.scoring.forecasts.folds import Fold
from services.scoring.forecasts.series import PoolHistory

Singles = npt.NDArray[np.float32]


class Issued(NamedTuple):
    """What one model said, I forecasts of S series; displacement on the series' own zero, mm."""

    name: str
    day: Ints
    """(I,) end of which day it was issued at."""
    fold: Ints
    """(I,)"""
    displacement_mm: Singles
    """(I, 31, S), the days ahead; single precision is 3e-5 mm at half a metre."""
    sd_mm: Singles
    """(I, 31, S)"""
    fit_s: float
    forecast_s: float

    @property
    def spoke(self) -> Flags:
        """Where the whole path is a number, (I, S)."""
        return np.asarray(np.isfinite(self.displacement_mm).all(axis=1))

    def of_folds(self, first: int = 0) -> Issued:
        """Those of fold `first` and later."""
        rows = self.fold >= first
        return self._replace(
            day=self.day[rows],
            fold=self.fold[rows],
            displacement_mm=self.displacement_mm[rows],
            sd_mm=self.sd_mm[rows],
        )


def issue(model: Model, history: PoolHistory, over: Sequence[Fold], every: int) -> Issued:
    """Fit at each fold's origin, then issue every `every` days with these parameters.

    Raises:
        BadInputError: the model returned arrays of another shape.
    """
    days, numbers, paths, sds = [], [], [], []
    fit_s = forecast_s = 0.0
    for fold in over:
        begin = time.perf_counter()
        parameters = model.fit(history, fold.origin)
        fit_s += time.perf_counter() - begin
        for day in fold.issue_days(every):
            known = history.known(int(day))
            begin = time.perf_counter()
            path = model.forecast(parameters, known)
            forecast_s += time.perf_counter() - begin
            for values in path:
                if values.shape != (FURTHEST_D + 1, known.series):
                    raise BadInputError(
                        f"{model.name} issued an array of shape {values.shape}: it must be "
                        f"{(FURTHEST_D + 1, known.series)}"
                    )
            days.append(int(day))
            numbers.append(fold.number)
            paths.append(path.displacement_mm.astype(np.float32))
            sds.append(path.sd_mm.astype(np.float32))
    return Issued(
        model.name,
        np.array(days, dtype=np.int64),
        np.array(numbers, dtype=np.int64),
        np.stack(paths),
        np.stack(sds),
        fit_s,
        forecast_s,
    )


def targets(history: PoolHistory, days: Ints) -> Singles:
    """What forecasts of these days should have said, (I, 31, S) mm."""
    return np.stack([history.target_on(int(day)).astype(np.float32) for day in days])
