"""One slope unit over time: what was measured, what had been forecast, who spoke, what drove it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from core.events import LEVELS
from core.evidence import Floats
from services.hindcast.canvas import (
    FORECAST,
    INK,
    MISS,
    RAIN,
    RESERVOIR,
    SOFT,
    SPEAKERS,
    drawn,
    speaker_colours,
)
from services.hindcast.judge import Judged, held
from services.hindcast.replay import Replay, spells
from services.inference.known import FURTHEST_D
from services.inference.model import HORIZONS_D
from services.inference.trust.conformal import LEVELS as BANDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVEL_COLOURS: Final[Mapping[str, str]] = dict(
    zip(LEVELS, ("#3574b3", "#f3c613", "#ea7a1c", "#c0262d"), strict=True)
)
_LIGHT: Final = {"#f3c613", "#ea7a1c", "#9aa4a8", "#c2a25a"}
FAN_EVERY_D: Final = 36
"""Days between the fans that are drawn, so that none covers another."""
TOLD_D: Final = 12


class Step(NamedTuple):
    """A stretch [first, last] of days with one level of a unit."""

    first: int
    last: int
    level: str


def unit_figure(
    replay: Replay,
    judged: Judged,
    series: int,
    levels: Sequence[Step] | None,
    truth_mm: Floats | None = None,
) -> str:
    """One unit over time: epochs, fans as issued, level, speaker, rain and reservoir.

    `levels` None leaves its strip out. `truth_mm` (D, S): simulated motion on the series' zero.
    """
    with drawn(11.0, 5.4) as (figure, close):
        strips = 1 if levels is None else 2
        axes = figure.subplots(
            2 + strips, 1, sharex=True, height_ratios=[10, *([0.55] * strips), 3.2]
        )
        _displacement(axes[0], replay, judged, series, truth_mm)
        if levels is not None:
            _strip(axes[1], replay, [(s.first, s.last, s.level) for s in levels], LEVEL_COLOURS)
            axes[1].set_ylabel("level", rotation=0, ha="right", va="center")
        named = [
            (int(replay.day[a]), int(replay.day[b]), who)
            for a, b, who in spells([str(v) for v in replay.speaker[:, series]])
        ]
        _strip(axes[strips], replay, named, speaker_colours(replay))
        axes[strips].set_ylabel("speaks", rotation=0, ha="right", va="center")
        _drivers(axes[-1], replay)
        _dates(axes[-1], replay)
        figure.align_ylabels([axes[0], axes[-1]])
        figure.subplots_adjust(hspace=0.12, left=0.075, right=0.93, top=0.97, bottom=0.07)
        return close()


def _displacement(
    axes: Axes, replay: Replay, judged: Judged, series: int, truth_mm: Floats | None
) -> None:
    x = replay.day
    if truth_mm is not None:
        axes.plot(
            x, truth_mm[:, series], color=SOFT, lw=0.9, ls=(0, (4, 2)), label="simulated truth"
        )
    for number, row in enumerate(range(FAN_EVERY_D // 2, len(x), FAN_EVERY_D)):
        _fan(axes, replay, row, series, label=number == 0)
    seen = np.isfinite(judged.los_mm[:, series])
    missed = (held(judged, 0.9)[HORIZONS_D.index(TOLD_D), :, series] == 0) & seen
    axes.errorbar(
        judged.epoch_day[seen],
        judged.los_mm[seen, series],
        judged.sd_mm[seen, series],
        fmt="o",
        color=INK,
        markersize=3.2,
        linewidth=0.7,
        zorder=4,
        label="acquisition ± 1 sd",
    )
    axes.plot(
        judged.epoch_day[missed],
        judged.los_mm[missed, series],
        "o",
        mfc="none",
        mec=MISS,
        ms=9,
        mew=1.4,
        zorder=5,
        label=f"outside the 90 % interval of +{TOLD_D} d",
    )
    axes.set_ylabel("displacement along the\nline of sight, mm (+ toward)")
    axes.legend(loc="best", ncols=2)


def _fan(axes: Axes, replay: Replay, row: int, series: int, label: bool) -> None:
    path = replay.path_mm[row, :, series]
    if not np.isfinite(path).all():
        return
    days = replay.day[row] + np.arange(FURTHEST_D + 1)
    for level, alpha in ((0.9, 0.18), (0.5, 0.32)):
        at = replay.issued[row].half_mm[BANDS.index(level), :, series]
        half = np.interp(np.arange(FURTHEST_D + 1), HORIZONS_D, at)
        name = f"{100 * level:.0f} % interval, as issued" if label else None
        axes.fill_between(
            days, path - half, path + half, color=FORECAST, alpha=alpha, lw=0, label=name
        )
    axes.plot(days, path, color=FORECAST, lw=1.3, label="forecast, as issued" if label else None)


def _strip(
    axes: Axes, replay: Replay, parts: Sequence[tuple[int, int, str]], colours: Mapping[str, str]
) -> None:
    first, last = int(replay.day[0]), int(replay.day[-1])
    for begun, ended, value in parts:
        start, end = max(begun, first), min(ended, last) + 1
        if end <= start or not value:
            continue
        colour = colours.get(value, SPEAKERS[-1])
        axes.axvspan(start, end, color=colour, lw=0)
        if end - start > 0.12 * (last - first):
            dark = colour not in _LIGHT
            axes.text(
                (start + end) / 2,
                0.46,
                value,
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else INK,
                transform=axes.get_xaxis_transform(),
            )
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)


def _drivers(axes: Axes, replay: Replay) -> None:
    drivers, first = replay.known.drivers, int(replay.day[0])
    rows = np.arange(len(drivers.rain_mm)) + drivers.first_day
    inside = (rows >= first) & (rows <= replay.day[-1])
    seen = inside & ~drivers.rain_issued[:, 0] & np.isfinite(drivers.rain_mm[:, 0])
    axes.set_ylabel("rain, mm/d", color=RAIN)
    if seen.any():
        wet = seen & (drivers.rain_mm[:, 0] > 0)
        axes.vlines(rows[wet], 0, drivers.rain_mm[wet, 0], color=RAIN, lw=1.1)
    else:
        axes.text(0.01, 0.8, "no rain known", transform=axes.transAxes, color=SOFT)
    axes.set_ylim(bottom=0)
    level = inside & ~drivers.level_issued[:, 0] & np.isfinite(drivers.level_m[:, 0])
    if level.any():
        other = axes.twinx()
        other.plot(rows[level], drivers.level_m[level, 0], color=RESERVOIR, lw=1.2)
        other.set_ylabel("reservoir, m a.s.l.", color=RESERVOIR)
        other.grid(visible=False)
        other.spines["right"].set_visible(True)


def _dates(axes: Axes, replay: Replay) -> None:
    """Months on the axis of day numbers; years where a January or the first label stands."""
    days = [int(d) for d in replay.day]
    starts = [d for d in days if replay.case.date_of(d).day == 1]
    starts = starts[:: max(1, -(-len(starts) // 14))] or days[:1]
    names = []
    for place, day in enumerate(starts):
        when = replay.case.date_of(day)
        names.append(f"{when:%b}\n{when.year}" if place == 0 or when.month == 1 else f"{when:%b}")
    axes.set_xticks(starts, names)
    axes.set_xlim(days[0], days[-1] + 1)
