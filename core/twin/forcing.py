"""Rain and reservoir level of a monsoonal reservoir valley (Three Gorges climate).

Rain is a first-order seasonal Markov chain of wet days with gamma amounts (Richardson 1981).
The level follows the published operation of the Three Gorges reservoir: 175 m in November, drawn
down to 145-147 m by mid-June, held low for floods, refilled from mid-September.
All days are counted from 1 January of the first year in years of 365 days.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]

YEAR_DAYS = 365
MEAN_LEVEL_M = 162.2
"""Long-run mean level (m a.s.l.); ground water starts from it."""

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
_LOWEST_M, _HIGHEST_M = 145.0, 175.5
_STEEPEST_FALL_M, _STEEPEST_RISE_M = -1.2, 2.5


def day_of_year(days: int) -> NDArray[np.int64]:
    """Return day of year 0..364 of days 0..days-1, shape (days,)."""
    return np.arange(days) % YEAR_DAYS


def _by_season(monthly: Floats) -> Floats:
    """Interpolate twelve mid-month values to 365 days, shape (365,)."""
    days = np.arange(YEAR_DAYS) + 0.5
    return np.asarray(np.interp(days, _MONTH_MIDDLE, monthly, period=YEAR_DAYS))


def draw_rain(rng: np.random.Generator, days: int) -> Floats:
    """Draw daily rain (mm/d), shape (days,); a whole number of years."""
    wetness = _by_season(_RAIN_MM_BY_MONTH) / _RAIN_MM_BY_MONTH.max()
    wet_after_dry = (0.12 + 0.21 * wetness)[day_of_year(days)]
    wet_after_wet = (0.45 + 0.13 * wetness)[day_of_year(days)]
    # A low draw makes the day wet and a high one dry whatever came before; in between the day
    # repeats the last one. So the chain is a forward fill of its decided days.
    draw = rng.random(days)
    wet = draw < wet_after_dry
    decided = wet | (draw >= wet_after_wet)
    decided[0] = True
    wet = wet[np.maximum.accumulate(np.where(decided, np.arange(days), 0))]
    share_wet = wet_after_dry / (1 + wet_after_dry - wet_after_wet)
    daily_mean = _by_season(_RAIN_MM_BY_MONTH / _MONTH_LENGTH)[day_of_year(days)]
    shape = 0.72
    amount = rng.standard_gamma(shape, days) * daily_mean / (share_wet * shape)
    year_factor = np.exp(rng.normal(-0.5 * 0.15**2, 0.15, days // YEAR_DAYS))
    factor = np.repeat(year_factor, YEAR_DAYS)
    return np.asarray(np.minimum(np.where(wet, amount * factor, 0.0), 200.0))


def add_storm(rain_mm: Floats, rng: np.random.Generator, day: int) -> Floats:
    """Return rain (days,) with a 100-year storm of 220-340 mm in the three days from `day`."""
    stormy = rain_mm.copy()
    shares = rng.dirichlet([6.0, 8.0, 4.0])
    total = rng.uniform(220.0, 340.0)
    stormy[day : day + 3] = np.minimum(stormy[day : day + 3] + shares * total, 200.0)
    return stormy


def draw_level_target(rng: np.random.Generator, days: int) -> Floats:
    """Draw the level (m) the operator steers for, before limits on its rate, shape (days,)."""
    rule = np.interp(np.arange(YEAR_DAYS) + 1.0, _RULE_DAY, _RULE_LEVEL_M)[day_of_year(days)]
    persistence, innovation_m = 0.97, 0.28
    wander = lfilter([1.0], [1.0, -persistence], rng.normal(0.0, innovation_m, days))
    years = days // YEAR_DAYS
    floods = np.zeros(days + 40)
    for year, count in enumerate(rng.poisson(2.2, years)):
        for _ in range(count):
            start = year * YEAR_DAYS + int(rng.integers(166, 250))
            height = rng.uniform(3.0, 12.0)
            # High floods take longer to rise: the lake is wide when full.
            rise = int(np.clip(np.rint(height / 1.8 + rng.normal(0.0, 0.7)), 2, 5))
            fall = int(rng.integers(4, 13))
            up = np.arange(1, rise + 1) / rise
            down = np.arange(fall - 1, -1, -1) / fall
            floods[start : start + rise + fall] += height * np.concatenate([up, down])
    return np.asarray(np.clip(rule + wander + floods[:days], _LOWEST_M, _HIGHEST_M))


def steer_level(target_m: Floats) -> Floats:
    """Follow targets (sites, days) with the allowed rates -1.2..+2.5 m/d; level (sites, days)."""
    target = np.ascontiguousarray(target_m.T)
    level = np.empty_like(target)
    level[0] = now = target[0]
    for day in range(1, len(target)):
        change = np.minimum(np.maximum(target[day] - now, _STEEPEST_FALL_M), _STEEPEST_RISE_M)
        level[day] = now = now + change
    return np.ascontiguousarray(level.T)


def read_gauge(rng: np.random.Generator, rain_mm: Floats) -> Floats:
    """Return what a rain gauge reports of rain (days,): a fifth of the wet days missed.

    Amounts carry a lognormal error of log-sd 0.5 whose mean is one.
    """
    error = np.exp(rng.normal(0.0, 0.5, rain_mm.shape) - 0.125)
    seen = rng.random(rain_mm.shape) >= 0.2
    return np.asarray(np.where(seen, rain_mm * error, 0.0))


def seasonal_mean(series: Floats) -> Floats:
    """Hold series (sites, days; whole years) at its day-of-year mean, same shape."""
    sites, days = series.shape
    mean = series.reshape(sites, days // YEAR_DAYS, YEAR_DAYS).mean(axis=1)
    return np.tile(mean, (1, days // YEAR_DAYS))
