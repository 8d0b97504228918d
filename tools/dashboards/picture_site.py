"""The picture of one slope unit."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from tools.dashboards import looks
from tools.dashboards.drawing import (
    INK,
    SOFT,
    Column,
    Place,
    clipped,
    day,
    numbers,
    over_time,
    panel,
    seconds,
    stretches,
    table,
    tiles,
)
from tools.dashboards.picture_parts import (
    COVERAGE,
    EDGE,
    LEVELS,
    WIDTH,
    Shown,
    colour,
    page,
    within,
    word,
)
from tools.dashboards.standing import AGE_LIMITS, BLIND_LIMITS


def site(shown: Shown) -> Figure:
    """One slope unit over a year, and what is expected of it."""
    figure = page(shown, 1120)
    unit, track = shown.reader.values["unit"][0], shown.reader.values["track"][0]
    top, full = 74, WIDTH - 2 * EDGE
    _standing_tiles(figure, shown, top)
    _displacement(figure, shown, unit, track, (EDGE, top + 108, full, 300))
    _velocity(figure, shown, unit, track, (EDGE, top + 414, full, 166))
    _drivers(figure, shown, (EDGE, top + 586, full, 156))
    _timeline(figure, shown, unit, (EDGE, top + 748, full, 112))
    _verdicts(figure, shown, unit, (EDGE, top + 866, full, 162))
    return figure


def _standing_tiles(figure: Figure, shown: Shown, top: float) -> None:
    level = LEVELS[int(shown.figure("Level") or 0)]
    coverage = COVERAGE[int(shown.figure("Coverage") or 0)]
    epoch, blind = shown.figure("Newest epoch"), shown.figure("Blind in")
    due, issued = shown.figure("Next pass within"), shown.figure("Forecast issued")
    model = str(shown.of("Forecast by").rows[0][0])
    made = [
        ("Level", *level),
        ("Coverage", *coverage),
        ("Newest epoch", seconds(epoch), within(epoch, AGE_LIMITS)),
        ("Next pass within", seconds(due), within(due, ((0, looks.FINE),), looks.SOON)),
        ("Blind in", seconds(blind), within(blind, BLIND_LIMITS, looks.WRONG)),
        ("Data", "simulated", looks.PLAIN),
        ("Forecast by", clipped(model, 120), looks.LATE if "standing" in model else looks.FINE),
        ("Forecast issued", seconds(issued), within(issued, ((1.5 * 86400, looks.SOON),))),
    ]
    each = (WIDTH - 2 * EDGE + 8) / len(made)
    for place, (title, text, fill) in enumerate(made):
        tiles(figure, title, (EDGE + place * each, top, each - 8, 100), [("", text, fill)])


def _displacement(figure: Figure, shown: Shown, unit: str, track: str, at: Place) -> None:
    title = f"Displacement and forecast: {unit}, track {track}"
    panel(figure, f"{title} (mm along the line of sight, + toward the satellite)", at)
    axes = _dated(figure, shown, at)
    measured, expected = shown.of("Displacement"), shown.of("Displacement", "B")
    days = measured.column("time")
    low, high = (numbers(measured.column(f"measured, {end}")) for end in ("low", "high"))
    axes.fill_between(days, low, high, color=looks.BAND, alpha=0.3, linewidth=0)
    line = numbers(measured.column("measured"))
    axes.plot(days, line, "-o", color=looks.MEASURED, ms=3.6, lw=1, label="measured, 90 % interval")
    ahead = expected.column("time")
    for share, alpha in (("90", 0.35), ("50", 0.55)):
        ends = (numbers(expected.column(f"forecast, {end} {share} %")) for end in ("low", "high"))
        axes.fill_between(ahead, *ends, color=looks.FORECAST_BAND, alpha=alpha, linewidth=0)
    middle = numbers(expected.column("forecast"))
    axes.plot(ahead, middle, "--", color=looks.FORECAST, lw=1.6, label="forecast, 50 and 90 %")
    axes.axvline(shown.reader.now, color=INK, lw=0.8, ls=":")
    axes.text(
        shown.reader.now,
        0.985,
        " now",
        transform=axes.get_xaxis_transform(),
        fontsize=7.4,
        color=SOFT,
        va="top",
    )
    _shaded(axes, shown, labelled=True)
    axes.legend(loc="lower left", fontsize=7.6, frameon=False, labelcolor=INK)


def _velocity(figure: Figure, shown: Shown, unit: str, track: str, at: Place) -> None:
    panel(figure, f"Velocity: {unit}, track {track} (mm/yr, 90 % interval)", at)
    axes, moved = _dated(figure, shown, at), shown.of("Velocity")
    days = moved.column("time")
    ends = (numbers(moved.column(f"velocity, {end}")) for end in ("low", "high"))
    axes.fill_between(days, *ends, color=looks.BAND, alpha=0.3, linewidth=0)
    axes.plot(days, numbers(moved.column("velocity")), "-o", color=looks.MEASURED, ms=3, lw=1)
    axes.axhline(0, color=SOFT, lw=0.6)
    _shaded(axes, shown)


def _drivers(figure: Figure, shown: Shown, at: Place) -> None:
    panel(figure, "Rain (bars, mm a day) and reservoir level (line, m)", at)
    axes = _dated(figure, shown, at)
    rain, level = shown.of("Rain"), shown.of("Rain", "B")
    axes.bar(rain.column("time"), numbers(rain.column("rain_mm")), width=1, color=looks.RAIN)
    right = axes.twinx()
    right.plot(
        level.column("time"), numbers(level.column("level_m")), color=looks.RESERVOIR, lw=1.4
    )
    right.tick_params(labelsize=7.4, colors=SOFT, length=0)
    for side in ("top", "right", "left", "bottom"):
        right.spines[side].set_visible(False)


def _timeline(figure: Figure, shown: Shown, unit: str, at: Place) -> None:
    panel(figure, f"Level and coverage: {unit}", at)
    axes = _dated(figure, shown, at)
    for y, ref, name, words in (
        (1, "A", "level", looks.LEVELS),
        (0, "B", "coverage", looks.COVERAGE),
    ):
        held = shown.of("Level and coverage", ref)
        stretches(axes, held.column("time"), held.column(name), shown.reader.now, y, words)
    axes.set_yticks((1, 0), ("level", "coverage"))
    axes.set_ylim(-0.5, 1.5)
    axes.grid(False)


def _verdicts(figure: Figure, shown: Shown, unit: str, at: Place) -> None:
    names = ["rule", "track", "level", "at", "calibrated", "reason"]
    found = shown.of("What each rule").dicts()
    found.sort(key=lambda one: (-one["level"], one["rule"]))
    columns = [
        Column("Rule", 1),
        Column("Track", 0.7),
        Column("Asks for", 0.6, word(LEVELS), colour(LEVELS)),
        Column("When", 0.7, day),
        Column("Calibrated", 0.6),
        Column("Reason", 6.5),
    ]
    rows = [[one[name] for name in names] for one in found]
    table(figure, f"What each rule asked for last: {unit}", at, columns, rows)


def _dated(figure: Figure, shown: Shown, at: Place) -> Any:
    since, until = shown.reader.span({})
    return over_time(figure, at, since, until)


def _shaded(axes: Any, shown: Shown, *, labelled: bool = False) -> None:
    """The annotations: time at each level above blue."""
    for level, fill in LEVELS[1:]:
        for begin, end, *_ in shown.of(f"annotations 'At {level}'", "Anno").rows:
            axes.axvspan(begin, end, color=fill, alpha=0.16, linewidth=0)
            axes.axvline(begin, color=fill, lw=1, ls="--")
            if labelled:
                place = {"transform": axes.get_xaxis_transform(), "rotation": 90, "va": "top"}
                axes.text(begin, 0.98, f" {level}", fontsize=7.2, color=INK, ha="left", **place)
