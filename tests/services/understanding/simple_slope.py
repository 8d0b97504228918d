"""Series whose answer to rain and level is known by construction, as a `History`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from services.inference.known import Drivers, Known, Setting

Floats = NDArray[np.float64]
YEARS = 6
DAYS = YEARS * 365
LOS_FACTOR = -0.5


def store(series: Floats, mean_d: float) -> Floats:
    kept = mean_d / (1 + mean_d)
    return np.asarray(lfilter([1 - kept], [1, -kept], series))


def drivers(seed: int) -> tuple[Floats, Floats]:
    """Daily rain in mm and level in m, with a season and with events of their own."""
    rng = np.random.default_rng(seed)
    season = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(DAYS) - 15) / 365)
    wet = rng.random(DAYS) < 0.2 + 0.3 * season
    rain = np.where(wet, rng.gamma(0.7, 4 + 12 * season), 0.0)
    floods = np.zeros(DAYS)
    for start in rng.integers(0, DAYS - 40, 4 * YEARS):
        floods[start : start + 20] += rng.uniform(3, 9) * np.hanning(20)
    return rain, 160 + 10 * np.cos(2 * np.pi * np.arange(DAYS) / 365) + floods


class SimpleSlope:
    """One slope with three series: moved by rain alone, by both, by drawdown alone."""

    def __init__(
        self, seed: int = 0, *, noise_mm: float = 2.0, delay_d: float = 15.0, slow: float = 1.0
    ) -> None:
        rng = np.random.default_rng(seed + 1000)
        self.rain_mm, self.level_m = drivers(seed)
        wet = store(store(self.rain_mm, delay_d / 2), delay_d / 2) / self.rain_mm.mean()
        fall = np.maximum(store(self.level_m, 12.0) - self.level_m, 0.0)
        fall /= fall.mean()
        self.rate_mm_d = 0.5 * np.stack([wet, 0.5 * (wet + fall), fall], axis=1) * slow
        self.moved_mm = np.cumsum(self.rate_mm_d, axis=0)
        taken = np.arange(4, DAYS, 12)
        self.epoch_day = taken[rng.random(len(taken)) > 0.06]
        self.sd_mm = noise_mm
        error = rng.normal(0, noise_mm, (len(self.epoch_day), 3))
        self.los_mm = LOS_FACTOR * self.moved_mm[self.epoch_day] + error
        self.distance_m = np.array([600.0, 300.0, 60.0])

    first_day = 0

    def known(self, day: int) -> Known:
        use = self.epoch_day <= day - 2
        count = int(use.sum())
        rain, level = (
            np.concatenate([part[:day], np.full(31, np.nan)])[:, None]
            for part in (self.rain_mm, self.level_m)
        )
        nothing = np.zeros(rain.shape, bool)
        return Known(
            day=day,
            epoch_day=np.repeat(self.epoch_day[use][:, None], 3, axis=1),
            los_mm=self.los_mm[use],
            sd_mm=np.full((count, 3), self.sd_mm),
            place=np.zeros(3, np.int64),
            drivers=Drivers(0, rain, level, nothing, nothing),
            setting=Setting(
                np.full(3, LOS_FACTOR), self.distance_m, 0.3 * self.distance_m, np.full(3, np.nan)
            ),
        )


def later_replaced(known: Known, day: int) -> Known:
    """The same with whatever is later than `day` replaced."""
    late = known.epoch_day > day
    drivers_of = known.drivers
    ahead = np.arange(len(drivers_of.rain_mm)) > day - drivers_of.first_day
    return replace(
        known,
        los_mm=np.where(late, 1e6, known.los_mm),
        drivers=drivers_of._replace(
            rain_mm=np.where(ahead[:, None], 999.0, drivers_of.rain_mm),
            level_m=np.where(ahead[:, None], -50.0, drivers_of.level_m),
        ),
    )
