"""Forecasts of the replica that need no training, or one linear fit.

All of them are our choice of comparator; none is in the source.
"""

from __future__ import annotations

import numpy as np

from core.evidence import Floats
from services.scoring.replica.windows import INNER_TEST, INNER_TRAIN, TEST, TRAIN, Scaled, Windows

PENALTIES = (1e-6, 1e-3, 1.0, 1e2, 1e4)


def persistence(given: Windows) -> Floats:
    """The window's newest deformation, (N, S)."""
    return given.deformation_mm[..., 0]


def one_liner(given: Windows) -> Floats:
    """The straight line through the window's two newest deformations, one lag on, (N, S).

    In R1 this is y(t+1) = 2 y(t) - y(t-1) in days; in R2 the same in steps of 12 days. Exact
    wherever the label goes straight, which in R1 it does on all but the first day after an epoch.
    """
    return np.asarray(2.0 * given.deformation_mm[..., 0] - given.deformation_mm[..., 1])


def ridge(data: Scaled) -> Floats:
    """Ridge regression on the network's inputs, pooled over series: test days (n, S), mm.

    Columns are the 90 values and the date of the day before the label. The penalty is the best on
    the inner block; then the whole training part is fitted.
    """
    best = min(PENALTIES, key=lambda penalty: _inner_loss(data, penalty))
    return data.forecast_mm(_fitted(data, best, TRAIN, TEST), TEST)


def _inner_loss(data: Scaled, penalty: float) -> float:
    miss = _fitted(data, penalty, INNER_TRAIN, INNER_TEST) - data.target[INNER_TEST]
    return float((miss**2).mean())


def _fitted(data: Scaled, penalty: float, train: slice, days: slice) -> Floats:
    from sklearn.linear_model import Ridge

    columns, series = _columns(data, train), data.target.shape[1]
    model = Ridge(alpha=penalty).fit(columns, data.target[train].ravel())
    return np.asarray(model.predict(_columns(data, days))).reshape(-1, series)


def _columns(data: Scaled, days: slice) -> Floats:
    """(n S, 93)"""
    points = data.deformation.shape[1] // data.level.shape[1]
    rain, level = (np.repeat(block[days], points, axis=1) for block in (data.rain, data.level))
    parts = [data.deformation[days][..., 0], rain[..., 0], level[..., 0], rain[:, :, 0, 1:]]
    columns = np.concatenate(parts, axis=-1, dtype=np.float64)
    return columns.reshape(-1, columns.shape[-1])
