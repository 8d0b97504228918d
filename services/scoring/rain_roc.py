"""A daily statistic of rain scored against dates of landslides: hits, misses, false alarms, ROC.

A value belongs to a closed day and is made from that day and earlier ones, so it can be told on
the morning after. Dates close to one another are one event, for one storm brings many slides; what
is told after the first of them is not told before the event. Days are numbers that count on by 1.

An *alarm day* has a value at the limit or above it. Alarm days at most 3 days apart are one
*episode*, a false alarm if no event overlaps it or begins within the 3 days after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.evidence import Floats
from services.scoring.score import Interval

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

REACH_D = 3
"""Dates this close are one event; and an alarm speaks for so many days after its own."""
BLOCK_D = 30
RESAMPLES = 2000


class Slides(NamedTuple):
    """First and last day of each event (N,), in order."""

    first: Ints
    last: Ints


class Counts(NamedTuple):
    """What happens when a statistic is held against one limit."""

    limit: float
    before: int
    """Events with an alarm day among the 3 days before their first slide."""
    first_day: int
    """Or on the day of their first slide, whose rain may have come after the slide."""
    last_day: int
    """Or on any later day up to that of their last slide."""
    events: int
    episodes: int
    false_alarms: int
    alarm_days: int
    days: int


class Roc(NamedTuple):
    """Days before a landslide told from quiet days."""

    limits: Floats
    """Falling; at each of them:"""
    hit_rate: Floats
    false_rate: Floats
    positives: int
    quiet: int
    area: Interval
    """Area under the curve with the 95 % interval; 0.5 is no skill."""


def merged(dates: Iterable[int], within_d: int = REACH_D) -> Slides:
    """Events of dates, any two of which that are at most `within_d` days apart belong together."""
    days = np.unique(np.fromiter(dates, dtype=np.int64))
    if not days.size:
        return Slides(days, days)
    breaks = np.flatnonzero(np.diff(days) > within_d)
    return Slides(days[np.r_[0, breaks + 1]], days[np.r_[breaks, len(days) - 1]])


def count(day: Ints, value: Floats, slides: Slides, limit: float) -> Counts:
    """Hits, misses and false alarms of `value` (T,) on `day` (T,) at one limit; NaN is no alarm."""
    alarm = day[value >= limit]
    episodes = merged(alarm)
    overlap = (slides.first[:, np.newaxis] <= episodes.last + REACH_D) & (
        slides.last[:, np.newaxis] >= episodes.first
    )
    begin = slides.first - REACH_D
    return Counts(
        limit=limit,
        before=_hit(alarm, begin, slides.first - 1),
        first_day=_hit(alarm, begin, slides.first),
        last_day=_hit(alarm, begin, slides.last),
        events=len(slides.first),
        episodes=len(episodes.first),
        false_alarms=int((~overlap.any(axis=0)).sum()),
        alarm_days=len(alarm),
        days=int(np.isfinite(value).sum()),
    )


def _hit(alarm: Ints, begin: Ints, end: Ints) -> int:
    inside = (alarm >= begin[:, np.newaxis]) & (alarm <= end[:, np.newaxis])
    return int(inside.any(axis=1).sum())


def roc(
    day: Ints,
    value: Floats,
    slides: Slides,
    *,
    least_lead_d: int,
    among: Flags | None = None,
    seed: int = 1,
) -> Roc:
    """The curve over all limits, day by day, and its area with an interval.

    Args:
        day: (T,) one after the other.
        value: (T,) statistic at the close of each day; days of NaN are out.
        slides: events.
        least_lead_d: a day is positive when an event begins so many to 3 days after it. 1: told
            before its day; 0: the day itself counts as well. Later days of an event are out.
        among: (T,) days that are scored; None: all.
        seed: of the resampling of blocks of 30 days, which keep days of one storm together.

    Raises `ValueError` when no day is positive or none is quiet.
    """
    ahead = slides.first - day[:, np.newaxis]
    positive = ((ahead >= least_lead_d) & (ahead <= REACH_D)).any(axis=1)
    during = ((ahead < least_lead_d) & (slides.last >= day[:, np.newaxis])).any(axis=1)
    scored = np.isfinite(value) & (True if among is None else among)
    first, quiet = scored & positive, scored & ~positive & ~during
    if not first.any() or not quiet.any():
        raise ValueError("a curve needs days before a landslide and quiet days")
    limits = np.unique(value[first | quiet])[::-1]
    block = (day - day[0]) // BLOCK_D
    return Roc(
        limits,
        np.array([(value[first] >= limit).mean() for limit in limits]),
        np.array([(value[quiet] >= limit).mean() for limit in limits]),
        int(first.sum()),
        int(quiet.sum()),
        _area(value[first], value[quiet], block[first], block[quiet], seed),
    )


def _area(high: Floats, low: Floats, block_high: Ints, block_low: Ints, seed: int) -> Interval:
    """Chance that a positive day has the higher value, ties half; blocks drawn with replacement."""
    above = (high[:, np.newaxis] > low) + 0.5 * (high[:, np.newaxis] == low)
    blocks = int(max(block_high.max(), block_low.max())) + 1
    drawn = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), RESAMPLES)
    weight_high, weight_low = drawn[:, block_high], drawn[:, block_low]
    pairs = weight_high.sum(axis=1) * weight_low.sum(axis=1)
    summed = np.einsum("rp,pq,rq->r", weight_high, above, weight_low, optimize=True)
    areas = summed[pairs > 0] / pairs[pairs > 0]
    lower, upper = np.quantile(areas, (0.025, 0.975))
    return Interval(float(above.mean()), float(lower), float(upper))
