"""The curve of a slope unit: displacement, velocity explained and beyond, rain and level."""

from __future__ import annotations

import math
from datetime import date, timedelta
from importlib import import_module
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from core.evidence import Evidence, Floats
from core.geometry import LEAST_LOS_FACTOR
from core.kinematics import mm_yr_from_mm_d
from services.alerting.bulletin.canvas import Labels, blank, png, tidy
from services.alerting.bulletin.colours import FAINT, INK

WINDOW_D: Final = 1096
NEWEST: Final = 3
_RAIN_D: Final = 30
_RAIN_INK, _LEVEL_INK = "#2a6f97", "#b5651d"
Days = npt.NDArray[np.int64]


class Curve(NamedTuple):
    """One unit on one track over the last three years; N epochs, T days.

    Displacement (mm, relative to the first epoch shown) and rates (mm/yr) are down the slope where
    `downslope`, else along the line of sight, positive toward the satellite.
    """

    track: str
    downslope: bool
    day: Days
    moved_mm: Floats
    sd_mm: Floats
    rate_mm_yr: Floats
    expected_mm_yr: Floats
    excess_mm_yr: Floats
    excess_sd_mm_yr: Floats
    out_of_range: npt.NDArray[np.bool_]
    driver_day: Days
    rain_mm: Floats
    level_m: Floats

    @property
    def measured(self) -> npt.NDArray[np.intp]:
        """Places of the epochs with a displacement."""
        return np.flatnonzero(np.isfinite(self.moved_mm))


class CurveFacts(NamedTuple):
    """What a curve shows in figures; NaN where it does not show it."""

    track: str
    downslope: bool
    first: date
    last: date
    moved_mm: float
    moved_sd_mm: float
    newest_since: date
    newest_mm: float
    newest_sd_mm: float
    expected_mm_yr: float
    excess_mm_yr: float
    excess_sd_mm_yr: float
    rain_30d_mm: float
    level_m: float
    out_of_range: int


def curve_of(evidence: Evidence, unit: str, track: str) -> Curve | None:
    """The unit's curve; None where fewer than two of its epochs were measured."""
    if unit not in evidence.units:
        return None
    place = evidence.units.index(unit)
    factor = float(evidence.los_factor[place])
    downslope = abs(factor) >= LEAST_LOS_FACTOR
    scale = factor if downslope else 1.0
    recent = evidence.epoch_day > int(evidence.epoch_day.max(initial=0)) - WINDOW_D
    moved = evidence.observed_mm[recent, place] / scale
    known = np.flatnonzero(np.isfinite(moved))
    if known.size < 2:
        return None
    day = evidence.epoch_day[recent]
    water = evidence.driver_day >= day[known[0]]
    return Curve(
        track=track,
        downslope=downslope,
        day=day,
        moved_mm=moved - moved[known[0]],
        sd_mm=evidence.observed_sd_mm[recent, place] / abs(scale),
        rate_mm_yr=mm_yr_from_mm_d(evidence.velocity_mm_d[recent, place]) / scale,
        expected_mm_yr=mm_yr_from_mm_d(evidence.expected_mm_d[recent, place]) / scale,
        excess_mm_yr=mm_yr_from_mm_d(evidence.excess_mm_d[recent, place]) / scale,
        excess_sd_mm_yr=mm_yr_from_mm_d(evidence.excess_sd_mm_d[recent, place]) / abs(scale),
        out_of_range=evidence.out_of_range[recent, place],
        driver_day=evidence.driver_day[water],
        rain_mm=evidence.rain_mm[water],
        level_m=evidence.level_m[water],
    )


def curve_facts(curve: Curve) -> CurveFacts:
    """What the curve shows in figures."""
    known = curve.measured
    first, before, last = known[0], known[max(0, known.size - 1 - NEWEST)], known[-1]
    rain = curve.rain_mm[curve.driver_day > curve.driver_day.max(initial=0) - _RAIN_D]
    levels = curve.level_m[np.isfinite(curve.level_m)]
    spoken = np.flatnonzero(np.isfinite(curve.excess_mm_yr) & np.isfinite(curve.expected_mm_yr))
    newest = spoken[-1] if spoken.size else None

    def at(series: Floats) -> float:
        return float(series[newest]) if newest is not None else math.nan

    def between(one: int, other: int) -> tuple[float, float]:
        moved = float(curve.moved_mm[other] - curve.moved_mm[one])
        return moved, float(np.hypot(curve.sd_mm[one], curve.sd_mm[other]))

    return CurveFacts(
        curve.track,
        curve.downslope,
        _date(curve.day[first]),
        _date(curve.day[last]),
        *between(first, last),
        _date(curve.day[before]),
        *between(before, last),
        expected_mm_yr=at(curve.expected_mm_yr),
        excess_mm_yr=at(curve.excess_mm_yr),
        excess_sd_mm_yr=at(curve.excess_sd_mm_yr),
        rain_30d_mm=float(np.nansum(rain)) if np.isfinite(rain).any() else math.nan,
        level_m=float(levels[-1]) if levels.size else math.nan,
        out_of_range=int(curve.out_of_range.sum()),
    )


def draw_curve(curve: Curve, arose: date, accent: str, labels: Labels) -> bytes:
    """The curve as PNG; what is newest and beyond expectation in `accent`."""
    has_water = bool(np.isfinite(curve.rain_mm).any() or np.isfinite(curve.level_m).any())
    has_rate = bool(np.isfinite(curve.rate_mm_yr).any() or np.isfinite(curve.excess_mm_yr).any())
    heights = [3.0, *([2.0] if has_rate else []), *([1.5] if has_water else [])]
    figure = blank(0.72 * sum(heights) + 0.6)
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)
    axes = list(panels[:, 0])
    _displacement(axes[0], curve, accent, labels)
    if has_rate:
        _rates(axes[1], curve, accent, labels)
    if has_water:
        _water(axes[-1], curve, labels)
    for one in axes:
        tidy(one)
        one.axvline(_number(arose), color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    _dates(axes, curve, arose)
    figure.align_ylabels(axes)
    return png(figure, labels)


def _displacement(axes: Any, curve: Curve, accent: str, labels: Labels) -> None:
    known = curve.measured
    newest = known[-NEWEST:]
    axes.plot(curve.day[known], curve.moved_mm[known], color=FAINT, linewidth=1, zorder=2)
    for places, colour, size in ((known[:-NEWEST], FAINT, 3), (newest, INK, 6)):
        axes.errorbar(
            *(curve.day[places], curve.moved_mm[places]),
            yerr=np.nan_to_num(curve.sd_mm[places]),
            fmt="o",
            color=colour,
            markersize=size,
            elinewidth=1,
            markerfacecolor=colour if size == 3 else accent,
            zorder=3,
        )
    lost = np.flatnonzero(curve.out_of_range)
    if lost.size:
        heights = np.where(np.isfinite(curve.moved_mm[lost]), curve.moved_mm[lost], 0.0)
        axes.plot(
            *(curve.day[lost], heights, "x"),
            color=INK,
            markersize=11,
            markeredgewidth=1.4,
            zorder=2.5,
            label=labels.say("out_of_range"),
        )
        axes.legend(loc="upper left", fontsize=7, frameon=False, borderpad=0.1)
    component = "downslope" if curve.downslope else "los"
    axes.set_ylabel(labels.say(f"displacement_{component}"), fontsize=8, color=INK)


def _rates(axes: Any, curve: Curve, accent: str, labels: Labels) -> None:
    axes.axhline(0, color=FAINT, linewidth=0.6)
    total = curve.expected_mm_yr + curve.excess_mm_yr
    if np.isfinite(total).any():
        sd = np.nan_to_num(curve.excess_sd_mm_yr)
        axes.fill_between(curve.day, total - sd, total + sd, color=accent, alpha=0.3, linewidth=0)
        axes.plot(curve.day, total, color=INK, linewidth=1.6, label=labels.say("with_excess"))
        axes.plot(
            *(curve.day, curve.expected_mm_yr),
            color=FAINT,
            linewidth=1.6,
            linestyle=(0, (1, 1)),
            label=labels.say("expected"),
        )
        axes.legend(loc="upper left", fontsize=7, frameon=False, ncols=2, borderpad=0.1)
    else:
        axes.plot(curve.day, curve.rate_mm_yr, color=INK, linewidth=1.6)
    axes.set_ylabel(labels.say("rate"), fontsize=8, color=INK)


def _water(axes: Any, curve: Curve, labels: Labels) -> None:
    axes.vlines(curve.driver_day, 0, np.nan_to_num(curve.rain_mm), color=_RAIN_INK, linewidth=0.8)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(labels.say("rain"), fontsize=8, color=_RAIN_INK)
    if np.isfinite(curve.level_m).any():
        right = axes.twinx()
        right.plot(curve.driver_day, curve.level_m, color=_LEVEL_INK, linewidth=1.3)
        right.set_ylabel(labels.say("level"), fontsize=8, color=_LEVEL_INK)
        tidy(right)


def _dates(axes: list[Any], curve: Curve, arose: date) -> None:
    """Months as figures under the last panel, the day of the news over the first."""
    dates: Any = import_module("matplotlib.dates")
    known = curve.measured
    first, last = int(curve.day[known[0]]), max(int(curve.day[-1]), _number(arose))
    margin = max(4.0, 0.015 * (last - first))
    axes[-1].set_xlim(first - margin, last + margin)
    axes[-1].xaxis.set_major_locator(dates.AutoDateLocator(minticks=3, maxticks=7))
    axes[-1].xaxis.set_major_formatter(dates.DateFormatter("%Y-%m"))
    axes[0].annotate(
        *(arose.isoformat(), (_number(arose), 1.0)),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="right",
        fontsize=7.5,
        color=INK,
    )


def _date(day: np.int64) -> date:
    return date(1970, 1, 1) + timedelta(days=int(day))


def _number(day: date) -> int:
    return (day - date(1970, 1, 1)).days
