"""A few simulated sites as a pool, with a plain provider, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from core.evidence import Floats
from core.twin import Kind, Observed, Truth, observe, simulate


@dataclass(frozen=True)
class Issued:
    """The provider's answers as they were issued: kept, whatever happens to the record later."""

    rain: dict[int, Floats]
    level: dict[int, Floats]

    def rain_mm(self, day: int) -> Floats:
        return self.rain[day]

    def level_m(self, day: int) -> Floats:
        return self.level[day]


@dataclass(frozen=True)
class Slopes:
    """A pool as `PoolHistory` wants it."""

    noise: str
    truth: Truth
    seen: Observed
    prospects: Issued


@lru_cache
def slopes(sites: int = 3, noise: str = "radar") -> Slopes:
    """Quiet development sites of seven years."""
    truth = simulate(range(700, 700 + sites), Kind.QUIET, years=7)
    seen = (
        observe(truth, noise="radar", flank_pixels=6)
        if noise == "radar"
        else observe(truth, noise="white", sigma_mm=float(noise[6:]), flank_pixels=6)
    )
    return Slopes(noise, truth, seen, issued(seen))


def issued(seen: Observed) -> Issued:
    """A plain provider: half of what the gauge will read, and a level that stays as it is."""
    days = range(seen.gauge_mm.shape[1] - 30)
    stay = np.ones(31)
    return Issued(
        {day: 0.5 * seen.gauge_mm[:, day : day + 31] + 1.0 for day in days},
        {day: seen.level_m[:, max(day - 1, 0), None] * stay for day in days},
    )


def with_other_future(pool: Slopes, day: int, rng: np.random.Generator) -> Slopes:
    """The same until the end of `day`; all that comes to be known later is something else.

    What had been issued stays: rain and level after the issue day change, plans for them do not.
    """
    seen = pool.seen
    late = seen.arrival_day > day
    los = np.where(late[..., None], seen.los_mm + rng.normal(0, 50, seen.los_mm.shape), seen.los_mm)
    sigma = np.where(late[..., None], 7.0, seen.sigma_mm)
    gauge, level = seen.gauge_mm.copy(), seen.level_m.copy()
    gauge[:, day:] = rng.gamma(1.0, 30.0, gauge[:, day:].shape)
    level[:, day:] = rng.uniform(145.0, 175.0, level[:, day:].shape)
    arrival = np.where(late, seen.arrival_day + 2, seen.arrival_day)
    other = replace(
        seen, los_mm=los, sigma_mm=sigma, gauge_mm=gauge, level_m=level, arrival_day=arrival
    )
    moved = pool.truth.displacement_mm.copy()
    moved[:, day + 1 :] += np.cumsum(rng.gamma(1.0, 5.0, moved[:, day + 1 :].shape), axis=1)
    return replace(pool, seen=other, truth=replace(pool.truth, displacement_mm=moved))


def with_other_past(pool: Slopes, days: Sequence[int], rng: np.random.Generator) -> Slopes:
    """Epochs, rain and level of [first, last) days replaced."""
    first, last = days
    seen = pool.seen
    inside = ((seen.epoch_day >= first) & (seen.epoch_day < last))[..., None]
    los = np.where(inside, seen.los_mm + rng.normal(0, 20, seen.los_mm.shape), seen.los_mm)
    gauge, level = seen.gauge_mm.copy(), seen.level_m.copy()
    gauge[:, first:last] = rng.gamma(1.0, 30.0, gauge[:, first:last].shape)
    level[:, first:last] = rng.uniform(145.0, 175.0, level[:, first:last].shape)
    return replace(pool, seen=replace(seen, los_mm=los, gauge_mm=gauge, level_m=level))
