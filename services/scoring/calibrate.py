"""Calibrate the thresholds of the shipped rules: `python -m services.scoring.calibrate`.

Everything comes from calibration seeds. A level's *budget* is a rate of false alarms a unit-year
over a mixture of quiet sites, aborted ramps and storm steps; the thresholds are the lowest for
which the upper end of the 95 % interval of that rate, of both rules together, stays within seven
tenths of the budget, and alarm time within its own budget. The share of the rate that goes to each
rule is the one of a few that detects most failures at 14 days; it is the same for all levels.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.twin import SEED_RANGES, Kind
from services.alerting.thresholds import Limits, ThresholdTable
from services.scoring import score
from services.scoring.comparators import COMPARATORS
from services.scoring.levels import or_out_of_range, rule_levels, shipped_rules
from services.scoring.pool import FLANK_PIXELS, NOISE, YEARS, Pool, joined, make_pool
from services.scoring.score import Interval, Score
from services.scoring.search import (
    ALARM_MARGIN,
    BUDGETS,
    MARGIN,
    SHARES,
    Found,
    curve_of,
    search_limits,
)

VERSION = "twin-1"
SHIPPED = Path(__file__).parents[1] / "alerting" / "tables" / f"{VERSION}.json"
FAILURES_A_YEAR = 0.02
"""Assumed share of watched units that fail in a year, where alerts are said to come true."""
_OFFSET = 200_000


@dataclass(frozen=True)
class Counts:
    """How many sites of each kind; half of `failing` are of each family."""

    quiet: int
    aborted: int
    step: int
    failing: int


FULL = Counts(quiet=3000, aborted=500, step=500, failing=1000)
QUICK = Counts(quiet=40, aborted=6, step=6, failing=12)


def pool_of(counts: Counts, seeds: range, progress: bool = False) -> Pool:
    """A pool of all kinds from the parts of `seeds` that are kept for each."""
    second = counts.failing // 2
    plan = ((counts.quiet, counts.aborted, counts.step), (counts.failing - second,), (second,))
    parts, block = [], 0
    for family, sites in zip((None, "voight", "weakening"), plan, strict=True):
        kinds = (Kind.FAILING,) if family else (Kind.QUIET, Kind.ABORTED, Kind.STEP)
        chosen: list[int] = []
        for count in sites:
            chosen += seeds[block * _OFFSET :][:count]
            block += 1
        if chosen:
            each = [kind for kind, count in zip(kinds, sites, strict=True) for _ in range(count)]
            label = f"failing, {family}" if family else "not failing"
            parts.append(
                make_pool(
                    chosen,
                    each,
                    runaway_family=family,
                    progress=label if progress else None,
                )
            )
    return joined(parts)


def calibrated(counts: Counts, progress: bool = False) -> dict[str, Any]:
    """A threshold table with how it came about, from calibration seeds alone."""
    pool = pool_of(counts, SEED_RANGES["calibration"], progress)
    found = search_limits(pool, progress)
    table = ThresholdTable(VERSION, dict(found.limits))
    level = rule_levels(pool, shipped_rules(table))
    scores = {n: score.score(pool, level, i) for i, n in enumerate(Limits._fields, start=1)}
    outside = score.score(pool, or_out_of_range(pool, level))
    return {
        "version": VERSION,
        "rules": {name: limits._asdict() for name, limits in sorted(found.limits.items())},
        "comparators": matched(pool, scores["orange"].false_alarms["all"].value),
        "made_from": _made_from(pool, counts),
        "choices": _choices(found),
        "calibration": {
            **{name: _figures(one) for name, one in scores.items()},
            "orange or out of range": _figures(outside),
        },
        "of_100_alerts": {
            "failures_a_year": FAILURES_A_YEAR,
            "followed_by_failure": {name: _of_100(one) for name, one in scores.items()},
        },
        "cannot_show": _cannot_show(scores),
    }


def matched(pool: Pool, rate: float) -> dict[str, float]:
    """The threshold of each comparator with this many false alarms a unit-year."""
    quiet = pool.where(pool.kind != Kind.FAILING)
    thresholds = {}
    for name, (statistic, fresh) in COMPARATORS.items():
        curve = curve_of(quiet, statistic(quiet), fresh(quiet), 1.5 * rate)
        thresholds[name] = round(curve.at(rate), 3)
    return thresholds


def _made_from(pool: Pool, counts: Counts) -> dict[str, Any]:
    seeds = SEED_RANGES["calibration"]
    return {
        "seeds": {
            "range": [seeds.start, seeds.stop],
            "blocks": _OFFSET,
            "order": ["quiet", "aborted", "step", "failing voight", "failing weakening"],
        },
        "sites_asked": asdict(counts),
        "sites_made": {kind.value: int((pool.kind == kind).sum()) for kind in Kind},
        "years": YEARS,
        "dropped_years": score.DROPPED_YEARS,
        "observed": {"noise": "radar", "repeat_days": 12, "flank_pixels": FLANK_PIXELS},
        "filter": NOISE.model_dump(
            include={"rate_walk_mm2_d3", "velocity_prior_sd_mm_d", "atmosphere_sd_mm"}
        ),
    }


def _choices(found: Found) -> dict[str, Any]:
    return {
        "budgets": {name: budget._asdict() for name, budget in BUDGETS.items()},
        "upper_end_within": MARGIN,
        "alarm_share_within": ALARM_MARGIN,
        "separation_days": score.SEPARATION_DAYS,
        "velocity_share": found.velocity_share,
        "detected_14_d_by_velocity_share": {
            f"{share:g}": round(found.detection_by_share[share], 4) for share in SHARES
        },
    }


def _figures(one: Score) -> dict[str, Any]:
    return {
        "false_alarms_a_unit_year": {n: _interval(v) for n, v in one.false_alarms.items()},
        "false_alarms": dict(one.episodes),
        "unit_years": {n: round(v, 1) for n, v in one.site_years.items()},
        "alarm_share": {n: round(v, 5) for n, v in one.alarm_share.items()},
        "detected": {f"{h} d": _interval(v) for h, v in one.detection.items()},
        "failures": one.failures,
        "median_lead_days": round(one.median_lead_days, 1) if one.detection[0].value else None,
    }


def _interval(interval: Interval) -> list[float]:
    return [round(value, 5) for value in interval]


def _of_100(one: Score) -> int:
    """Of 100 alerts, how many are followed by failure, rounded down."""
    true = FAILURES_A_YEAR * one.detection[0].value
    false = (1 - FAILURES_A_YEAR) * one.false_alarms["all"].value
    return int(100 * true / (true + false)) if true + false else 0


def _cannot_show(scores: Mapping[str, Score]) -> list[str]:
    red = scores["red"]
    apart = {
        kind: red.site_years["all"] * (YEARS - score.DROPPED_YEARS) / red.site_years[kind]
        for kind in ("aborted", "step")
    }
    return [
        f"Red rests on {red.episodes['all']} false alarms in {red.site_years['all']:.0f} simulated "
        "unit-years: its rate beyond the laws of this simulation is not known.",
        f"The mixture holds one aborted ramp in {apart['aborted']:.0f} unit-years and one storm "
        f"step in {apart['step']:.0f}; how often a real slope has them is not known, and the rates "
        "move with it.",
        "Simulated sites carry the figures; no real failure was used.",
    ]


def table_bytes(tree: Mapping[str, Any]) -> bytes:
    """A table as JSON, always in the same bytes."""
    return (json.dumps(tree, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description="calibrate the thresholds of the shipped rules")
    parser.add_argument("--quick", action="store_true", help="few sites; writes no shipped table")
    parser.add_argument("--out", type=Path, help="file to write; the shipped table by default")
    asked = parser.parse_args(arguments)
    if asked.quick and asked.out is None:
        parser.error("--quick needs --out: a table from few sites is not for use")
    out = asked.out or SHIPPED
    tree = calibrated(QUICK if asked.quick else FULL, progress=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(table_bytes(tree))
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
