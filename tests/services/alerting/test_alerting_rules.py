"""The rules as array functions and as votes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from core import plugins
from core.errors import BadInputError, SettingsError
from core.evidence import Evidence, not_said
from core.kinematics import mm_d_from_mm_yr
from core.settings import parse_site
from services.alerting.rule import (
    DEFAULT_RULES,
    DRIVERS_TRACK,
    RULES,
    level_of,
    open_rules,
    votes_of,
)
from services.alerting.rules import acceleration, cusum, edetector, forecast_residual, velocity
from services.alerting.rules import excess as excess_rule
from services.alerting.statistic import danger_signs
from services.alerting.thresholds import Limits, Overrides, ThresholdTable, load_table

LIMITS = Limits(50.0, 100.0, 200.0)
TABLE = ThresholdTable(
    "7",
    {
        "velocity": LIMITS,
        "excess": Limits(0.5, 1.0, 2.0),
        "cusum": Limits(4.0, 6.0, 9.0),
        "edetector": Limits(1.0, 1.5, 2.0),
        "acceleration": Limits(0.2, 0.5, 1.0),
        "failure_time": Limits(0.01, 0.1, 0.5),
        "change_point": Limits(1.5, 2.0, 3.0),
        "forecast_residual": Limits(0.2, 0.5, 1.0),
        "cluster": LIMITS,
        "rain": Limits(0.1, 0.2, 0.3),
        "level": Limits(0.1, 0.2, 0.3),
    },
)
LOS_AWAY = velocity.Settings(component="los", direction="away")
NEWEST_ONLY = {"cluster"}
"""Rules on what evidence holds of the newest epochs alone."""
NEVER_ASK = {"tangential_angle"}
FIRST_DAY = 18_000


def evidence(*lead: int, epochs: int = 60, units: int = 2, seed: int = 1) -> Evidence:
    """White innovations, rates about 50 mm/yr, some epochs without data."""
    rng = np.random.default_rng(seed)
    shape = (*lead, epochs, units)
    z = rng.normal(size=shape)
    z[rng.random(shape) < 0.1] = np.nan
    nothing = np.full(shape, np.nan)
    days = 12 * max(epochs - 1, 0) + 1
    points = 5 * units
    return Evidence(
        units=tuple(f"u{i}" for i in range(units)),
        epoch_day=np.broadcast_to(FIRST_DAY + np.arange(epochs) * 12, (*lead, epochs)),
        innovation_z=z,
        velocity_mm_d=mm_d_from_mm_yr(rng.normal(0.0, 120.0, shape)),
        velocity_sd_mm_d=mm_d_from_mm_yr(rng.uniform(5.0, 30.0, shape)),
        acceleration_mm_d2=nothing,
        acceleration_sd_mm_d2=nothing,
        out_of_range=rng.random(shape) < 0.05,
        los_factor=rng.uniform(-1.0, 1.0, (*lead, units)),
        observed_mm=rng.normal(0.0, 3.0, shape).cumsum(axis=-2),
        observed_sd_mm=np.full(shape, 3.0),
        forecast_z=rng.normal(size=shape),
        conditioned_z=np.where(np.isnan(z), np.nan, 1.2 * rng.normal(size=shape)),
        expected_mm_d=np.full(shape, 0.1),
        excess_mm_d=rng.normal(0.0, 0.2, shape),
        excess_sd_mm_d=np.full(shape, 0.15),
        excess_change_mm_d2=rng.normal(0.0, 0.01, shape),
        excess_change_sd_mm_d2=np.full(shape, 0.01),
        driver_day=np.broadcast_to(FIRST_DAY + np.arange(days), (*lead, days)),
        rain_mm=rng.gamma(0.3, 12.0, (*lead, days)),
        level_m=160 + rng.normal(0.0, 0.4, (*lead, days)).cumsum(axis=-1),
        point_unit=np.repeat(np.arange(units), 5),
        point_lon=110 + rng.uniform(0, 0.001, points),
        point_lat=31 + rng.uniform(0, 0.001, points),
        point_velocity_mm_d=mm_d_from_mm_yr(rng.normal(0.0, 300.0, (3, points))),
        point_velocity_sd_mm_d=mm_d_from_mm_yr(np.full((3, points), 10.0)),
    )


def one_of(batch: Evidence, *place: int) -> Evidence:
    """One site of a batch."""
    alone = {
        name: values[place]
        for name, values in vars(batch).items()
        if name != "units" and not name.startswith("point_")
    }
    return dataclasses.replace(batch, **alone)


def until(full: Evidence, end: int) -> Evidence:
    """One site as it was after its first `end` epochs."""
    epochs = len(full.epoch_day)
    days = int(full.epoch_day[end - 1]) - FIRST_DAY + 1
    cut: dict[str, Any] = {}
    for name, values in vars(full).items():
        if name in ("driver_day", "rain_mm", "level_m"):
            cut[name] = values[:days]
        elif name != "units" and not name.startswith(("point_", "los_")) and len(values) == epochs:
            cut[name] = values[:end]
    return dataclasses.replace(full, **cut)


def steady(rate_mm_yr: float, sd_mm_yr: float = 10.0, **changes: Any) -> Evidence:
    """One unit that moves toward the satellite at one rate, as the filter expects."""
    base = evidence(epochs=40, units=1)
    shape = base.innovation_z.shape
    return dataclasses.replace(
        base,
        innovation_z=np.zeros(shape),
        conditioned_z=np.zeros(shape),
        excess_mm_d=np.zeros(shape),
        velocity_mm_d=np.full(shape, mm_d_from_mm_yr(rate_mm_yr)),
        velocity_sd_mm_d=np.full(shape, mm_d_from_mm_yr(sd_mm_yr)),
        out_of_range=np.zeros(shape, dtype=bool),
        los_factor=np.array([0.6]),
        **changes,
    )


def upper_tail(value: float, sd: float, threshold: float) -> float:
    return 0.5 * math.erfc((threshold - value) / sd / math.sqrt(2))


# Every rule


@pytest.mark.parametrize("name", plugins.names(RULES))
class TestEveryRule:
    def open(self, name: str, table: ThresholdTable = TABLE) -> Any:
        module = plugins.load(RULES, name)
        return module.open(module.Settings(), table)

    def test_names_its_sources(self, name: str) -> None:
        assert "Sources:" in (plugins.load(RULES, name).__doc__ or "")

    def test_a_batch_equals_each_alone(self, name: str) -> None:
        if name in NEWEST_ONLY:
            pytest.skip("points have no batch axes, so there is no batch of them")
        rule, batch = self.open(name), evidence(3, 2, units=4)
        whole = rule.levels(batch)
        assert whole.dtype == np.int8
        for i, j in np.ndindex(3, 2):
            one = one_of(batch, i, j)
            np.testing.assert_array_equal(rule.levels(one), whole[i, j])
            assert [v.level for v in rule.vote(one, "A")] == [
                level_of(level) for level in whole[i, j, -1]
            ]

    def test_is_causal(self, name: str) -> None:
        rule, full = self.open(name), evidence(seed=3)
        whole = rule.levels(full)
        assert whole.any() or name in NEVER_ASK, "the example must ask for something"
        for end in (1, 31, 47) if name not in NEWEST_ONLY else ():
            np.testing.assert_array_equal(rule.levels(until(full, end)), whole[:end])

    def test_without_thresholds_says_not_calibrated(self, name: str) -> None:
        (vote,) = self.open(name, ThresholdTable()).vote(steady(500.0), "A")
        assert (vote.level, vote.rule, vote.track) == ("blue", name, "A")
        if name not in NEVER_ASK:
            assert not vote.calibrated
            assert "no threshold table is active" in vote.reason

    def test_evidence_of_before_the_conditioned_filter_is_judged_or_refused(
        self, name: str
    ) -> None:
        full = steady(500.0)
        arrays = {n: v for n, v in vars(full).items() if isinstance(v, np.ndarray)}
        older = dataclasses.replace(full, **not_said(arrays))
        (vote,) = self.open(name).vote(older, "A")
        assert vote.reason
        assert name in {"velocity", "cluster"} or vote.level == "blue"

    def test_without_epochs_says_so(self, name: str) -> None:
        if plugins.load(RULES, name).open(plugins.load(RULES, name).Settings(), TABLE).daily:
            pytest.skip("water is judged with or without epochs")
        (vote,) = self.open(name).vote(
            dataclasses.replace(
                evidence(epochs=0, units=1),
                los_factor=np.array([0.6]),
            ),
            "A",
        )
        assert (vote.level, vote.calibrated) == ("blue", False)


# Velocity


@pytest.mark.parametrize(
    ("direction", "rate", "closed_form"),
    [
        ("toward", 60.0, upper_tail(60, 10, 50)),
        ("away", -60.0, upper_tail(60, 10, 50)),
        ("away", 60.0, upper_tail(-60, 10, 50)),
        ("either", -40.0, upper_tail(-40, 10, 50) + upper_tail(40, 10, 50)),
        ("toward", -300.0, upper_tail(-300, 10, 50)),
    ],
)
def test_probability_is_the_normal_tail(direction: str, rate: float, closed_form: float) -> None:
    settings = velocity.Settings.model_validate({"component": "los", "direction": direction})
    given = velocity.Rate(np.array([[rate]]), np.array([[10.0]]))
    found = velocity.probability_past(given, 50.0, settings)
    np.testing.assert_allclose(found, [[closed_form]], rtol=1e-11)


def test_downslope_rate_divides_by_the_factor_and_masks_a_small_one() -> None:
    rate = velocity.judged_rate(
        np.full((1, 3), mm_d_from_mm_yr(-30.0)),
        np.full((1, 3), mm_d_from_mm_yr(3.0)),
        np.array([-0.5, 0.19, np.nan]),
        velocity.Settings(),
    )
    np.testing.assert_allclose(rate.value_mm_yr, [[60.0, np.nan, np.nan]])
    np.testing.assert_allclose(rate.sd_mm_yr[0, 0], 6.0)


def test_level_needs_the_probability() -> None:
    z95 = 1.6448536269514722
    for excess, level in ((z95 - 1e-6, 0), (z95 + 1e-6, 1)):
        asked = velocity.Velocity(LOS_AWAY, TABLE).levels(steady(-(50 + 10 * excess)))
        assert asked[-1, 0] == level


def test_persistence_counts_epochs_with_data_only() -> None:
    hit = np.array([[True, False, True, True, False, False, False]]).T
    data = np.array([[True, True, False, True, True, False, True]]).T
    found = velocity.persistent(hit, data, 2, 3)[:, 0]
    assert found.tolist() == [False, False, False, True, False, False, False]


def test_one_fast_epoch_asks_for_nothing() -> None:
    given = steady(-10.0)
    given.velocity_mm_d[20] = mm_d_from_mm_yr(-500.0)
    levels = velocity.Velocity(LOS_AWAY, TABLE).levels(given)
    assert not levels.any()
    given.velocity_mm_d[21] = mm_d_from_mm_yr(-500.0)
    levels = velocity.Velocity(LOS_AWAY, TABLE).levels(given)
    assert levels[:, 0].nonzero()[0].tolist() == [21, 22]


def test_velocity_vote_shows_its_figures() -> None:
    (vote,) = velocity.Velocity(LOS_AWAY, TABLE).vote(steady(-120.0), "A")
    assert vote.level == "orange"
    assert vote.figures == {
        "velocity_mm_yr": -120.0,
        "velocity_sd_mm_yr": 10.0,
        "probability_yellow": 1.0,
        "probability_orange": round(upper_tail(120, 10, 100), 4),
        "probability_red": 0.0,
    }
    assert vote.reason == (
        "120 ± 10 mm/yr away from the satellite: past 100 mm/yr at 2 of the last 3 epochs"
    )


@pytest.mark.parametrize(
    ("factor", "reason"),
    [
        (0.1, "no vote: line of sight sees less than a fifth of downslope motion"),
        (np.nan, "no vote: the downslope direction is not known"),
    ],
)
def test_velocity_abstains_where_downslope_is_not_seen(factor: float, reason: str) -> None:
    given = dataclasses.replace(steady(500.0), los_factor=np.array([factor]))
    (vote,) = velocity.Velocity(velocity.Settings(), TABLE).vote(given, "A")
    assert (vote.level, vote.calibrated, vote.reason) == ("blue", False, reason)


# CUSUM


def test_cusum_against_the_recursion_by_hand() -> None:
    z = [1.0, 2.0, math.nan, -4.0, 1.5, 0.5]
    found = cusum.cusum(np.array([z]).T, np.array([1], dtype=np.int8))
    assert found[:, 0].tolist() == [0.5, 2.0, 2.0, 0.0, 1.0, 1.0]


def test_cusum_sides() -> None:
    z = np.array([[-3.0, -3.0, -3.0]])
    found = cusum.cusum(z, np.array([1, -1, 0], dtype=np.int8))
    assert found.tolist() == [[0.0, 2.5, 2.5]]


def test_danger_signs_follow_the_slope_then_the_setting() -> None:
    factor = np.array([0.5, -0.5, 0.1, np.nan])
    assert danger_signs(factor, "away").tolist() == [1, -1, -1, -1]
    assert danger_signs(factor, "either").tolist() == [1, -1, 0, 0]


def test_rules_on_innovations_wait_for_thirty_usable_epochs() -> None:
    z = np.full((31, 1), 2.0)
    z[0] = np.nan
    given = dataclasses.replace(until(steady(0.0), 31), conditioned_z=z)
    for module in (cusum, edetector):
        asked = module.statistic(given, module.Settings())
        assert np.isneginf(asked[:30]).all()
        assert np.isfinite(asked[30, 0])
    short = dataclasses.replace(
        steady(0.0), conditioned_z=np.array([[2.0]] * 29 + [[math.nan]] * 11)
    )
    (vote,) = cusum.open(cusum.Settings(), TABLE).vote(short, "A")
    assert (vote.level, vote.calibrated) == ("blue", False)
    assert vote.reason == "not calibrated: 29 of 30 epochs"


def test_steady_motion_leaves_cusum_silent() -> None:
    (vote,) = cusum.open(cusum.Settings(), TABLE).vote(steady(5000.0), "A")
    assert (vote.level, vote.calibrated, vote.figures["statistic"]) == ("blue", True, 0.0)


def test_lasting_drift_is_asked_up() -> None:
    drift = np.where(np.arange(40) < 32, 0.0, 1.5)[:, np.newaxis]
    given = dataclasses.replace(steady(0.0), conditioned_z=drift)
    rule = cusum.open(cusum.Settings(), TABLE)
    (vote,) = rule.vote(given, "A")
    assert (vote.level, vote.figures["statistic"]) == ("orange", 8.0)
    given = dataclasses.replace(given, out_of_range=drift > 0)
    assert rule.vote(given, "A")[0].level == "blue"


# The other rules on what is left unexplained


def test_the_e_detector_is_the_recursion_by_hand() -> None:
    z = np.array([[1.0, math.nan, -0.5]]).T
    levels = np.zeros(5)
    wanted = []
    for one in z[:, 0]:
        if not math.isnan(one):
            levels = (1 + levels) * np.exp(np.array(edetector.DRIFTS) * one - _half_squares())
        wanted.append(levels.mean())
    np.testing.assert_allclose(edetector.detector(z)[:, 0], wanted, rtol=1e-14)


def _half_squares() -> Any:
    return np.array(edetector.DRIFTS) ** 2 / 2


def test_the_e_detector_runs_as_long_as_its_limit_says() -> None:
    z = np.random.default_rng(5).normal(size=(600, 400))
    passed = edetector.detector(z) >= 50.0
    first = np.where(passed.any(axis=0), passed.argmax(axis=0) + 1, 600)
    assert first.mean() > 50


def test_excess_is_told_in_its_own_spread() -> None:
    base = steady(0.0)
    excess = np.full(base.excess_mm_d.shape, 0.3)
    given = dataclasses.replace(base, excess_mm_d=excess, excess_sd_mm_d=np.full_like(excess, 0.2))
    (vote,) = excess_rule.open(excess_rule.Settings(), TABLE).vote(given, "A")
    assert vote.level == "orange"
    assert vote.figures["excess_sds"] == 1.5
    assert vote.figures["excess_mm_yr"] == pytest.approx(0.3 * 365.25 / 0.6, abs=0.06)
    assert "1.5 standard deviations: past 1" in vote.reason
    uphill = dataclasses.replace(given, excess_mm_d=-excess)
    assert excess_rule.open(excess_rule.Settings(), TABLE).vote(uphill, "A")[0].level == "blue"


def test_acceleration_is_a_lower_bound_of_both_at_once() -> None:
    base = steady(0.0)
    shape = base.excess_mm_d.shape
    given = dataclasses.replace(
        base,
        excess_mm_d=np.full(shape, 0.3),
        excess_sd_mm_d=np.full(shape, 0.1),
        excess_change_mm_d2=np.full(shape, 0.02),
        excess_change_sd_mm_d2=np.full(shape, 0.01),
    )
    found = acceleration.statistic(given, acceleration.Settings())
    missed = upper_tail(0, 1, 3) + upper_tail(0, 1, 2)
    np.testing.assert_allclose(found[-1, 0], -math.log10(missed), rtol=1e-12)
    slower = dataclasses.replace(given, excess_change_mm_d2=np.full(shape, -0.02))
    assert acceleration.statistic(slower, acceleration.Settings())[-1, 0] < 0.02


def test_one_missed_forecast_asks_for_nothing() -> None:
    misses = np.zeros((40, 1))
    misses[20] = 9.0
    given = dataclasses.replace(steady(0.0), forecast_z=misses)
    found = forecast_residual.statistic(given, forecast_residual.Settings())
    assert found.max() == 0.0
    misses[21] = 5.0
    found = forecast_residual.statistic(given, forecast_residual.Settings())
    assert found[21:, 0].tolist()[:3] == [5.0, 5.0, 0.0]


def test_without_rain_and_level_other_limits_are_in_force() -> None:
    table = ThresholdTable(
        "7", {"excess": Limits(0.5, 1.0, 2.0), "excess without water": Limits(5.0, 6.0, 7.0)}
    )
    base = steady(0.0)
    given = dataclasses.replace(base, excess_mm_d=base.excess_sd_mm_d * 5.5)
    rule = excess_rule.open(excess_rule.Settings(), table)
    assert rule.vote(given, "A")[0].level == "red"
    for gone in ("rain_mm", "level_m"):
        dry = dataclasses.replace(given, **{gone: np.full_like(given.rain_mm, np.nan)})
        (vote,) = rule.vote(dry, "A")
        assert vote.level == "yellow"
        assert vote.reason.endswith("told without rain and level")
        np.testing.assert_array_equal(rule.levels(dry)[-1], [1])


def test_water_is_judged_by_day_and_motion_by_epoch() -> None:
    rules = [
        plugins.load(RULES, name).open(plugins.load(RULES, name).Settings(), TABLE)
        for name in ("velocity", "rain", "level")
    ]
    by_epoch = votes_of(rules, steady(0.0), "A")["u0"]
    by_day = votes_of(rules, steady(0.0), DRIVERS_TRACK)["u0"]
    assert [vote.rule for vote in by_epoch] == ["velocity"]
    assert [vote.rule for vote in by_day] == ["rain", "level"]


# Thresholds and settings


def test_site_thresholds_override_the_table() -> None:
    assert TABLE.limits("velocity", Overrides()) == LIMITS
    assert TABLE.limits("velocity", Overrides(orange=150.0)) == Limits(50.0, 150.0, 200.0)
    assert TABLE.limits("velocity", Overrides(orange=300.0)) == Limits(50.0, 300.0, 300.0)
    assert TABLE.limits("unknown", Overrides(red=9.0)) == Limits(red=9.0)
    assert not TABLE.limits("unknown", Overrides()).known


def test_table_is_read_with_what_else_it_says() -> None:
    content = b'{"version": 3, "pool": {"sites": 60}, "rules": {"cusum": {"red": 9, "arl": 508}}}'
    table = load_table(content)
    assert table == ThresholdTable("3", {"cusum": Limits(red=9.0)})
    told = b'{"version": 3, "rules": {}, "of_100_alerts": {"followed_by_failure": {"red": 13}}}'
    assert load_table(told).of_100 == {"red": 13}


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b'{"version": "1"}',
        b'{"version": "1", "rules": {"cusum": {"red": "high"}}}',
        b'{"version": "1", "rules": {}, "of_100_alerts": {"followed_by_failure": {"red": 101}}}',
    ],
)
def test_a_table_that_is_none_is_bad_input(content: bytes) -> None:
    with pytest.raises(BadInputError):
        load_table(content)


def test_rules_of_a_site() -> None:
    tree = {
        "name": "dam",
        "area": (0, 0, 1, 1),
        "reference": {"scene_median": True},
        "slope_units": [{"id": "toe", "polygon": [(0, 0), (1, 0), (1, 1)]}],
    }
    assert len(open_rules(parse_site(tree), TABLE)) == len(DEFAULT_RULES)
    wrong = {"kind": "velocity", "thresholds_mm_per_year": {"yellow": 9, "red": 3}}
    with pytest.raises(SettingsError, match=r"dam rules, 1: velocity: thresholds_mm_per_year"):
        open_rules(parse_site({**tree, "rules": [wrong]}), TABLE)
    with pytest.raises(SettingsError, match="known: acceleration, change_point"):
        open_rules(parse_site({**tree, "rules": [{"kind": "astrology"}]}), TABLE)


def test_evidence_of_another_shape_is_bad_input() -> None:
    rules = (cusum.open(cusum.Settings(), TABLE),)
    assert list(votes_of(rules, evidence(), "A")) == ["u0", "u1"]
    with pytest.raises(BadInputError, match="velocity_mm_d is not of shape"):
        votes_of(rules, dataclasses.replace(evidence(), velocity_mm_d=np.zeros((3, 2))), "A")
