"""What rain and reservoir level say of the days: features for transfer functions and trees.

Water reaches a slip zone late and smoothed. Rain passes gamma filters of shape two (two equal
linear stores in a row: J. E. Nash, The form of the instantaneous unit hydrograph, IASH 45, 1957),
the level exponential ones; a filtered level above the level itself is water that has not drained
yet. A linear combination of several means spans many responses (a distributed lag with a fixed
basis). Every filter looks backward only: a feature of a day depends on that day and earlier ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from core.evidence import Floats
from services.inference.known import FURTHEST_D, Drivers, Flags, Ints, Known

YEAR_D = 365.2425
RAIN_MEANS_D = (5.0, 12.0, 25.0, 50.0)
LEVEL_MEANS_D = (8.0, 20.0, 45.0)

FEATURES = (
    "steady",
    *(f"rain_{mean:.0f}d" for mean in RAIN_MEANS_D),
    "level",
    *(f"deficit_{mean:.0f}d" for mean in LEVEL_MEANS_D),
    "level_change",
    "annual_cos",
    "annual_sin",
    "semiannual_cos",
    "semiannual_sin",
)
"""Columns of `daily`: all without unit, about 1 in size; `steady` is 1 on every day."""

DRIVEN = ("rain_", "level", "deficit_")
"""Beginnings of the names of features that rain and level drive."""
SEASONAL = ("steady", "annual_cos", "annual_sin", "semiannual_cos", "semiannual_sin")

RAIN_SCALE_MM = 4.0
LEVEL_SCALE_M = 10.0
DEFICIT_SCALE_M = 4.0
CHANGE_SCALE_M = 0.4
CHANGE_DAYS = 3
_WINDOW_D = 15
_BINS = 366
RECENT_D = 120
"""Days back over which a missing driver still matters to the features."""


class Filled(NamedTuple):
    """Share of days without a value, per place, (D,) each: 0 all known, 1 nothing known.

    `*_past` counts the last 120 days up to the issue day, `*_ahead` the days after it.
    """

    rain_past: Floats
    level_past: Floats
    rain_ahead: Floats
    level_ahead: Floats


def filled(drivers: Drivers, day: int) -> Filled:
    """How much of the drivers of an issue on `day` had to be filled in.

    The newest day or two before `day` are usually not there yet; a share of a few percent in the
    past is the rule.
    """
    now = day - drivers.first_day
    past = slice(max(0, now - RECENT_D + 1), now + 1)
    ahead = slice(now + 1, now + 1 + FURTHEST_D)
    rain, level = np.isnan(drivers.rain_mm), np.isnan(drivers.level_m)
    return Filled(*(gap[part].mean(axis=0) for part in (past, ahead) for gap in (rain, level)))


def fill_rain(drivers: Drivers) -> Floats:
    """Daily rain (T, D) in mm without NaN: unknown days get the climatology of the known record.

    The climatology is the mean of the observed days within 15 days of the same day of the year;
    where a season was never observed it is the record's mean, and 0 without any record.
    """
    rain = drivers.rain_mm
    unknown = np.isnan(rain)
    if not unknown.any():
        return rain
    observed = ~unknown & ~drivers.rain_issued
    mean = _climatology(np.where(observed, rain, 0.0), observed, drivers.first_day)
    return np.where(unknown, mean, rain)


def fill_level(drivers: Drivers) -> Floats:
    """Daily level (T, D) in m without NaN: unknown days hold the last known level.

    Days before the first known level take that one; a place without any level stays at 0, so
    that every feature of its level is constant.
    """
    level = drivers.level_m
    known = ~np.isnan(level)
    if known.all():
        return level
    days = np.arange(len(level))[:, None]
    first = np.where(known.any(axis=0), known.argmax(axis=0), 0)
    newest = np.maximum(np.maximum.accumulate(np.where(known, days, -1), axis=0), first)
    held = np.take_along_axis(level, newest, axis=0)
    return np.where(np.isnan(held), 0.0, held)


def daily(drivers: Drivers) -> Floats:
    """Features of every day and place, (T, D, F) in the order of `FEATURES`."""
    rain, level = fill_rain(drivers) / RAIN_SCALE_MM, fill_level(drivers)
    start = _observed_mean(drivers.rain_mm, drivers.rain_issued) / RAIN_SCALE_MM
    result = np.empty((*rain.shape, len(FEATURES)))
    result[..., 0] = 1.0
    column = 1
    for mean in RAIN_MEANS_D:
        result[..., column] = gamma_filter(rain, mean, start)
        column += 1
    usual = _observed_mean(drivers.level_m, drivers.level_issued)
    result[..., column] = (level - usual) / LEVEL_SCALE_M
    column += 1
    for mean in LEVEL_MEANS_D:
        lagged = exponential_filter(level, mean, level[0])
        result[..., column] = (lagged - level) / DEFICIT_SCALE_M
        column += 1
    result[..., column] = _change(level) / CHANGE_SCALE_M
    column += 1
    phase = season(drivers.first_day + np.arange(len(rain)))
    for wave in (np.cos(phase), np.sin(phase), np.cos(2 * phase), np.sin(2 * phase)):
        result[..., column] = wave[:, None]
        column += 1
    return result


def season(day: Ints) -> Floats:
    """Phase of the year in rad, 0 on 1 January."""
    return np.asarray(2 * np.pi * np.mod(day, YEAR_D) / YEAR_D)


def at_epochs(cumulative: Floats, known: Known, series: Ints) -> Floats:
    """Cumulative features (T, D, F) at the epochs of the S' chosen series, (K, S', F)."""
    rows = known.epoch_day[:, series] - known.drivers.first_day
    return np.asarray(cumulative[np.clip(rows, 0, len(cumulative) - 1), known.place[series]])


def explained(cumulative: Floats, coefficients: Floats, known: Known) -> tuple[Floats, Floats]:
    """Displacement that the features explain: at the epochs (K, S), and on the day before
    the issue day .. day + 30 (32, S).

    `coefficients` (S, F) are mm a day per unit of a feature.
    """
    epochs, ahead = np.empty(known.epoch_day.shape), np.empty((FURTHEST_D + 2, known.series))
    rows = np.clip(known.epoch_day - known.drivers.first_day, 0, len(cumulative) - 1)
    now = known.day - known.drivers.first_day
    for place in np.unique(known.place):
        series = np.nonzero(known.place == place)[0]
        # Many series share their epochs: each day is worked out once.
        used = np.zeros(len(cumulative), np.bool_)
        used[rows[:, series]] = True
        known_days = cumulative[used, place] @ coefficients[series].T
        at = (np.cumsum(used) - 1)[rows[:, series]]
        epochs[:, series] = np.take_along_axis(known_days, at, axis=0)
        days = cumulative[max(now - 1, 0) : now + FURTHEST_D + 1, place]
        if now == 0:
            days = np.concatenate([np.zeros_like(days[:1]), days])
        ahead[:, series] = days @ coefficients[series].T
    return epochs, ahead


def exponential_filter(series: Floats, mean_d: float, start: Floats) -> Floats:
    """Exponentially weighted mean over the past of (T, D), with lags of `mean_d` days on average.

    `start` (D,) is what the filter remembers of the time before the first day.
    """
    kept = mean_d / (1.0 + mean_d)
    memory = kept * np.asarray(start, float)[None]
    return np.asarray(lfilter([1.0 - kept], [1.0, -kept], series, axis=0, zi=memory)[0])


def gamma_filter(series: Floats, mean_d: float, start: Floats) -> Floats:
    """Two exponential filters of half the mean in a row: response rises first, then falls."""
    once = exponential_filter(series, mean_d / 2.0, start)
    return exponential_filter(once, mean_d / 2.0, start)


def _change(level: Floats) -> Floats:
    """Mean change a day over the last three days, (T, D); 0 before the record."""
    earlier = np.concatenate([np.repeat(level[:1], CHANGE_DAYS, axis=0), level])[: len(level)]
    return np.asarray((level - earlier) / CHANGE_DAYS)


def _observed_mean(values: Floats, issued: Flags) -> Floats:
    """Mean over the observed days of the first year with any, (D,); 0 without one."""
    observed = ~np.isnan(values) & ~issued
    # Only the first year: later days must not change what features of the past are.
    first = np.where(observed.any(axis=0), observed.argmax(axis=0), 0)
    within = np.arange(len(values))[:, None] < first + int(YEAR_D)
    used = observed & within
    # Added day by day: what a sum rounds to must not depend on how long the record is.
    total = np.cumsum(np.where(used, values, 0.0), axis=0)[-1:].sum(axis=0)
    return np.asarray(total / np.maximum(used.sum(axis=0), 1))


def _climatology(values: Floats, observed: Flags, first_day: int) -> Floats:
    """Seasonal mean of the observed values for every row, (T, D)."""
    days = first_day + np.arange(len(values))
    bins = np.mod(days, YEAR_D).astype(np.int64)
    total, count = np.zeros((_BINS, values.shape[1])), np.zeros((_BINS, values.shape[1]))
    np.add.at(total, bins, values)
    np.add.at(count, bins, observed.astype(float))
    near = [_circular_sum(part) for part in (total, count)]
    whole = total.sum(axis=0) / np.maximum(count.sum(axis=0), 1.0)
    mean = np.where(near[1] > 0, near[0] / np.maximum(near[1], 1.0), whole)
    return np.asarray(mean[bins])


def _circular_sum(by_day: Floats) -> Floats:
    """Sum over the days of the year within 15 days of each, (366, D)."""
    wrapped = np.concatenate([by_day[-_WINDOW_D:], by_day, by_day[:_WINDOW_D]])
    running = np.cumsum(np.concatenate([np.zeros((1, by_day.shape[1])), wrapped]), axis=0)
    return np.asarray(running[2 * _WINDOW_D + 1 :] - running[: -2 * _WINDOW_D - 1])
