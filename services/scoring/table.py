"""The score table: the same rules on failing and quiet sites of test seeds.

`python -m services.scoring.table` prints it with its conditions.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from core.twin import SEED_RANGES
from services.alerting.rule import LevelIndex
from services.alerting.thresholds import Limits, load_table
from services.console.view import ScoreTable
from services.scoring import score
from services.scoring.calibrate import SHIPPED
from services.scoring.comparators import COMPARATORS
from services.scoring.levels import (
    ORANGE,
    RED,
    YELLOW,
    or_out_of_range,
    rule_levels,
    statistic_levels,
)
from services.scoring.pool import FLANK_PIXELS, NOISE, YEARS, Pool
from services.scoring.pools import Counts, pool_of
from services.scoring.score import LEADS_DAYS, Interval, Score
from services.scoring.voters import voting_rules

COLUMNS = (
    "Alert",
    *(f"Detected ≥ {lead} d before" for lead in LEADS_DAYS),
    "Median lead",
    "False a unit-year: quiet",
    "aborted ramps",
    "storm steps",
    "Alarm time, quiet",
)


def score_rules(
    failing: int = 200,
    quiet: int = 200,
    seeds: range = SEED_RANGES["test"],
    *,
    aborted: int = 50,
    step: int = 50,
    table: Path = SHIPPED,
    progress: bool = False,
) -> ScoreTable:
    """What the shipped rules, and what they are held against, do on simulated sites.

    Args:
        failing: sites simulated to fail, half of each family.
        quiet: sites that stay quiet.
        seeds: a range of `core.twin.SEED_RANGES`; the parts kept for each kind are used.
        aborted: sites whose acceleration stops by itself.
        step: sites that take a step in a storm.
        table: threshold table made by `services.scoring.calibrate`.
        progress: whether progress bars go to standard error.
    """
    content = table.read_bytes()
    pool = pool_of(Counts(quiet, aborted, step, failing), seeds, progress=progress)
    rows = _rows(pool, content)
    first = next(iter(rows.values()))
    title = (
        f"The same rules on {first.failures} failing and {quiet} quiet simulated slopes "
        "they were not tuned on"
    )
    return ScoreTable(
        title=title,
        columns=COLUMNS,
        rows=tuple(_row(name, one) for name, one in rows.items()),
        note=_note(first, seeds, json.loads(content)),
    )


def _rows(pool: Pool, content: bytes) -> dict[str, Score]:
    """The scores by what counts as an alert."""
    level = rule_levels(pool, voting_rules(load_table(content)))
    rows = {
        "slopewatch, orange": score.score(pool, level, ORANGE),
        "slopewatch, orange or out of range": score.score(pool, or_out_of_range(pool, level)),
        "slopewatch, yellow": score.score(pool, level, YELLOW),
        "slopewatch, red": score.score(pool, level, RED),
    }
    thresholds: dict[str, float] = json.loads(content)["comparators"]
    for name, (statistic, fresh) in COMPARATORS.items():
        limits = Limits(orange=thresholds[name])
        asked = statistic_levels(statistic(pool), fresh(pool), limits)
        rows[name] = score.score(pool, _as_orange(asked))
    rows["always on"] = score.score(pool, np.full(level.shape, ORANGE, dtype=np.int8))
    rows["never on"] = score.score(pool, np.zeros(level.shape, dtype=np.int8))
    return rows


def _as_orange(level: LevelIndex) -> LevelIndex:
    return np.asarray(np.where(level > 0, ORANGE, 0), dtype=np.int8)


def _row(name: str, one: Score) -> tuple[str, ...]:
    lead = "–" if np.isnan(one.median_lead_days) else f"{one.median_lead_days:.0f} d"
    return (
        name,
        *(_share(one.detection[h]) for h in LEADS_DAYS),
        lead,
        *(_rate(one.false_alarms[kind]) for kind in ("quiet", "aborted", "step")),
        f"{100 * one.alarm_share['quiet']:.1f} %",
    )


def _share(interval: Interval) -> str:
    if np.isnan(interval.value):
        return "–"
    value, low, high = (round(100 * v) for v in interval)
    return f"{value} % ({low}–{high})"


def _rate(interval: Interval) -> str:
    if np.isnan(interval.value):
        return "–"
    return f"{interval.value:.2f} ({interval.low:.2f}–{interval.high:.2f})"


def _note(one: Score, seeds: range, table: Mapping[str, Any]) -> str:
    years = ", ".join(
        f"{one.site_years[kind]:.0f} {name}"
        for kind, name in (("quiet", "quiet"), ("aborted", "with ramps"), ("step", "with steps"))
    )
    followed = table["of_100_alerts"]
    return (
        f"Simulated slopes, seeds from {seeds.start}; {one.failures} failures; unit-years watched: "
        f"{years}. Each record has {YEARS} years, the first {score.DROPPED_YEARS} are not counted. "
        f"Sentinel-1 every 12 days with radar noise and {FLANK_PIXELS} pixels across the flank. "
        f"Thresholds {table['version']}, set on other sites. Detected: orange from the day h "
        "before failure until failure, risen after onset, by the day it was known. In brackets "
        "95 % intervals. Comparators have the false-alarm rate of orange on the sites the "
        "thresholds were set on. An alarm that always stands detects nothing new and is no false "
        "episode, but takes all of the time. Of 100 orange alerts "
        f"{followed['followed_by_failure']['orange']} were followed by failure, where "
        f"{100 * followed['failures_a_year']:g} % of slopes fail in a year (assumed)."
    )


def printed(table: ScoreTable) -> str:
    """The table as aligned text."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    body = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    return f"{table.title}\n\n{body}\n\n{table.note}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and its conditions."""
    parser = argparse.ArgumentParser(description="score the shipped rules on test seeds")
    for name, count in (("failing", 200), ("quiet", 200), ("aborted", 50), ("step", 50)):
        parser.add_argument(f"--{name}", type=int, default=count, help="number of sites")
    parser.add_argument("--table", type=Path, default=SHIPPED, help="threshold table")
    asked = parser.parse_args(arguments)
    began = time.perf_counter()
    result = score_rules(
        asked.failing,
        asked.quiet,
        aborted=asked.aborted,
        step=asked.step,
        table=asked.table,
        progress=True,
    )
    took = time.perf_counter() - began
    print(printed(result))
    versions = ", ".join(f"{n} {version(n)}" for n in ("slopewatch", "numpy", "scipy"))
    print(
        f"\nFilter: atmosphere {NOISE.atmosphere_sd_mm:g} mm, rate walk "
        f"{NOISE.rate_walk_mm2_d3:g} mm²/d³. Python {platform.python_version()}, {versions}, "
        f"{sys.platform}; {took:.0f} s."
    )


if __name__ == "__main__":
    main()
