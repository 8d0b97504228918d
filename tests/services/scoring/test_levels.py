from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.events import LEVELS, UnitState, Vote
from core.evidence import Evidence
from services.alerting.decide import is_fresh, observed, voted
from services.alerting.rule import votes_of
from services.alerting.state import UnitAlert
from services.alerting.thresholds import Limits, ThresholdTable
from services.scoring.comparators import own_season_statistic, two_epoch_statistic
from services.scoring.levels import (
    ORANGE,
    fresh_epochs,
    levels_over_time,
    or_out_of_range,
    rule_levels,
    statistic_levels,
)
from services.scoring.pool import Pool
from services.scoring.voters import CONTEXT, MOTION, statistic, voting_rules

LIMITS = {
    "velocity": Limits(100.0, 300.0, 500.0),
    "excess": Limits(0.5, 1.0, 2.0),
    "cusum": Limits(2.0, 4.0, 6.0),
    "edetector": Limits(1.0, 2.0, 3.0),
    "acceleration": Limits(0.5, 1.0, 2.0),
    "failure_time": Limits(0.1, 0.5, 1.0),
    "change_point": Limits(2.0, 3.0, 4.0),
    "forecast_residual": Limits(0.5, 1.0, 1.5),
    "rain": Limits(0.3, 0.6, 0.9),
    "level": Limits(0.3, 0.6, 0.9),
}
TABLE = ThresholdTable("t", LIMITS)
EPOCHS = 25


def one_by_one(asked: np.ndarray, fresh: np.ndarray) -> list[int]:
    """What the state machine of the service makes of one unit."""
    unit, found = UnitAlert(), []
    now = datetime(2024, 1, 1, tzinfo=UTC)
    for epoch, (level, new) in enumerate(zip(asked, fresh, strict=True)):
        vote = Vote(
            rule="r", track="t", level=LEVELS[level], calibrated=True, reason="", figures={}
        )
        day = date(2024, 1, 1) + timedelta(days=12 * epoch)
        unit = voted(unit, "t", [vote], fresh=bool(new), epoch=day, now=now)
        found.append(LEVELS.index(unit.level))
    return found


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.int8, (4, EPOCHS), elements=st.integers(0, 3)),
    arrays(np.bool_, (4, EPOCHS)),
)
def test_levels_are_those_of_the_state_machine(asked: np.ndarray, fresh: np.ndarray) -> None:
    together = levels_over_time(asked, fresh)
    for site in range(len(asked)):
        assert together[site].tolist() == one_by_one(asked[site], fresh[site])


def test_a_level_rises_at_once_and_falls_after_three_fresh_epochs_that_ask_for_less() -> None:
    asked = np.array([[0, 2, 0, 0, 2, 0, 1, 0, 0, 0, 0]], dtype=np.int8)
    level = levels_over_time(asked, np.ones(asked.shape, dtype=bool))
    assert level.tolist() == [[0, 2, 2, 2, 2, 2, 2, 1, 1, 1, 0]]


def test_epochs_that_are_not_fresh_never_lower_a_level() -> None:
    asked = np.array([[2, 0, 0, 0, 0, 0, 3]], dtype=np.int8)
    level = levels_over_time(asked, np.zeros(asked.shape, dtype=bool))
    assert level.tolist() == [[2, 2, 2, 2, 2, 2, 3]]


def test_out_of_range_and_padding_are_not_fresh(pool: Pool) -> None:
    fresh = fresh_epochs(pool)
    outside = pool.evidence.out_of_range[..., 0]
    assert outside.any()
    assert not fresh[outside].any()
    assert not fresh[~pool.usable].any()
    assert fresh.mean() > 0.8


@pytest.mark.parametrize("rule", [*MOTION, *CONTEXT])
def test_a_statistic_asks_for_what_its_rule_asks_for(pool: Pool, rule: str) -> None:
    values, limits = statistic(pool, rule), np.array(LIMITS[rule])
    with np.errstate(invalid="ignore"):
        far = ~(np.abs(values[..., None] - limits).min(axis=-1) < 1e-6)
    asked = sum((values >= limit).astype(int) for limit in limits)
    (opened,) = voting_rules(TABLE, [rule])
    wanted = opened.levels(pool.evidence)[..., 0]
    np.testing.assert_array_equal(asked[far], wanted[far])
    assert len(set(wanted.ravel())) > 1


def test_the_rules_together_ask_for_the_highest(pool: Pool) -> None:
    rules = voting_rules(TABLE, MOTION[:3])
    together = rule_levels(pool, rules)
    for rule in rules:
        alone = rule_levels(pool, [rule])
        assert ((together >= alone) | (alone == 0)).mean() > 0.99
    fast = statistic_levels(statistic(pool, "velocity"), fresh_epochs(pool), LIMITS["velocity"])
    np.testing.assert_array_equal(fast, rule_levels(pool, rules[:1]))


def test_out_of_range_counts_as_orange_where_asked(pool: Pool) -> None:
    calm = np.zeros(pool.usable.shape, dtype=np.int8)
    level = or_out_of_range(pool, calm)
    np.testing.assert_array_equal(level == ORANGE, pool.evidence.out_of_range[..., 0])
    assert set(np.unique(level)) == {0, ORANGE}


def test_the_two_epoch_rate_is_the_rate_between_two_epochs(pool: Pool) -> None:
    rate = two_epoch_statistic(pool)
    days = np.diff(pool.evidence.epoch_day[0, :2])[0]
    assert rate[0, 0] == -np.inf
    mm_d = pool.two_epoch_mm_d[0, 1, 0]
    assert rate[0, 1] == pytest.approx(365.25 * mm_d / pool.evidence.los_factor[0, 0])
    assert days > 0


def test_own_seasons_need_a_past_season(pool: Pool) -> None:
    excess = own_season_statistic(pool)
    young = pool.usable & (pool.evidence.epoch_day < 300)
    assert np.all(excess[young] == -np.inf)
    old = pool.usable & (pool.evidence.epoch_day > 500)
    assert np.isfinite(excess[old]).mean() > 0.95
    assert np.median(excess[old]) < 0


def site_evidence(pool: Pool, site: int, epochs: int) -> Evidence:
    """What the service would have of one site after this many epochs."""
    whole = pool.evidence
    kept: dict[str, Any] = {}
    for field in fields(Evidence):
        values = getattr(whole, field.name)
        if field.name in ("los_factor", "driver_day", "rain_mm", "level_m"):
            kept[field.name] = values[site]
        elif field.name != "units" and not field.name.startswith("point_"):
            kept[field.name] = values[site, :epochs]
    last = int(kept["epoch_day"][-1])
    for name in ("driver_day", "rain_mm", "level_m"):
        kept[name] = kept[name][: last + 1]
    return replace(whole, **kept)


@pytest.mark.parametrize("site", [12, 31])
def test_levels_are_those_of_the_service_epoch_by_epoch(pool: Pool, site: int) -> None:
    rules = voting_rules(TABLE, MOTION)
    wanted = rule_levels(pool, rules)[site]
    unit, now = UnitAlert(), datetime(2024, 1, 1, tzinfo=UTC)
    for number in range(1, int(pool.usable[site].sum()) + 1):
        evidence = site_evidence(pool, site, number)
        epoch = date(2024, 1, 1) + timedelta(days=int(evidence.epoch_day[-1]))
        seen = UnitState(
            track="t",
            unit="slope",
            los_displacement_mm=0.0,
            displacement_sd_mm=1.0,
            los_velocity_mm_d=0.0,
            velocity_sd_mm_d=1.0,
            measured_points=6,
            out_of_range=bool(evidence.out_of_range[-1, 0]),
        )
        votes = votes_of(rules, evidence, "t")["slope"]
        fresh = is_fresh(unit, "t", epoch, seen, votes)
        unit = voted(
            observed(unit, "t", epoch, seen), "t", votes, fresh=fresh, epoch=epoch, now=now
        )
        assert LEVELS.index(unit.level) == wanted[number - 1]
    assert wanted.max() > 0
