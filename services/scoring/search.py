"""The search for limits that keep several rules together within a budget of false alarms.

A rule's *curve* says at which threshold it has which rate of false alarms by itself. The budget of
a level is shared out: a rule with share w stands at the threshold that has w times a common rate,
and that rate is the largest for which all rules together keep to the budget. Which shares detect
most is found forward: first the best rule alone, then the rule and share that add most, while they
add at least one failure in two hundred. A rule that adds nothing gets no limit and no vote.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from core.evidence import Floats
from core.twin import Kind
from services.alerting.thresholds import Limits
from services.scoring import score
from services.scoring.levels import Flags, fresh_epochs, levels_over_time
from services.scoring.pool import YEAR_DAYS, Pool
from services.scoring.voters import statistic

SHARES = (0.1, 0.2, 0.35, 0.5)
"""Shares of the common rate that a rule may be given beside those that vote already."""
LEAST_GAIN = 0.005
"""Part of the failures that a further rule must add to be given a vote."""
LEAD_DAYS = 14
"""Lead at which detection decides."""
MARGIN = 0.7
"""Part of a budget that the upper end of the interval may reach."""
ALARM_MARGIN = 0.9
"""Part of an alarm-time budget that the search may use: it looks at each level alone, and a unit
that comes down from a higher level stands a little longer."""
_GRID = 80
_HALVINGS = 11

Shares = Mapping[str, float]
Statistics = Mapping[str, Floats]


class Budget(NamedTuple):
    """What a level may cost: false alarms a unit-year, and share of no-failure time."""

    false_alarms: float
    alarm_share: float


BUDGETS = {
    "yellow": Budget(0.3, 0.05),
    "orange": Budget(0.1, 0.02),
    "red": Budget(0.01, 0.002),
}


class Curve(NamedTuple):
    """Thresholds of one statistic, falling, with the false alarms a unit-year of each."""

    threshold: Floats
    rate: Floats

    def at(self, rate: float) -> float:
        """The threshold with this rate, between two of the curve where need be."""
        return float(np.interp(rate, self.rate, self.threshold))


class Side(NamedTuple):
    """Sites of one side of the question, with the statistic (S, K) of each rule."""

    pool: Pool
    statistics: Statistics
    fresh: Flags


@dataclass(frozen=True)
class Search:
    """Sites without failure, sites that fail, curves, rules whose limits stay as given, budgets."""

    quiet: Side
    failing: Side
    curves: Mapping[str, Curve]
    fixed: Mapping[str, Limits]
    budgets: Mapping[str, Budget]


class Found(NamedTuple):
    """Shares of the rules that vote, limits by rule, and how detection grew as rules were added."""

    shares: Shares
    limits: Mapping[str, Limits]
    steps: Sequence[tuple[str, float, float]]
    """Rule, share given to it, detection at 14 d with it."""


def prepared(
    pool: Pool,
    rules: Sequence[str],
    fixed: Mapping[str, Limits] | None = None,
    budgets: Mapping[str, Budget] = BUDGETS,
) -> Search:
    """A search over `rules` on a pool; rules of `fixed` vote beside them at limits that stay."""
    fails = pool.kind == Kind.FAILING
    names = [*rules, *(fixed or {})]
    quiet, failing = (_side(pool.where(which), names) for which in (~fails, fails))
    most = 2 * max(budget.false_alarms for budget in budgets.values())
    curves = {
        name: curve_of(quiet.pool, quiet.statistics[name], quiet.fresh, most) for name in rules
    }
    return Search(quiet, failing, curves, fixed or {}, budgets)


def _side(pool: Pool, rules: Sequence[str]) -> Side:
    return Side(pool, {name: statistic(pool, name) for name in rules}, fresh_epochs(pool))


def curve_of(pool: Pool, values: Floats, fresh: Flags, most: float) -> Curve:
    """False alarms of a statistic (S, K) by its threshold, up to the first rate above `most`."""
    found = values[np.isfinite(values) & pool.usable]
    if not found.size:
        return Curve(np.array([np.inf]), np.array([0.0]))
    tail = np.geomspace(2 / found.size, 0.5, _GRID)
    thresholds = np.unique(np.quantile(found, 1 - tail))[::-1]
    years = score.quiet_days(pool).sum() / YEAR_DAYS
    tried, rates = [float(found.max()) * 1.001], [0.0]
    for threshold in thresholds[thresholds > 0]:
        on = levels_over_time((values >= threshold).astype(np.int8), fresh) > 0
        tried.append(float(threshold))
        rates.append(max(rates[-1], score.false_starts(pool, on).sum() / years))
        if rates[-1] > most:
            break
    return Curve(np.array(tried), np.array(rates))


def search_limits(search: Search, progress: bool = False) -> Found:
    """Shares by detection at orange, then limits for every level."""
    shares, steps = _shares(search, progress)
    chosen = [_lowest(search, shares, level) for level in Limits._fields]
    limits = {}
    for name in shares:
        rising = np.maximum.accumulate([one[name] for one in chosen])
        limits[name] = Limits(*(float(v) for v in rising))
    return Found(shares, limits, steps)


def _shares(search: Search, progress: bool) -> tuple[Shares, list[tuple[str, float, float]]]:
    names = list(search.curves)
    shares: dict[str, float] = {}
    steps: list[tuple[str, float, float]] = []
    best = _detection(search, {}) if search.fixed else 0.0
    with tqdm(desc="rules that vote", disable=not progress) as bar:
        while True:
            tried = {}
            for name in (one for one in names if one not in shares):
                for share in SHARES if shares else (1.0,):
                    mixed = {one: w * (1 - share) for one, w in shares.items()} | {name: share}
                    limits = _lowest(search, mixed, "orange")
                    tried[name, share] = _detection(search, limits), mixed
                    bar.update()
            if not tried:
                break
            (name, share), (found, mixed) = max(tried.items(), key=lambda item: item[1][0])
            if found < best + LEAST_GAIN:
                break
            shares, best = mixed, found
            steps.append((name, share, round(found, 4)))
    return shares, steps


def _lowest(search: Search, shares: Shares, level: str) -> dict[str, float]:
    """Lowest thresholds of all rules that keep to a level's budget, by halving the common rate."""
    budget = search.budgets[level]
    low, high = 0.0, 2 * budget.false_alarms
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _within(search, _limits_at(search, shares, middle), level, budget):
            low = middle
        else:
            high = middle
    return _limits_at(search, shares, low)


def _limits_at(search: Search, shares: Shares, rate: float) -> dict[str, float]:
    return {name: _rounded_up(search.curves[name].at(w * rate)) for name, w in shares.items()}


def _rounded_up(value: float) -> float:
    """To three digits, never down: a lower limit would cost more than was looked at."""
    if not np.isfinite(value) or value <= 0:
        return value
    digit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.ceil(value / digit - 1e-9) * digit:.6g}")


def _within(search: Search, limits: Mapping[str, float], level: str, budget: Budget) -> bool:
    side = search.quiet
    on = levels_over_time(_asked(search, side, limits, level), side.fresh) > 0
    days, alarm = score.quiet_days(side.pool), score.alarm_days(side.pool, on)
    if alarm.sum() / days.sum() > ALARM_MARGIN * budget.alarm_share:
        return False
    starts = score.false_starts(side.pool, on).sum(axis=1)
    return score.rate_interval(starts, days / YEAR_DAYS).high <= MARGIN * budget.false_alarms


def _asked(
    search: Search, side: Side, limits: Mapping[str, float], level: str
) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    """Whether any rule asks for the level (S, K), 0 or 1."""
    fixed = {name: float(getattr(one, level)) for name, one in search.fixed.items()}
    asked = np.zeros(side.fresh.shape, dtype=bool)
    for name, limit in {**fixed, **limits}.items():
        asked |= side.statistics[name] >= limit
    return asked.astype(np.int8)


def _detection(search: Search, limits: Mapping[str, float]) -> float:
    """Share of the failures detected at 14 days at orange, each runaway family counted alike."""
    side = search.failing
    level = levels_over_time(_asked(search, side, limits, "orange"), side.fresh)
    found = score.detected(side.pool, level, LEAD_DAYS, 1)
    families = np.unique(side.pool.runaway_family)
    return float(np.mean([found[side.pool.runaway_family == one].mean() for one in families]))
