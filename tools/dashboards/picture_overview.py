"""The picture of the overview."""

from __future__ import annotations

import matplotlib.dates as mdates
from matplotlib.figure import Figure

from tools.dashboards import looks
from tools.dashboards.drawing import Column, Place, day, seconds, table, tiles
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
    worth_seeing,
)
from tools.dashboards.standing import AGE_LIMITS, BLIND_LIMITS


def overview(shown: Shown) -> Figure:
    """All sites at a glance."""
    figure = page(shown, 704)
    levels = shown.by("Slope units by level", "level")
    seen = shown.by("Slope units by coverage", "coverage")
    age, blind = shown.figure("Oldest state"), shown.figure("First blind in")
    alarms = shown.figure("Alarms about slopewatch")
    top, high, full = 74, 112, WIDTH - 2 * EDGE
    at = [EDGE, EDGE + 366, EDGE + 782, EDGE + 938, EDGE + 1094]
    wide = [358, 408, 148, 148, 150]
    tiles(
        figure,
        "Slope units by level",
        (at[0], top, wide[0], high),
        [(name, f"{levels.get(name, 0):.0f}", fill) for name, fill in LEVELS],
    )
    tiles(
        figure,
        "Slope units by coverage",
        (at[1], top, wide[1], high),
        [(name, f"{seen.get(name, 0):.0f}", fill) for name, fill in COVERAGE],
    )
    for place, (title, text, fill) in enumerate(
        (
            ("Oldest state", seconds(age), within(age, AGE_LIMITS)),
            ("First blind in", seconds(blind), within(blind, BLIND_LIMITS, looks.WRONG)),
            ("Alarms", f"{alarms:.0f}", within(alarms, looks.ZERO_IS_FINE)),
        ),
        start=2,
    ):
        tiles(figure, title, (at[place], top, wide[place], high), [("", text, fill)])
    _sites(figure, shown, (EDGE, top + 120, full, 140))
    _units(figure, shown, (EDGE, top + 268, full, 178))
    _changes(figure, shown, (EDGE, top + 454, full, 158))
    return figure


def _sites(figure: Figure, shown: Shown, at: Place) -> None:
    ages, blind = shown.by("Sites", "site", "B"), shown.by("Sites", "site", "D")
    passes = shown.by("Sites", "site", "C")
    rows = [
        (
            one["title"],
            one["level"],
            one["coverage"],
            one["newest"],
            ages.get(one["site"]),
            mdates.num2date(passes[one["site"]] / 86400e3) if one["site"] in passes else None,
            blind.get(one["site"]),
            one["closed"],
            one["units"],
            one["data"],
        )
        for one in shown.of("Sites").dicts()
    ]
    columns = [
        Column("Site", 3.2),
        Column("Level", 0.9, word(LEVELS), colour(LEVELS)),
        Column("Coverage", 1.1, word(COVERAGE), colour(COVERAGE)),
        Column("Newest epoch", 1.1, day),
        Column("Its age", 1, seconds, lambda v: worth_seeing(within(v, AGE_LIMITS))),
        Column("Next pass by", 1.1, day),
        Column(
            "Blind in", 1.1, seconds, lambda v: worth_seeing(within(v, BLIND_LIMITS, looks.WRONG))
        ),
        Column("Last day closed", 1.2, day),
        Column("Units", 0.6),
        Column("Data", 1, str, looks.DATA.get),
    ]
    table(figure, "Sites", at, columns, rows)


def _units(figure: Figure, shown: Shown, at: Place) -> None:
    names = [
        "title",
        "name",
        "level",
        "level_since",
        "coverage",
        "coverage_since",
        "reason",
        "acknowledged_by",
    ]
    rows = [[one[n] for n in names] for one in shown.of("Slope units above").dicts()]
    columns = [
        Column("Site", 2),
        Column("Slope unit", 0.9),
        Column("Level", 0.7, word(LEVELS), colour(LEVELS)),
        Column("Level since", 0.9, day),
        Column("Coverage", 0.9, word(COVERAGE), colour(COVERAGE)),
        Column("Coverage since", 1, day),
        Column("Reason", 4.4),
        Column("Acknowledged by", 1.1, lambda v: v or "–"),
    ]
    table(figure, "Slope units above blue or not watched", at, columns, rows)


def _changes(figure: Figure, shown: Shown, at: Place) -> None:
    names = ["at", "title", "name", "level", "previous_level", "coverage", "reason"]
    rows = [[one[n] for n in names] for one in shown.of("Last changes").dicts()]
    columns = [
        Column("When", 0.8, day),
        Column("Site", 2),
        Column("Slope unit", 0.9),
        Column("Level", 0.7, word(LEVELS), colour(LEVELS)),
        Column("Was", 0.7, str, looks.LEVELS.get),
        Column("Coverage", 0.9, word(COVERAGE), colour(COVERAGE)),
        Column("Reason", 5),
    ]
    table(figure, "Last changes of level or coverage", at, columns, rows)
