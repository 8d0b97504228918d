"""Daily columns of rain and level whose weighted sum is a slope's rate.

A distributed lag with a fixed basis: rain and what overflows a soil store after delays of five to
forty days, the level now and filtered, the water that has not drained yet, and a few bent ones (wet
ground at high water, very wet ground), for slopes do not answer in straight lines. Nothing here is
a property of any slope.

A driver held at its day-of-year mean gives the columns of a year as usual: the counterfactual of
driver attribution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.errors import BadInputError
from core.evidence import Floats
from services.inference.known import Drivers, Ints, Known
from services.inference.numerics.hydrology import (
    YEAR_D,
    exponential_filter,
    fill_level,
    fill_rain,
    gamma_filter,
)

RAIN_MEANS_D = (5.0, 10.0, 16.0, 25.0, 40.0)
RAIN_STORES = 6
"""Equal stores in a row, whose mean delays these are (J. E. Nash, IASH 45, 1957): enough for a
delay to have a peak, so that a lag is not drawn toward the day of the rain."""
LEVEL_MEANS_D = (8.0, 20.0, 45.0, 100.0)
UNDRAINED_MEANS_D = (4.0, 15.0, 40.0)
SOIL_STORE_MM = 100.0
"""Water a soil holds before it passes on rain; a full one loses the mean rain to the air."""
WET_GROUND_MEAN_D = 14.0
LEVEL_SCALE_M = 10.0
UNDRAINED_SCALE_M = 3.0

RAIN, LEVEL = 0, 1
GROUPS: Ints = np.array(
    [RAIN] * (2 * len(RAIN_MEANS_D) + 2)
    + [LEVEL] * (1 + len(LEVEL_MEANS_D) + len(UNDRAINED_MEANS_D) + 2)
)
"""Driver of each column, (J,)."""


class DailyDrivers(NamedTuple):
    """Observed rain and level without gaps, from `first_day` to the issue day: (T, D) each."""

    first_day: int
    rain_mm: Floats
    level_m: Floats


class Levels(NamedTuple):
    """What the columns are measured against, from the drivers as they were; (D,) each."""

    rain_mm: Floats
    surplus_mm: Floats
    level_m: Floats


def observed_drivers(known: Known) -> DailyDrivers:
    """Drivers up to the issue day; days not known yet, or never, are filled as models fill them.

    Raises:
        BadInputError: less than two years of days, or a driver that was never observed.
    """
    until = known.day - known.drivers.first_day + 1
    whole = known.drivers
    drivers = Drivers(
        whole.first_day,
        whole.rain_mm[:until],
        whole.level_m[:until],
        whole.rain_issued[:until],
        whole.level_issued[:until],
    )
    if until < 2 * YEAR_D:
        raise BadInputError(f"{until} days of drivers are too few: lags need two years or more")
    for name, values in (("rain", drivers.rain_mm), ("level", drivers.level_m)):
        unknown = np.isnan(values).mean(axis=0)
        if (unknown > 0.5).any():
            raise BadInputError(
                f"{name} is unknown on {100 * unknown.max():.0f} % of the days: lags and shares "
                "need both drivers, so give the site a feed of it"
            )
    return DailyDrivers(drivers.first_day, fill_rain(drivers), fill_level(drivers))


def held(values: Floats, first_day: int) -> Floats:
    """A driver (T, D) held at its mean of each day of the year."""
    return of_year(values, first_day, first_day + np.arange(len(values)))


def of_year(values: Floats, first_day: int, days: Ints) -> Floats:
    """Means (N, D) of the same day of the year as each of `days` (N,), from values (T, D).

    `first_day` is that of the values, of which there is a year or more.
    """
    place = _of_year(first_day + np.arange(len(values)))
    count = np.bincount(place, minlength=366)
    total = np.zeros((366, values.shape[1]))
    np.add.at(total, place, values)
    mean = total / np.maximum(count, 1)[:, None]
    if count[365] == 0:  # seen in one year of four
        mean[365] = mean[364]
    return np.asarray(mean[_of_year(days)])


def _of_year(days: Ints) -> Ints:
    return np.mod(days, YEAR_D).astype(np.int64)


def levels_of(drivers: DailyDrivers) -> Levels:
    """Means of the drivers as they were."""
    rain = drivers.rain_mm.mean(axis=0)
    if not (rain > 0).all():
        raise BadInputError("no rain at all in the record: check the rain feed")
    surplus = _surplus(drivers.rain_mm, rain).mean(axis=0)
    return Levels(rain, np.maximum(surplus, 0.01 * rain), drivers.level_m.mean(axis=0))


def columns(rain_mm: Floats, level_m: Floats, levels: Levels) -> Floats:
    """Columns (T, D, J) of drivers (T, D), without unit and about 1 in size, not centred."""
    rain = rain_mm / levels.rain_mm
    wet = _surplus(rain_mm, levels.rain_mm) / levels.surplus_mm
    usual = np.ones(rain.shape[1])
    water = (level_m - levels.level_m) / LEVEL_SCALE_M
    made = [_cascade(rain, mean) for mean in RAIN_MEANS_D]
    made += [_cascade(wet, mean) for mean in RAIN_MEANS_D]
    ground = gamma_filter(wet, WET_GROUND_MEAN_D, usual)
    made += [ground * water, np.maximum(ground - 1.0, 0.0)]
    slow = {mean: exponential_filter(water, mean, water[0]) for mean in LEVEL_MEANS_D}
    made += [water, *slow.values()]
    ratio = LEVEL_SCALE_M / UNDRAINED_SCALE_M
    made += [
        ratio * (exponential_filter(water, mean, water[0]) - water) for mean in UNDRAINED_MEANS_D
    ]
    made += [np.maximum(slow[20.0] - water, 0.0), np.maximum(water, 0.0)]
    return np.stack(made, axis=-1)


def _cascade(series: Floats, mean_d: float) -> Floats:
    """Outflow of `RAIN_STORES` equal stores in a row with a mean delay of `mean_d` days, (T, D)."""
    usual = np.ones(series.shape[1])
    for _ in range(RAIN_STORES):
        series = exponential_filter(series, mean_d / RAIN_STORES, usual)
    return series


def _surplus(rain_mm: Floats, mean_mm: Floats) -> Floats:
    """Rain (T, D) that overflows a soil store, mm/d."""
    stored = np.full(rain_mm.shape[1], SOIL_STORE_MM / 2)
    surplus = np.empty_like(rain_mm)
    for day, fallen in enumerate(rain_mm):
        stored = stored * np.maximum(1 - mean_mm / SOIL_STORE_MM, 0.0) + fallen
        surplus[day] = np.maximum(stored - SOIL_STORE_MM, 0.0)
        stored = stored - surplus[day]
    return surplus


def drawdown(level_m: Floats) -> Floats:
    """Daily fall of the level (T, D) in m/d, positive while it falls; 0 on the first day."""
    return np.asarray(-np.diff(level_m, axis=0, prepend=level_m[:1]))
