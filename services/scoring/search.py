"""The search for thresholds that keep to a budget of false alarms, two rules together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from core.evidence import Floats
from core.twin import Kind
from services.alerting.rule import LevelIndex
from services.alerting.rules import cusum, velocity
from services.alerting.thresholds import Limits
from services.scoring import score
from services.scoring.levels import (
    Flags,
    cusum_statistic,
    fresh_epochs,
    levels_over_time,
    velocity_statistic,
)
from services.scoring.pool import YEAR_DAYS, Pool

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Shares of the false alarms tried for velocity; the rest is for cusum."""
MARGIN = 0.7
"""Part of a budget that the upper end of the interval may reach."""
ALARM_MARGIN = 0.9
"""Part of an alarm-time budget that the search may use: it looks at each level alone, and a unit
that comes down from a higher level stands a little longer."""
_GRID = 80
_HALVINGS = 12


class Budget(NamedTuple):
    """What a level may cost: false alarms a unit-year, and share of no-failure time."""

    false_alarms: float
    alarm_share: float


BUDGETS = {
    "yellow": Budget(0.3, 0.05),
    "orange": Budget(0.1, 0.02),
    "red": Budget(0.01, 0.002),
}


@dataclass(frozen=True)
class Search:
    """Sites without failure, with the statistic of each rule, and those that fail."""

    quiet: Pool
    quiet_statistics: tuple[Floats, Floats]
    quiet_fresh: Flags
    failing: Pool
    failing_statistics: tuple[Floats, Floats]
    failing_fresh: Flags


def _search(pool: Pool) -> Search:
    fails = pool.kind == Kind.FAILING
    quiet, failing = pool.where(~fails), pool.where(fails)
    return Search(
        quiet,
        (velocity_statistic(quiet), cusum_statistic(quiet)),
        fresh_epochs(quiet),
        failing,
        (velocity_statistic(failing), cusum_statistic(failing)),
        fresh_epochs(failing),
    )


class Curve(NamedTuple):
    """Thresholds of one statistic, falling, with the false alarms a unit-year of each."""

    threshold: Floats
    rate: Floats

    def at(self, rate: float) -> float:
        """The threshold with this rate, between two of the curve where need be."""
        return float(np.interp(rate, self.rate, self.threshold))


def curve_of(pool: Pool, statistic: Floats, fresh: Flags, most: float) -> Curve:
    """False alarms of a statistic (S, K) by its threshold, up to the first rate above `most`."""
    found = statistic[np.isfinite(statistic) & pool.usable]
    tail = np.geomspace(2 / found.size, 0.5, _GRID)
    thresholds = np.unique(np.quantile(found, 1 - tail))[::-1]
    years = score.quiet_days(pool).sum() / YEAR_DAYS
    tried, rates = [float(found.max()) * 1.001], [0.0]
    for threshold in thresholds[thresholds > 0]:
        on = levels_over_time((statistic >= threshold).astype(np.int8), fresh) > 0
        tried.append(float(threshold))
        rates.append(max(rates[-1], score.false_starts(pool, on).sum() / years))
        if rates[-1] > most:
            break
    return Curve(np.array(tried), np.array(rates))


def _joint(search: Search, limits: Sequence[float]) -> Flags:
    """Whether either rule's alarm stands (S, K) on the sites without failure."""
    asked = _either(search.quiet_statistics, limits)
    return np.asarray(levels_over_time(asked, search.quiet_fresh) > 0)


def _either(statistics: tuple[Floats, Floats], limits: Sequence[float]) -> LevelIndex:
    passed = [values >= limit for values, limit in zip(statistics, limits, strict=True)]
    return np.logical_or(*passed).astype(np.int8)


def _limits_at(curves: Sequence[Curve], share: float, rate: float) -> tuple[float, float]:
    """Rounded up thresholds of both rules when they share a rate of false alarms."""
    first, second = curves
    return (
        math.ceil(first.at(share * rate)),
        math.ceil(100 * second.at((1 - share) * rate)) / 100,
    )


def _within(search: Search, limits: Sequence[float], budget: Budget) -> bool:
    on = _joint(search, limits)
    days, alarm = score.quiet_days(search.quiet), score.alarm_days(search.quiet, on)
    rate = score.rate_interval(score.false_starts(search.quiet, on).sum(axis=1), days / YEAR_DAYS)
    dear = alarm.sum() / days.sum() > ALARM_MARGIN * budget.alarm_share
    return rate.high <= MARGIN * budget.false_alarms and not dear


def _lowest(
    search: Search, curves: Sequence[Curve], share: float, budget: Budget
) -> tuple[float, float]:
    """Lowest thresholds of both rules that keep to a budget, by halving their common rate."""
    low, high = 0.0, 2 * budget.false_alarms
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _within(search, _limits_at(curves, share, middle), budget):
            low = middle
        else:
            high = middle
    return _limits_at(curves, share, low)


def _detection(search: Search, limits: Sequence[float]) -> float:
    """Share of the failures detected at 14 days by either rule."""
    asked = _either(search.failing_statistics, limits)
    level = levels_over_time(asked, search.failing_fresh)
    return float(score.detected(search.failing, level, 14, 1).mean())


class Found(NamedTuple):
    """Share of the false alarms left to velocity, limits by rule, detection at 14 d by share."""

    velocity_share: float
    limits: Mapping[str, Limits]
    detection_by_share: Mapping[float, float]


def search_limits(pool: Pool, progress: bool = False) -> Found:
    """Search on a pool: budgets on its sites without failure, detection on those that fail."""
    search = _search(pool)
    curves = [
        curve_of(search.quiet, values, search.quiet_fresh, 2 * BUDGETS["yellow"].false_alarms)
        for values in search.quiet_statistics
    ]
    bar = tqdm(SHARES, desc="shares", disable=not progress)
    by_share = {
        share: _detection(search, _lowest(search, curves, share, BUDGETS["orange"]))
        for share in bar
    }
    best = max(SHARES, key=lambda share: (by_share[share], -abs(share - 0.5)))
    pairs = [_lowest(search, curves, best, BUDGETS[level]) for level in Limits._fields]
    rising = np.maximum.accumulate(np.array(pairs), axis=0)
    limits = {
        velocity.NAME: Limits(*(float(v) for v in rising[:, 0])),
        cusum.NAME: Limits(*(float(v) for v in rising[:, 1])),
    }
    return Found(best, limits, by_share)
