"""Shape of a simulated landslide: a profile of 24 nodes from the bank to the head scarp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NODES = 24
OBSERVED_NODES = np.array([2, 6, 10, 14, 18, 22])
"""Nodes seen by the radar, toe (near the bank) to ridge: the six points of the slope unit."""
POINTS = len(OBSERVED_NODES)
POSITION: Floats = (np.arange(NODES) + 0.5) / NODES
"""Position of each node along the profile, 0 at the bank and 1 at the head, shape (24,)."""

# Sentinel-1 ascending over the Three Gorges: ground to satellite in east, north, up.
_LOOK_EAST, _LOOK_NORTH, _LOOK_UP = -0.61, -0.14, 0.78


@dataclass(frozen=True)
class Slope:
    """Geometry of one landslide; arrays have shape (24,) unless said otherwise."""

    distance_m: Floats
    """Distance from the bank."""
    depth_m: Floats
    """Depth of the slip zone."""
    slope_rad: Floats
    """Inclination of the slip zone."""
    height_m: Floats
    """Height of the surface above the bank."""
    los_factor: Floats
    """LOS millimetres toward the satellite for a millimetre downslope, shape (6,); negative on
    slopes that carry the ground away from the satellite."""


def draw_slope(rng: np.random.Generator) -> Slope:
    """Draw a north-facing bank landslide 500-800 m long."""
    length = rng.uniform(500.0, 800.0)
    deepest, shallowest = rng.uniform(20.0, 35.0), rng.uniform(12.0, 16.0)
    deepest_at = rng.uniform(0.35, 0.6)
    bulge = np.clip(1 - ((POSITION - deepest_at) / 0.65) ** 2, 0.0, 1.0)
    toe_deg, head_deg = rng.uniform(10.0, 14.0), rng.uniform(16.0, 24.0)
    slope_rad = np.deg2rad(toe_deg + (head_deg - toe_deg) * POSITION)
    aspect = np.deg2rad(rng.uniform(0.0, 15.0) + rng.normal(0.0, 2.0, POINTS))
    seen = slope_rad[OBSERVED_NODES]
    horizontal = _LOOK_EAST * np.sin(aspect) + _LOOK_NORTH * np.cos(aspect)
    return Slope(
        distance_m=POSITION * length,
        depth_m=shallowest + (deepest - shallowest) * bulge,
        slope_rad=slope_rad,
        height_m=np.cumsum(np.tan(slope_rad)) * length / NODES,
        los_factor=horizontal * np.cos(seen) - _LOOK_UP * np.sin(seen),
    )


def level_weight(slope: Slope) -> Floats:
    """Share of the reservoir's effect felt at each node, e-folding over 350 m from the bank."""
    return np.asarray(np.exp(-slope.distance_m / 350.0))
