"""What warning time a budget buys: failures detected by lead against false alarms a unit-year.

The curve is of the sites that limits were searched on, all rules together with the shares that the
search found, beside two-epoch velocity at the same rates. It shows how a budget trades; what a
table does on other sites is another figure, a little less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from core.evidence import Floats
from services.scoring import score
from services.scoring.comparators import COMPARATORS
from services.scoring.levels import Flags, levels_over_time
from services.scoring.pool import YEAR_DAYS, Pool
from services.scoring.score import LEADS_DAYS, Interval
from services.scoring.search import Found, Search, curve_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RULES: Final = "all rules together"
PEER: Final = "two-epoch velocity"
POINTS: Final = 8
LEAST_RATE: Final = 0.01
"""False alarms a unit-year at which a curve begins."""
_COLOURS: Final = {RULES: "#0e6e8c", PEER: "#c2571a"}


class Point(NamedTuple):
    """One place on a curve: false alarms a unit-year and how many they are, detection by lead."""

    false_alarms: Interval
    episodes: int
    detected: Mapping[int, Interval]


Curves = Mapping[str, Sequence[Point]]


class _Asked(NamedTuple):
    """Where an alert is asked for at sites without failure and at sites that fail, (S, K)."""

    quiet: Flags
    failing: Flags


def curves(search: Search, found: Found, most: float) -> Curves:
    """Both curves at rates from 0.01 to `most` false alarms a unit-year."""
    rates = np.geomspace(LEAST_RATE, most, POINTS)
    statistic, fresh = COMPARATORS[PEER]
    quiet, failing = statistic(search.quiet.pool), statistic(search.failing.pool)
    fresh_quiet, fresh_failing = fresh(search.quiet.pool), fresh(search.failing.pool)
    peer = curve_of(search.quiet.pool, quiet, fresh_quiet, 1.5 * most)
    return {
        RULES: [
            _point(
                search,
                _asked(search, found, float(rate)),
                (search.quiet.fresh, search.failing.fresh),
            )
            for rate in rates
        ],
        PEER: [
            _point(
                search,
                _Asked(quiet >= peer.at(float(rate)), failing >= peer.at(float(rate))),
                (fresh_quiet, fresh_failing),
            )
            for rate in rates
        ],
    }


def _asked(search: Search, found: Found, rate: float) -> _Asked:
    """Any rule past its share of a common rate."""
    limits = {name: search.curves[name].at(w * rate) for name, w in found.shares.items()}
    return _Asked(
        *(
            np.logical_or.reduce([side.statistics[name] >= at for name, at in limits.items()])
            if limits
            else np.zeros(side.fresh.shape, dtype=bool)
            for side in (search.quiet, search.failing)
        )
    )


def _point(search: Search, asked: _Asked, fresh: tuple[Flags, Flags]) -> Point:
    quiet, failing = search.quiet.pool, search.failing.pool
    on = levels_over_time(asked.quiet.astype(np.int8), fresh[0]) > 0
    level = levels_over_time(asked.failing.astype(np.int8), fresh[1])
    starts = score.false_starts(quiet, on).sum(axis=1)
    return Point(
        score.rate_interval(starts, score.quiet_days(quiet) / YEAR_DAYS),
        int(starts.sum()),
        {lead: _detected(failing, level, lead) for lead in LEADS_DAYS},
    )


def _detected(
    pool: Pool, level: np.ndarray[tuple[int, ...], np.dtype[np.int8]], lead: int
) -> Interval:
    found = score.detected(pool, level, lead, 1)
    return score.wilson(int(found.sum()), int((pool.failure_day >= 0).sum()))


def printed(both: Curves) -> list[str]:
    """The curves as aligned lines of text."""
    leads = "  ".join(f"{f'{lead} d before':>15}" for lead in LEADS_DAYS)
    lines = [f"{'failures detected':22}{'at false alarms a unit-year':37}{leads}"]
    for name, points in both.items():
        for point in points:
            rate, low, high = point.false_alarms
            found = "  ".join(_share(point.detected[lead]) for lead in LEADS_DAYS)
            lines.append(
                f"{name:22}{rate:.3f} ({low:.3f}-{high:.3f}), {point.episodes:4d} alarms   {found}"
            )
    return lines


def _share(interval: Interval) -> str:
    if np.isnan(interval.value):
        return f"{'-':>15}"
    value, low, high = (round(100 * v) for v in interval)
    return f"{f'{value} % ({low}-{high})':>15}"


def drawn(both: Curves, budgets: Mapping[str, float], note: str) -> Figure:
    """The curves as a picture, a panel a lead; budgets as dotted lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    panels = figure.subplots(1, len(LEADS_DAYS), sharey=True)
    for axes, lead in zip(panels, LEADS_DAYS, strict=True):
        for name, points in both.items():
            _draw(axes, name, points, lead)
        for level, rate in budgets.items():
            axes.axvline(rate, color="#999999", linewidth=0.8, linestyle=":")
            axes.annotate(
                level, (rate, 1.0), xycoords=("data", "axes fraction"), fontsize=7, rotation=90,
                va="top", ha="right", color="#666666",
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_title(f"{lead} days before failure", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("failures detected, %")
    panels[0].set_ylim(bottom=0)
    panels[-1].legend(fontsize=8, frameon=False, loc="upper right")
    figure.supxlabel("false alarms a unit-year, simulated; bars: 95 %", fontsize=9)
    figure.suptitle(note, fontsize=10)
    return figure


def _draw(axes: Axes, name: str, points: Sequence[Point], lead: int) -> None:
    # A rate of nothing has no place on a logarithmic axis.
    shown = [point for point in points if point.false_alarms.value > 0]
    rates = [point.false_alarms.value for point in shown]
    value, low, high = (_column(shown, lead, part) for part in range(3))
    bars = np.maximum(np.stack([value - low, high - value]), 0.0)
    axes.errorbar(
        rates, value, yerr=bars, color=_COLOURS[name], marker="o", markersize=3, linewidth=1.3,
        elinewidth=0.7, label=name,
    )  # fmt: skip


def _column(points: Sequence[Point], lead: int, part: int) -> Floats:
    return np.array([100 * point.detected[lead][part] for point in points], dtype=float)
