"""The small map of a site: slope units, measured points, scale bar; north is up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.evidence import Floats
from services.console.plots import dots_path, round_steps
from services.console.view import SiteView

WIDTH, HEIGHT, MARGIN = 280.0, 200.0, 18.0
MAX_POINTS = 1000
_METRES_PER_DEGREE = 111_320.0
_CLASSES = (
    ("away-fast", -np.inf, -0.25),
    ("away", -0.25, -0.05),
    ("still", -0.05, 0.05),
    ("toward", 0.05, 0.25),
    ("toward-fast", 0.25, np.inf),
)


@dataclass(frozen=True)
class Outline:
    """A slope unit on the map: closed path, and where its name goes."""

    unit: str
    path: str
    x: float
    y: float


@dataclass(frozen=True)
class SiteMap:
    """Paths on a canvas of `WIDTH` x `HEIGHT`; `dots` are (class, path); the bar in pixels."""

    outlines: tuple[Outline, ...]
    dots: tuple[tuple[str, str], ...]
    bar_px: float
    bar_label: str
    by_rate: bool
    width: float = WIDTH
    height: float = HEIGHT


def site_map(site: SiteView) -> SiteMap | None:
    """Lay out polygons and points; none where the site has neither.

    Equirectangular about the middle of the site: off by less than 0.1 % over some kilometres.
    """
    points = np.asarray(site.points, float)
    points = points if points.ndim == 2 and points.shape[1] >= 2 else np.empty((0, 2))
    rings = {u: np.asarray(ring, float) for u, ring in site.polygons.items() if len(ring) >= 3}
    places = np.concatenate([*rings.values(), points[:, :2]]) if rings else points[:, :2]
    places = places[np.isfinite(places).all(axis=1)]
    if not len(places):
        return None
    low, high = places.min(axis=0), places.max(axis=0)
    middle = (low + high) / 2
    metres = _METRES_PER_DEGREE * np.array([np.cos(np.radians(middle[1])), 1.0])
    extent = np.maximum((high - low) * metres, 50.0)
    scale = float(min((WIDTH - 2 * MARGIN) / extent[0], (HEIGHT - 2 * MARGIN - 16) / extent[1]))
    flip = scale * metres * np.array([1.0, -1.0])

    def pixels(lonlat: Floats) -> Floats:
        placed: Floats = (lonlat - middle) * flip + np.array([WIDTH / 2, HEIGHT / 2 - 8])
        return placed

    outlines = tuple(_outline(unit, pixels(ring)) for unit, ring in rings.items())
    bar_m = _bar_metres(90 / scale)
    label = f"{bar_m / 1000:g} km" if bar_m >= 1000 else f"{bar_m:g} m"
    dots = _dots(points, pixels(points[:, :2]))
    return SiteMap(outlines, dots, round(bar_m * scale, 1), label, points.shape[1] > 2)


def _outline(unit: str, ring: Floats) -> Outline:
    corners = " ".join(f"{x:.1f} {y:.1f}" for x, y in ring)
    x, y = (ring.min(axis=0) + ring.max(axis=0)) / 2
    return Outline(unit, f"M{corners}z", round(float(x), 1), round(float(y), 1))


def _bar_metres(longest: float) -> float:
    """The roundest length not longer than `longest` metres."""
    return next(v for v in reversed(round_steps(0, longest, 2).at) if v > 0)


def _dots(points: Floats, pixels: Floats) -> tuple[tuple[str, str], ...]:
    """Points by class of rate (third column, mm/d, + toward), unclassed where there is none."""
    if not len(points):
        return ()
    keep = np.arange(0, len(points), -(-len(points) // MAX_POINTS))
    x, y = pixels[keep, 0], pixels[keep, 1]
    if points.shape[1] < 3:
        return (("still", dots_path(x, y)),)
    rate = points[keep, 2]
    groups = [("still", ~np.isfinite(rate))]
    groups += [(name, (rate >= low) & (rate < high)) for name, low, high in _CLASSES]
    return tuple((name, dots_path(x[of], y[of])) for name, of in groups if of.any())
