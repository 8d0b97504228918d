"""The rule on rain: its ratio, what it says, and what it does not know."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pydantic import ValidationError
from water_evidence import FIRST_DAY, water_evidence

from core.errors import BadInputError
from services.alerting.rules import rain
from services.alerting.thresholds import Limits, Overrides, ThresholdTable

SEATTLE = ThresholdTable("r1", {"rain": Limits(1.0)})
MM = 25.4


def storm(short: float, antecedent: float) -> list[float]:
    """18 days of rain in mm: the antecedent sum on 15 of them, the short one on the last 3."""
    return [antecedent / 15] * 15 + [short / 3] * 3


def only(rule: rain.RainRule, **given: object) -> object:
    (vote,) = rule.vote(water_evidence(**given), "-")  # type: ignore[arg-type]
    return vote


@pytest.mark.parametrize(
    ("p3", "p15", "past"),
    [(3.51, 0.0, True), (3.49, 0.0, False), (0.0, 5.23, True), (0.0, 5.22, False),
     (1.5, 2.99, True), (1.5, 2.98, False)],
)  # fmt: skip
def test_the_shipped_line_is_the_published_one_in_inches(p3: float, p15: float, past: bool) -> None:
    assert past == (p3 >= 3.5 - 0.67 * p15)
    given = water_evidence(rain_mm=storm(p3 * MM, p15 * MM))
    (ratio,) = rain.daily_statistic(given, rain.Settings())[-1:]
    assert ratio == pytest.approx((p3 + 0.67 * p15) / 3.5)
    (vote,) = rain.open(rain.Settings(), SEATTLE).vote(given, "-")
    assert (vote.level, vote.calibrated) == ("yellow" if past else "blue", True)


def test_the_vote_says_what_fell_and_against_what() -> None:
    vote = only(rain.open(rain.Settings(), SEATTLE), rain_mm=storm(60.0, 75.0))
    assert vote.reason == (
        "rain to 2019-05-01: 60 mm in 3 days after 75 mm in 15 days, 1.24 of the line: past 1"
    )
    assert vote.figures == {
        "rain_ratio": 1.24,
        "rain_short_mm": 60.0,
        "rain_antecedent_mm": 75.0,
        "rain_unknown_days": 0.0,
    }


def test_one_day_of_rain_counts_for_three_days_and_less_for_fifteen() -> None:
    ratio = rain.rain_ratio(np.r_[np.zeros(20), 88.9, np.zeros(20)], rain.Settings()).ratio
    np.testing.assert_allclose(ratio[20:23], 1.0)
    np.testing.assert_allclose(ratio[23:38], 0.67)
    np.testing.assert_array_equal(ratio[38:], 0.0)
    np.testing.assert_array_equal(ratio[:20], 0.0)


def test_a_higher_level_needs_its_own_limit() -> None:
    settings = rain.Settings(thresholds=Overrides(orange=1.5))
    rule = rain.open(settings, SEATTLE)
    levels = [only(rule, rain_mm=storm(mm, 0.0)).level for mm in (80.0, 100.0, 140.0)]
    assert levels == ["blue", "yellow", "orange"]


def test_too_many_unknown_days_are_no_vote_of_not_past() -> None:
    rule = rain.open(rain.Settings(), SEATTLE)
    fallen = storm(30.0, 30.0)
    few, many = list(fallen), list(fallen)
    few[4] = few[16] = np.nan
    many[4] = many[5] = many[16] = np.nan
    told = only(rule, rain_mm=few)
    assert told.calibrated
    assert "30 mm" not in told.reason
    assert "20 mm in 3 days after 28 mm in 15 days at least" in told.reason
    assert "rain is not known on 2 of the last 18 days" in told.reason
    silent = only(rule, rain_mm=many)
    assert (silent.level, silent.calibrated) == ("blue", False)
    assert silent.reason == "no vote: rain is not known on 3 of the last 18 days"


def test_rain_that_passes_the_line_does_so_whatever_is_not_known() -> None:
    given = [np.nan] * 17 + [120.0]
    vote = only(rain.open(rain.Settings(), SEATTLE), rain_mm=given)
    assert (vote.level, vote.calibrated) == ("yellow", True)
    assert "at least, for rain is not known on 17 of the last 18 days" in vote.reason


@pytest.mark.parametrize("given", [[], [np.nan] * 30])
def test_without_any_rain_there_is_no_vote(given: list[float]) -> None:
    vote = only(rain.open(rain.Settings(), SEATTLE), rain_mm=given)
    assert (vote.level, vote.calibrated) == ("blue", False)
    assert "not known" in vote.reason
    assert np.isfinite(list(vote.figures.values())).all()


def test_the_newest_day_votes_and_epochs_see_no_later_one() -> None:
    given = water_evidence(rain_mm=[0.0] * 25 + [100.0], epochs=[20, 24, 25], rates_mm_yr=(0, 0))
    rule = rain.open(rain.Settings(), SEATTLE)
    np.testing.assert_array_equal(rule.levels(given), [[0, 0], [0, 0], [1, 1]])
    later = dataclasses.replace(given, epoch_day=given.epoch_day - 2)
    np.testing.assert_array_equal(rule.levels(later), np.zeros((3, 2)))
    assert [vote.level for vote in rule.vote(later, "-")] == ["yellow", "yellow"]
    outside = dataclasses.replace(given, epoch_day=FIRST_DAY + np.array([-1, 25, 26]))
    np.testing.assert_array_equal(rule.levels(outside), [[0, 0], [1, 1], [0, 0]])


def test_what_is_past_does_not_change_when_later_days_come() -> None:
    fallen = np.random.default_rng(4).gamma(0.3, 30.0, 120)
    rule = rain.open(rain.Settings(), SEATTLE)
    daily = rain.daily_statistic(water_evidence(rain_mm=fallen), rain.Settings())
    assert 10 < (daily >= 1).sum() < 110
    for day in range(17, 120):
        (vote,) = rule.vote(water_evidence(rain_mm=fallen[: day + 1]), "-")
        assert (vote.level == "yellow") == (daily[day] >= 1)


def test_a_batch_equals_each_site_alone() -> None:
    rng = np.random.default_rng(5)
    sites = [
        water_evidence(
            rain_mm=rng.gamma(0.3, 30.0, 60), epochs=[20, 40, 59], rates_mm_yr=rng.normal(0, 50, 2)
        )
        for _ in range(3)
    ]
    joined = {
        name: np.stack([getattr(site, name) for site in sites])
        for name in ("epoch_day", "innovation_z", "velocity_mm_d", "velocity_sd_mm_d",
                     "out_of_range", "los_factor", "driver_day", "rain_mm", "level_m")
    }  # fmt: skip
    batch = dataclasses.replace(sites[0], **joined)
    for settings in (rain.Settings(), rain.Settings(moving_mm_per_year=20.0)):
        whole = rain.statistic(batch, settings)
        assert whole.shape == (3, 3, 2)
        for site, found in zip(sites, whole, strict=True):
            np.testing.assert_array_equal(rain.statistic(site, settings), found)


def test_held_to_slopes_that_move_it_leaves_the_others_alone() -> None:
    rule = rain.open(rain.Settings(moving_mm_per_year=100.0), SEATTLE)
    given = water_evidence(
        rain_mm=storm(100.0, 0.0), epochs=[5, 17], rates_mm_yr=(150.0, 50.0, 150.0)
    )
    given = dataclasses.replace(given, los_factor=np.array([0.6, 0.6, 0.1]))
    fast, slow, unseen = rule.vote(given, "-")
    np.testing.assert_array_equal(rule.levels(given), [[0, 0, 0], [1, 0, 0]])
    assert fast.level == "yellow"
    assert (slow.level, slow.calibrated) == ("blue", True)
    assert slow.reason.endswith("past 1, but the unit is slower than 100 mm/yr")
    assert (unseen.level, unseen.calibrated) == ("blue", False)
    assert "how fast the unit moves is not known" in unseen.reason
    (dry, *_) = rule.vote(dataclasses.replace(given, rain_mm=np.zeros(18)), "-")
    assert (dry.level, dry.calibrated) == ("blue", True)


def test_a_rate_is_held_over_epochs_without_data_and_unknown_before() -> None:
    settings = rain.Settings(moving_mm_per_year=100.0)
    rule = rain.open(settings, SEATTLE)
    given = water_evidence(
        rain_mm=[*storm(120.0, 0.0), 0.0], epochs=[16, 17, 18], rates_mm_yr=(150.0,)
    )
    gaps = dataclasses.replace(given, innovation_z=np.array([[np.nan], [0.0], [np.nan]]))
    assert np.isnan(rain.statistic(gaps, settings)[0, 0])
    np.testing.assert_array_equal(rule.levels(gaps), [[0], [1], [1]])
    blind = dataclasses.replace(given, innovation_z=np.full((3, 1), np.nan))
    (vote,) = rule.vote(blind, "-")
    assert (vote.level, vote.calibrated) == ("blue", False)
    assert vote.reason.endswith("no vote: how fast the unit moves is not known")


def test_without_thresholds_it_says_not_calibrated() -> None:
    vote = only(rain.open(rain.Settings(), ThresholdTable()), rain_mm=storm(200.0, 100.0))
    assert (vote.level, vote.calibrated) == ("blue", False)
    assert "no threshold table is active" in vote.reason


def test_evidence_with_days_left_out_is_refused() -> None:
    given = water_evidence(rain_mm=[1.0] * 20)
    holed = dataclasses.replace(given, driver_day=given.driver_day + (np.arange(20) > 9))
    rule = rain.open(rain.Settings(), SEATTLE)
    with pytest.raises(BadInputError, match="day by day"):
        rule.vote(holed, "-")
    with pytest.raises(BadInputError, match="rain_mm"):
        rule.levels(dataclasses.replace(given, rain_mm=np.zeros(3)))


def test_a_short_sum_of_no_known_day_cannot_be_allowed() -> None:
    with pytest.raises(ValidationError, match="unknown_days must be less than short_days"):
        rain.Settings(unknown_days=3)


def test_it_is_judged_daily() -> None:
    assert rain.DAILY is True
