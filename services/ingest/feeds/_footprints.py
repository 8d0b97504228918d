"""Which ground a scene covers, as the catalogue's metadata (UMM-G) says it.

Source: https://cmr.earthdata.nasa.gov/search/site/docs/search/api.html (spatial searches): the
edges of a granule's polygon are great circles, those of a box are parallels and meridians.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

Box = tuple[float, float, float, float]
Floats = npt.NDArray[np.float64]

STEPS = 16
"""Parts that an edge is cut into: straight ones are within 20 m of a great circle of 300 km."""


class Footprint(NamedTuple):
    """Rings of longitude and latitude in degrees, (n, 2) each; no ring jumps by 360 degrees."""

    rings: tuple[Floats, ...]

    def meets(self, area: Box) -> bool:
        """Whether it has a point in common with `area`: west, south, east, north in degrees."""
        middle = (area[0] + area[2]) / 2
        box = shapely.box(*area)
        return any(bool(_polygon(ring, middle).intersects(box)) for ring in self.rings)


def footprint(item: Any) -> Footprint | None:
    """The footprint of a raw item of the catalogue; None where it has none that can be read."""
    try:
        polygons = item["umm"]["SpatialExtent"]["HorizontalSpatialDomain"]["Geometry"]["GPolygons"]
        rings = tuple(_ring(polygon["Boundary"]["Points"]) for polygon in polygons)
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return Footprint(rings) if rings else None


def _ring(points: list[dict[str, float]]) -> Floats:
    corners = np.array([(p["Longitude"], p["Latitude"]) for p in points], dtype=np.float64)
    if len(corners) < 4 or not np.isfinite(corners).all():
        raise ValueError("no ring")
    lon, lat = np.radians(corners).T
    ends = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    # Points on the chord lie on the great circle as seen from the centre of the sphere.
    part = np.arange(STEPS)[:, None] / STEPS
    chords = [a + part * (b - a) for a, b in pairwise(ends)]
    x, y, z = np.concatenate([*chords, ends[-1:]]).T
    around = np.unwrap(np.degrees(np.arctan2(y, x)), period=360)
    return np.stack([around, np.degrees(np.arctan2(z, np.hypot(x, y)))], axis=1)


def _polygon(ring: Floats, middle: float) -> Any:
    """The ring on that turn of the globe which is nearest to the longitude `middle`."""
    turn = 360 * np.round((middle - ring[:, 0].mean()) / 360)
    return shapely.make_valid(shapely.Polygon(ring + np.array([turn, 0.0])))
