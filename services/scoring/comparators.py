"""What the rules are held against, as statistics with one threshold each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from core.evidence import Floats
from core.kinematics import mm_yr_from_mm_d
from services.alerting.rule import with_data
from services.alerting.rules import cusum
from services.alerting.statistic import danger_signs
from services.scoring.levels import Flags, fresh_epochs
from services.scoring.pool import YEAR_DAYS, Pool

SEASON_HALF_WIDTH_DAYS = 45
SEASON_LEAST_AGE_DAYS = 120


def two_epoch_statistic(pool: Pool) -> Floats:
    """Downslope rate (S, K), mm/yr, between an epoch and the one before; the last one where none.

    What is left without a filter: two observed means and the days between them.
    """
    rate = mm_yr_from_mm_d(pool.two_epoch_mm_d[..., 0]) / pool.evidence.los_factor
    return _held(rate, np.isfinite(rate))


def own_season_statistic(pool: Pool) -> Floats:
    """Filtered downslope rate less its own highest at that season of earlier years (S, K), mm/yr.

    Earlier: more than 120 days ago; that season: within 45 days of the day of the year. Minus
    infinity where the unit has no such past. No shipped rule does this.
    """
    evidence = pool.evidence
    rate = mm_yr_from_mm_d(evidence.velocity_mm_d[..., 0]) / evidence.los_factor
    data = with_data(evidence)[..., 0] & np.isfinite(rate)
    reachable = np.where(data, rate, -np.inf)
    excess = np.full(rate.shape, -np.inf)
    half = YEAR_DAYS // 2
    for epoch in range(1, rate.shape[1]):
        age = evidence.epoch_day[:, [epoch]] - evidence.epoch_day[:, :epoch]
        season = np.abs((age + half) % YEAR_DAYS - half) <= SEASON_HALF_WIDTH_DAYS
        past = season & (age > SEASON_LEAST_AGE_DAYS)
        highest = np.where(past, reachable[:, :epoch], -np.inf).max(axis=1)
        excess[:, epoch] = np.where(np.isfinite(highest), rate[:, epoch] - highest, -np.inf)
    return _held(excess, data)


def unconditioned_cusum(pool: Pool) -> Floats:
    """CUSUM (S, K) of the unit filter's own innovations, which know neither rain nor level."""
    evidence = pool.evidence
    z = np.where(with_data(evidence), evidence.innovation_z, np.nan)
    signs = danger_signs(evidence.los_factor, "either")
    total = cusum.cusum(z, signs)
    enough = np.cumsum(np.isfinite(z), axis=1) >= cusum.EPOCHS_TO_CALIBRATE
    return np.asarray(np.where(enough, total, -np.inf)[..., 0])


def _held(statistic: Floats, data: Flags) -> Floats:
    """A statistic that keeps its last value where there are no data, minus infinity before any."""
    newest = np.maximum.accumulate(np.where(data, np.arange(data.shape[1]), -1), axis=1)
    held = np.take_along_axis(statistic, np.maximum(newest, 0), axis=1)
    return np.asarray(np.where(newest >= 0, held, -np.inf))


def _every_epoch(pool: Pool) -> Flags:
    return pool.usable


COMPARATORS: Mapping[str, tuple[Callable[[Pool], Floats], Callable[[Pool], Flags]]] = (
    MappingProxyType(
        {
            "two-epoch velocity": (two_epoch_statistic, _every_epoch),
            "CUSUM without rain and level": (unconditioned_cusum, fresh_epochs),
            "rate beyond own past seasons": (own_season_statistic, fresh_epochs),
        }
    )
)
"""Statistic (S, K) of each comparator, and the epochs that may lower its level."""
