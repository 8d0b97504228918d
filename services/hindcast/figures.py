"""How good the forecasts were: change against change, coverage, error and skill by horizon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from core.evidence import Floats
from services.hindcast.canvas import FORECAST, GRID, INK, PALE, SOFT, bars, drawn, speaker_colours
from services.hindcast.judge import (
    LEAST_EPOCHS,
    Estimate,
    Judged,
    by_group,
    coverage,
    overall,
    rmse_mm,
    skill,
)
from services.hindcast.replay import Replay
from services.inference.model import HORIZONS_D
from services.inference.trust.conformal import LEVELS as BANDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES: Final = (("#0b6e6e", "o"), ("#7a4a9c", "s"), ("#8a5a1f", "^"), ("#44546a", "D"))


def scatter_figure(replay: Replay, judged: Judged, horizons: Sequence[int] = (6, 12, 30)) -> str:
    """Forecast against seen change since the newest value known at issue, at three horizons."""
    with drawn(11.0, 3.9) as (figure, close):
        axes = figure.subplots(1, len(horizons))
        for place, (ax, horizon) in enumerate(zip(axes, horizons, strict=True)):
            h = HORIZONS_D.index(horizon)
            _cloud(ax, replay, judged.expected_mm[h], judged.moved_mm[h])
            ax.set_title(f"+{horizon} days")
            ax.set_xlabel("forecast change, mm")
            if place == 0:
                ax.set_ylabel("change that was measured, mm")
                ax.legend(loc="upper left", handletextpad=0.1)
        figure.subplots_adjust(left=0.065, right=0.985, top=0.91, bottom=0.14, wspace=0.2)
        return close()


def _cloud(axes: Axes, replay: Replay, expected: Floats, moved: Floats) -> None:
    both = np.isfinite(expected + moved)
    largest = np.abs(np.concatenate([expected[both], moved[both], [5.0]])).max() * 1.08
    axes.plot([-largest, largest], [-largest, largest], color=SOFT, lw=0.8)
    axes.axhline(0, color=GRID, lw=1)
    axes.axvline(0, color=GRID, lw=1)
    for series, unit in enumerate(replay.case.units):
        colour, marker = SERIES[series % len(SERIES)]
        axes.plot(
            expected[:, series],
            moved[:, series],
            marker,
            color=colour,
            ms=4.2,
            alpha=0.75,
            mew=0,
            label=unit,
        )
    axes.set_xlim(-largest, largest)
    axes.set_ylim(-largest, largest)
    axes.set_aspect("equal")


def coverage_figure(judged: Judged) -> str:
    """Coverage by horizon, and of the 90 % interval by group, with 95 % intervals."""
    with drawn(11.0, 3.9) as (figure, close):
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.15])
        x = np.arange(len(HORIZONS_D))
        for level, colour in zip(BANDS, (PALE, FORECAST), strict=True):
            left.axhline(level, color=colour, lw=1, ls=(0, (4, 2)))
            bars(left, x, coverage(judged, level), colour, f"{100 * level:.0f} % interval")
        left.set_xticks(x, [f"+{h}" for h in HORIZONS_D])
        left.set_xlabel("days ahead")
        left.set_ylim(0, 1.03)
        left.set_title("observations inside the interval, by horizon")
        left.legend(loc="lower left")
        _groups(right, judged)
        figure.subplots_adjust(left=0.05, right=0.985, top=0.92, bottom=0.13, wspace=0.48)
        return close()


def _groups(axes: Axes, judged: Judged) -> None:
    rows = [("all forecasts", overall(judged, 0.9))]
    for division, parts in by_group(judged, 0.9).items():
        rows += [(f"{division}: {name}", estimate) for name, estimate in parts.items()]
    axes.axvline(0.9, color=FORECAST, lw=1, ls=(0, (4, 2)))
    axes.axvline(0.8, color=SOFT, lw=0.8, ls=(0, (1, 2)))
    for place, (_, estimate) in enumerate(rows):
        enough = estimate.epochs >= LEAST_EPOCHS
        colour = FORECAST if enough else SOFT
        axes.plot([estimate.low, estimate.high], [place, place], color=colour, lw=1.4)
        axes.plot(estimate.value, place, "o", color=colour, mfc=colour if enough else "white", ms=5)
    axes.set_yticks(range(len(rows)), [f"{name} ({e.epochs})" for name, e in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.03)
    axes.set_title("90 % interval, by what was known at issue (epochs)")


def skill_figure(replay: Replay, judged: Judged, others: Sequence[str]) -> str:
    """RMSE of all models by horizon, and how far below `others` the published forecast is."""
    with drawn(11.0, 3.7) as (figure, close):
        left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
        x = np.arange(float(len(HORIZONS_D)))
        for name, colour in speaker_colours(replay).items():
            error = judged.by_model[name]
            values = [rmse_mm(error[h], judged).value for h in range(len(x))]
            left.plot(x, values, color=colour, lw=1.2, marker=".", label=name)
        values = [rmse_mm(judged.error_mm[h], judged).value for h in range(len(x))]
        left.plot(x, values, color=INK, lw=2.4, label="published", zorder=1)
        left.set_ylim(bottom=0)
        left.set_ylabel("RMSE, mm (noise of the\nobservations included)")
        left.set_title("error by horizon")
        left.legend(loc="upper left", ncols=2)
        right.axhline(0, color=SOFT, lw=1)
        for place, other in enumerate(others):
            found = [skill(judged, h, other) for h in range(len(x))]
            scaled = [Estimate(100 * e.value, 100 * e.low, 100 * e.high, e.epochs) for e in found]
            colour = speaker_colours(replay).get(other, INK)
            bars(right, x + 0.16 * (place - 0.5 * (len(others) - 1)), scaled, colour, other)
        right.set_ylabel("RMSE below the other's, %")
        right.set_title("skill of what was published, with 95 % interval")
        right.legend(loc="best", title="against")
        for ax in (left, right):
            ax.set_xticks(x, [f"+{h}" for h in HORIZONS_D])
            ax.set_xlabel("days ahead")
        figure.subplots_adjust(left=0.07, right=0.985, top=0.92, bottom=0.13, wspace=0.22)
        return close()
