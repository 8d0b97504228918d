"""Ground water above the slip zone, driven by rain and reservoir level.

Two families share one interface. `diffusion`: soil bucket, gamma-distributed unsaturated travel
(Nash 1957), one linear store, and the level entering by one-dimensional diffusion from the bank
(the erfc solution of the linearised Boussinesq equation). `buckets`: two stores with preferential
flow past the soil, and the level entering through two linear stores in series.

Every linear step is a causal daily filter, applied by its transfer function; diffusion uses
backward-Euler convolution quadrature (Lubich 1988), whose daily kernel is positive and causal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from core.twin.forcing import MEAN_LEVEL_M, YEAR_DAYS
from core.twin.slope import NODES, POSITION, Slope, level_weight

Floats = NDArray[np.float64]
Spectrum = NDArray[np.complex128]

HYDROLOGY_FAMILIES = ("diffusion", "buckets")
DRAINAGES = ("drawdown", "buoyancy")

_HEAD_REFERENCE_LEVEL_M = 155.0


@dataclass(frozen=True)
class Ground:
    """Hydraulic properties of one site."""

    family: str
    soil_capacity_mm: float
    bypass_share: float
    """Share of heavy rain that runs past the soil; zero in the diffusion family."""
    travel_days: float
    """Mean unsaturated travel time at the bank; 1.8 times as long at the head."""
    store_days: float
    slow_store_days: float
    specific_yield: float
    diffusivity_m2_d: float
    slip_zone_days: float
    base_head_share: float
    """Head at level 155 m without rain, as a share of the slip zone's depth."""


def draw_ground(rng: np.random.Generator, family: str, drainage: str) -> Ground:
    """Draw hydraulic properties; `drainage` sets how fast the slope follows the reservoir."""
    log_diffusivity = rng.random()
    low, high = (1.4, 2.0) if drainage == "drawdown" else (2.2, 3.0)
    bypass = rng.uniform(0.2, 0.5)
    return Ground(
        family=family,
        soil_capacity_mm=rng.uniform(40.0, 80.0),
        bypass_share=bypass if family == "buckets" else 0.0,
        travel_days=rng.uniform(2.0, 5.0),
        store_days=rng.uniform(6.0, 15.0),
        slow_store_days=rng.uniform(15.0, 30.0),
        specific_yield=0.04,
        diffusivity_m2_d=10.0 ** (low + (high - low) * log_diffusivity),
        slip_zone_days=rng.uniform(4.0, 12.0),
        base_head_share=rng.uniform(0.35, 0.5),
    )


def recharge(rain_mm: Floats, grounds: list[Ground]) -> tuple[Floats, Floats]:
    """Run the soil buckets of a batch from 1 January of the first year.

    Args:
        rain_mm: rain in mm/d, shape (sites, days).
        grounds: properties, one a site.

    Returns:
        Recharge through the soil and past it, mm/d, each (sites, days).
    """
    capacity = np.array([ground.soil_capacity_mm for ground in grounds])
    share = np.array([ground.bypass_share for ground in grounds])
    past_soil = bypass(rain_mm, share[:, None])
    through, _ = fill_soil(rain_mm - past_soil, capacity, 0.6 * capacity, 0)
    return through, past_soil


def bypass(rain_mm: Floats, share: Floats | float) -> Floats:
    """Part of rain (mm/d) that runs past the soil: `share` of what a day has beyond 15 mm."""
    return np.asarray(share * np.maximum(rain_mm - 15.0, 0.0))


def fill_soil(
    into_soil_mm: Floats, capacity_mm: Floats, stored_mm: Floats, first_day: int
) -> tuple[Floats, Floats]:
    """Fill soil buckets day by day.

    Args:
        into_soil_mm: rain that enters the soil, mm/d, shape (sites, days).
        capacity_mm: of each bucket, shape (sites,).
        stored_mm: content before the first day, shape (sites,).
        first_day: its day, from a 1 January; it sets the evaporation.

    Returns:
        What overflows to the ground water, mm/d, and the content at the end of each day, mm, each
        (sites, days).
    """
    into_soil = np.ascontiguousarray(into_soil_mm.T)
    season = (first_day + np.arange(len(into_soil))) % YEAR_DAYS
    evaporation = 2.2 - 1.7 * np.cos(2 * np.pi * (season - 14) / 365.0)
    through, content = np.empty_like(into_soil), np.empty_like(into_soil)
    stored = stored_mm
    for day in range(len(into_soil)):
        stored = stored * (1 - evaporation[day] / capacity_mm) + into_soil[day]
        stored = np.maximum(stored, 0.0)
        kept = np.minimum(stored, capacity_mm)
        through[day] = stored - kept
        content[day] = stored = kept
    return np.ascontiguousarray(through.T), np.ascontiguousarray(content.T)


@lru_cache(maxsize=4)
def _contour(days: int) -> tuple[int, Spectrum, Floats]:
    """Length of the transform, one day's delay at its frequencies, and weights of the days.

    The delay is taken on a circle a little inside the unit one and the series are weighted to
    match, so what a transform wraps around from the future is damped by 1e-7.
    """
    size = fft.next_fast_len(days, real=True)
    radius = 1e-7 ** (1 / size)
    delay = radius * np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    return size, delay, radius ** np.arange(days)


def _store(delay: Spectrum, days: Floats | float) -> Spectrum:
    """Transfer function of linear stores of mean residence `days` (unit gain), broadcast."""
    decay = np.exp(-1.0 / np.asarray(days, dtype=np.float64))
    return np.asarray((1 - decay) / (1 - decay * delay))


def _level_response(ground: Ground, slope: Slope, delay: Spectrum) -> Spectrum:
    """Transfer function from reservoir level to ground-water level, (24, frequencies)."""
    if ground.family == "diffusion":
        step = slope.distance_m[1] - slope.distance_m[0]
        half = np.exp(-0.5 * step * np.sqrt((1 - delay) / ground.diffusivity_m2_d))
        # Nodes are equally spaced, so each response is the last one times one more step's.
        response = np.empty((NODES, len(delay)), dtype=np.complex128)
        response[0] = half
        response[1:] = half * half
        return np.asarray(np.cumprod(response, axis=0))
    half_days = 0.5 * slope.distance_m**2 / ground.diffusivity_m2_d + 0.5
    one = _store(delay[None, :], half_days[:, None])
    return one * one


def _rain_response(ground: Ground, delay: Spectrum) -> tuple[Spectrum, Spectrum]:
    """Transfer functions from recharge (mm/d) to head (m): through the soil, past it."""
    travel = ground.travel_days * (1 + 0.8 * POSITION)
    unsaturated = _store(delay[None, :], travel[:, None] / 3)
    unsaturated *= unsaturated * unsaturated
    metres = 1e-3 / ground.specific_yield
    fast = unsaturated * (_store(delay, ground.store_days) * (ground.store_days * metres))
    if ground.family == "diffusion":
        return fast, fast
    slow_metres = 0.5 * ground.slow_store_days * metres
    return unsaturated * (_store(delay, ground.slow_store_days) * slow_metres), fast


class Water(NamedTuple):
    """What rain and reservoir change in the ground of one profile; linear in both."""

    head_m: Floats
    """Pressure head on the slip zone, (24, days)."""
    ground_m: Floats
    """Ground-water level, from the reservoir alone, (24, days)."""


def heads(
    ground: Ground, slope: Slope, through_mm: Floats, past_mm: Floats, level_m: Floats, *, keep: int
) -> tuple[Floats, Floats]:
    """Heads along one profile.

    Args:
        ground: the site's properties.
        slope: the site's geometry.
        through_mm: recharge through the soil, mm/d, shape (days,).
        past_mm: recharge past the soil, mm/d, shape (days,).
        level_m: reservoir level, m a.s.l., shape (days,).
        keep: number of last days returned.

    Returns:
        Pressure head on the slip zone (m, >= 0) and ground-water level that comes from the
        reservoir (m a.s.l.), each (24, keep). Before its first day the ground is in balance with
        the reservoir's long-run mean level.
    """
    changes = respond(ground, slope, through_mm, past_mm, level_m - MEAN_LEVEL_M, keep=keep)
    return standing(ground, slope, changes)


def respond(
    ground: Ground,
    slope: Slope,
    through_mm: Floats,
    past_mm: Floats,
    departure_m: Floats,
    *,
    keep: int,
) -> Water:
    """Linear response of the ground to recharge (mm/d) and to the level's departure from its
    long-run mean (m), each (days,), over the last `keep` days."""
    days = len(departure_m)
    size, delay, weights = _contour(days)
    level = _level_response(ground, slope, delay)
    level *= fft.rfft(departure_m * weights, size)
    soil, bypass = _rain_response(ground, delay)
    rain = fft.rfft(through_mm * weights, size) * soil
    if ground.family != "diffusion":
        rain += fft.rfft(past_mm * weights, size) * bypass
    rain *= (0.35 + 0.65 * POSITION)[:, None]
    rain += level * level_weight(slope)[:, None]
    changing = rain * _store(delay, ground.slip_zone_days)
    kept = slice(days - keep, days)
    head = fft.irfft(changing, size)[:, kept] / weights[kept]
    return Water(head, fft.irfft(level, size)[:, kept] / weights[kept])


def standing(ground: Ground, slope: Slope, changes: Water) -> tuple[Floats, Floats]:
    """Pressure head and ground-water level, as `heads` returns, from their changes (24, days)."""
    head = changes.head_m + (ground.base_head_share * slope.depth_m)[:, None]
    head += (MEAN_LEVEL_M - _HEAD_REFERENCE_LEVEL_M) * level_weight(slope)[:, None]
    head = np.clip(head, 0.0, 0.95 * slope.depth_m[:, None])
    return head, changes.ground_m + MEAN_LEVEL_M
