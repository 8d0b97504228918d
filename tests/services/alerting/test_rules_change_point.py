"""The rule `change_point`: the statistic by hand, its onset, and when it is silent."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from core.errors import SettingsError
from core.evidence import Evidence
from core.plugins import settings as read_settings
from services.alerting.rule import RULES
from services.alerting.rules import change_point
from services.alerting.rules.change_point import Settings, statistic
from services.alerting.statistic import StatisticRule
from services.alerting.thresholds import Limits, ThresholdTable
from tests.services.alerting.motion_evidence import motion_evidence, site, until

TABLE = ThresholdTable("7", {"change_point": Limits(3.0, 4.0, 5.0)})
DOWN = np.array([1], dtype=np.int8)


def rule(table: ThresholdTable = TABLE, **changes: Any) -> StatisticRule:
    return change_point.open(Settings(**changes), table)


def evidence(z: Any, **changes: Any) -> Evidence:
    """Evidence with conditioned innovations (..., E, U), positive downslope."""
    z = np.asarray(z, dtype=float)
    given = motion_evidence(np.zeros(z.shape))
    fields = {"conditioned_z": -z, "innovation_z": np.zeros(z.shape)}
    return dataclasses.replace(given, **(fields | changes))


def shifted(size: float, epochs: int = 45, lasted: int = 6) -> Any:
    return np.where(np.arange(epochs) < epochs - lasted, 0.0, size)[:, None]


def many() -> Evidence:
    rng = np.random.default_rng(3)
    z = rng.normal(0.6, 1.0, (3, 2, 70, 4))
    z[rng.uniform(size=z.shape) < 0.1] = np.nan
    factor = rng.choice([-0.7, 0.6, 0.1, np.nan], (3, 2, 4))
    return evidence(z, out_of_range=rng.uniform(size=z.shape) < 0.05, los_factor=factor)


def test_against_every_window_by_hand() -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(size=50)
    z[[3, 17, 40]] = np.nan
    found = change_point.change_point(z[:, None], DOWN, 3, 20)
    for epoch in range(50):
        known = z[: epoch + 1][np.isfinite(z[: epoch + 1])]
        by_hand = {n: known[-n:].sum() / np.sqrt(n) for n in range(3, min(20, len(known)) + 1)}
        best = max(by_hand, key=by_hand.__getitem__) if by_hand else 0
        assert found.lasted[epoch, 0] == best
        expected = by_hand.get(best, -np.inf)
        assert found.statistic[epoch, 0] == pytest.approx(expected, rel=1e-12)
    assert found.usable[:, 0].tolist() == np.cumsum(np.isfinite(z)).tolist()


def test_sides() -> None:
    z = np.full((4, 3), -2.0)
    found = change_point.change_point(z, np.array([1, -1, 0], dtype=np.int8), 3, 20)
    np.testing.assert_allclose(found.statistic[-1], [-2 * np.sqrt(3), 4.0, 4.0])
    assert found.lasted[-1].tolist() == [3, 4, 4]


def test_a_lasting_shift_is_asked_up_and_dated() -> None:
    (vote,) = rule().vote(evidence(shifted(1.8)), "A")
    assert (vote.rule, vote.track, vote.level, vote.calibrated) == (
        "change_point",
        "A",
        "orange",
        True,
    )
    assert vote.figures == {"statistic": 4.41, "onset_days": 60.0, "usable_epochs": 45.0}
    assert vote.reason == (
        "innovations since 2020-07-25 stand 4.41 sds of their sum from what creep, season, rain "
        "and level explain: past 4"
    )


def test_the_same_shift_uphill_is_not() -> None:
    (vote,) = rule().vote(evidence(-shifted(1.8)), "A")
    assert (vote.level, vote.calibrated) == ("blue", True)
    assert vote.reason.endswith(
        "stand -2.41 sds of their sum from what creep, season, rain and level explain: not past 3"
    )


def test_innovations_that_are_no_surprise_leave_it_silent_however_fast_the_slope() -> None:
    given = evidence(np.zeros((60, 1)))
    (vote,) = rule().vote(dataclasses.replace(given, velocity_mm_d=given.velocity_mm_d - 9.0), "A")
    assert (vote.level, vote.figures["statistic"]) == ("blue", 0.0)


def test_white_innovations_have_the_false_alarms_of_their_maximum() -> None:
    """One sum of white z passes 3 at 0.13 %; the largest of 18 related ones at less than 18 x."""
    z = np.random.default_rng(5).normal(size=(1000, 60, 1))
    found = statistic(evidence(z), Settings())[:, -1, 0]
    assert 0.00135 < np.mean(found >= 3.0) < 18 * 0.00135
    alone = statistic(evidence(z), Settings(shortest=5, longest=5))[:, -1, 0]
    assert np.mean(alone) == pytest.approx(0.0, abs=0.1)
    assert np.std(alone) == pytest.approx(1.0, abs=0.08)


def test_waits_for_thirty_usable_epochs() -> None:
    z = np.full((32, 1), 3.0)
    z[[4, 9]] = np.nan
    given = evidence(z)
    assert np.isfinite(statistic(given, Settings())[:, 0]).nonzero()[0].tolist() == [31]
    (vote,) = rule().vote(until(given, 31), "A")
    assert (vote.calibrated, vote.reason) == (False, "not calibrated: 29 of 30 epochs")
    assert rule().vote(given, "A")[0].level == "red"


def test_an_epoch_without_data_changes_nothing() -> None:
    z = shifted(1.8)
    z = np.concatenate([z, [[np.nan]]])
    found = statistic(evidence(z), Settings())[:, 0]
    assert found[-1] == found[-2]
    (vote,) = rule().vote(evidence(z), "A")
    assert vote.figures["onset_days"] == 72.0
    past = evidence(np.where(np.isnan(z), 50.0, z))
    past.out_of_range[-1] = True
    assert statistic(past, Settings())[-1, 0] == found[-1]


def test_a_level_is_asked_for_exactly_where_the_statistic_reaches_the_limit() -> None:
    given = many()
    found, levels = statistic(given, Settings()), rule().levels(given)
    assert levels.dtype == np.int8
    assert {0, 1, 2, 3} <= set(np.unique(levels))
    for index, limit in enumerate(Limits(3.0, 4.0, 5.0), start=1):
        np.testing.assert_array_equal(levels >= index, found >= limit)


def test_a_batch_equals_each_alone_to_the_bit_and_is_causal() -> None:
    given = many()
    whole = statistic(given, Settings())
    for index in np.ndindex(3, 2):
        one = site(given, *index)
        assert statistic(one, Settings()).tobytes() == whole[index].tobytes()
        assert [v.level for v in rule().vote(one, "A")] == [
            ("blue", "yellow", "orange", "red")[i] for i in rule().levels(one)[-1]
        ]
        for end in (1, 35, 60):
            assert statistic(until(one, end), Settings()).tobytes() == whole[index][:end].tobytes()


def test_without_thresholds_and_without_epochs() -> None:
    (vote,) = rule(ThresholdTable()).vote(evidence(shifted(3.0)), "A")
    assert (vote.level, vote.calibrated) == ("blue", False)
    assert "no threshold table is active" in vote.reason
    (vote,) = rule().vote(evidence(np.zeros((0, 1))), "A")
    assert vote.reason == "not calibrated: 0 of 30 epochs"


def test_evidence_of_before_is_silent() -> None:
    (vote,) = rule().vote(evidence(np.full((60, 1), np.nan)), "A")
    assert (vote.level, vote.calibrated) == ("blue", False)
    assert vote.reason == "not calibrated: 0 of 30 epochs"


def test_settings_are_checked() -> None:
    with pytest.raises(SettingsError, match="shortest cannot be more than longest"):
        read_settings(RULES, {"kind": "change_point", "shortest": 9, "longest": 8})
