"""The inner fold: how each model would have forecast the last year, judged by what had arrived.

Every model is fitted once, to what was known at the beginning of the fold, and issues a forecast
for each later epoch and horizon from what was known on the day of issue. The fold ends at `day`:
nothing that arrived later is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from tqdm import tqdm

from core.evidence import Floats
from services.inference.known import History, Ints, Known
from services.inference.model import HORIZONS_D, Model, Parameters
from services.inference.trust.groups import predicted_rate_mm_d, standing, usual_sd_mm

FOLD_D: Final = 365
LEAST_FOLD_D: Final = 180
FEWEST_EPOCHS: Final = 10
"""Epochs that must have arrived before models are fitted."""
LEAST_RECORD_D: Final = 548
"""Half a year to judge by and a full year to fit to; no fold is made of a shorter record."""

_H: Final = np.array(HORIZONS_D)


@dataclass(frozen=True)
class Scores:
    """What M models forecast of E epochs of S series at the horizons of `HORIZONS_D`.

    `epoch_day` (E,) are the days with an epoch of any series; `los_mm` and `sd_mm` (E, S) the
    observation and its sd, NaN where a series has none. `mean_mm` (M, H, E, S): forecast of the
    value, issued `HORIZONS_D[h]` days before; `spread_mm`: its sd, with the usual sd of an
    observation in it; `rate_mm_d`: the predicted rate. NaN where a model did not speak. `standing`
    (H, E, S): group of the forecast by all that was known at issue but its rate. `first_day`: issue
    days begin there. `refusal`: why there is no fold, empty where there is one.
    """

    models: tuple[str, ...]
    first_day: int
    day: int
    place: Ints
    epoch_day: Ints
    los_mm: Floats
    sd_mm: Floats
    mean_mm: Floats
    spread_mm: Floats
    rate_mm_d: Floats
    standing: Ints
    refusal: str = ""


def inner_scores(
    history: History, models: Mapping[str, Model], day: int, progress: bool = False
) -> Scores:
    """Fit each model at the fold's beginning and let it forecast up to `day`.

    The fold is the last year, or the last third of a record shorter than three; a record of less
    than a year and a half has none, and `refusal` says so. Raises what a model's `fit` raises.
    """
    known = history.known(day)
    record = day - _first_epoch(known)
    if record < LEAST_RECORD_D:
        return _none(models, known, f"the record of {record} days is under a year and a half")
    first = day - min(FOLD_D, max(LEAST_FOLD_D, record // 3))
    early = np.isfinite(history.known(first).los_mm).any(axis=1).sum()
    if early < FEWEST_EPOCHS:
        late = f"the record came late: {early} epochs had arrived when the inner fold begins"
        return _none(models, known, late)
    fitted = {name: model.fit(history, first) for name, model in models.items()}
    return forecast_fold(history, models, fitted, first, day, progress)


def forecast_fold(
    history: History,
    models: Mapping[str, Model],
    fitted: Mapping[str, Parameters],
    first: int,
    day: int,
    progress: bool = False,
) -> Scores:
    """Forecasts of fitted models, issued on `first` or later, of epochs that arrived by `day`."""
    known = history.known(day)
    days = _epoch_days(known, first)
    scores = _empty(models, known, first, days)
    issues = sorted({int(d) - h for d in days for h in HORIZONS_D if d - h >= first})
    for issued in tqdm(issues, desc="inner fold", unit="day", disable=not progress):
        then = history.known(issued)
        noise = usual_sd_mm(then)
        at, horizon = np.nonzero(days[:, None] - _H == issued)
        scores.standing[horizon, at] = standing(then)
        for place, (name, model) in enumerate(models.items()):
            path = model.forecast(fitted[name], then)
            ahead = _H[horizon]
            scores.mean_mm[place, horizon, at] = path.displacement_mm[ahead]
            scores.spread_mm[place, horizon, at] = np.hypot(path.sd_mm[ahead], noise)
            scores.rate_mm_d[place, horizon, at] = predicted_rate_mm_d(path)
    return scores


def _first_epoch(known: Known) -> int:
    """Median day of the series' first measured epochs; `known.day` where there are none."""
    measured = np.isfinite(known.los_mm)
    with_any = measured.any(axis=0) if len(measured) else np.zeros(known.series, bool)
    if not with_any.any():
        return known.day
    day = np.where(measured, known.epoch_day, np.iinfo(np.int64).max).min(axis=0)
    return int(np.median(day[with_any]))


def _epoch_days(known: Known, first: int) -> Ints:
    good = np.isfinite(known.los_mm) & (known.epoch_day >= first)
    return np.unique(known.epoch_day[good])


def _empty(models: Mapping[str, Model], known: Known, first: int, days: Ints) -> Scores:
    los, sd = np.full((2, len(days), known.series), np.nan)
    good = np.isfinite(known.los_mm) & (known.epoch_day >= first)
    row, series = np.nonzero(good)
    at = np.searchsorted(days, known.epoch_day[good])
    los[at, series], sd[at, series] = known.los_mm[row, series], known.sd_mm[row, series]
    shape = (len(models), len(_H), len(days), known.series)
    return Scores(
        models=tuple(models),
        first_day=first,
        day=known.day,
        place=known.place,
        epoch_day=days,
        los_mm=los,
        sd_mm=sd,
        mean_mm=np.full(shape, np.nan),
        spread_mm=np.full(shape, np.nan),
        rate_mm_d=np.full(shape, np.nan),
        standing=np.zeros(shape[1:], np.int64),
    )


def _none(models: Mapping[str, Model], known: Known, refusal: str) -> Scores:
    nothing = _empty(models, known, known.day + 1, np.empty(0, np.int64))
    return Scores(**{**vars(nothing), "refusal": refusal})
