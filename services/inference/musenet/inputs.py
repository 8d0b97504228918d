"""What the network is told: everything known at issue, as plain arrays on one scale.

Displacements are divided by each series' own typical motion in 12 days and turned so that
downslope is positive; so slow and fast slopes, toward and away from the satellite, share one
network. Scale, sign, expectations and innovations come from the fitted Kalman + transfer function
as it stood at issue. What series of one slope show in common is given to each of them: the mean
over the slope tells motion from the noise of a point.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.evidence import Floats
from services.inference.known import FURTHEST_D, Drivers, Flags, Ints, Known
from services.inference.musenet.correcting import REPEAT_D
from services.inference.musenet.expectation import Expectation
from services.inference.numerics import hydrology

INPUTS_VERSION = 1
"""Grows whenever an array of `Inputs` changes its meaning; weights name theirs."""

EPOCHS = 30
BACK_D = 120
PATCH_D = 5
PATCHES = (BACK_D + FURTHEST_D) // PATCH_D
EPOCH_CHANNELS = 14
RAIN_CHANNELS = 2 * PATCH_D
LEVEL_CHANNELS = 3 * PATCH_D

KNOTS_D = (1, 3, 6, 12, 18, 24, 30)
"""Days ahead at which the expected path is told."""
WET_DAYS_D = (0, 12, 24)
"""Days ahead at which the filtered drivers are told."""
DRIVEN = slice(1, 10)
"""Columns of `hydrology.FEATURES` that rain and level drive."""
EXPECTED = slice(0, len(KNOTS_D))
"""Columns of `statics`: the expected path, first so that a counterfactual can find it."""
WETNESS = len(KNOTS_D)
"""First column of the filtered drivers, nine for each of `WET_DAYS_D`."""
YEARS_BACK = (1, 2, 3)
WINDOWS_D = (12, 30)

SLOWEST_MM_D = 0.02
"""A typical rate is never taken to be less."""
LARGEST = 8.0
"""Inputs are cut here."""


class Inputs(NamedTuple):
    """S series of D places on one issue day."""

    day: int
    epochs: Floats
    """(S, 30, 14) last arrived epochs, oldest first; zeros where there are fewer."""
    statics: Floats
    """(S, statics)"""
    rain: Floats
    """(D, 30, 10) five days a step: log rain, and whether it had only been issued."""
    level: Floats
    """(D, 30, 15) five days a step: level, its daily change, and whether it was a plan."""
    row: Ints
    """(S,) the series' place."""
    response_mm: Floats
    """(S, 4) expected LOS rate for a unit of each filtered rain."""
    scale_mm_d: Floats
    """(S,) typical LOS rate, with the sign of downslope motion."""
    age_d: Floats
    """(S,) days since the last arrived epoch."""
    base_mm: Floats
    """(31, S) what Kalman + transfer function expects."""
    base_sd_mm: Floats
    """(31, S)"""
    base_last_mm: Floats
    """(S,) its displacement at the last arrived epoch."""
    last_mm: Floats
    """(S,) the last arrived observation."""


class _Recent(NamedTuple):
    """The last epochs of every series, (EPOCHS, S) each, oldest first; `there` marks real ones."""

    rows: Ints
    there: Flags


def gather(known: Known, base: Expectation) -> Inputs:
    """The inputs of all series of `known`, whose expectation is `base`."""
    scale = _scale(known, base)
    recent = _recent(known)
    last = recent.rows[-1]
    series = np.arange(known.series)
    slopes = _slopes(known, recent)
    age = np.where(recent.there[-1], known.day - known.epoch_day[last, series], 0).astype(float)
    unit = REPEAT_D * scale
    shown = _epochs(known, base, recent, slopes, unit)
    return Inputs(
        day=known.day,
        epochs=_cut(shown),
        statics=_cut(_statics(known, base, slopes, scale, age)),
        rain=_rain(known.drivers, known.day),
        level=_level(known.drivers, known.day),
        row=known.place,
        response_mm=base.coefficients[1:5].T,
        scale_mm_d=scale,
        age_d=age,
        base_mm=base.path.displacement_mm,
        base_sd_mm=base.path.sd_mm,
        base_last_mm=base.last_mm,
        last_mm=known.los_mm[last, series],
    )


def _cut(values: Floats) -> Floats:
    return np.clip(
        np.nan_to_num(values, nan=0.0, posinf=LARGEST, neginf=-LARGEST), -LARGEST, LARGEST
    )


def _scale(known: Known, base: Expectation) -> Floats:
    """Typical LOS rate (S,): root mean square of the expected rates of the year, signed."""
    size = np.maximum(base.typical_mm_d, SLOWEST_MM_D)
    factor = known.setting.los_factor
    sign = np.where(np.isfinite(factor), np.sign(factor), np.sign(base.coefficients[0]))
    return np.asarray(np.where(sign < 0, -size, size))


def _recent(known: Known) -> _Recent:
    """The last measured epochs of each series."""
    measured = np.isfinite(known.los_mm)
    # A stable sort puts what was not measured first and keeps the order of the rest.
    rows = np.argsort(measured, axis=0, kind="stable")[-EPOCHS:]
    if len(rows) < EPOCHS:
        rows = np.concatenate([np.repeat(rows[:1], EPOCHS - len(rows), axis=0), rows])
    count = np.minimum(measured.sum(axis=0), EPOCHS)
    there = np.arange(EPOCHS)[:, None] >= EPOCHS - count
    return _Recent(rows, there)


def _slopes(known: Known, recent: _Recent) -> Slopes:
    """Series grouped by place and last epochs."""
    days = np.take_along_axis(known.epoch_day, recent.rows, axis=0)
    weights = np.random.default_rng(0).integers(1, 2**31, EPOCHS)
    keys = (np.where(recent.there, days, -1) * weights[:, None]).sum(axis=0) + known.place
    return Slopes(np.unique(keys, return_inverse=True)[1], known.setting.height_m)


class Slopes:
    """Series by slope: what those of one group show in common at each epoch.

    Radar delay is nearly one for a slope, or grows with height; motion is neither, and the noise
    of a point is its own. So an innovation is told apart into these three.
    """

    def __init__(self, number: Ints, height_m: Floats) -> None:
        self._number = number
        self._count = int(number.max()) + 1 if number.size else 0
        height = np.where(np.isfinite(height_m), height_m, np.nan)
        self._height = np.nan_to_num(height - self.mean(height[None])[0])

    def mean(self, values: Floats) -> Floats:
        """Mean of the finite values of each group, back at its series: (K, S) to (K, S)."""
        good = np.isfinite(values)
        total = self._sums(np.where(good, values, 0.0))
        count = self._sums(good.astype(float))
        mean = np.where(count > 0, total / np.maximum(count, 1.0), np.nan)
        return np.asarray(mean[:, self._number])

    def by_height(self, values: Floats) -> Floats:
        """The part of (K, S) that grows with height in each group, least squares, (K, S)."""
        good = np.isfinite(values)
        height = np.where(good, self._height, np.nan)
        height = height - self.mean(height)
        rest = values - self.mean(values)
        moment = self._sums(np.where(good, rest * height, 0.0))
        square = self._sums(np.where(good, height * height, 0.0))
        slope = moment / np.maximum(square, 1.0)
        return np.asarray(slope[:, self._number] * height)

    def _sums(self, values: Floats) -> Floats:
        """(K, S) summed over each group, (K, G)."""
        rows = np.arange(len(values))[:, None] * self._count + self._number
        sums = np.bincount(rows.ravel(), values.ravel(), len(values) * self._count)
        return np.asarray(sums.reshape(len(values), self._count))


def _epochs(
    known: Known, base: Expectation, recent: _Recent, slopes: Slopes, unit: Floats
) -> Floats:
    """Channels of the last epochs, (S, EPOCHS, EPOCH_CHANNELS)."""

    def at(values: Floats) -> Floats:
        taken = np.take_along_axis(values, recent.rows, axis=0)
        return np.asarray(np.where(recent.there, taken, np.nan))

    day, shown, expected = (
        at(known.epoch_day.astype(float)),
        at(known.los_mm),
        at(base.at_epochs_mm),
    )
    gap = np.diff(day, axis=0, prepend=np.nan)
    residual = (shown - expected - base.residual_mm) / unit
    innovation = at(base.innovation_mm)
    surprise = innovation / np.sqrt(at(base.innovation_variance))
    channels = [
        np.diff(shown, axis=0, prepend=np.nan) / unit,
        np.diff(expected, axis=0, prepend=np.nan) / unit,
        innovation / unit,
        surprise * np.sign(unit),
        slopes.mean(innovation / unit),
        slopes.by_height(innovation / unit),
        residual,
        slopes.mean(residual),
        slopes.by_height(residual),
        at(known.sd_mm) / np.abs(unit),
        (known.day - day) / 100.0,
        gap / REPEAT_D - 1.0,
        slopes.mean(surprise * np.sign(unit)),
        recent.there.astype(float),
    ]
    return np.stack([_cut(c) for c in channels], axis=-1).transpose(1, 0, 2)


def _statics(known: Known, base: Expectation, slopes: Slopes, scale: Floats, age: Floats) -> Floats:
    """All that is one number a series, (S, statics)."""
    unit = REPEAT_D * scale
    path = base.path.displacement_mm
    rows = [(path[h] - path[0]) / unit / (h / REPEAT_D) for h in KNOTS_D]
    now = known.day - known.drivers.first_day
    for ahead in WET_DAYS_D:
        rows += list(base.features[now + ahead, :, DRIVEN][known.place].T)
    rows += [base.path.sd_mm[h] / np.abs(unit) for h in (0, 12, 30)]
    rows += _of_setting(known)
    rows += _of_season(known)
    rows += [np.log(np.abs(scale)), age / REPEAT_D, np.log1p(base.measured) - 4.0]
    rows += [base.residual_rate_mm_d / scale, base.residual_rate_sd_mm_d / np.abs(scale)]
    rows += [slopes.mean((base.residual_rate_mm_d / scale)[None])[0]]
    rows += list(base.coefficients / scale)
    for window in WINDOWS_D:
        past = _same_days(known, base, window) / unit
        with np.errstate(invalid="ignore"):
            count = np.isfinite(past).sum(axis=0)
        own = np.nansum(past, axis=0) / np.maximum(count, 1)
        rows += [own, slopes.mean(np.where(count > 0, own, np.nan)[None])[0], count / 3.0]
    return np.stack([_cut(np.asarray(row, float)) for row in rows], axis=1)


def _of_setting(known: Known) -> list[Floats]:
    los, distance, height, position = known.setting
    return [
        np.log(np.maximum(np.abs(los), 0.05)),
        np.log(np.maximum(distance, 1.0)) / 2.0 - 2.5,
        height / 100.0 - 1.0,
        position * 2.0 - 1.0,
        np.isfinite(position).astype(float),
    ]


def _of_season(known: Known) -> list[Floats]:
    phase = hydrology.season(np.full(known.series, known.day))
    return [np.cos(phase), np.sin(phase), np.cos(2 * phase), np.sin(2 * phase)]


def _same_days(known: Known, base: Expectation, window_d: int) -> Floats:
    """Motion beyond the expected one over the same days of earlier years, (years, S) in mm."""
    beyond = known.los_mm - base.at_epochs_mm
    past = []
    for years in YEARS_BACK:
        start = known.day - round(years * hydrology.YEAR_D)
        past.append(_read(known, beyond, start + window_d) - _read(known, beyond, start))
    return np.stack(past)


def _read(known: Known, values: Floats, day: int) -> Floats:
    """`values` (K, S) read between the two epochs about `day`; NaN outside a series."""
    measured = np.isfinite(values)
    days = known.epoch_day
    rows, series = np.arange(len(days))[:, None], np.arange(known.series)
    before = np.where(measured & (days <= day), rows, -1).max(axis=0)
    after = np.where(measured & (days > day), rows, len(days)).min(axis=0)
    inside = (before >= 0) & (after < len(days))
    low, high = np.maximum(before, 0), np.minimum(after, len(days) - 1)
    first, last = days[low, series], days[high, series]
    share = (day - first) / np.maximum(last - first, 1)
    read = values[low, series] * (1 - share) + values[high, series] * share
    return np.asarray(np.where(inside, read, np.nan))


def _window(drivers: Drivers, day: int) -> slice:
    """Rows of the 120 days up to `day` and of the 30 days after it."""
    now = day - drivers.first_day
    return slice(now - BACK_D + 1, now + FURTHEST_D + 1)


def _rows(values: Floats, window: slice) -> Floats:
    """Rows of a window that may begin before the record: the first row stands for those."""
    missing = max(0, -window.start)
    part = values[max(0, window.start) : window.stop]
    return np.concatenate([np.repeat(part[:1], missing, axis=0), part]) if missing else part


def _patched(channels: list[Floats]) -> Floats:
    """Daily channels (150, D) each as (D, PATCHES, PATCH_D x channels)."""
    stacked = np.stack(channels, axis=-1).transpose(1, 0, 2)
    return stacked.reshape(stacked.shape[0], PATCHES, PATCH_D * len(channels))


def _rain(drivers: Drivers, day: int) -> Floats:
    window = _window(drivers, day)
    rain = _rows(hydrology.fill_rain(drivers), window)
    issued = _rows(drivers.rain_issued.astype(float), window)
    return _patched([np.log1p(np.maximum(rain, 0.0)), issued])


def _level(drivers: Drivers, day: int) -> Floats:
    window = _window(drivers, day)
    level = hydrology.fill_level(drivers)
    observed = np.where(drivers.level_issued, np.nan, drivers.level_m)
    usual = np.where(np.isfinite(observed).any(axis=0), np.nan_to_num(_mean(observed)), level[0])
    change = np.diff(level, axis=0, prepend=level[:1])
    issued = _rows(drivers.level_issued.astype(float), window)
    height = (_rows(level, window) - usual) / 15.0
    return _patched(
        [np.clip(height, -LARGEST, LARGEST), np.clip(_rows(change, window), -4, 4), issued]
    )


def _mean(values: Floats) -> Floats:
    good = np.isfinite(values)
    return np.asarray(np.where(good, values, 0.0).sum(axis=0) / np.maximum(good.sum(axis=0), 1))
