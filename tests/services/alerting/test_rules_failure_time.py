"""The rule `failure_time`: when models are compared, what is told, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from core.errors import SettingsError
from core.evidence import Evidence, pack_evidence, unpack_evidence
from core.plugins import settings as read_settings
from core.voight import voight_excess_mm
from services.alerting.rule import RULES
from services.alerting.rules import failure_time
from services.alerting.rules.failure_time import Settings, statistic
from services.alerting.statistic import StatisticRule
from services.alerting.thresholds import Limits, ThresholdTable
from tests.services.alerting.motion_evidence import motion_evidence, site, until

TABLE = ThresholdTable("7", {"failure_time": Limits(0.5, 1.0, 3.0)})
EPOCHS = 50
DAYS_AGO = 12 * np.arange(EPOCHS - 1, -1, -1)


def rule(table: ThresholdTable = TABLE, **changes: Any) -> StatisticRule:
    return failure_time.open(Settings(**changes), table)


def series(onset_mm_d: float = 0.5, left: float = 25.0, seed: int = 0) -> Any:
    """(E, 1) downslope LOS motion: creep of 0.2 mm/d and a runaway of 120 days, 2 mm of noise."""
    excess = onset_mm_d * voight_excess_mm(120.0 - DAYS_AGO, 120.0 + left, 2.0)
    noise = 2.0 * np.random.default_rng(seed).normal(size=EPOCHS)
    return (-0.2 * DAYS_AGO + excess + noise)[:, None]


def many() -> Evidence:
    """Sites (3, 2) of 4 units each: runaways of several sizes, some epochs missing."""
    rng = np.random.default_rng(8)
    sizes = rng.uniform(0, 0.5, (3, 2, 4))
    moved = np.stack(
        [series(size, left=20.0, seed=i)[:, 0] for i, size in enumerate(sizes.ravel())], axis=-1
    )
    moved = np.moveaxis(moved.reshape(EPOCHS, 3, 2, 4), 0, 2)
    moved[rng.uniform(size=moved.shape) < 0.06] = np.nan
    given = motion_evidence(moved)
    return dataclasses.replace(given, out_of_range=rng.uniform(size=moved.shape) < 0.03)


def test_a_runaway_is_asked_up_and_its_time_told() -> None:
    given = motion_evidence(series())
    (vote,) = rule().vote(given, "A")
    assert (vote.rule, vote.track, vote.level, vote.calibrated) == (
        "failure_time",
        "A",
        "red",
        True,
    )
    figures = vote.figures
    assert list(figures) == [
        "bayes_factor",
        "epochs_in_acceleration",
        "probability_30d",
        "failure_low_days",
        "failure_median_days",
        "failure_high_days",
    ]
    assert figures["failure_low_days"] < 25 < figures["failure_high_days"]
    assert figures["bayes_factor"] > 1000
    low, high = (round(figures[f"failure_{name}_days"]) for name in ("low", "high"))
    start = f"if it goes on after Voight's law, failure {low} to {high} days after 2020-11-22 (8 of"
    assert vote.reason.startswith(start)
    assert vote.reason.endswith("; log10 Bayes factor 3.08 for a runaway: past 3")


def test_creep_as_expected_is_not_compared() -> None:
    (vote,) = rule().vote(motion_evidence(series(0.0)), "A")
    assert (vote.level, vote.calibrated, vote.figures) == ("blue", True, {})
    assert vote.reason == "not surely faster than explained at 2 epochs: not past 0.5"


def test_the_same_motion_uphill_is_not_compared() -> None:
    (vote,) = rule().vote(
        dataclasses.replace(motion_evidence(series()), los_factor=np.array([0.6])), "A"
    )
    assert (vote.level, vote.figures) == ("blue", {})


def test_no_time_is_told_where_evidence_is_thin_though_a_level_may_be_asked_for() -> None:
    given = motion_evidence(series(0.1))
    (vote,) = rule(ThresholdTable("7", {"failure_time": Limits(0.01)})).vote(given, "A")
    assert 1 < vote.figures["bayes_factor"] < 10
    assert (vote.level, set(vote.figures)) == ("yellow", {"bayes_factor", "epochs_in_acceleration"})
    assert vote.reason.startswith("no time of failure is given: the Bayes factor against")
    (vote,) = rule().vote(given, "A")
    assert vote.level == "blue"
    assert vote.reason.endswith("for a runaway: not past 0.5")


def test_a_level_is_asked_for_exactly_where_the_statistic_reaches_the_limit() -> None:
    given = many()
    found, levels = statistic(given, Settings()), rule().levels(given)
    assert levels.dtype == np.int8
    assert {0, 1, 2, 3} <= set(np.unique(levels))
    for index, limit in enumerate(Limits(0.5, 1.0, 3.0), start=1):
        np.testing.assert_array_equal(levels >= index, found >= limit)


def test_a_batch_equals_each_alone_to_the_bit() -> None:
    given = many()
    whole = statistic(given, Settings())
    for index in np.ndindex(3, 2):
        one = site(given, *index)
        assert statistic(one, Settings()).tobytes() == whole[index].tobytes()
        votes = rule().vote(one, "A")
        levels = rule().levels(one)
        assert [v.level for v in votes] == [
            ("blue", "yellow", "orange", "red")[i] for i in levels[-1]
        ]


def test_is_causal() -> None:
    given = site(many(), 0, 1)
    whole = statistic(given, Settings())
    assert np.isfinite(whole).any()
    for end in (1, 20, 44, 48):
        assert statistic(until(given, end), Settings()).tobytes() == whole[:end].tobytes()


def test_an_epoch_without_data_changes_nothing() -> None:
    given = motion_evidence(series())
    given.observed_mm[-1] = np.nan
    found = statistic(given, Settings())[:, 0]
    assert found[-1] == found[-2] > 1
    (vote,) = rule().vote(given, "A")
    assert "days after 2020-11-10" in vote.reason


def test_one_epoch_of_excess_is_not_compared() -> None:
    given = motion_evidence(series())
    assert np.isfinite(statistic(given, Settings())[-1, 0])
    given.excess_mm_d[-2] = 0.0
    assert statistic(given, Settings())[-1, 0] == 0.0


def test_motion_that_rain_and_level_explain_is_no_runaway() -> None:
    moved = series()
    rate = np.gradient(moved[:, 0], 12.0)[:, None]
    given = dataclasses.replace(motion_evidence(moved), expected_mm_d=-rate)
    assert (
        statistic(given, Settings())[-1, 0]
        < 0
        < statistic(motion_evidence(moved), Settings())[-1, 0]
    )


def test_an_expectation_that_is_not_known_for_a_while_makes_no_runaway() -> None:
    given = motion_evidence(series())
    whole = statistic(given, Settings())[-1, 0]
    given.expected_mm_d[30:36] = np.nan
    assert statistic(given, Settings())[-1, 0] == pytest.approx(whole, abs=1e-6)


def test_displacement_before_a_new_beginning_is_left_out() -> None:
    given = motion_evidence(series())
    jumped = motion_evidence(series())
    jumped.observed_mm[:38] += 400.0
    jumped.innovation_z[38] = np.nan
    given.innovation_z[38] = np.nan
    assert np.isfinite(statistic(given, Settings())[-1, 0])
    np.testing.assert_array_equal(
        statistic(jumped, Settings())[38:], statistic(given, Settings())[38:]
    )
    given.innovation_z[44] = np.nan
    (vote,) = rule().vote(given, "A")
    assert (vote.calibrated, vote.reason) == (False, "no vote: fewer than 8 epochs in the window")


def test_where_downslope_is_not_seen_the_setting_or_the_excess_says_which_way() -> None:
    for factor in (0.1, np.nan):
        given = dataclasses.replace(motion_evidence(series()), los_factor=np.array([factor]))
        either = statistic(given, Settings())
        assert either[-1, 0] > 2
        away = statistic(given, Settings(direction="away"))
        np.testing.assert_array_equal(either[-5:], away[-5:])
        assert statistic(given, Settings(direction="toward"))[-1, 0] == 0.0


def test_without_thresholds_the_figures_are_shown_without_a_vote() -> None:
    (vote,) = rule(ThresholdTable()).vote(motion_evidence(series()), "A")
    assert (vote.level, vote.calibrated) == ("blue", False)
    assert "no threshold table is active" in vote.reason
    assert vote.figures["failure_median_days"] > 0


def test_evidence_of_before_is_silent() -> None:
    given = motion_evidence(series())
    nothing = np.full(given.observed_mm.shape, np.nan)
    older = dataclasses.replace(given, observed_mm=nothing, observed_sd_mm=nothing)
    (vote,) = rule().vote(unpack_evidence(pack_evidence(older)), "A")
    assert (vote.calibrated, vote.reason) == (
        False,
        "no vote: no epoch with a displacement of the unit yet",
    )
    (vote,) = rule().vote(until(given, 0), "A")
    assert not vote.calibrated
    (vote,) = rule().vote(dataclasses.replace(given, excess_mm_d=nothing), "A")
    assert vote.reason == "no vote: what rain and level explain is not known yet"
    assert not vote.calibrated


def test_figures_are_finite_however_loud_the_runaway() -> None:
    (vote,) = rule().vote(motion_evidence(series(3.0, left=5.0), sd_mm=0.2), "A")
    assert vote.figures["bayes_factor"] == 1e6
    assert np.isfinite(list(vote.figures.values())).all()


def test_settings_are_checked() -> None:
    with pytest.raises(SettingsError, match="epochs"):
        read_settings(RULES, {"kind": "failure_time", "epochs": 4})
    few = statistic(motion_evidence(series()), Settings(epochs=12))[-1, 0]
    assert few != statistic(motion_evidence(series()), Settings())[-1, 0]
