"""Picture of one simulated site: what drives it, what it does, what the radar sees of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from core.twin.forcing import YEAR_DAYS, level_rule
from core.twin.pools import SimulatedPool

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TOE, _RIDGE = 0, 5
_RAIN_SUM_D = 10
_RAIN, _LEVEL, _INK = "#4477aa", "#228833", "#333333"
_ONSET, _FAILURE = "#ccaa22", "#bb2222"
_POINTS = ((_TOE, "toe", "#0e6e8c"), (_RIDGE, "ridge", "#c2571a"))


class _Event(NamedTuple):
    """A day worth a mark, in years of the record."""

    year: float
    name: str
    color: str


def figure(pool: SimulatedPool, site: int) -> Figure:
    """Draw site number `site` of a pool: rain, level, and LOS displacement of toe and ridge."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(11, 8), layout="constrained")
    rain, level, motion = drawn.subplots(3, 1, sharex=True, height_ratios=[1, 1.2, 3])
    drawn.suptitle(_title(pool, site), fontsize=12, color=_INK)
    _draw_rain(rain, pool.truth.rain_mm[site])
    _draw_level(level, pool.truth.level_m[site])
    _draw_motion(motion, pool, site)
    events = _events(pool, site)
    years = pool.truth.rain_mm.shape[1] // YEAR_DAYS
    for axes in (rain, level, motion):
        axes.grid(axis="x", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(0, years)
        for event in events:
            axes.axvline(event.year, color=event.color, linewidth=1.4, linestyle="--")
    for event in events:
        rain.annotate(
            event.name,
            (event.year, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if event.name == "onset" else 3, 2),
            textcoords="offset points",
            ha="right" if event.name == "onset" else "left",
            color=event.color,
            fontsize=9,
        )
    motion.set_xticks(np.arange(years + 1))
    motion.set_xlabel("years since the record began, each from 1 January")
    drawn.align_ylabels([rain, level, motion])
    return drawn


def _title(pool: SimulatedPool, site: int) -> str:
    truth = pool.truth
    kind = str(truth.kind[site])
    if truth.runaway_family[site] != "none":
        kind = f"{kind} ({truth.runaway_family[site]})"
    return (
        f"Simulated slope {site} of the pool {pool.role}: {kind}, {truth.drainage[site]} type, "
        f"hydrology {truth.hydrology_family[site]}, noise {pool.noise}"
    )


def _events(pool: SimulatedPool, site: int) -> list[_Event]:
    onset, failure = int(pool.truth.onset_day[site]), int(pool.truth.failure_day[site])
    marks = []
    if onset >= 0:
        marks.append(_Event(onset / YEAR_DAYS, "onset", _ONSET))
    if failure >= 0:
        marks.append(_Event(failure / YEAR_DAYS, "failure", _FAILURE))
    return marks


def _draw_rain(axes: Axes, rain_mm: np.ndarray) -> None:
    whole = len(rain_mm) // _RAIN_SUM_D * _RAIN_SUM_D
    total = rain_mm[:whole].reshape(-1, _RAIN_SUM_D).sum(axis=1)
    start = np.arange(0, whole, _RAIN_SUM_D) / YEAR_DAYS
    axes.bar(start, total, width=_RAIN_SUM_D / YEAR_DAYS * 0.9, align="edge", color=_RAIN)
    axes.set_ylabel(f"rain,\nmm in {_RAIN_SUM_D} d")


def _draw_level(axes: Axes, level_m: np.ndarray) -> None:
    day = np.arange(len(level_m))
    rule = level_rule()[day % YEAR_DAYS]
    axes.plot(day / YEAR_DAYS, rule, color="#aaaaaa", linewidth=1, label="rule curve")
    axes.plot(day / YEAR_DAYS, level_m, color=_LEVEL, linewidth=1.2, label="level")
    axes.set_ylabel("reservoir\nlevel, m")
    axes.legend(loc="upper left", ncols=2, fontsize=8, frameon=False, bbox_to_anchor=(0, 1.16))


def _draw_motion(axes: Axes, pool: SimulatedPool, site: int) -> None:
    seen = pool.seen
    epoch = seen.epoch_day[site][seen.epoch_day[site] >= 0]
    count, first = len(epoch), int(epoch[0])
    failure = int(pool.truth.failure_day[site])
    end = failure if failure >= 0 else pool.truth.rain_mm.shape[1]
    shown = []
    for point, name, color in _POINTS:
        motion = pool.truth.displacement_mm[site, :, point] * pool.truth.los_factor[site, point]
        motion = (motion - motion[first])[:end]
        day = np.arange(end) / YEAR_DAYS
        axes.plot(day, motion, color=color, linewidth=1.4, label=f"{name}, truth")
        los, sd = seen.los_mm[site, :count, point], seen.sigma_mm[site, :count, point]
        axes.errorbar(
            epoch / YEAR_DAYS,
            los,
            yerr=sd,
            fmt="o",
            markersize=2.6,
            color=color,
            ecolor=color,
            elinewidth=0.6,
            alpha=0.55,
            label=f"{name}, observed with its stated sd",
        )
        shown.append(los)
    _fit(axes, np.concatenate(shown))
    lost = epoch[seen.wrapped[site, :count]] / YEAR_DAYS
    if len(lost):
        bottom = np.full(len(lost), axes.get_ylim()[0])
        axes.plot(lost, bottom, "x", color=_FAILURE, clip_on=False, label="cycles lost")
    axes.axhline(0, color="#bbbbbb", linewidth=0.8)
    axes.set_ylabel("LOS displacement since the first epoch, mm\n(positive toward the satellite)")
    axes.legend(loc="best", fontsize=9, frameon=False)


def _fit(axes: Axes, los_mm: np.ndarray) -> None:
    """Scale to what was observed: a failing slope's last days would flatten all before them."""
    low, high = float(los_mm.min()), float(los_mm.max())
    margin = 0.06 * max(high - low, 10.0)
    axes.set_ylim(low - margin, high + margin)
