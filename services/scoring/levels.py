"""Levels over time: what the alerting state machine makes of the rules' votes, site by site.

The vectorised equivalent of `services.alerting.decide.voted` for one track: a level rises at once
to what is asked for and falls after three fresh epochs in a row that ask for less, to the highest
level asked for in them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from core.evidence import Floats
from services.alerting.decide import FRESH_EPOCHS_TO_LOWER
from services.alerting.rule import LevelIndex, Rule, with_data
from services.alerting.thresholds import Limits
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


def rule_levels(pool: Pool, rules: Sequence[Rule]) -> LevelIndex:
    """Level index (S, K) of every site after each epoch, by the votes of `rules`."""
    nobody = np.zeros(pool.usable.shape, dtype=np.int8)
    votes = [nobody, *(rule.levels(pool.evidence)[..., 0] for rule in rules)]
    return levels_over_time(np.maximum.reduce(votes), fresh_epochs(pool))


def statistic_levels(statistic: Floats, fresh: Flags, limits: Limits) -> LevelIndex:
    """Level index (S, K) where a `statistic` (S, K) asks for a level from its limit on."""
    with np.errstate(invalid="ignore"):
        asked = sum((statistic >= limit).astype(np.int8) for limit in limits)
    return levels_over_time(np.asarray(asked, dtype=np.int8), fresh)


def or_out_of_range(pool: Pool, level: LevelIndex) -> LevelIndex:
    """Levels (S, K) with orange where the unit is out of range: coverage taken as an alert."""
    outside = pool.evidence.out_of_range[..., 0] & pool.usable
    return np.asarray(np.where(outside, np.maximum(level, ORANGE), level), dtype=np.int8)
