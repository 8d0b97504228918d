"""The page of the held-out test of alerts: tables of text, and the same figures as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from services.scoring.calibrate import FAILURES_A_YEAR
from services.scoring.held_out import HeldOut, Row
from services.scoring.pool import FLANK_PIXELS, YEARS
from services.scoring.score import DROPPED_YEARS, LEADS_DAYS, SEPARATION_DAYS, Interval

CEILING_NOTE = (
    "Told the true rain and level: a ceiling that no gauge reaches. Told neither: the limits for "
    "sites without water are in force."
)
METHOD = (
    "All slopes are simulated; no real failure was used. Sentinel-1 every 12 days with radar "
    f"noise, {FLANK_PIXELS} pixels across the flank, gauges that miss a fifth of the wet days. "
    f"Each record has {YEARS} years, the first {DROPPED_YEARS} are not counted: nothing here is "
    "measured on younger records, nor on units that are seen from two tracks.",
    "Limits were set on other sites, all of one hydrology family (diffusion); half of the sites "
    "here have the other one (buckets). The test was run once with the limits in force.",
    f"An episode starts when the level is reached and ends after {SEPARATION_DAYS} days below it. "
    "It is a false alarm unless it starts between onset and failure of a failure; aborted ramps "
    "and storm steps are false alarms. A failure is detected at lead h if an alert that began, or "
    "rose, after onset stands from the day h before failure to failure, by the day it was known.",
    "Intervals are 95 %: of rates the wider of exact Poisson and resampled sites, of shares "
    "Wilson's, of differences resampled in pairs.",
    "Comparators and rules alone stand at the threshold at which each had the false-alarm rate of "
    "orange on the calibration sites; what it is on the test sites stands beside it.",
)


class Text(NamedTuple):
    """A table as it is printed."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def tables(found: HeldOut) -> list[Text]:
    """Every table of the page."""
    return [_whole(found), _families(found), _gain(found), _alone(found), _times(found)]


def as_json(found: HeldOut) -> bytes:
    """All figures, pairs of families as 'runaway, hydrology'."""
    tree = msgspec.to_builtins(_plain(found))
    return msgspec.json.format(msgspec.json.encode(tree, order="sorted"), indent=1) + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(one) for name, one in value._asdict().items()}
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {
            ", ".join(key) if isinstance(key, tuple) else str(key): _plain(one)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 5)
    return value


def _whole(found: HeldOut) -> Text:
    columns = (
        "Alert",
        "False a unit-year",
        *(f"≥ {lead} d" for lead in LEADS_DAYS),
        "Any lead",
        "Median lead",
        "Alarm time",
        "False: quiet",
        "aborted",
        "step",
    )
    made = (*found.rows, found.ceiling, found.without_water)
    failures = sum(n for (runaway, _), n in found.failures.items() if runaway != "none")
    title = (
        f"Limits {found.version} on {found.unit_years:,.0f} unit-years without failure and "
        f"{failures:,} failures"
    )
    return Text(title, columns, tuple(_row(one) for one in made), (CEILING_NOTE,))


def _row(row: Row) -> tuple[str, ...]:
    one = row.whole
    lead = "–" if np.isnan(one.median_lead_days) else f"{one.median_lead_days:.0f} d"
    return (
        row.name,
        _rate(one.false_alarms["all"]),
        *(_share(one.detection[h]) for h in (*LEADS_DAYS, 0)),
        lead,
        f"{100 * one.alarm_share['all']:.2f} %",
        *(f"{one.false_alarms[kind].value:.3f}" for kind in ("quiet", "aborted", "step")),
    )


def _families(found: HeldOut) -> Text:
    keys = [key for key in found.failures if key[0] != "none"]
    quiet = [key for key in found.rows[0].by_family if key[0] == "none"]
    columns = (
        "Alert",
        *(
            f"{runaway}, {hydrology} ({found.failures[runaway, hydrology]})"
            for runaway, hydrology in keys
        ),
        *(f"False a year, {hydrology}" for _, hydrology in quiet),
    )
    rows = tuple(
        (
            row.name,
            *(
                " / ".join(f"{100 * row.by_family[key].detection[h].value:.0f}" for h in LEADS_DAYS)
                for key in keys
            ),
            *(f"{row.by_family[key].false_alarms['all'].value:.3f}" for key in quiet),
        )
        for row in (*found.rows, found.ceiling, found.without_water)
    )
    leads = ", ".join(str(lead) for lead in LEADS_DAYS)
    return Text(f"By runaway and hydrology family: detected at {leads} d, %", columns, rows)


def _gain(found: HeldOut) -> Text:
    gain = found.gain
    rows = [(f"≥ {lead} d, all", _points(one)) for lead, one in gain.by_lead.items()]
    rows += [(f"≥ 14 d, {r}, {h}", _points(one)) for (r, h), one in gain.by_family_14_d.items()]
    return Text(f"Orange less {gain.peer}, points", ("Failures", "Difference"), tuple(rows))


def _alone(found: HeldOut) -> Text:
    rows = tuple(
        (one.rule, one.votes_at, *(_rate(rate) for rate in one.false_alarms.values()))
        for one in found.alone
    )
    columns = ("Rule", "Limits in force", "Yellow", "Orange", "Red")
    return Text("False alarms a unit-year of every voter by itself", columns, rows)


def _times(found: HeldOut) -> Text:
    times = found.times
    rows = (
        ("Comparisons of failing slopes while orange stood", f"{times.compared:,}"),
        ("Refused to tell a time", _share(times.refused)),
        ("Times told", f"{times.told:,}"),
        ("The 8-in-10 interval held the day of failure", _share(times.covered)),
        ("Times told a unit-year on slopes that did not fail", f"{times.told_in_vain_a_year:.3f}"),
    )
    return Text("Times of failure", ("", "Figure"), rows)


def assumed() -> str:
    """What 'of 100 alerts' assumes."""
    return f"Of 100 alerts: at an assumed {100 * FAILURES_A_YEAR:g} % of units that fail in a year."


def _share(interval: Interval) -> str:
    if np.isnan(interval.value):
        return "–"
    value, low, high = (100 * v for v in interval)
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"


def _points(interval: Interval) -> str:
    value, low, high = (100 * v for v in interval)
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _rate(interval: Interval) -> str:
    if np.isnan(interval.value):
        return "–"
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def markdown(
    found: HeldOut, conditions: Sequence[str], of_100: Mapping[str, int], minutes: float
) -> str:
    """The page docs/alert-skill.md."""
    return "\n".join(_lines(found, conditions, of_100, minutes)) + "\n"


def _lines(
    found: HeldOut, conditions: Sequence[str], of_100: Mapping[str, int], minutes: float
) -> Iterator[str]:
    yield "# How good the alerts are"
    yield ""
    yield "Written by `python -m benchmarks alert_skill`; every figure comes from that one run."
    yield ""
    yield "## How it is scored"
    yield ""
    yield from (f"- {line}" for line in METHOD)
    told = ", ".join(f"{level} {count}" for level, count in of_100.items())
    yield f"- {assumed()} {told} (from the calibration sites; messages say it)."
    for table in tables(found):
        yield f"\n## {table.title}\n"
        yield "| " + " | ".join(table.columns) + " |"
        yield "| --- |" + " ---: |" * (len(table.columns) - 1)
        yield from ("| " + " | ".join(row) + " |" for row in table.rows)
        yield from (f"\n{note}" for note in table.notes)
    yield "\n## Conditions\n"
    yield from (f"- {line}" for line in (*conditions, f"The run took {minutes:.0f} minutes."))
