"""Rain and reservoir level of a monsoonal reservoir valley (Three Gorges climate).

Rain is a first-order seasonal Markov chain of wet days with gamma amounts (Richardson 1981).
The level follows the published operation of the Three Gorges reservoir: 175 m in November, drawn
down to 145-147 m by mid-June, held low for floods, refilled from mid-September.
All days are counted from 1 January of the first year in years of 365 days.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]

YEAR_DAYS = 365
MEAN_LEVEL_M = 162.2
"""Long-run mean level (m a.s.l.); ground water starts from it."""
RAIN_SHAPE = 0.72
"""Shape of the gamma law of a wet day's rain."""
HIGHEST_RAIN_MM = 200.0
GAUGE_LOG_SD = 0.5
GAUGE_MISSES = 0.2
"""Share of wet days on which a gauge reports nothing."""
WANDER_PERSISTENCE, WANDER_SD_M = 0.97, 0.28
"""A day's memory of the level's departure from the rule, and what a day adds."""
FLOODS_A_YEAR = 2.2
FLOOD_SEASON = (166, 250)
"""Days of the year on which a flood may begin, the last excluded."""

_MONTH_LENGTH = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_MONTH_MIDDLE = np.cumsum(_MONTH_LENGTH) - _MONTH_LENGTH / 2
_RAIN_MM_BY_MONTH = np.array([15, 25, 50, 95, 150, 165, 170, 140, 110, 90, 45, 20], dtype=float)
_RULE_DAY = np.array([1, 32, 60, 91, 121, 136, 161, 171, 228, 245, 274, 301, 319, 365], dtype=float)
_RULE_LEVEL_M = np.array(
    [
        173.5,
        170.0,
        167.5,
        164.0,
        160.5,
        157.0,
        147.8,
        147.0,
        148.5,
        151.5,
        163.5,
        173.5,
        174.8,
        173.5,
    ]
)
LOWEST_LEVEL_M, HIGHEST_LEVEL_M = 145.0, 175.5
_STEEPEST_FALL_M, _STEEPEST_RISE_M = -1.2, 2.5


def day_of_year(days: int) -> NDArray[np.int64]:
    """Return day of year 0..364 of days 0..days-1, shape (days,)."""
    return np.arange(days) % YEAR_DAYS


def _by_season(monthly: Floats) -> Floats:
    """Interpolate twelve mid-month values to 365 days, shape (365,)."""
    days = np.arange(YEAR_DAYS) + 0.5
    return np.asarray(np.interp(days, _MONTH_MIDDLE, monthly, period=YEAR_DAYS))


class RainClimate(NamedTuple):
    """The law of rain by day of year; arrays are (365,)."""

    wet_after_dry: Floats
    """Probability of a wet day after a dry one."""
    wet_after_wet: Floats
    share_wet: Floats
    """Probability of a wet day whatever came before."""
    mean_mm: Floats
    """Mean rain of a day, wet or dry, mm/d."""

    def wet_day_scale_mm(self, day_of_year: NDArray[np.int64]) -> Floats:
        """Scale of the gamma law of a wet day's rain, mm."""
        return np.asarray(self.mean_mm[day_of_year] / (self.share_wet[day_of_year] * RAIN_SHAPE))


@cache
def rain_climate() -> RainClimate:
    """The climate that every site's rain is drawn from."""
    wetness = _by_season(_RAIN_MM_BY_MONTH) / _RAIN_MM_BY_MONTH.max()
    after_dry, after_wet = 0.12 + 0.21 * wetness, 0.45 + 0.13 * wetness
    share = after_dry / (1 + after_dry - after_wet)
    climate = RainClimate(
        after_dry, after_wet, share, _by_season(_RAIN_MM_BY_MONTH / _MONTH_LENGTH)
    )
    for array in climate:
        array.setflags(write=False)
    return climate


def draw_rain(rng: np.random.Generator, days: int) -> Floats:
    """Draw daily rain (mm/d), shape (days,); a whole number of years."""
    return draw_rain_by_year(rng, days)[0]


def draw_rain_by_year(rng: np.random.Generator, days: int) -> tuple[Floats, Floats]:
    """As `draw_rain`, with the factor by which each year is wetter than the mean, (years,)."""
    season = day_of_year(days)
    wet_after_dry, wet_after_wet, share_wet, daily_mean = (a[season] for a in rain_climate())
    # A low draw makes the day wet and a high one dry whatever came before; in between the day
    # repeats the last one. So the chain is a forward fill of its decided days.
    draw = rng.random(days)
    wet = draw < wet_after_dry
    decided = wet | (draw >= wet_after_wet)
    decided[0] = True
    wet = wet[np.maximum.accumulate(np.where(decided, np.arange(days), 0))]
    amount = rng.standard_gamma(RAIN_SHAPE, days) * daily_mean / (share_wet * RAIN_SHAPE)
    year_factor = draw_year_factor(rng, days // YEAR_DAYS)
    factor = np.repeat(year_factor, YEAR_DAYS)
    return np.asarray(np.minimum(np.where(wet, amount * factor, 0.0), HIGHEST_RAIN_MM)), year_factor


def draw_year_factor(rng: np.random.Generator, size: int) -> Floats:
    """Draw factors by which years are wetter than the mean, lognormal of mean one, (size,)."""
    return np.asarray(np.exp(rng.normal(-0.5 * 0.15**2, 0.15, size)))


def add_storm(rain_mm: Floats, rng: np.random.Generator, day: int) -> Floats:
    """Return rain (days,) with a 100-year storm of 220-340 mm in the three days from `day`."""
    stormy = rain_mm.copy()
    shares = rng.dirichlet([6.0, 8.0, 4.0])
    total = rng.uniform(220.0, 340.0)
    stormy[day : day + 3] = np.minimum(stormy[day : day + 3] + shares * total, 200.0)
    return stormy


@cache
def level_rule() -> Floats:
    """Rule curve of the reservoir by day of year (m a.s.l.), (365,), read-only."""
    day = np.arange(YEAR_DAYS) + 1.0
    rule = np.asarray(np.interp(day, _RULE_DAY, _RULE_LEVEL_M), dtype=np.float64)
    rule.setflags(write=False)
    return rule


class LevelTarget(NamedTuple):
    """Parts of the level (m) the operator steers for, over the rule curve."""

    wander_m: Floats
    """Slow departure from the rule, an AR(1) process, (days,)."""
    floods: list[tuple[int, Floats]]
    """First day and daily height of each flood."""


def draw_level_target(rng: np.random.Generator, days: int) -> Floats:
    """Draw the level (m) the operator steers for, before limits on its rate, shape (days,)."""
    wander, floods = draw_level_parts(rng, days)
    return level_target(np.arange(days), wander, lay_floods(floods, 0, days))


def draw_level_parts(rng: np.random.Generator, days: int) -> LevelTarget:
    """Draw what the operator's target is made of."""
    innovations = rng.normal(0.0, WANDER_SD_M, days)
    wander = lfilter([1.0], [1.0, -WANDER_PERSISTENCE], innovations)
    floods = []
    for year, count in enumerate(rng.poisson(FLOODS_A_YEAR, days // YEAR_DAYS)):
        for _ in range(count):
            start = year * YEAR_DAYS + int(rng.integers(*FLOOD_SEASON))
            floods.append((start, draw_flood(rng)))
    return LevelTarget(wander, floods)


def draw_flood(rng: np.random.Generator) -> Floats:
    """Draw the daily height (m) of one flood above the target, from its first day."""
    height = rng.uniform(3.0, 12.0)
    # High floods take longer to rise: the lake is wide when full.
    rise = int(np.clip(np.rint(height / 1.8 + rng.normal(0.0, 0.7)), 2, 5))
    fall = int(rng.integers(4, 13))
    up = np.arange(1, rise + 1) / rise
    down = np.arange(fall - 1, -1, -1) / fall
    return np.asarray(height * np.concatenate([up, down]))


def lay_floods(floods: list[tuple[int, Floats]], first_day: int, days: int) -> Floats:
    """Height (m) of floods together on the days from `first_day`, shape (days,)."""
    laid = np.zeros(days)
    for start, pulse in floods:
        begin, end = max(start, first_day), min(start + len(pulse), first_day + days)
        if begin < end:
            laid[begin - first_day : end - first_day] += pulse[begin - start : end - start]
    return laid


def level_target(day: NDArray[np.int64], wander_m: Floats, flood_m: Floats) -> Floats:
    """Level (m) steered for on `day`, from its parts; shapes broadcast."""
    target = level_rule()[day % YEAR_DAYS] + wander_m + flood_m
    return np.asarray(np.clip(target, LOWEST_LEVEL_M, HIGHEST_LEVEL_M))


def steer_level(target_m: Floats, start_m: Floats | None = None) -> Floats:
    """Follow targets with the allowed rates -1.2..+2.5 m/d.

    Args:
        target_m: shape (sites, days).
        start_m: level of the day before, shape (sites,); without it the first day is on target.

    Returns:
        Level in m, shape (sites, days).
    """
    target = np.ascontiguousarray(target_m.T)
    level = np.empty_like(target)
    now = target[0] if start_m is None else start_m
    for day in range(len(target)):
        change = np.minimum(np.maximum(target[day] - now, _STEEPEST_FALL_M), _STEEPEST_RISE_M)
        level[day] = now = now + change
    return np.ascontiguousarray(level.T)


def read_gauge(rng: np.random.Generator, rain_mm: Floats) -> Floats:
    """Return what a rain gauge reports of rain (days,): a fifth of the wet days missed.

    Amounts carry a lognormal error of log-sd 0.5 whose mean is one.
    """
    error = np.exp(rng.normal(0.0, GAUGE_LOG_SD, rain_mm.shape) - GAUGE_LOG_SD**2 / 2)
    seen = rng.random(rain_mm.shape) >= GAUGE_MISSES
    return np.asarray(np.where(seen, rain_mm * error, 0.0))


def seasonal_mean(series: Floats) -> Floats:
    """Hold series (sites, days; whole years) at its day-of-year mean, same shape."""
    sites, days = series.shape
    mean = series.reshape(sites, days // YEAR_DAYS, YEAR_DAYS).mean(axis=1)
    return np.tile(mean, (1, days // YEAR_DAYS))
