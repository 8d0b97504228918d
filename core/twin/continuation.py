"""Continuations of a quiet site: its true state at a day, and futures of its drivers drawn anew.

Their spread is that of the law that made the site, given what had been issued: no forecast that
knows no more of the future can be sharper and keep its coverage. The slope and its calibration
stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.twin import forcing, hydrology
from core.twin.forcing import YEAR_DAYS, LevelTarget
from core.twin.futures import AHEAD_D, draw_level_futures, draw_rain_futures
from core.twin.hydrology import Ground, Water
from core.twin.mechanics import CreepLaw, point_rates, stresses
from core.twin.motion import Drivers, Traits, stress_sites
from core.twin.seeds import Purpose, site_rng
from core.twin.simulation import SPIN_UP_YEARS
from core.twin.slope import NODES, POINTS, Slope, draw_slope
from core.twin.truth import Kind

Floats = NDArray[np.float64]


class _Responses(NamedTuple):
    """Response of the 30 days ahead to a unit on each of them, (30, 24 * 30) each."""

    head_of_soil: Floats
    head_of_bypass: Floats
    head_of_level: Floats
    ground_of_level: Floats


@dataclass(frozen=True)
class _Site:
    """All that makes one site; days of arrays include the spin-up."""

    days: int
    """Length of the kept record."""
    slope: Slope
    ground: Ground
    law: CreepLaw
    rain_mm: Floats
    year_factor: Floats
    level_m: Floats
    level_parts: LevelTarget
    through_mm: Floats
    past_mm: Floats
    soil_mm: Floats
    """Content of the soil bucket at the end of each day."""
    responses: _Responses


def continuations(
    seed: int,
    hydrology_family: str,
    drainage: str,
    day: int,
    members: int,
    rain_issued: Floats | None = None,
    *,
    years: int = 7,
) -> Floats:
    """Continue a quiet site from its true state at the end of `day`.

    Args:
        seed: the site's seed.
        hydrology_family: as in its `Truth`.
        drainage: as in its `Truth`.
        day: day of the kept record, counted as in its `Truth`.
        members: number of continuations; the same arguments give the same ones.
        rain_issued: expected gauge readings of `day` .. `day` + 30 as `Prospects.rain_mm` has
            them, shape (31,); None if nothing had been issued.
        years: length of the record the site was simulated with: it is calibrated on that.

    Returns:
        Downslope displacement of its points on `day` .. `day` + 30 relative to `day`, mm, shape
        (members, 31, 6).

    Raises:
        ValueError: a day outside the record, no members, or a forecast of another length.
    """
    site = _open_site(seed, hydrology_family, drainage, years)
    if not 0 <= day < site.days:
        raise ValueError(f"day {day} is outside the record of {site.days} days")
    if members < 1:
        raise ValueError(f"{members} members: ask for at least one")
    if rain_issued is not None and rain_issued.shape != (AHEAD_D + 1,):
        raise ValueError(f"issued rain has shape {rain_issued.shape}: give {AHEAD_D + 1} days")
    today = SPIN_UP_YEARS * YEAR_DAYS + day
    rng = site_rng(seed, Purpose.FUTURES, day)
    rain = draw_rain_futures(
        rng,
        members,
        today,
        float(site.rain_mm[today]),
        float(site.year_factor[today // YEAR_DAYS]),
        rain_issued,
    )
    level = draw_level_futures(rng, members, today, float(site.level_m[today]), site.level_parts)
    motion = np.zeros((members, AHEAD_D + 1, POINTS))
    np.cumsum(_rates(site, today, rain, level), axis=1, out=motion[:, 1:])
    return motion


@lru_cache(maxsize=64)
def _open_site(seed: int, hydrology_family: str, drainage: str, years: int) -> _Site:
    days, total = years * YEAR_DAYS, (years + SPIN_UP_YEARS) * YEAR_DAYS
    rain, year_factor = forcing.draw_rain_by_year(site_rng(seed, Purpose.RAIN), total)
    parts = forcing.draw_level_parts(site_rng(seed, Purpose.LEVEL), total)
    flood = forcing.lay_floods(parts.floods, 0, total)
    target = forcing.level_target(np.arange(total), parts.wander_m, flood)
    level = forcing.steer_level(target[None])
    slope = draw_slope(site_rng(seed, Purpose.SLOPE))
    ground = hydrology.draw_ground(site_rng(seed, Purpose.GROUND), hydrology_family, drainage)
    traits = Traits(seed, Kind.QUIET, hydrology_family, "none", drainage)
    (stressed,) = stress_sites([traits], [slope], Drivers(rain[None], level), None, days=days)
    past = hydrology.bypass(rain, ground.bypass_share)
    capacity = np.array([ground.soil_capacity_mm])
    through, soil = hydrology.fill_soil((rain - past)[None], capacity, 0.6 * capacity, 0)
    return _Site(
        days=days,
        slope=slope,
        ground=ground,
        law=stressed.law,
        rain_mm=rain,
        year_factor=year_factor,
        level_m=level[0],
        level_parts=parts,
        through_mm=through[0],
        past_mm=past,
        soil_mm=soil[0],
        responses=_respond_to_units(ground, slope),
    )


def _respond_to_units(ground: Ground, slope: Slope) -> _Responses:
    unit, none = np.zeros(AHEAD_D), np.zeros(AHEAD_D)
    unit[0] = 1.0
    soil, bypass, level = (
        hydrology.respond(ground, slope, *drivers, keep=AHEAD_D)
        for drivers in ((unit, none, none), (none, unit, none), (none, none, unit))
    )
    kernels = (soil.head_m, bypass.head_m, level.head_m, level.ground_m)
    return _Responses(*(_shifted(kernel) for kernel in kernels))


def _shifted(kernel: Floats) -> Floats:
    """The kernel (24, 30) begun on each of 30 days, (30, 24 * 30)."""
    rows = np.zeros((AHEAD_D, NODES, AHEAD_D))
    for day in range(AHEAD_D):
        rows[day, :, day:] = kernel[:, : AHEAD_D - day]
    return rows.reshape(AHEAD_D, -1)


def _rates(site: _Site, today: int, rain_mm: Floats, level_m: Floats) -> Floats:
    """Downslope rates (mm/d) of the days after `today`, (members, 30, 6), from drivers."""
    members = len(rain_mm)
    past = hydrology.bypass(rain_mm, site.ground.bypass_share)
    capacity = np.full(members, site.ground.soil_capacity_mm)
    content = np.full(members, site.soil_mm[today])
    through, _ = hydrology.fill_soil(rain_mm - past, capacity, content, today + 1)
    departure = level_m - forcing.MEAN_LEVEL_M
    respond = site.responses
    head = through @ respond.head_of_soil + departure @ respond.head_of_level
    if site.ground.family != "diffusion":
        head += past @ respond.head_of_bypass
    before = _left_over(site, today)
    changes = Water(
        _by_node(head, before.head_m),
        _by_node(departure @ respond.ground_of_level, before.ground_m),
    )
    head_m, ground_m = hydrology.standing(site.ground, site.slope, changes)
    seepage = site.law.seepage_factor
    driving, normal = stresses(site.slope, seepage, head_m, ground_m, level_m.ravel())
    rate = point_rates(site.law, driving, normal)
    return np.ascontiguousarray(rate.reshape(POINTS, members, AHEAD_D).transpose(1, 2, 0))


def _left_over(site: _Site, today: int) -> Water:
    """What the drivers up to `today` do to the water of the 30 days after it."""
    known = slice(0, today + 1)
    through, past, departure = (
        np.concatenate([series[known], np.zeros(AHEAD_D)])
        for series in (site.through_mm, site.past_mm, site.level_m - forcing.MEAN_LEVEL_M)
    )
    return hydrology.respond(site.ground, site.slope, through, past, departure, keep=AHEAD_D)


def _by_node(members: Floats, before: Floats) -> Floats:
    """Members (members, 24 * 30) beside what was before (24, 30), as (24, members * 30)."""
    both = members.reshape(-1, NODES, AHEAD_D) + before
    return np.ascontiguousarray(both.transpose(1, 0, 2)).reshape(NODES, -1)
