"""Sites of the digital twin, put on a map."""

from __future__ import annotations

import math
from datetime import date, time, timedelta

import numpy as np

from core.geometry import UnitVector, downslope_unit_vector, los_factor
from core.twin import Observed, Truth
from services.demo.standin.site import Floats, LonLat, StandInPoint, StandInSite, StandInSlope

ORIGIN: LonLat = (110.5, 31.0)
SPACING_DEG = 0.05
HALF_AREA_DEG = 0.015
METRES_PER_DEG = 111_195.0
HALF_WIDTH_M = 120.0

NOMINAL_LOS = UnitVector(-0.61, -0.14, 0.78)
"""Sentinel-1 ascending over the Three Gorges, ground to satellite."""
_SIGMA_EPOCHS = 30


def from_twin(
    truth: Truth,
    observed: Observed,
    index: int,
    name: str,
    first_day: date,
    *,
    origin: LonLat | None = None,
    repeat_days: int | None = None,
    path: int = 84,
    frame: int = 98,
    flank_pixels: float = 2.0,
) -> StandInSite:
    """Site `index` of the twin as a stand-in site whose day 0 is `first_day`.

    The bank of a fictional reservoir lies at `origin` (none: sites side by side, 5 km apart); the
    points lie uphill of it at the twin's own distances, some 80 to 130 m apart. The unit's slope
    is that between its first and last point, its aspect the one from which the nominal line of
    sight sees the twin's mean factor; each point's line of sight is the unit vector nearest to
    the nominal one whose factor on that slope is `truth.los_factor` exactly.

    Passes come every `repeat_days` (none: the shortest time between two epochs) to the end of the
    record, also where the twin gave no displacement. A point's sigma is the median of its first
    30 epochs. `flank_pixels` is what `observe` was told.
    """
    used = observed.epoch_day[index] >= 0
    epoch_day, arrival_day = observed.epoch_day[index][used], observed.arrival_day[index][used]
    repeat = repeat_days or (int(np.diff(epoch_day).min()) if len(epoch_day) > 1 else 12)
    passes = range(int(epoch_day[0]), observed.gauge_mm.shape[1], repeat)
    lon, lat = origin or _place(index)
    slope, points = _on_slope(truth, index, (lon, lat), observed.sigma_mm[index][used])
    slope = slope._replace(flank_pixels=flank_pixels)

    def dates(days: object) -> tuple[date, ...]:
        return tuple(first_day + timedelta(days=int(d)) for d in np.asarray(days))

    return StandInSite(
        name=name,
        area=_box(lon, lat, HALF_AREA_DEG),
        path=path,
        frame=frame,
        direction="ASCENDING",
        pass_time=time(10, 38, 12),
        pass_days=dates(list(passes)),
        station_rain=f"99{index % 10_000:04d}99999",
        station_level=f"9900{index % 10_000:04d}",
        first_day=first_day,
        rain_mm=observed.gauge_mm[index],
        level_m=observed.level_m[index],
        epoch_dates=dates(epoch_day),
        arrival_dates=dates(arrival_day),
        los_mm=observed.los_mm[index][used],
        points=points,
        slope=slope,
    )


def _place(index: int) -> LonLat:
    return ORIGIN[0] + SPACING_DEG * (index % 20), ORIGIN[1] + SPACING_DEG * (index // 20 % 20)


def _box(lon: float, lat: float, half: float) -> tuple[float, float, float, float]:
    edges = (lon - half, lat - half, lon + half, lat + half)
    return edges[0], edges[1], edges[2], edges[3]


def _on_slope(
    truth: Truth, index: int, bank: LonLat, sigma_mm: Floats
) -> tuple[StandInSlope, tuple[StandInPoint, ...]]:
    distance, height = truth.distance_m[index], truth.height_m[index]
    factors = truth.los_factor[index]
    slope_deg = math.degrees(math.atan2(height[-1] - height[0], distance[-1] - distance[0]))
    aspect_deg = _aspect(slope_deg, float(factors.mean()))
    sigma = np.nanmedian(sigma_mm[:_SIGMA_EPOCHS], axis=0)
    points = tuple(
        StandInPoint(
            f"P{number + 1}",
            *_uphill(bank, aspect_deg, float(distance[number])),
            line_of_sight(slope_deg, aspect_deg, float(factors[number])),
            round(float(sigma[number]), 3),
        )
        for number in range(len(distance))
    )
    step = float(np.diff(distance).mean())
    ends = (float(distance[0]) - step / 2, float(distance[-1]) + step / 2)
    corners = [
        _uphill(bank, aspect_deg, along, aside)
        for along, aside in zip((ends[0], ends[0], ends[1], ends[1]), (-1, 1, 1, -1), strict=True)
    ]
    firm = _box(bank[0] - 0.0105, bank[1] - 0.0105, 0.0015)
    return StandInSlope((*corners, corners[0]), slope_deg, aspect_deg, firm), points


def _aspect(slope_deg: float, factor: float) -> float:
    """The aspect between north and east (degrees, tenths) that fits the mean factor best."""
    aspects = np.arange(0.0, 90.0, 0.1)
    seen = los_factor(NOMINAL_LOS, downslope_unit_vector(slope_deg, aspects))
    return round(float(aspects[np.abs(np.asarray(seen) - factor).argmin()]), 1)


def line_of_sight(slope_deg: float, aspect_deg: float, factor: float) -> tuple[float, float, float]:
    """The unit vector nearest to the nominal line of sight that sees the slope with `factor`.

    l = C s + sqrt(1 - C^2) n, where s points downslope and n is the direction of the nominal line
    of sight across s.
    """
    downslope = np.array([float(part) for part in downslope_unit_vector(slope_deg, aspect_deg)])
    nominal = np.array(NOMINAL_LOS, dtype=np.float64)
    across = nominal - (nominal @ downslope) * downslope
    across /= np.linalg.norm(across)
    east, north, up = factor * downslope + math.sqrt(1 - factor**2) * across
    return float(east), float(north), float(up)


def _uphill(bank: LonLat, aspect_deg: float, along_m: float, aside: int = 0) -> LonLat:
    """Longitude and latitude `along_m` uphill of the bank; `aside` of the profile, -1 or 1."""
    turn = math.radians(aspect_deg)
    east = -along_m * math.sin(turn) + aside * HALF_WIDTH_M * math.cos(turn)
    north = -along_m * math.cos(turn) - aside * HALF_WIDTH_M * math.sin(turn)
    lat = bank[1] + north / METRES_PER_DEG
    lon = bank[0] + east / (METRES_PER_DEG * math.cos(math.radians(bank[1])))
    return round(lon, 6), round(lat, 6)
