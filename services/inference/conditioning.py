"""What rain and level explain of slope units, for a site's evidence and for a pool alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from core.evidence import Floats
from core.kalman import TrendState, predict
from services.inference.known import Drivers, Flags, Ints
from services.inference.numerics import hydrology
from services.inference.numerics.conditioned import (
    Memory,
    Series,
    change_of,
    conditioned,
    last_before,
)

FORECAST_DAYS = 24
DAYS_TOLD = 1100
"""Days of rain and level that evidence carries at most."""


class Water(NamedTuple):
    """Features of one place, a row a day from `first_day` on: as they are, and added up, (T, F)."""

    first_day: int
    daily: Floats
    cumulative: Floats


class Units(NamedTuple):
    """What the filters of S units were given at K epochs, (K, S), and each unit's place, (S,)."""

    epoch_day: Ints
    observed_mm: Floats
    sd_mm: Floats
    begins: Flags
    place: Ints


def water_of(first_day: int, rain_mm: Floats, level_m: Floats) -> Water:
    """Features of one place from its daily rain and level (T,), NaN where not known.

    One place at a time: what the sums of several would round to depends on how many there are.
    """
    nothing = np.zeros((len(rain_mm), 1), np.bool_)
    drivers = Drivers(first_day, rain_mm[:, None], level_m[:, None], nothing, nothing)
    daily = hydrology.daily(drivers)[:, 0]
    return Water(first_day, daily, np.cumsum(daily, axis=0))


def given_to_filter(
    days: Floats, displacement_mm: Floats, rate_mm_d: Floats, gain: Floats
) -> tuple[Floats, Flags]:
    """What a filter was given at each epoch, and where it began: (K, S) each.

    From its state after the epochs of `days` (K, 1) or (K, S), and its gains. It moved by the gain
    times the innovation, so what it saw is its prediction plus that movement divided by the gain.
    Where it began it is what it began with; NaN where nothing was measured.
    """
    predicted = np.full_like(displacement_mm, np.nan)
    steps = np.diff(days, axis=0)
    predicted[1:] = displacement_mm[:-1] + rate_mm_d[:-1] * steps
    begins = np.isnan(gain) & np.isfinite(displacement_mm)
    seen = np.divide(
        displacement_mm - predicted,
        gain,
        out=np.full_like(displacement_mm, np.nan),
        where=np.nan_to_num(gain) > 0,
    )
    return np.where(begins, displacement_mm, predicted + seen), begins


def forecast_misses(units: Units, states: TrendState, rate_walk_mm2_d3: float) -> Floats:
    """How far each epoch missed the filter's forecast of some 24 days before, in sds: (K, S).

    `states` (K, S) after each epoch. The forecast is that after the last epoch at least 24 days
    before; NaN where there is none since the filter began. The variance is that of the forecast and
    of the observation, so that a filter whose model holds gives standard normal values, each of
    which shares days with its neighbours.
    """
    begun = np.maximum.accumulate(np.where(units.begins, units.epoch_day, -1), axis=0)
    since = last_before(units.epoch_day, FORECAST_DAYS)
    there, at = since >= 0, np.maximum(since, 0)
    then = np.take_along_axis(units.epoch_day, at, axis=0)
    state = TrendState(*(np.take_along_axis(part, at, axis=0) for part in states))
    days = np.where(there, units.epoch_day - then, 0).astype(float)
    ahead = predict(state, days, rate_walk_mm2_d3)
    total = ahead.var_displacement + units.sd_mm**2
    miss = (units.observed_mm - ahead.displacement_mm) / np.sqrt(total)
    return np.where(there & (then >= begun), miss, np.nan)


class Named(NamedTuple):
    """A memory of runs, and the name of one series in it."""

    memory: Memory
    name: str


def conditioned_evidence(
    units: Units, waters: Sequence[Water], kept: Named | None = None
) -> dict[str, Floats]:
    """The conditioned fields of `core.evidence.Evidence`, (K, S) each, by name.

    With `kept`, epochs that were filtered before are not filtered again; the answer is the same.
    """
    epochs, count = units.epoch_day.shape
    daily = np.empty((epochs, count, len(hydrology.FEATURES)))
    cumulative = np.empty_like(daily)
    for unit, place in enumerate(units.place):
        water = waters[place]
        rows = np.clip(units.epoch_day[:, unit] - water.first_day, 0, len(water.daily) - 1)
        daily[:, unit], cumulative[:, unit] = water.daily[rows], water.cumulative[rows]
    series = Series(
        units.epoch_day, units.observed_mm, units.sd_mm, units.begins, daily, cumulative
    )
    said = kept.memory.conditioned(kept.name, series) if kept else conditioned(series)
    change, change_sd = change_of(said.excess_mm_d, said.excess_sd_mm_d, units.epoch_day)
    return {
        "conditioned_z": said.z,
        "expected_mm_d": said.expected_mm_d,
        "excess_mm_d": said.excess_mm_d,
        "excess_sd_mm_d": said.excess_sd_mm_d,
        "excess_change_mm_d2": change,
        "excess_change_sd_mm_d2": change_sd,
    }
