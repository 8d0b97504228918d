"""The map of a slope unit: polygons, the unit's level, measured points by velocity."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from core.evidence import Evidence, Floats
from core.kinematics import mm_yr_from_mm_d
from core.settings import Site
from services.alerting.bulletin.canvas import Labels, blank, png, tidy
from services.alerting.bulletin.colours import FAINT, INK
from services.alerting.message import WHOLE_SITE

MAX_POINTS: Final = 3000
"""Points drawn at most; of more, every so many."""
_MAX_NAMES: Final = 12
_GROWN: Final = 2.5
_M_PER_DEGREE: Final = 111_195.0
_LEAST_RANGE_MM_YR: Final = 10.0


class Frame(NamedTuple):
    """Metres east and north of a middle, for places within some tens of kilometres of it."""

    lon: float
    lat: float

    def metres(self, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
        """Places in degrees as metres from the middle."""
        across = _M_PER_DEGREE * math.cos(math.radians(self.lat))
        return (lon - self.lon) * across, (lat - self.lat) * _M_PER_DEGREE


class Area(NamedTuple):
    """Units (id, ring as (N, 2) degrees) and P measured points of a site on one track.

    `told`: id of the unit of the message, empty for all. `velocity_mm_yr` along the line of sight,
    positive toward the satellite; `inside`: in the told unit, or in any where there is none.
    """

    units: tuple[tuple[str, Floats], ...]
    told: str
    lon: Floats
    lat: Floats
    velocity_mm_yr: Floats
    inside: Any
    is_measured: bool = True


class MapFacts(NamedTuple):
    """What a map shows in figures; `inside` None without evidence, rates NaN without points."""

    units: int
    inside: int | None
    slowest_mm_yr: float
    median_mm_yr: float
    fastest_mm_yr: float


def area_of(site: Site, unit: str, evidence: Evidence | None) -> Area:
    """What there is to draw; points without place or velocity are left out."""
    rings = tuple((one.id, np.array(one.polygon, float)) for one in site.slope_units)
    told = "" if unit == WHOLE_SITE else unit
    if evidence is None:
        nothing = np.zeros(0)
        return Area(rings, told, nothing, nothing, nothing, np.zeros(0, bool), False)
    velocity = mm_yr_from_mm_d(evidence.point_velocity_mm_d[-1])
    known = np.isfinite(evidence.point_lon) & np.isfinite(evidence.point_lat)
    known &= np.isfinite(velocity)
    mine = evidence.point_unit >= 0
    if told in evidence.units:
        mine = evidence.point_unit == evidence.units.index(told)
    lon, lat = evidence.point_lon[known], evidence.point_lat[known]
    return Area(rings, told, lon, lat, velocity[known], mine[known])


def map_facts(area: Area) -> MapFacts:
    """What the map shows in figures."""
    mine = area.velocity_mm_yr[area.inside]
    if not mine.size:
        nothing = 0 if area.is_measured else None
        return MapFacts(len(area.units), nothing, math.nan, math.nan, math.nan)
    ordered = mine[np.argsort(np.abs(mine), kind="stable")]
    return MapFacts(
        *(len(area.units), int(mine.size)),
        slowest_mm_yr=float(ordered[0]),
        median_mm_yr=float(np.median(mine)),
        fastest_mm_yr=float(ordered[-1]),
    )


def draw_map(area: Area, level: str, colour: str, labels: Labels) -> bytes:
    """The map as PNG: the told unit filled with `colour`."""
    rings = dict(area.units)
    focus = rings.get(area.told)
    every = np.concatenate([ring for _, ring in area.units])
    middle = _middle(every if focus is None else focus)
    frame = Frame(*middle)
    figure = blank(4.6)
    axes = figure.subplots()
    axes.set_aspect("equal")
    _units(axes, area, frame, level, colour, labels)
    _points(figure, axes, area, frame, labels)
    _limits(axes, frame, every, focus)
    _degrees(axes, frame)
    _scale_bar(axes)
    _north(axes, labels)
    return png(figure, labels)


def _units(axes: Any, area: Area, frame: Frame, level: str, colour: str, labels: Labels) -> None:
    for name, ring in area.units:
        x, y = frame.metres(ring[:, 0], ring[:, 1])
        told = name == area.told
        axes.fill(x, y, facecolor=colour if told else "none", alpha=0.3 if told else 1.0, zorder=1)
        line = {"color": INK, "linewidth": 2.4} if told else {"color": FAINT, "linewidth": 1.2}
        axes.plot(np.append(x, x[0]), np.append(y, y[0]), zorder=2, **line)
        if told or len(area.units) <= _MAX_NAMES:
            text = f"{name}: {labels.say(level)}" if told and level else name
            axes.annotate(
                *(text, ((x.min() + x.max()) / 2, y.max())),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=9 if told else 7.5,
                fontweight="bold" if told else "normal",
                color=INK,
                parse_math=False,
                clip_on=True,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
                zorder=5,
            )


def _points(figure: Any, axes: Any, area: Area, frame: Frame, labels: Labels) -> None:
    if not area.lon.size:
        return
    order = np.argsort(~area.inside, kind="stable")
    chosen = order[:: math.ceil(order.size / MAX_POINTS)]
    x, y = frame.metres(area.lon[chosen], area.lat[chosen])
    velocity = area.velocity_mm_yr[chosen]
    widest = max(_LEAST_RANGE_MM_YR, float(np.percentile(np.abs(velocity), 98)))
    drawn = axes.scatter(
        *(x, y),
        c=velocity,
        s=float(np.clip(4000 / chosen.size, 5, 34)),
        cmap="PRGn",
        vmin=-widest,
        vmax=widest,
        edgecolors=INK,
        linewidths=0.4,
        zorder=3,
    )
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.02, aspect=28)
    bar.set_label(labels.say("velocity_los"), fontsize=8, color=INK)
    bar.outline.set_edgecolor(FAINT)
    tidy(bar.ax)


def _middle(ring: Floats) -> tuple[float, float]:
    low, high = ring.min(axis=0), ring.max(axis=0)
    return float((low[0] + high[0]) / 2), float((low[1] + high[1]) / 2)


def _limits(axes: Any, frame: Frame, every: Floats, focus: Floats | None) -> None:
    """All units, but no more than the surroundings of the one told of."""
    x, y = frame.metres(every[:, 0], every[:, 1])
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    if focus is not None:
        x, y = frame.metres(focus[:, 0], focus[:, 1])
        half = _GROWN * max(np.ptp(x), np.ptp(y)) / 2
        low, high = np.maximum(low, -half), np.minimum(high, half)
    margin = 0.14 * max(*(high - low), 1.0)
    axes.set_xlim(low[0] - margin, high[0] + margin)
    axes.set_ylim(low[1] - margin, high[1] + margin)


def _degrees(axes: Any, frame: Frame) -> None:
    """Round degrees along both axes, which are in metres."""
    from matplotlib.ticker import MaxNLocator

    across = _M_PER_DEGREE * math.cos(math.radians(frame.lat))
    for axis, middle, scale in (
        (axes.xaxis, frame.lon, across),
        (axes.yaxis, frame.lat, _M_PER_DEGREE),
    ):
        low, high = axis.get_view_interval() / scale + middle
        ticks = MaxNLocator(4).tick_values(low, high)
        inside = ticks[(ticks >= low) & (ticks <= high)]
        digits = max(len(f"{tick:.5f}".rstrip("0").partition(".")[2]) for tick in inside)
        axis.set_ticks((inside - middle) * scale, [f"{tick:.{digits}f}°" for tick in inside])
    tidy(axes)


def _scale_bar(axes: Any) -> None:
    """A length of 1, 2 or 5 times a power of ten, about a quarter of the width."""
    (west, east), (south, north) = axes.get_xlim(), axes.get_ylim()
    about = (east - west) / 4
    power = 10.0 ** math.floor(math.log10(about))
    length = power * max(step for step in (1, 2, 5) if step * power <= about)
    x, y = west + 0.05 * (east - west), south + 0.05 * (north - south)
    axes.plot([x, x + length], [y, y], color=INK, linewidth=3, solid_capstyle="butt", zorder=6)
    text = f"{length:g} m" if length < 1000 else f"{length / 1000:g} km"
    axes.annotate(
        *(text, (x + length / 2, y)),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=8,
        color=INK,
        zorder=6,
    )


def _north(axes: Any, labels: Labels) -> None:
    axes.annotate(
        *(labels.say("north"), (0.96, 0.98)),
        xytext=(0.96, 0.86),
        xycoords="axes fraction",
        textcoords="axes fraction",
        ha="center",
        fontsize=9,
        color=INK,
        arrowprops={"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 0},
        zorder=6,
    )
