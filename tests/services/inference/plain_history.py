"""A record in plain arrays, and toy models: what the tests of interval and gate stand on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from core.evidence import Floats
from services.inference.known import FURTHEST_D, Drivers, Ints, Known, Setting
from services.inference.model import Parameters, Path


@dataclass(frozen=True)
class PlainHistory:
    """Epochs (K, S) with the day on which each arrived; drivers (T, D) are known a day later."""

    epoch_day: Ints
    arrival_day: Ints
    los_mm: Floats
    sd_mm: Floats
    place: Ints
    rain_mm: Floats
    level_m: Floats
    position: Floats
    first_day: int = 0

    def known(self, day: int) -> Known:
        """Everything that had arrived by the end of `day`."""
        there = self.arrival_day <= day
        rows = int(there.sum(axis=0).max(initial=0))
        order = np.argsort(~there, axis=0, kind="stable")[:rows]
        take = np.take_along_axis
        seen = take(there, order, 0)
        last = np.where(there, self.epoch_day, self.first_day).max(axis=0)
        nothing = np.full(self.place.size, np.nan)
        end = day - self.first_day
        rain, level = (np.full((end + 1 + FURTHEST_D, self.rain_mm.shape[1]), np.nan),) * 2
        rain, level = rain.copy(), level.copy()
        rain[:end], level[:end] = self.rain_mm[:end], self.level_m[:end]
        return Known(
            day=day,
            epoch_day=np.where(seen, take(self.epoch_day, order, 0), last),
            los_mm=np.where(seen, take(self.los_mm, order, 0), np.nan),
            sd_mm=np.where(seen, take(self.sd_mm, order, 0), np.nan),
            place=self.place,
            drivers=Drivers(
                self.first_day, rain, level, *(np.zeros(rain.shape, bool) for _ in range(2))
            ),
            setting=Setting(nothing, nothing, nothing, self.position),
        )

    def with_another_future(self, day: int) -> PlainHistory:
        """The same up to the end of `day`, and different in all that becomes known later."""
        later = self.arrival_day > day
        rain, level = self.rain_mm.copy(), self.level_m.copy()
        rain[day - self.first_day :] += 50.0
        level[day - self.first_day :] -= 9.0
        return replace(
            self,
            los_mm=np.where(later, -3 * self.los_mm + 500.0, self.los_mm),
            sd_mm=np.where(later, 9.0, self.sd_mm),
            rain_mm=rain,
            level_m=level,
        )


def record(
    motion: Callable[[Floats], Floats],
    *,
    series: int = 3,
    days: int = 1400,
    noise_mm: float = 2.0,
    seed: int = 1,
    places: int = 1,
) -> PlainHistory:
    """A record of `motion` (mm of days) with white noise, every 12 days, known two days later."""
    rng = np.random.default_rng(seed)
    epoch = np.arange(5, days, 12)
    epochs = np.repeat(epoch[:, None], series, axis=1)
    los = np.broadcast_to(motion(epoch.astype(float))[:, None], epochs.shape)
    return PlainHistory(
        epoch_day=epochs,
        arrival_day=epochs + 2,
        los_mm=los + rng.normal(0.0, noise_mm, epochs.shape),
        sd_mm=np.full(epochs.shape, noise_mm),
        place=np.arange(series) % places,
        rain_mm=rng.exponential(3.0, (days, places)),
        level_m=160 + 10 * np.cos(2 * np.pi * np.arange(days) / 365)[:, None] * np.ones(places),
        position=np.linspace(0.0, 1.0, series),
    )


@dataclass(frozen=True)
class Told:
    """A model that knows the motion, up to an error that grows with the days ahead."""

    name: str
    motion: Callable[[Floats], Floats]
    error_mm_d: float = 0.0
    sd_mm: float = 1.0
    needs: frozenset[str] = frozenset()

    def fit(self, history: object, day: int) -> Parameters:
        """Nothing to learn."""
        return {}

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        """The motion itself, and its error."""
        ahead = np.arange(FURTHEST_D + 1.0)
        path = self.motion(known.day + ahead) + self.error_mm_d * ahead
        shape = (FURTHEST_D + 1, known.series)
        return Path(
            np.array(np.broadcast_to(path[:, None], shape)), np.full(shape, float(self.sd_mm))
        )


@dataclass(frozen=True)
class Stays:
    """Persistence of the last epoch; its sd grows with the root of the days."""

    name: str = "persistence"
    needs: frozenset[str] = frozenset()

    def fit(self, history: object, day: int) -> Parameters:
        """Nothing to learn."""
        return {}

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        """The last arrived value on every day; NaN before the first."""
        last = np.isfinite(known.los_mm).sum(axis=0) - 1
        if not len(known.los_mm):
            return Path(*np.full((2, FURTHEST_D + 1, known.series), np.nan))
        value = np.where(last >= 0, known.los_mm[last, np.arange(known.series)], np.nan)
        ahead = np.arange(1.0, FURTHEST_D + 2)[:, None]
        return Path(value + 0 * ahead, np.sqrt(ahead) + 0 * value)
