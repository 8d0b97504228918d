"""How far drivers lie from those of the record that models were fitted to.

The distance of Mahalanobis over four features of rain and level (`numerics.hydrology`):
rain of the last days and weeks, the level and its change. A driver farther out than 99 of 100 days
of the record extrapolates. The covariance is drawn a tenth of the way to its diagonal, so that two
drivers which went together by chance may go apart a little.
P. C. Mahalanobis, On the generalised distance in statistics, Proc. Nat. Inst. Sci. India 2 (1936).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from core.evidence import Floats
from services.inference.known import Drivers
from services.inference.numerics.hydrology import FEATURES, daily

INSIDE_SHARE: Final = 0.99
LEAST_DAYS: Final = 120
USED: Final = ("rain_5d", "rain_25d", "level", "level_change")
SHRINK: Final = 0.1
_LEAST_VARIANCE: Final = 1e-4
"""Of a driver that never changed: a hundredth of a feature's usual size."""
_COLUMNS: Final = [FEATURES.index(name) for name in USED]


class Hull(NamedTuple):
    """Mean (F,) and inverse covariance (F, F) of the record's features, and the limit ()."""

    mean: Floats
    precision: Floats
    limit: Floats


def hull_of(drivers: Drivers, day: int) -> Hull | None:
    """The hull of one place's drivers up to `day`; None where the record is under 120 days."""
    record = _features(drivers)[: day - drivers.first_day + 1]
    if len(record) < LEAST_DAYS:
        return None
    mean = np.asarray(record.mean(axis=0), np.float64)
    spread = np.cov(record, rowvar=False)
    alone = np.diag(np.diag(spread) + _LEAST_VARIANCE)
    precision = np.asarray(np.linalg.inv((1 - SHRINK) * spread + SHRINK * alone), np.float64)
    distance = _distance(record, mean, precision)
    return Hull(mean, precision, np.array(np.quantile(distance, INSIDE_SHARE)))


def outside(hull: Hull, drivers: Drivers, day: int) -> Floats:
    """Distance of each day from `day` on to 30 days later, in units of the limit, (31,).

    Above 1: farther out than 99 of 100 days of the record.
    """
    ahead = _features(drivers)[day - drivers.first_day :]
    return _distance(ahead, hull.mean, hull.precision) / float(hull.limit)


def _features(drivers: Drivers) -> Floats:
    return np.asarray(daily(drivers)[:, 0, _COLUMNS])


def _distance(rows: Floats, mean: Floats, precision: Floats) -> Floats:
    off = rows - mean
    square = np.einsum("tf,fg,tg->t", off, precision, off)
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))
