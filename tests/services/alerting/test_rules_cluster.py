"""The spatial rule, on layouts of points whose clusters can be counted by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from core.evidence import Evidence, not_said
from core.kinematics import mm_yr_from_mm_d
from services.alerting.rules import cluster
from services.alerting.rules.cluster import QUANTILE, Settings, largest_cluster
from services.alerting.thresholds import Limits, ThresholdTable

METRES_A_DEGREE = 111_195.0
FACTOR = -0.5
SD_MM_YR = 10.0
GRID = [(float(x), float(y)) for x in range(5) for y in range(4)]
"""Twenty points, a hundred metres apart."""
LIMITS = Settings.model_validate(
    {"thresholds_mm_per_year": {"yellow": 50, "orange": 100, "red": 200}}
)


def evidence_of(
    rates_mm_yr: np.ndarray,
    places: list[tuple[float, float]] = GRID,
    *,
    step_m: float = 100.0,
    units: np.ndarray | None = None,
    factors: tuple[float, ...] = (FACTOR,),
    epochs: int = 5,
) -> Evidence:
    """Points at `places` (in steps) whose rates surely reach these (3, P), mm/yr downslope."""
    count = rates_mm_yr.shape[1]
    unit = np.zeros(count, np.int64) if units is None else units
    factor = np.array(factors)
    one_mm_yr = float(mm_yr_from_mm_d(1.0))
    sd = np.full(rates_mm_yr.shape, SD_MM_YR / one_mm_yr)
    surely = (rates_mm_yr + 1e-9) / one_mm_yr * np.abs(factor[unit])
    velocity = np.sign(factor[unit]) * (surely + QUANTILE * sd)
    shape = (epochs, len(factors))
    place = np.array(places, float)[:count] * step_m / METRES_A_DEGREE
    nothing = np.full(shape, np.nan)
    series: dict[str, Any] = {"velocity_mm_d": nothing, "point_unit": unit}
    return Evidence(
        **{**not_said(series), "point_lon": place[:, 0], "point_lat": place[:, 1]},
        **series,
        units=tuple(f"u{n}" for n in range(len(factors))),
        epoch_day=np.arange(epochs) * 12,
        innovation_z=np.zeros(shape),
        velocity_sd_mm_d=nothing,
        acceleration_mm_d2=nothing,
        acceleration_sd_mm_d2=nothing,
        out_of_range=np.zeros(shape, bool),
        los_factor=factor,
        point_velocity_mm_d=velocity,
        point_velocity_sd_mm_d=sd,
    )


def grid(**fast: float) -> np.ndarray:
    """Rates (3, 20) of the grid: zero but at the points named `p7`."""
    rates = np.zeros((3, len(GRID)))
    for name, rate in fast.items():
        rates[:, int(name[1:])] = rate
    return rates


def vote(evidence: Evidence, settings: Settings = LIMITS) -> Any:
    return cluster.open(settings, ThresholdTable()).vote(evidence, "a")[0]


def test_chains_of_short_steps_are_one_cluster() -> None:
    line = np.array([[0.0, 0.0], [140.0, 0.0], [280.0, 0.0], [1000.0, 0.0], [1140.0, 0.0]])
    assert largest_cluster(line, 150.0) == 3
    assert largest_cluster(line, 139.0) == 1
    assert largest_cluster(line[:0], 150.0) == 0


def test_two_neighbours_are_too_few_and_three_are_not() -> None:
    assert vote(evidence_of(grid(p0=300, p1=300))).level == "blue"
    three = vote(evidence_of(grid(p0=300, p1=300, p4=120)), LIMITS)
    assert three.level == "orange"
    assert three.figures["points_past"] == 3
    assert three.figures["largest_cluster"] == 3
    assert three.figures["share_past"] == pytest.approx(0.15)
    assert three.figures["surely_mm_yr"] == pytest.approx(120, abs=0.1)
    assert "past 100 mm/yr downslope" in three.reason


def test_scattered_points_ask_by_their_share_alone() -> None:
    few = Settings.model_validate({**LIMITS.model_dump(), "share": 0.16})
    scattered = evidence_of(grid(p0=300, p10=300, p19=300))
    assert vote(scattered).level == "red"
    assert vote(scattered, few).level == "blue"
    assert vote(scattered, few).figures["largest_cluster"] == 1


def test_three_points_are_a_cluster_only_within_the_distance() -> None:
    rates = grid(p0=300, p1=300, p2=300)
    few = {**LIMITS.model_dump(), "share": 1.0}
    near, far = (evidence_of(rates, step_m=m) for m in (149.0, 151.0))
    settings = Settings.model_validate(few)
    assert vote(near, settings).level == "red"
    assert vote(far, settings).level == "blue"


def test_a_point_must_pass_at_two_of_the_last_three_epochs() -> None:
    rates = grid(p0=300, p1=300, p2=300)
    once = rates.copy()
    once[:2] = 0
    assert vote(evidence_of(once)).level == "blue"
    twice = rates.copy()
    twice[1] = 0
    assert vote(evidence_of(twice)).level == "red"
    unseen = rates.copy()
    unseen[1] = np.nan
    assert vote(evidence_of(unseen)).level == "red"


def test_motion_uphill_is_no_danger_but_where_downslope_is_not_seen() -> None:
    uphill = -grid(p0=300, p1=300, p2=300) - 2 * QUANTILE * SD_MM_YR
    assert vote(evidence_of(uphill)).level == "blue"
    either = vote(evidence_of(uphill * 10, factors=(0.1,)))
    assert either.level == "red"
    assert "along the line of sight" in either.reason


def test_points_of_both_directions_make_no_common_cluster() -> None:
    rates = grid(p0=3000, p1=3000)
    rates[:, 2] = -3000
    few = Settings.model_validate({**LIMITS.model_dump(), "share": 1.0})
    assert vote(evidence_of(rates, factors=(0.1,)), few).level == "blue"


def test_each_unit_is_judged_by_its_own_points() -> None:
    units = np.array([0] * 8 + [1] * 12)
    rates = grid(p0=300, p1=300, p8=300)
    one, other = cluster.open(
        Settings.model_validate({**LIMITS.model_dump(), "share": 0.2}), ThresholdTable()
    ).vote(evidence_of(rates, units=units, factors=(FACTOR, FACTOR)), "a")
    assert (one.level, one.figures["points_judged"]) == ("red", 8)
    assert (other.level, other.figures["points_judged"]) == ("blue", 12)


def test_without_limits_it_says_so() -> None:
    said = vote(evidence_of(grid(p0=300, p1=300, p2=300)), Settings())
    assert (said.level, said.calibrated) == ("blue", False)
    assert said.reason.startswith("not calibrated")
    table = ThresholdTable("t", {"cluster": Limits(50.0, 100.0, 200.0)})
    assert (
        cluster.open(Settings(), table)
        .vote(evidence_of(grid(p0=300, p1=300, p2=300)), "a")[0]
        .calibrated
    )


def test_a_unit_without_points_has_no_vote() -> None:
    nothing = evidence_of(np.full((3, len(GRID)), np.nan))
    assert vote(nothing).reason.startswith("no vote: no point")


def test_levels_are_of_the_newest_epoch_alone() -> None:
    rule = cluster.open(LIMITS, ThresholdTable())
    evidence = evidence_of(grid(p0=300, p1=300, p2=300))
    assert rule.levels(evidence)[:, 0].tolist() == [0, 0, 0, 0, 3]
    values = cluster.statistic(evidence, LIMITS)
    assert np.isneginf(values[:-1]).all()
    assert values[-1, 0] == pytest.approx(300)


def test_a_batch_of_sites_has_no_points_and_asks_for_nothing() -> None:
    evidence = evidence_of(grid(p0=300, p1=300, p2=300))
    batch = replace(evidence, velocity_mm_d=np.full((7, 5, 1), np.nan))
    assert not cluster.open(LIMITS, ThresholdTable()).levels(batch).any()
    assert cluster.statistic(batch, LIMITS).shape == (7, 5, 1)


@pytest.mark.parametrize("seed", range(5))
def test_the_statistic_is_the_highest_limit_at_which_the_rule_asks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = [tuple(p) for p in rng.uniform(0, 8, (30, 2))]
    evidence = evidence_of(rng.uniform(1, 400, (3, 30)), places)
    value = cluster.statistic(evidence, Settings())[-1, 0]
    for limit, asked in ((value * 0.999, "yellow"), (value * 1.001, "blue")):
        given = Settings.model_validate({"thresholds_mm_per_year": {"yellow": limit}})
        assert vote(evidence, given).level == asked


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ({"points": 1}, {"share": 0}, {"distance_m": 0}):
        with pytest.raises(ValidationError):
            Settings.model_validate(wrong)
