"""Where a track's points lie, what they see, and which slope unit they belong to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from core.artifacts import numbers, unpack
from core.errors import BadInputError
from core.evidence import Floats
from core.geometry import (
    SENTINEL1_WAVELENGTH_MM,
    UnitVector,
    ambiguity_limit_mm,
    downslope_unit_vector,
    los_factor,
)
from core.settings import Site
from services.inference.timeseries.motion import Layout
from services.inference.timeseries.noise import atmosphere_variance_mm2

EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True)
class Points:
    """Static geometry of a track's P points under the site's U slope units.

    `unit` (P,): index of the point's unit, -1 for none. `factor` (U,): mean signed LOS mm per mm
    downslope. `in_reference` (P,): the point lies on the site's firm ground. `shared_mm2` (P,)
    and `shared_unit_mm2` (U,): variance of an epoch's atmosphere relative to the reference.
    """

    lon: Floats
    lat: Floats
    unit: np.ndarray
    factor: Floats
    in_reference: np.ndarray
    shared_mm2: Floats
    shared_unit_mm2: Floats
    layout: Layout


def read_points(content: bytes, site: Site) -> Points:
    """Geometry of a points artifact; `BadInputError` where its arrays do not fit together."""
    arrays = unpack(content)
    names = ("lon", "lat", "los_east", "los_north", "los_up")
    columns = [numbers(arrays, name) for name in names]
    if columns[0].ndim != 1 or any(c.shape != columns[0].shape for c in columns):
        raise BadInputError("points artifact: lon, lat and los_* must have one value a point")
    if not all(np.isfinite(c).all() for c in columns[:2]):
        raise BadInputError("points artifact: a place is not finite")
    lon, lat, los = columns[0], columns[1], np.stack(columns[2:])
    unit = _unit_of(lon, lat, site)
    membership = (unit[None, :] == np.arange(len(site.slope_units))[:, None]).astype(float)
    shared = _shared_variance(lon, lat, site)
    limit = ambiguity_limit_mm(SENTINEL1_WAVELENGTH_MM)
    flanks = np.array([u.flank_pixels or np.inf for u in site.slope_units])
    return Points(
        lon=lon,
        lat=lat,
        unit=unit,
        factor=_factors(membership, los, site),
        in_reference=_in_reference(lon, lat, site),
        shared_mm2=shared,
        shared_unit_mm2=_unit_mean(membership, shared),
        layout=Layout(membership, limit * flanks),
    )


def _unit_of(lon: Floats, lat: Floats, site: Site) -> np.ndarray:
    unit = np.full(lon.size, -1, dtype=np.int64)
    for index, slope in reversed(list(enumerate(site.slope_units))):
        polygon = shapely.Polygon(slope.polygon)
        unit[shapely.intersects_xy(polygon, lon, lat)] = index
    return unit


def _factors(membership: Floats, los: Floats, site: Site) -> Floats:
    factors = np.full(len(site.slope_units), np.nan)
    for index, slope in enumerate(site.slope_units):
        inside = membership[index] > 0
        if slope.slope_deg is not None and slope.aspect_deg is not None and inside.any():
            downslope = downslope_unit_vector(slope.slope_deg, slope.aspect_deg)
            mean_los = los[:, inside].mean(axis=1)
            factors[index] = float(los_factor(UnitVector(*mean_los), downslope))
    return factors


def _in_reference(lon: Floats, lat: Floats, site: Site) -> np.ndarray:
    if site.reference.box is None:
        return np.ones(lon.size, dtype=bool)
    west, south, east, north = site.reference.box
    return (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)


def _shared_variance(lon: Floats, lat: Floats, site: Site) -> Floats:
    if site.noise.atmosphere_sd_mm is not None:
        return np.full(lon.size, site.noise.atmosphere_sd_mm**2)
    west, south, east, north = site.reference.box or site.area
    x0, y0 = (west + east) / 2, (south + north) / 2
    east_km = np.radians(lon - x0) * np.cos(np.radians(y0)) * EARTH_RADIUS_KM
    north_km = np.radians(lat - y0) * EARTH_RADIUS_KM
    return np.asarray(atmosphere_variance_mm2(np.hypot(east_km, north_km)), float)


def _unit_mean(membership: Floats, values: Floats) -> Floats:
    count = membership.sum(axis=1)
    return np.where(count > 0, membership @ values / np.maximum(count, 1), 0.0)
