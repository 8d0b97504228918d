"""Calibrate the limits of the shipped rules: `python -m services.scoring.calibrate`.

Everything comes from calibration seeds and one hydrology family. A level's *budget* is a rate of
false alarms a unit-year over a mixture of quiet sites, aborted ramps and storm steps; the limits
are the lowest for which the upper end of the 95 % interval of that rate, of all rules together,
stays within seven tenths of the budget, and alarm time within its own. Which rules vote, and how
the rate is shared out among them, is what detects most failures at 14 days at orange (`search`).

Rules that are judged against rain and level have a second set of limits for sites where these are
not known, found in the same way on the same sites with nothing told of either.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from core.twin import SEED_RANGES, Kind
from services.alerting.statistic import WITHOUT_WATER
from services.alerting.thresholds import Limits, ThresholdTable
from services.scoring import score
from services.scoring.comparators import COMPARATORS
from services.scoring.levels import fresh_epochs, or_out_of_range, rule_levels
from services.scoring.pool import FLANK_PIXELS, NOISE, YEARS, Pool
from services.scoring.pools import (
    CALIBRATION,
    HYDROLOGY_FAMILIES,
    OFFSET,
    QUICK,
    Counts,
    calibration_pools,
)
from services.scoring.score import Interval, Score
from services.scoring.search import (
    ALARM_MARGIN,
    BUDGETS,
    LEAST_GAIN,
    MARGIN,
    Budget,
    Found,
    Search,
    curve_of,
    prepared,
    search_limits,
)
from services.scoring.voters import MOTION, ON_WATER, statistic, voting_rules

VERSION = "twin-2"
SHIPPED = Path(__file__).parents[1] / "alerting" / "tables" / f"{VERSION}.json"
FAILURES_A_YEAR = 0.02
"""Assumed share of watched units that fail in a year, where alerts are said to come true."""


class Calibration(NamedTuple):
    """A threshold table with how it came about, and the search that found its limits."""

    tree: dict[str, Any]
    search: Search
    found: Found


def calibrated(counts: Counts, progress: bool = False) -> dict[str, Any]:
    """The shipped threshold table with how it came about, from calibration seeds alone."""
    return calibration(counts, progress).tree


def calibration(
    counts: Counts,
    progress: bool = False,
    budgets: Mapping[str, Budget] = BUDGETS,
    version: str = VERSION,
) -> Calibration:
    """A threshold table within `budgets`, from calibration seeds alone."""
    pool, dry_pool = calibration_pools(counts, ("gauges", "none"), progress)
    search = prepared(pool, MOTION, budgets=budgets)
    found = search_limits(search, progress)
    dry = _without_water(dry_pool, found, budgets, progress)
    limits = dict(sorted({**found.limits, **dry.limits}.items()))
    table = ThresholdTable(version, limits)
    level = rule_levels(pool, voting_rules(table))
    scores = {n: score.score(pool, level, i) for i, n in enumerate(Limits._fields, start=1)}
    outside = score.score(pool, or_out_of_range(pool, level))
    tree = {
        "version": version,
        "rules": {name: one._asdict() for name, one in limits.items()},
        "comparators": matched(pool, scores["orange"].false_alarms["all"].value),
        "made_from": _made_from(pool, counts),
        "choices": _choices(found, dry, budgets),
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
    return Calibration(tree, search, found)


def _without_water(
    pool: Pool, found: Found, budgets: Mapping[str, Budget], progress: bool
) -> Found:
    """Limits of the rules on water where nothing is known of it, beside the other rules' limits."""
    fixed = {name: one for name, one in found.limits.items() if name not in ON_WATER}
    dry = search_limits(prepared(pool, ON_WATER, fixed, budgets), progress)
    named = {WITHOUT_WATER.format(rule=name): one for name, one in dry.limits.items()}
    return dry._replace(limits=named)


def matched(pool: Pool, rate: float) -> dict[str, float]:
    """The threshold of each comparator, and of each rule alone, with this many false alarms a
    unit-year."""
    quiet = pool.where(pool.kind != Kind.FAILING)
    measured = {
        name: (measure(quiet), fresh(quiet)) for name, (measure, fresh) in COMPARATORS.items()
    }
    measured |= {name: (statistic(quiet, name), fresh_epochs(quiet)) for name in MOTION}
    thresholds = {}
    for name, (values, fresh) in measured.items():
        curve = curve_of(quiet, values, fresh, 1.5 * rate)
        thresholds[name] = round(curve.at(rate), 3)
    return thresholds


def _made_from(pool: Pool, counts: Counts) -> dict[str, Any]:
    seeds = SEED_RANGES["calibration"]
    return {
        "seeds": {
            "range": [seeds.start, seeds.stop],
            "blocks": OFFSET,
            "order": ["quiet", "aborted", "step", "failing voight", "failing weakening"],
        },
        "hydrology_families": list(HYDROLOGY_FAMILIES[:1]),
        "sites_asked": asdict(counts),
        "sites_made": {kind.value: int((pool.kind == kind).sum()) for kind in Kind},
        "years": YEARS,
        "dropped_years": score.DROPPED_YEARS,
        "observed": {"noise": "radar", "repeat_days": 12, "flank_pixels": FLANK_PIXELS},
        "filter": NOISE.model_dump(
            include={"rate_walk_mm2_d3", "velocity_prior_sd_mm_d", "atmosphere_sd_mm"}
        ),
    }


def _choices(found: Found, dry: Found, budgets: Mapping[str, Budget]) -> dict[str, Any]:
    return {
        "budgets": {name: budget._asdict() for name, budget in budgets.items()},
        "upper_end_within": MARGIN,
        "alarm_share_within": ALARM_MARGIN,
        "separation_days": score.SEPARATION_DAYS,
        "least_gain": LEAST_GAIN,
        "rules_tried": list(MOTION),
        "shares": _shares(found),
        "shares_without_water": _shares(dry),
    }


def _shares(found: Found) -> dict[str, Any]:
    return {
        "of_the_rate": {name: round(share, 4) for name, share in found.shares.items()},
        "steps": [
            {"rule": rule, "share": share, "detected_14_d": detected}
            for rule, share, detected in found.steps
        ],
    }


def _figures(one: Score) -> dict[str, Any]:
    return {
        "false_alarms_a_unit_year": {n: _interval(v) for n, v in one.false_alarms.items()},
        "false_alarms": dict(one.episodes),
        "unit_years": {n: round(v, 1) for n, v in one.site_years.items()},
        "alarm_share": {n: round(v, 5) for n, v in one.alarm_share.items()},
        "detected": {f"{h} d": _interval(v) for h, v in one.detection.items()},
        "failures": one.failures,
        "median_lead_days": (
            round(one.median_lead_days, 1) if math.isfinite(one.median_lead_days) else None
        ),
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
    tree = calibrated(QUICK if asked.quick else CALIBRATION, progress=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(table_bytes(tree))
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
