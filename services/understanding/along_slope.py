"""Shares of the points of one slope, seen together: the reservoir's part falls with the distance.

One point's share is noisy, and points of a slope differ in a known direction. Rain's share is taken
to rise along a slope as a logistic curve in the distance from the bank; where it turns and how fast
is averaged over a grid, by how well each curve fits the points' own shares and by how usual it is.
A slope with its own mind still gets its own curve. The curve's usual place and the weight of the
prior were chosen on development slopes of the twin.
"""

from __future__ import annotations

import numpy as np

from core.evidence import Floats
from services.inference.known import Ints

FEWEST_POINTS = 3
TURN_M, TURN_SD_M = 300.0, 150.0
"""Distance at which rain and reservoir share alike, and how much slopes differ."""
WIDTH_M, LOG_WIDTH_SD = 80.0, 0.5
_SHARE_SD = 0.1
_PRIOR_WEIGHT = 0.1
_TURNS = np.linspace(0.0, 900.0, 61)
_WIDTHS = np.geomspace(20.0, 400.0, 25)


def along_slope(rain_share: Floats, distance_m: Floats, place: Ints) -> Floats:
    """Rain's shares (S,) pooled within each place; as they were where too few distances are known.

    Args:
        rain_share: (S,) shares of each series by itself, NaN where unknown.
        distance_m: (S,) from the bank, NaN where unknown.
        place: (S,) which slope a series belongs to.
    """
    result = np.array(rain_share, dtype=np.float64)
    usable = np.isfinite(rain_share) & np.isfinite(distance_m)
    for slope in np.unique(place):
        rows = np.flatnonzero(usable & (place == slope))
        if len(rows) >= FEWEST_POINTS:
            result[rows] = _curve(rain_share[rows], distance_m[rows])
    return result


def _curve(share: Floats, distance_m: Floats) -> Floats:
    ahead = (distance_m - _TURNS[:, None, None]) / _WIDTHS[:, None]
    curves = 1 / (1 + np.exp(-np.clip(ahead, -50, 50)))
    misfit = np.mean((curves - share) ** 2, axis=-1) * min(len(share), 6)
    unusual = ((_TURNS[:, None] - TURN_M) / TURN_SD_M) ** 2
    unusual = unusual + (np.log(_WIDTHS / WIDTH_M) / LOG_WIDTH_SD) ** 2
    loss = (misfit + _PRIOR_WEIGHT * unusual) / (2 * _SHARE_SD**2)
    weight = np.exp(loss.min() - loss)
    return np.asarray(np.einsum("tw,twp->p", weight / weight.sum(), curves))
