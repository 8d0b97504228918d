"""What the stand-in knows of one place: a plain description, whoever made it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.clock import midnight

Floats = NDArray[np.float64]
Box = tuple[float, float, float, float]
LonLat = tuple[float, float]


class StandInPoint(NamedTuple):
    """One measured point. `los` points from ground to satellite (east, north, up)."""

    id: str
    lon: float
    lat: float
    los: tuple[float, float, float]
    sigma_mm: float


class StandInSlope(NamedTuple):
    """The piece of slope under watch, and firm ground near it.

    `flank_pixels`: pixels over which motion falls to zero at its flank.
    """

    polygon: tuple[LonLat, ...]
    slope_deg: float
    aspect_deg: float
    firm_ground: Box
    flank_pixels: float = 2.0


@dataclass(frozen=True, eq=False)
class StandInSite:
    """One simulated place with all its data, past and future: the server hides the future.

    Angles in degrees, times in UTC. Raises `ValueError` where the parts do not fit together.
    """

    name: str
    area: Box
    """West, south, east, north."""
    path: int
    """Relative orbit, 1 to 175."""
    frame: int
    direction: Literal["ASCENDING", "DESCENDING"]
    pass_time: time
    """Time of day at which each pass begins."""
    pass_days: tuple[date, ...]
    """Days of all passes, also of those that gave no displacement."""
    station_rain: str
    """11 characters: USAF then WBAN number."""
    station_level: str
    """8 digits: USGS site number."""
    first_day: date
    """Day of `rain_mm[0]` and `level_m[0]`."""
    rain_mm: Floats
    """(T,) a day's rain at the gauge; NaN: missing."""
    level_m: Floats
    """(T,) reservoir level; NaN: missing."""
    epoch_dates: tuple[date, ...]
    """K days of acquisition, rising."""
    arrival_dates: tuple[date, ...]
    """K days from whose start each epoch is known; late ones may overtake."""
    los_mm: Floats
    """(K, P) cumulative displacement, positive toward the satellite; NaN: not measured."""
    points: tuple[StandInPoint, ...]
    """The P points, in the order of `los_mm`."""
    slope: StandInSlope

    def __post_init__(self) -> None:
        days, epochs = len(self.rain_mm), len(self.epoch_dates)
        known = zip(self.epoch_dates, self.arrival_dates, strict=False)
        for good, problem in (
            (re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.name), "name"),
            (re.fullmatch(r"[0-9A-Z]{11}", self.station_rain), "station_rain"),
            (re.fullmatch(r"[0-9]{8}", self.station_level), "station_level"),
            (1 <= self.path <= 175, "path"),
            (self.rain_mm.shape == self.level_m.shape == (days,), "rain_mm or level_m"),
            (len(self.arrival_dates) == epochs, "arrival_dates"),
            (self.los_mm.shape == (epochs, len(self.points)), "los_mm"),
            (list(self.epoch_dates) == sorted(set(self.epoch_dates)), "epoch_dates"),
            (all(arrival > epoch for epoch, arrival in known), "arrival_dates"),
            (len({p.id for p in self.points}) == len(self.points) > 0, "points"),
        ):
            if not good:
                raise ValueError(f"stand-in site {self.name}: its {problem} cannot be")

    def days_over(self, now: datetime) -> int:
        """How many days of rain and level are over at `now`: what a gauge can have told."""
        return min(max((now.date() - self.first_day).days, 0), len(self.rain_mm))

    def epochs_known(self, now: datetime) -> list[int]:
        """Indices of the epochs that have arrived at `now`."""
        return [k for k, day in enumerate(self.arrival_dates) if midnight(day) <= now]

    def day(self, index: int) -> date:
        """The day of `rain_mm[index]`."""
        return self.first_day + timedelta(days=index)
