"""The floor: what is left to a smoother that knows the true motion and not the zero."""

from __future__ import annotations

import numpy as np

from services.inference.known import Ints
from services.scoring.forecasts.issue import Issued
from services.scoring.forecasts.series import PoolHistory


def floor(history: PoolHistory, days: Ints, fold: Ints) -> Issued:
    """Forecasts of a smoother that knows every true rate, past and future, on these days.

    With the rates known only the constant of each series is to be estimated: the mean difference
    of arrived epochs to the true motion, weighted with 1 / sd^2 of the epoch as stated. It is off
    by the weighted mean of the errors that have arrived and by nothing else.
    """
    paths, sds = [], []
    for day in days:
        known = history.known(int(day))
        error = history.arrived_errors(int(day))
        weight = np.where(np.isfinite(error), known.sd_mm, np.inf) ** -2
        total = weight.sum(axis=0)
        total = np.where(total > 0, total, np.nan)
        constant = (weight * np.nan_to_num(error)).sum(axis=0) / total
        path = history.target_on(int(day)) + constant
        paths.append(path.astype(np.float32))
        sds.append(np.broadcast_to(total**-0.5, path.shape).astype(np.float32))
    return Issued("floor", days, fold, np.stack(paths), np.stack(sds), 0.0, 0.0)
