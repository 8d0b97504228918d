"""Creep of the landslide over its slip zone.

An infinite-slope balance at each node gives the shear stress beyond strength; the rate is a power
of it (Bingham for exponent one, power-law creep for two and three), spread along the profile by
viscous coupling. Seepage toward a falling reservoir adds to the driving stress.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.twin.slope import NODES, OBSERVED_NODES, POSITION, Slope, level_weight

Floats = NDArray[np.float64]

SOIL_WEIGHT_KN_M3 = 21.0
WATER_WEIGHT_KN_M3 = 9.81


@dataclass(frozen=True)
class CreepDraw:
    """Mechanical properties drawn for one site, before calibration."""

    friction: float
    """Tangent of the slip zone's friction angle, 14-20 degrees before capping."""
    seepage_factor: float
    marginal_share: float
    """Share of the days on which a node stays below its threshold."""
    exponent: int
    coupling: float
    background_mm_d: float
    mean_rate_mm_d: Floats
    """Mean downslope rate aimed at, shape (24,)."""


@dataclass(frozen=True)
class CreepLaw:
    """A calibrated creep law; stresses in kPa, rates in mm/d."""

    friction: Floats
    cohesion_kpa: Floats
    prefactor: Floats
    """Rate at one kPa beyond strength, mm/d/kPa^exponent, shape (24,)."""
    exponent: int
    seepage_factor: float
    background_mm_d: float
    spread: Floats
    """Viscous coupling as a matrix from uncoupled to coupled rates, shape (24, 24)."""


def draw_creep(rng: np.random.Generator, drainage: str) -> CreepDraw:
    """Draw mechanical properties; mid-slope moves 0.35-0.75 mm/d downslope on average."""
    toe, ridge = rng.uniform(0.55, 0.8), rng.uniform(0.6, 0.85)
    shape = np.interp(POSITION, [0.0, 0.35, 0.6, 1.0], [toe, 1.0, 1.0, ridge])
    seepage = rng.uniform(0.0, 1.0)
    return CreepDraw(
        friction=float(np.tan(np.deg2rad(rng.uniform(14.0, 20.0)))),
        seepage_factor=6.0 + 4.0 * seepage if drainage == "drawdown" else 2.0 + 2.0 * seepage,
        marginal_share=rng.uniform(0.35, 0.7),
        exponent=int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])),
        coupling=rng.uniform(0.3, 2.0),
        background_mm_d=rng.uniform(0.01, 0.06),
        mean_rate_mm_d=rng.uniform(0.35, 0.75) * shape,
    )


def stresses(
    slope: Slope, seepage_factor: float, head_m: Floats, ground_m: Floats, level_m: Floats
) -> tuple[Floats, Floats]:
    """Driving shear stress and effective normal stress (kPa), each (24, T).

    Heads and ground-water levels have shape (24, T), the reservoir level (T,).
    """
    weight = (SOIL_WEIGHT_KN_M3 * slope.depth_m)[:, None]
    sine, cosine = np.sin(slope.slope_rad)[:, None], np.cos(slope.slope_rad)[:, None]
    water = WATER_WEIGHT_KN_M3 * head_m
    gradient = (ground_m - level_m) / np.maximum(slope.distance_m, 120.0)[:, None]
    gradient = np.clip(gradient, -0.02, 0.08) * level_weight(slope)[:, None]
    driving = weight * (sine * cosine) + seepage_factor * water * gradient
    return driving, (weight - water) * cosine**2


def calibrate(draw: CreepDraw, driving: Floats, normal: Floats) -> CreepLaw:
    """Set friction, cohesion and prefactor of every node from its own record (24, T).

    Cohesion makes the drawn share of days marginal; friction is capped where that would ask for
    a negative cohesion; the prefactor gives the mean rate aimed at.
    """
    rank = int(draw.marginal_share * driving.shape[1])
    ratio = np.partition(driving / normal, rank, axis=1)[:, rank]
    friction = np.minimum(draw.friction, 0.95 * ratio)
    surplus = driving - normal * friction[:, None]
    cohesion = np.partition(surplus, rank, axis=1)[:, rank]
    creep = _power(np.maximum(surplus - cohesion[:, None], 0.0), draw.exponent)
    wanted = np.maximum(draw.mean_rate_mm_d - draw.background_mm_d, 0.0)
    chain = 2 * np.eye(NODES) - np.eye(NODES, k=1) - np.eye(NODES, k=-1)
    chain[0, 0] = chain[-1, -1] = 1.0
    return CreepLaw(
        friction=friction,
        cohesion_kpa=cohesion,
        prefactor=wanted / creep.mean(axis=1),
        exponent=draw.exponent,
        seepage_factor=draw.seepage_factor,
        background_mm_d=draw.background_mm_d,
        spread=np.asarray(np.linalg.inv(np.eye(NODES) + draw.coupling * chain), dtype=np.float64),
    )


def _power(excess: Floats, exponent: int) -> Floats:
    result = excess
    for _ in range(exponent - 1):
        result = result * excess
    return result


def excess_and_strength(law: CreepLaw, driving: Floats, normal: Floats) -> tuple[Floats, Floats]:
    """Stress beyond strength (negative when stable) and strength (kPa), each (24, T)."""
    strength = normal * law.friction[:, None] + law.cohesion_kpa[:, None]
    return driving - strength, strength


def point_rates(law: CreepLaw, driving: Floats, normal: Floats) -> Floats:
    """Downslope rates (mm/d) of the observed points, shape (6, T), from stresses (24, T)."""
    excess, _ = excess_and_strength(law, driving, normal)
    creep = _power(np.maximum(excess, 0.0), law.exponent) * law.prefactor[:, None]
    return np.asarray(law.spread[OBSERVED_NODES] @ creep + law.background_mm_d)
