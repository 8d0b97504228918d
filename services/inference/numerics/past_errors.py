"""How wrong a forecast's mean has been: the standard deviation of models that have none.

The mean is issued anew for past days from what was known then and held against epochs that have
arrived since. An epoch's own variance is taken off, so that what is left is the error of the
displacement itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from core.evidence import Floats
from services.inference.known import FURTHEST_D, History, Known
from services.inference.numerics import residual_filter

ISSUES = 24
EVERY_D = 15
_CENTRES = (2.0, 8.0, 14.0, 20.0, 27.0)
_EDGES = (5, 11, 17, 23)
_WORTH = 8.0
"""Errors of the place that a series' own are mixed with."""
_OLDEST_D = 30
_TELLING = 0.25
"""Least error variance, as a share of an epoch's."""


def spread(mean: Callable[[Known], Floats], history: History, known: Known) -> Floats:
    """Standard deviation (mm) of `mean` on day .. day + 30, (31, S); never falls with the horizon.

    `mean` gives the displacement (31, S) from what was known; up to 24 days of the year before
    `known.day` are asked for. Never less than half an epoch's. A place without any past error gets
    the spread of its values, and a series without values NaN.
    """
    total, count = np.zeros((len(_CENTRES), known.series)), np.zeros((len(_CENTRES), known.series))
    value, variance = residual_filter.observations(known)
    oldest = max(history.first_day, known.day - ISSUES * EVERY_D) + _OLDEST_D
    for day in range(known.day - EVERY_D, oldest - 1, -EVERY_D):
        _add(total, count, mean(history.known(day)), day, known, value, variance)
    pooled = _of_place(total, known) / np.maximum(_of_place(count, known), 1.0)
    none = (_of_place(count, known) == 0).all(axis=0)
    mixed = (total + _WORTH * pooled) / (count + _WORTH)
    # A few lucky errors must not promise more than the epochs behind a forecast can tell.
    mixed = np.maximum.accumulate(np.maximum(mixed, _TELLING * variance.mean(axis=0)), axis=0)
    result = np.empty((FURTHEST_D + 1, known.series))
    horizons = np.arange(FURTHEST_D + 1.0)
    weights = np.stack([np.interp(horizons, _CENTRES, one) for one in np.eye(len(_CENTRES))], 1)
    result[:] = np.sqrt(weights @ mixed)
    return np.where(none, _whole_spread(value), result)


def _add(
    total: Floats,
    count: Floats,
    issued: Floats,
    day: int,
    known: Known,
    value: Floats,
    variance: Floats,
) -> None:
    """Add the squared errors of one past issue to their horizons' bins."""
    ahead = known.epoch_day - day
    told = (ahead >= 0) & (ahead <= FURTHEST_D) & np.isfinite(value)
    rows = np.nonzero(told.any(axis=1))[0]
    ahead, told = np.clip(ahead[rows], 0, FURTHEST_D), told[rows]
    error = value[rows] - np.take_along_axis(issued, ahead, axis=0)
    told &= np.isfinite(error)
    square = np.where(told, np.where(told, error, 0.0) ** 2 - variance[rows], 0.0)
    bins = np.digitize(ahead, _EDGES)
    for number in range(len(_CENTRES)):
        here = told & (bins == number)
        total[number] += np.where(here, square, 0.0).sum(axis=0)
        count[number] += here.sum(axis=0)


def _of_place(values: Floats, known: Known) -> Floats:
    """Sum over the series of each series' place, (M, S)."""
    _, member = np.unique(known.place, return_inverse=True)
    sums = np.stack([np.bincount(member, row) for row in values])
    return np.asarray(sums[:, member])


def _whole_spread(value: Floats) -> Floats:
    """Root mean square of all values about their mean, (S,)."""
    told = np.isfinite(value)
    number = np.maximum(told.sum(axis=0), 1)
    mean = np.where(told, value, 0.0).sum(axis=0) / number
    square = np.where(told, value - mean, 0.0) ** 2
    return np.where(told.any(axis=0), np.sqrt(square.sum(axis=0) / number), np.nan)
