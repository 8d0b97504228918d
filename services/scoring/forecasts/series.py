"""A pool of simulated sites as the record that forecast models are asked about.

Days are days of the record. Every observed point of every site is a series, sites one after the
other: series `site * 6 + point`, from toe to ridge, and `place` is the site.
"""

from __future__ import annotations

from typing import Literal, Protocol, get_args

import numpy as np

from core.errors import BadInputError
from core.evidence import Floats
from core.twin.radar import AMBIGUITY_MM, Observed
from core.twin.truth import Truth
from services.inference.known import FURTHEST_D, Drivers, Ints, Known, Setting

DRIVER_LATENCY_D = 1
"""Rain and level of a day are known from the end of the next."""
ATMOSPHERE_SD_MM = 3.0
"""What a processor of radar would assume of the delay the points share, beside phase noise."""

Ahead = Literal["operational", "what-if", "true-hydrology"]
"""What models are told of rain and level: of the days ahead what had been issued, or what the
gauges were to read; or the true rain and level throughout, past and future."""


class Ahead31(Protocol):
    """What had been issued at the end of `day` for the days `day` to `day` + 30, (S, 31)."""

    def rain_mm(self, day: int) -> Floats:
        """Expected gauge readings, mm/d."""
        ...

    def level_m(self, day: int) -> Floats:
        """The reservoir's plan, m a.s.l."""
        ...


class SimulatedSites(Protocol):
    """What a pool must hold; `core.twin.pools.SimulatedPool` does."""

    @property
    def noise(self) -> str:
        """Of the observations: 'radar', or 'white-' and its sigma in mm."""
        ...

    @property
    def truth(self) -> Truth:
        """What really happens."""
        ...

    @property
    def seen(self) -> Observed:
        """What instruments say of it, and when."""
        ...

    @property
    def prospects(self) -> Ahead31:
        """What providers issued."""
        ...


class PoolHistory:
    """The `History` of a pool: what was known of all its series at the end of any day.

    An epoch is known from its simulated arrival on, late ones included; rain and level of a day
    from the end of the next. The service's sd of an epoch is the stated one, with 3 mm of
    atmosphere added for radar.
    """

    def __init__(self, pool: SimulatedSites, drivers: Ahead = "operational") -> None:
        if drivers not in get_args(Ahead):
            raise BadInputError(f"drivers {drivers!r} is not one of {', '.join(get_args(Ahead))}")
        truth, seen = pool.truth, pool.seen
        self.pool = pool
        self.drivers = drivers
        self.sites, self.days, self.points = truth.displacement_mm.shape
        self.place: Ints = np.repeat(np.arange(self.sites), self.points)
        along = np.linspace(0.0, 1.0, self.points) if self.points > 1 else np.array([0.5])
        self.setting = Setting(
            los_factor=truth.los_factor.reshape(-1),
            bank_distance_m=truth.distance_m.reshape(-1),
            height_m=truth.height_m.reshape(-1),
            position=np.tile(along, self.sites),
        )
        true = drivers == "true-hydrology"
        self._rain_mm = (truth.rain_mm if true else seen.gauge_mm).T
        self._level_m = (truth.level_m if true else seen.level_m).T
        self._epoch_day = np.ascontiguousarray(seen.epoch_day.T)
        never = np.iinfo(np.int64).max
        self._arrival_day = np.where(seen.arrival_day < 0, never, seen.arrival_day).T
        self._los_mm = _by_series(seen.los_mm)
        extra = ATMOSPHERE_SD_MM if pool.noise == "radar" else 0.0
        self._sd_mm = np.hypot(_by_series(seen.sigma_mm), extra)
        self.target_mm, self._lost_mm = _zero(pool, self._epoch_day, self._los_mm)

    @property
    def first_day(self) -> int:
        """Day 0 of the record."""
        return 0

    def known(self, day: int) -> Known:
        """See `services.inference.known.History.known`.

        Raises:
            BadInputError: the record ends before `day` + 30 or starts after `day`.
        """
        if not 0 <= day < self.days - FURTHEST_D:
            raise BadInputError(
                f"day {day} of a record of {self.days} days: ask from 0 to "
                f"{self.days - FURTHEST_D - 1}, so that thirty days lie ahead"
            )
        order, count = self._arrived(day)
        last = np.take_along_axis(self._epoch_day, order, axis=0)
        epoch_day = np.where(np.arange(len(order))[:, None] < count, last, -1)
        epoch_day = np.maximum.accumulate(np.maximum(epoch_day, self.first_day), axis=0)
        absent = (np.arange(len(order))[:, None] >= count)[:, self.place]
        rows = order[:, self.place]
        return Known(
            day=day,
            epoch_day=epoch_day[:, self.place],
            los_mm=np.where(absent, np.nan, np.take_along_axis(self._los_mm, rows, axis=0)),
            sd_mm=np.where(absent, np.nan, np.take_along_axis(self._sd_mm, rows, axis=0)),
            place=self.place.copy(),
            drivers=self._drivers(day),
            setting=self.setting,
        )

    def target_on(self, day: int) -> Floats:
        """What a forecast of `day` should have said: the target of `day` .. `day` + 30, (31, S).

        Whole cycles lost before the last arrived epoch are part of the series from then on.
        """
        order, count = self._arrived(day)
        last = np.take_along_axis(order, np.maximum(count - 1, 0)[None], axis=0)
        lost = np.take_along_axis(self._lost_mm, last[:, self.place], axis=0)
        return np.asarray(self.target_mm[day : day + FURTHEST_D + 1] + lost)

    def arrived_errors(self, day: int) -> Floats:
        """Error (K, S) of the epochs in `known(day)`, row by row: observation less target, mm."""
        order, count = self._arrived(day)
        rows = order[:, self.place]
        off = self._los_mm - self._lost_mm
        off -= np.take_along_axis(self.target_mm, np.maximum(self._epoch_day, 0)[:, self.place], 0)
        absent = (np.arange(len(order))[:, None] >= count)[:, self.place]
        return np.where(absent, np.nan, np.take_along_axis(off, rows, axis=0))

    def epochs_until(self, day: int) -> tuple[Ints, Ints, Floats, Floats]:
        """Epoch day and arrival day (K, sites), value and sd (K, S) of all epochs by `day`.

        For scoring only: epochs are here before they arrive. Rows later than `day` at every site
        are cut; padding is -1, the largest integer and NaN.
        """
        rows = (self._epoch_day <= day).sum(axis=0).max()
        return (
            self._epoch_day[:rows],
            self._arrival_day[:rows],
            self._los_mm[:rows],
            self._sd_mm[:rows],
        )

    def _arrived(self, day: int) -> tuple[Ints, Ints]:
        """Rows of the arrived epochs, first in their order (K, sites), and how many (sites,)."""
        here = self._arrival_day <= day
        count = here.sum(axis=0)
        order = np.argsort(~here, axis=0, kind="stable")
        return order[: max(int(count.max()), 1)], count

    def _drivers(self, day: int) -> Drivers:
        observed = day - DRIVER_LATENCY_D + 1
        end = day + FURTHEST_D + 1
        rain, level = self._rain_mm[:end].copy(), self._level_m[:end].copy()
        if self.drivers == "operational":
            rain[observed:] = self.pool.prospects.rain_mm(day).T
            level[observed:] = self.pool.prospects.level_m(day).T
        issued = np.zeros(rain.shape, np.bool_)
        issued[observed:] = True
        return Drivers(self.first_day, rain, level, issued, issued.copy())


def _by_series(values: Floats) -> Floats:
    """(sites, K, points) as (K, sites x points)."""
    sites, epochs, points = values.shape
    return np.ascontiguousarray(values.transpose(1, 0, 2).reshape(epochs, sites * points))


def _zero(pool: SimulatedSites, epoch_day: Ints, los_mm: Floats) -> tuple[Floats, Floats]:
    """LOS displacement without noise (T, S) on each series' own zero, and cycles lost (K, S), mm.

    A series is zero at its first epoch as measured, that epoch's error included. What is taken
    out is the constant by which the observations lie off the truth on average: an observation is
    target plus its own error, and nobody can tell such a constant from displacement.
    """
    sites, days, points = pool.truth.displacement_mm.shape
    motion = pool.truth.displacement_mm * pool.truth.los_factor[:, None, :]
    motion = motion.transpose(1, 0, 2).reshape(days, sites * points)
    place = np.repeat(np.arange(sites), points)
    offset = los_mm - np.take_along_axis(motion, np.maximum(epoch_day, 0)[:, place], axis=0)
    jump = np.diff(offset, axis=0, prepend=offset[:1])
    cycles = np.where(pool.seen.wrapped.T[:, place], np.rint(jump / AMBIGUITY_MM), 0.0)
    lost = np.cumsum(np.nan_to_num(cycles), axis=0) * AMBIGUITY_MM
    target: Floats = motion + np.nanmean(offset - lost, axis=0)
    return target, lost
