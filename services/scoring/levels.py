"""Levels over time: what the alerting state machine makes of the rules' votes, site by site.

The vectorised equivalent of `services.alerting.decide.voted` for one track: a level rises at once
to what is asked for and falls after three fresh epochs in a row that ask for less, to the highest
level asked for in them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from core.evidence import Floats
from services.alerting.decide import FRESH_EPOCHS_TO_LOWER
from services.alerting.rule import LevelIndex, Rule, with_data
from services.alerting.rules import cusum, velocity
from services.alerting.thresholds import Limits, ThresholdTable
from services.scoring.pool import Pool

Flags = npt.NDArray[np.bool_]

YELLOW, ORANGE, RED = 1, 2, 3


def levels_over_time(asked: LevelIndex, fresh: Flags) -> LevelIndex:
    """Level index (S, K) after each epoch.

    `asked` (S, K): highest level that a rule asks for after the epoch. `fresh` (S, K): whether the
    epoch may lower the level.
    """
    level = np.zeros(asked.shape[:1], dtype=np.int8)
    count, highest = np.zeros_like(level), np.zeros_like(level)
    result = np.zeros(asked.shape, dtype=np.int8)
    for epoch in range(asked.shape[1]):
        now, new = asked[:, epoch], fresh[:, epoch]
        rises, less = now > level, (now < level) & new
        count = np.where(less, count + 1, count)
        highest = np.where(less, np.maximum(highest, now), highest)
        falls = count >= FRESH_EPOCHS_TO_LOWER
        level = np.where(rises, now, np.where(falls, highest, level))
        over = rises | falls | ((now == level) & new & ~less)
        count, highest = np.where(over, 0, count), np.where(over, 0, highest)
        result[:, epoch] = level
    return result


def fresh_epochs(pool: Pool) -> Flags:
    """Epochs (S, K) that may lower a level: assimilated, and after some rule could judge."""
    data = with_data(pool.evidence)[..., 0]
    judged = np.logical_or.accumulate(data, axis=1)
    return np.asarray(pool.usable & ~pool.evidence.out_of_range[..., 0] & judged)


def shipped_rules(table: ThresholdTable) -> tuple[Rule, ...]:
    """The rules of a site whose file names none, with the thresholds of `table`."""
    return (
        velocity.open(velocity.Settings(), table),
        cusum.open(cusum.Settings(), table),
    )


def rule_levels(pool: Pool, rules: Sequence[Rule]) -> LevelIndex:
    """Level index (S, K) of every site after each epoch, by the votes of `rules`."""
    votes = [rule.levels(pool.evidence)[..., 0] for rule in rules]
    return levels_over_time(np.maximum.reduce(votes), fresh_epochs(pool))


def statistic_levels(statistic: Floats, fresh: Flags, limits: Limits) -> LevelIndex:
    """Level index (S, K) where a `statistic` (S, K) asks for a level from its limit on."""
    with np.errstate(invalid="ignore"):
        asked = sum((statistic >= limit).astype(np.int8) for limit in limits)
    return levels_over_time(np.asarray(asked, dtype=np.int8), fresh)


def velocity_statistic(pool: Pool) -> Floats:
    """The rate (S, K), mm/yr, whose passing the velocity rule takes for sure after each epoch.

    A level is asked for exactly where this is at least its limit (but for rounding): the rate less
    its sd times the rule's quantile, second largest of the last three epochs with data.
    """
    settings = velocity.Settings()
    evidence = pool.evidence
    rate = velocity.judged_rate(
        evidence.velocity_mm_d, evidence.velocity_sd_mm_d, evidence.los_factor, settings
    )
    sure = (rate.value_mm_yr - ndtri(settings.probability) * rate.sd_mm_yr)[..., 0]
    data = with_data(evidence)[..., 0] & np.isfinite(sure)
    recent = np.full((settings.of, len(pool)), -np.inf)
    result = np.empty(sure.shape)
    for epoch in range(sure.shape[1]):
        pushed = np.concatenate([sure[None, :, epoch], recent[:-1]])
        recent = np.where(data[:, epoch], pushed, recent)
        result[:, epoch] = np.sort(recent, axis=0)[-settings.hits]
    return result


def cusum_statistic(pool: Pool) -> Floats:
    """The CUSUM rule's S (S, K), minus infinity before the rule counts itself calibrated."""
    z = np.where(with_data(pool.evidence), pool.evidence.innovation_z, np.nan)
    signs = cusum.danger_signs(pool.evidence.los_factor, cusum.Settings().direction)
    run = cusum.cusum_levels(z, signs, Limits())
    enough = run.usable >= cusum.EPOCHS_TO_CALIBRATE
    return np.asarray(np.where(enough, run.statistic, -np.inf)[..., 0])


def or_out_of_range(pool: Pool, level: LevelIndex) -> LevelIndex:
    """Levels (S, K) with orange where the unit is out of range: coverage taken as an alert."""
    outside = pool.evidence.out_of_range[..., 0] & pool.usable
    return np.asarray(np.where(outside, np.maximum(level, ORANGE), level), dtype=np.int8)
