"""Wavelet coherence of a driver with one series of epochs: at which periods, and how late.

Read from mean rates over 12-day steps, in the direction in which the series moves on average. Only
times outside the cone of influence are read, and periods from 36 days on; the false discovery rate
over periods is held for tests that help each other, as neighbouring periods do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.errors import BadInputError
from core.evidence import Floats
from core.surrogates import discoveries
from core.wavelet import (
    Coherence,
    PhaseLag,
    Rates,
    Significance,
    coherence,
    newest_safe,
    phase_lag,
    resample_rates,
    significance,
    step_means,
)
from services.inference.known import Flags, Ints, Known
from services.understanding.basis import DailyDrivers, drawdown

STEP_D = 12
SURROGATES = 1000
FALSE_DISCOVERIES = 0.05


class Rhythm(NamedTuple):
    """One driver and one series."""

    driver: str
    series: int
    end_day: Ints
    """(N,) last day of each step."""
    coherence: Coherence
    significance: Significance
    lag: PhaseLag
    stands: Flags
    """(J,) periods at which the whole record is coherent beyond chance."""
    newest_day: Ints
    """(J,) newest day that may be read at each period; -1 where none may. All that is known at the
    right edge today."""


def rhythm(
    known: Known,
    drivers: DailyDrivers,
    series: int,
    driver: str,
    *,
    surrogates: int = SURROGATES,
    seed: int = 0,
) -> Rhythm:
    """Coherence of `driver` ('rain', 'drawdown' or 'level') with a series.

    Raises:
        BadInputError: fewer than two years of epochs.
    """
    rates = rates_of(known, drivers, series)
    values = driver_steps(drivers, driver, int(known.place[series]), rates)
    motion = rates.rate_mm_d[0]
    seen = coherence(values, motion, STEP_D)
    chance = significance(values, motion, seen, STEP_D, surrogates=surrogates, seed=seed)
    end_day = rates.first_day + STEP_D * np.arange(1, len(motion) + 1)
    newest = newest_safe(seen)
    return Rhythm(
        driver,
        series,
        end_day,
        seen,
        chance,
        phase_lag(seen, STEP_D),
        discoveries(chance.p, FALSE_DISCOVERIES, dependent=False),
        np.where(newest >= 0, end_day[newest], -1),
    )


def rates_of(known: Known, drivers: DailyDrivers, series: int) -> Rates:
    """Mean rates (1, N) of a series over 12-day steps, positive along its mean motion."""
    day, los = known.epoch_day[:, series], known.los_mm[:, series]
    use = np.isfinite(los) & (day >= drivers.first_day)
    if use.sum() < 3 or np.ptp(day[use]) < 2 * 365:
        raise BadInputError(f"series {series}: two years of epochs are needed for coherence")
    rates = resample_rates(day[use], los[use][:, None], STEP_D)
    return rates._replace(rate_mm_d=rates.rate_mm_d * np.sign(rates.rate_mm_d.mean()))


def driver_steps(drivers: DailyDrivers, driver: str, place: int, rates: Rates) -> Floats:
    """Means of a driver over the steps of `rates`, (N,)."""
    daily = {
        "rain": drivers.rain_mm,
        "drawdown": drawdown(drivers.level_m),
        "level": drivers.level_m,
    }[driver]
    return step_means(daily[:, place], drivers.first_day, rates)
