"""The rule on level: how fast it changes, where it stands, and Gapa's two thresholds."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from water_evidence import water_evidence

from core.errors import BadInputError
from core.events import Vote
from services.alerting.rules import level
from services.alerting.thresholds import Limits, ThresholdTable

TABLE = ThresholdTable("l1", {"level": Limits(1.0, 2.0)})
DAYS = np.arange(40.0)


def only(settings: level.Settings, **given: Any) -> Vote:
    (vote,) = level.open(settings, TABLE).vote(water_evidence(**given), "-")
    return vote


@pytest.mark.parametrize(
    ("direction", "rate_m_d", "wanted"),
    [("drawdown", -0.59, "blue"), ("drawdown", -0.61, "yellow"), ("drawdown", -1.21, "orange"),
     ("drawdown", 2.0, "blue"), ("rise", 0.61, "yellow"), ("rise", -2.0, "blue"),
     ("either", -0.61, "yellow"), ("either", 0.61, "yellow"), ("either", 0.59, "blue")],
)  # fmt: skip
def test_a_change_counts_in_the_direction_asked_for(
    direction: str, rate_m_d: float, wanted: str
) -> None:
    settings = level.Settings.model_validate({"direction": direction})
    vote = only(settings, level_m=170 + rate_m_d * DAYS)
    assert (vote.level, vote.calibrated) == (wanted, True)
    assert vote.figures["level_change_m_d"] == pytest.approx(rate_m_d)


def test_the_vote_says_where_the_water_stands_and_how_it_got_there() -> None:
    vote = only(level.Settings(), level_m=170 - 0.75 * DAYS)
    assert vote.reason == (
        "water at 140.8 m on 2019-05-23 after falling 0.75 m a day over 7 days, "
        "1.25 of the limit: past 1"
    )
    assert vote.figures == {"level_ratio": 1.25, "level_m": 140.75, "level_change_m_d": -0.75}


def test_a_pulse_of_some_days_is_averaged() -> None:
    water = np.r_[np.full(20, 160.0), 160 - 2 * np.arange(1.0, 4.0), np.full(20, 154.0)]
    ratio = level.level_ratio(water, level.Settings()).ratio
    assert np.isnan(ratio[:5]).all()
    np.testing.assert_array_equal(ratio[7:20], 0.0)
    np.testing.assert_allclose(ratio[22:27], 6 / 7 / 0.6)
    np.testing.assert_array_equal(ratio[29:], 0.0)


def test_high_and_low_water_grow_past_their_level() -> None:
    settings = level.Settings(direction="none", low_water_m=150.0, high_water_m=170.0)
    ratio = level.level_ratio(np.array([145.0, 150.0, 160.0, 170.0, 172.5]), settings).ratio
    np.testing.assert_allclose(ratio, [2.0, 1.0, -1.0, 1.0, 1.5])
    both = level.Settings(high_water_m=170.0)
    falling = 180 - 0.9 * np.arange(30.0)
    found = level.level_ratio(falling, both).ratio
    np.testing.assert_allclose(found[7], max(1 + (falling[7] - 170) / 5, 1.5))
    np.testing.assert_allclose(found[29], 1.5)
    assert found[0] == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("stands_m", "rate_mm_yr", "wanted"),
    [(1819.0, 1500.0, "yellow"), (1821.0, 1500.0, "blue"), (1819.0, 1400.0, "blue"),
     (1821.0, 1400.0, "blue")],
)  # fmt: skip
def test_gapa_needs_low_water_and_fast_motion_together(
    stands_m: float, rate_mm_yr: float, wanted: str
) -> None:
    gapa = level.Settings(direction="none", low_water_m=1820.0, moving_mm_per_year=1461.0)
    vote = only(gapa, level_m=[stands_m] * 3, epochs=[0], rates_mm_yr=(rate_mm_yr,))
    assert (vote.level, vote.calibrated) == (wanted, True)


def test_gapa_does_not_guess_how_fast_a_slope_moves() -> None:
    gapa = level.Settings(direction="none", low_water_m=1820.0, moving_mm_per_year=1461.0)
    vote = only(gapa, level_m=[1819.0] * 3)
    assert (vote.level, vote.calibrated) == ("blue", False)
    assert vote.reason.endswith("no vote: how fast the unit moves is not known")


def test_a_level_may_be_held_for_two_days_and_no_longer() -> None:
    water = 170 - 0.75 * DAYS
    for missing, known in ((2, True), (3, False)):
        holed = water.copy()
        holed[-missing:] = np.nan
        vote = only(level.Settings(), level_m=holed)
        assert vote.calibrated is known
        if known:
            assert vote.figures["level_change_m_d"] == pytest.approx(-0.75)
        else:
            assert vote.reason == "no vote: the level is not known on 2019-05-23"


def test_without_the_level_of_a_week_ago_there_is_no_vote() -> None:
    vote = only(level.Settings(), level_m=[170.0, 160.0, 150.0])
    assert (vote.level, vote.calibrated) == ("blue", False)
    assert "how the level changed over 7 days to 2019-04-16 is not known" in vote.reason
    assert set(vote.figures) == {"level_m"}
    high = only(level.Settings(high_water_m=149.0), level_m=[170.0, 160.0, 150.0])
    assert (high.level, high.calibrated) == ("yellow", True)
    low = only(level.Settings(high_water_m=151.0), level_m=[170.0, 160.0, 150.0])
    assert (low.level, low.calibrated) == ("blue", False)


@pytest.mark.parametrize("given", [[], [np.nan] * 30])
def test_without_any_level_there_is_no_vote(given: list[float]) -> None:
    vote = only(level.Settings(), level_m=given)
    assert (vote.level, vote.calibrated) == ("blue", False)
    assert "not known" in vote.reason


def test_epochs_see_their_own_day_and_the_vote_the_newest() -> None:
    water = np.r_[np.full(20, 160.0), 160 - 0.8 * np.arange(1.0, 21.0)]
    given = water_evidence(level_m=water, epochs=[10, 22, 30], rates_mm_yr=(0, 0))
    rule = level.open(level.Settings(), TABLE)
    np.testing.assert_array_equal(rule.levels(given), [[0, 0], [0, 0], [1, 1]])
    assert [vote.level for vote in rule.vote(given, "-")] == ["yellow", "yellow"]
    daily = level.daily_statistic(given, level.Settings())
    for day in range(9, 40):
        cut = water_evidence(level_m=water[: day + 1])
        assert (rule.vote(cut, "-")[0].level == "yellow") == (daily[day] >= 1)


def test_a_batch_equals_each_site_alone() -> None:
    rng = np.random.default_rng(6)
    sites = [
        water_evidence(level_m=160 + np.cumsum(rng.normal(0, 1, 60)), epochs=[5, 30, 59])
        for _ in range(3)
    ]
    joined = {
        name: np.stack([getattr(site, name) for site in sites])
        for name in ("epoch_day", "innovation_z", "velocity_mm_d", "velocity_sd_mm_d",
                     "out_of_range", "los_factor", "driver_day", "rain_mm", "level_m")
    }  # fmt: skip
    whole = level.statistic(dataclasses.replace(sites[0], **joined), level.Settings())
    assert whole.shape == (3, 3, 1)
    for site, found in zip(sites, whole, strict=True):
        np.testing.assert_array_equal(level.statistic(site, level.Settings()), found)


@pytest.mark.parametrize(
    ("given", "why"),
    [({"days": 2}, "held_days must be less than days"),
     ({"direction": "none"}, "needs high_water_m or low_water_m"),
     ({"low_water_m": 170, "high_water_m": 160}, "low_water_m must be below high_water_m")],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        level.Settings.model_validate(given)


def test_evidence_with_days_left_out_is_refused() -> None:
    given = water_evidence(level_m=[160.0] * 20)
    holed = dataclasses.replace(given, driver_day=given.driver_day + (np.arange(20) > 9))
    with pytest.raises(BadInputError, match="day by day"):
        level.open(level.Settings(), TABLE).levels(holed)


def test_it_is_judged_daily() -> None:
    assert level.DAILY is True
