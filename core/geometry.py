"""Line of sight, slope frame, and phase: directions and signs in one place.

Every function takes floats or arrays (any shape, broadcasting) of any namespace that follows the
Python array API; floats alone become NumPy arrays. Angles are in degrees. Displacement along the
line of sight is positive toward the satellite. Phase grows with range, so motion toward the
satellite has negative phase.

Sources: R. F. Hanssen, Radar Interferometry (2001), sections 2.3 and 3.1; for the projection onto
the slope, L. Cascini, G. Fornaro and D. Peduto, Engineering Geology 112 (2010) 29-42.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj

Array: TypeAlias = Any
"""An array of any namespace that follows the Python array API."""

SPEED_OF_LIGHT_M_S = 299_792_458.0
SENTINEL1_FREQUENCY_HZ = 5.405e9
SENTINEL1_WAVELENGTH_MM = 1e3 * SPEED_OF_LIGHT_M_S / SENTINEL1_FREQUENCY_HZ
"""Carrier wavelength of Sentinel-1 C-SAR: 55.466 mm."""

LEAST_LOS_FACTOR = 0.2
"""Below this |C| the line of sight hardly sees the slope's own direction."""


class UnitVector(NamedTuple):
    """A direction of length one in the local frame."""

    east: Array
    north: Array
    up: Array


def los_unit_vector(heading_deg: Array | float, incidence_deg: Array | float) -> UnitVector:
    """Direction from the ground to a right-looking satellite.

    `heading_deg` is the azimuth of the flight direction, clockwise from north (about -12 for
    ascending, -168 for descending Sentinel-1); `incidence_deg` is measured from the vertical.
    (E, N, U) = (-sin i cos h, sin i sin h, cos i).
    """
    xp, (heading, incidence) = _radians(heading_deg, incidence_deg)
    across = xp.sin(incidence)
    up = xp.cos(incidence) + 0.0 * heading
    return UnitVector(-across * xp.cos(heading), across * xp.sin(heading), up)


def downslope_unit_vector(slope_deg: Array | float, aspect_deg: Array | float) -> UnitVector:
    """Direction of steepest descent along the surface.

    `slope_deg` is the angle below the horizontal (b), `aspect_deg` the azimuth of the downhill
    direction, clockwise from north (a). (E, N, U) = (sin a cos b, cos a cos b, -sin b).
    """
    xp, (slope, aspect) = _radians(slope_deg, aspect_deg)
    level = xp.cos(slope)
    up = -xp.sin(slope) + 0.0 * aspect
    return UnitVector(xp.sin(aspect) * level, xp.cos(aspect) * level, up)


def los_factor(los: UnitVector, downslope: UnitVector) -> Array:
    """C = l . s: line-of-sight motion (mm) per mm of downslope motion, signed, -1 to 1."""
    return los.east * downslope.east + los.north * downslope.north + los.up * downslope.up


def downslope_from_los(los_mm: Array, factor: Array | float) -> Array:
    """Downslope displacement (mm, positive downhill) that explains `los_mm`: d_los / C.

    Assumes that all motion is along the slope. NaN where |C| < 0.2: there a millimetre of noise
    would become five or more of motion.
    """
    xp, (los, c) = _arrays(los_mm, factor)
    seen = xp.abs(c) >= LEAST_LOS_FACTOR
    c = xp.where(seen, c, xp.ones_like(c))
    return xp.where(seen, los / c, xp.full_like(los / c, math.nan))


def phase_to_los_mm(
    phase_rad: Array | float, wavelength_m: float = SENTINEL1_WAVELENGTH_MM / 1e3
) -> Array:
    """Displacement toward the satellite (mm) of an unwrapped phase: d = -lambda / (4 pi) phi."""
    return phase_rad * (-1e3 * wavelength_m / (4.0 * math.pi))


def los_mm_to_phase(
    los_mm: Array | float, wavelength_m: float = SENTINEL1_WAVELENGTH_MM / 1e3
) -> Array:
    """Phase (rad) of a displacement toward the satellite: phi = -4 pi / lambda d."""
    return los_mm * (-4.0 * math.pi / (1e3 * wavelength_m))


def ambiguity_limit_mm(wavelength_mm: float = SENTINEL1_WAVELENGTH_MM) -> float:
    """Largest change (mm) between two images that wrapped phase can tell: a quarter wavelength.

    13.87 mm for Sentinel-1; half a phase cycle. A larger change needs to be unwrapped.
    """
    return wavelength_mm / 4.0


def _arrays(*values: Array | float) -> tuple[Any, list[Array]]:
    """The namespace of `values` and all of them as its arrays; floats alone become NumPy's."""
    arrays: list[Array] = [value for value in values if is_array_api_obj(value)]
    if not arrays:
        return np, [np.asarray(value, dtype=np.float64) for value in values]
    xp = array_namespace(*arrays)
    like: Array = arrays[0]
    return xp, [
        value
        if is_array_api_obj(value)
        else xp.asarray(value, dtype=like.dtype, device=device(like))
        for value in values
    ]


def _radians(*degrees: Array | float) -> tuple[Any, list[Array]]:
    """As `_arrays`, turned from degrees into radians."""
    xp, values = _arrays(*degrees)
    return xp, [value * (math.pi / 180.0) for value in values]
