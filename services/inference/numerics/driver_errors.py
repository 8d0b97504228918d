"""How far features worked out from what was issued have been from what then came."""

from __future__ import annotations

import numpy as np

from core.evidence import Floats
from services.inference.known import FURTHEST_D, History, Known
from services.inference.numerics import hydrology

ISSUES = 24
EVERY_D = 15
FEWEST = 4
_WARM_UP_D = 60


def cumulative_errors(history: History, known: Known) -> Floats:
    """Errors of cumulative features on day .. day + 30 of past issues, (N, 31, D, F).

    What had been issued at up to 24 days of the year before `known.day` is compared with what is
    known now; asks `history` for earlier days only. A record with fewer than four such days gives
    what is not known without any forecast: departures of 30 days from their mean.
    """
    first_day = known.drivers.first_day
    newest = known.day - FURTHEST_D - 1
    oldest = max(first_day, history.first_day) + _WARM_UP_D
    days = [d for d in range(newest, newest - ISSUES * EVERY_D, -EVERY_D) if d >= oldest]
    now = np.cumsum(hydrology.daily(known.drivers), axis=0)
    if len(days) < FEWEST:
        return _departures(now[: known.day - first_day + 1])
    return np.stack([_errors(history.known(day), now, first_day) for day in days])


def _errors(then: Known, now: Floats, first_day: int) -> Floats:
    issued = np.cumsum(hydrology.daily(then.drivers), axis=0)
    at = then.day - then.drivers.first_day
    shift = then.drivers.first_day - first_day
    base = max(at - _WARM_UP_D // 2, 0)
    rows = slice(at, at + FURTHEST_D + 1)
    came = now[rows.start + shift : rows.stop + shift] - now[base + shift]
    return np.asarray(issued[rows] - issued[base] - came)


def _departures(cumulative: Floats) -> Floats:
    span = FURTHEST_D + 1
    starts = range(len(cumulative) - span - 1, 0, -EVERY_D)
    if not starts:
        return np.zeros((1, span, *cumulative.shape[1:]))
    moved = np.stack([cumulative[s : s + span] - cumulative[s] for s in starts])
    return np.asarray(moved - moved.mean(axis=0))


def displacement_sd(
    errors: Floats, coefficients: Floats, place: np.typing.NDArray[np.int64]
) -> Floats:
    """Root mean square error (mm) that `errors` make in displacement, (31, S)."""
    result = np.empty((errors.shape[1], place.size))
    for one in np.unique(place):
        series = np.nonzero(place == one)[0]
        wrong = errors[:, :, one] @ coefficients[series].T
        result[:, series] = np.sqrt((wrong**2).mean(axis=0))
    return result
