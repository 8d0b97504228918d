"""The rule `tangential_angle`: an angle with its interval, and never a level."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from core.evidence import Evidence
from services.alerting.rules import tangential_angle
from services.alerting.rules.tangential_angle import (
    Creep,
    Settings,
    TangentialAngle,
    class_of,
    statistic,
    uniform_creep,
)
from services.alerting.thresholds import Limits, ThresholdTable
from tests.services.alerting.motion_evidence import motion_evidence, until

EPOCHS = 70
DAY = 12 * np.arange(EPOCHS)
ONE = np.zeros(EPOCHS, dtype=np.int64)


def rule(**changes: Any) -> TangentialAngle:
    return tangential_angle.open(Settings(**changes), ThresholdTable())


def creeping(now_mm_d: float = 0.2, noise: float = 1.0, seed: int = 0, **changes: Any) -> Evidence:
    """0.2 mm/d downslope along the line of sight, and another rate over the last 5 epochs."""
    rng = np.random.default_rng(seed)
    moved = 0.2 * DAY + (now_mm_d - 0.2) * np.maximum(DAY - DAY[-6], 0)
    given = motion_evidence((moved + noise * rng.normal(size=EPOCHS))[:, None], sd_mm=noise or 0.01)
    velocity = np.full((EPOCHS, 1), -0.2)
    velocity[-1] = -now_mm_d
    return dataclasses.replace(given, **({"velocity_mm_d": velocity} | changes))


@pytest.mark.parametrize(("times", "angle"), [(1.0, 45.0), (0.0, 0.0), (5.67128, 80.0)])
def test_without_noise_the_angle_is_the_arctangent_of_the_ratio(times: float, angle: float) -> None:
    sure = np.full((EPOCHS, 1), 1e-6)
    (vote,) = rule().vote(creeping(0.2 * times, 0.0, velocity_sd_mm_d=sure), "A")
    assert vote.figures["angle_deg"] == pytest.approx(angle, abs=0.1)
    assert vote.figures["uniform_creep_mm_yr"] == pytest.approx(0.2 * 365.25, abs=0.1)


def test_asks_for_no_level_and_says_what_it_depends_on() -> None:
    given = creeping(3.0)
    (vote,) = rule().vote(given, "A")
    assert (vote.rule, vote.track, vote.level, vote.calibrated) == (
        "tangential_angle",
        "A",
        "blue",
        True,
    )
    assert vote.figures["angle_deg"] > 85
    assert vote.reason.startswith("tangential angle 86 degrees (8 of 10: 85 to 87; in the literat")
    assert "danger)" in vote.reason
    assert "it depends on the uniform creep, 73 ± " in vote.reason
    assert "asks for no level by itself" in vote.reason
    assert not rule().levels(given).any()
    assert rule().levels(given).dtype == np.int8
    assert np.isneginf(statistic(given, Settings())).all()
    table = ThresholdTable("7", {"tangential_angle": Limits(1.0, 2.0, 3.0)})
    assert not tangential_angle.open(Settings(), table).levels(given).any()


def test_classes_begin_at_45_80_and_85_degrees() -> None:
    names = [class_of(angle) for angle in (44.9, 45.0, 79.9, 80.0, 84.9, 85.0)]
    assert names == ["uniform or slower", "caution", "caution", "warning", "warning", "danger"]


def test_a_vaguer_creep_gives_a_wider_angle() -> None:
    widths = []
    for noise in (0.5, 8.0, 40.0):
        (vote,) = rule(surely=0.1).vote(creeping(1.0, noise), "A")
        widths.append(vote.figures["angle_high_deg"] - vote.figures["angle_low_deg"])
    assert widths == sorted(widths)
    assert widths[-1] > 1.5 * widths[0]
    (vote,) = rule(year_share=0.9, surely=0.1).vote(creeping(1.0, 1.0), "A")
    assert "in the literature caution to danger" in vote.reason


def test_angle_quantiles_against_draws() -> None:
    rng = np.random.default_rng(2)
    uniform = rng.normal(0.2, 0.06, 400_000)
    kept = uniform > 0
    drawn = np.degrees(np.arctan(rng.normal(0.5, 0.2, 400_000)[kept] / uniform[kept]))
    found = tangential_angle.tangential_angle(0.5, 0.2, Creep(0.2, 0.06))
    np.testing.assert_allclose(found, np.quantile(drawn, (0.1, 0.5, 0.9)), atol=0.15)


def test_the_sd_of_the_creep_is_that_of_what_it_misses() -> None:
    """White noise, and noise with memory and more of it than stated."""
    rng = np.random.default_rng(6)
    for memory, least, most in ((0.0, 0.9, 1.1), (0.6, 0.7, 1.3)):
        errors, sds = [], []
        for _ in range(400):
            noise = rng.normal(size=EPOCHS + 50)
            for i in range(1, len(noise)):
                noise[i] += memory * noise[i - 1]
            creep = uniform_creep(DAY, 0.2 * DAY + 2 * noise[50:], np.full(EPOCHS, 2.0), ONE)
            assert creep is not None
            errors.append(creep.rate_mm_d - 0.2)
            sds.append(creep.sd_mm_d)
        assert least < np.std(errors) / np.mean(sds) < most


def test_years_that_differ_are_in_the_sd() -> None:
    """The rate that the angle is told of, against many records whose years differ by a fifth."""
    rng = np.random.default_rng(1)
    errors, sds = [], []
    for _ in range(300):
        by_year = 0.2 + 0.04 * rng.normal(size=3)
        moved = np.cumsum(12 * by_year[(DAY / 365.25).astype(int)]) + rng.normal(size=EPOCHS)
        (vote,) = rule().vote(motion_evidence(moved[:, None], sd_mm=1.0), "A")
        errors.append(vote.figures["uniform_creep_mm_yr"] - 0.2 * 365.25)
        sds.append(vote.figures["uniform_creep_sd_mm_yr"])
    assert 0.75 < np.std(errors) / np.mean(sds) < 1.33


def test_a_season_and_a_new_zero_do_not_bend_the_creep() -> None:
    year = 2 * np.pi * DAY / 365.25
    zero = np.where(np.arange(EPOCHS) < 30, 0, 1)
    observed = 0.2 * DAY + 9 * np.sin(year) - 4 * np.cos(year) + 250.0 * zero
    creep = uniform_creep(DAY, observed, np.full(EPOCHS, 1.0), zero)
    assert creep is not None
    assert creep.rate_mm_d == pytest.approx(0.2, abs=1e-9)
    alone = np.arange(EPOCHS)
    assert uniform_creep(DAY, observed, np.full(EPOCHS, 1.0), alone) is None


def test_recent_motion_does_not_move_the_uniform_creep() -> None:
    calm, (fast,) = rule().vote(creeping(0.2), "A")[0], rule().vote(creeping(3.0), "A")
    assert calm.figures["uniform_creep_mm_yr"] == fast.figures["uniform_creep_mm_yr"]


def test_where_downslope_is_not_seen_the_creep_says_it() -> None:
    known = rule().vote(creeping(1.0), "A")
    for factor in (np.nan, 0.1):
        assert rule().vote(creeping(1.0, los_factor=np.array([factor])), "A") == known


def test_is_silent_with_a_reason() -> None:
    def reason(given: Evidence, **changes: Any) -> str:
        (vote,) = rule(**changes).vote(given, "A")
        assert (vote.level, vote.calibrated) == ("blue", False)
        return vote.reason

    assert reason(until(creeping(), 0)) == "no angle: no epoch with data yet"
    short = (
        "no angle: uniform creep needs 365 days and 15 epochs of record that end 180 days before"
    )
    assert reason(until(creeping(), 45)) == short
    assert "no angle" not in rule().vote(until(creeping(), 47), "A")[0].reason
    nothing = np.full((EPOCHS, 1), np.nan)
    assert reason(creeping(observed_mm=nothing, observed_sd_mm=nothing)) == short
    uphill = reason(creeping(los_factor=np.array([0.6])))
    assert uphill.startswith("no angle: the earlier record shows no sure creep downslope (-73 ± ")


def test_one_vote_for_each_unit() -> None:
    given = motion_evidence(np.stack([0.2 * DAY, 0.4 * DAY], axis=-1))
    votes = rule().vote(given, "A")
    assert [round(v.figures["angle_deg"]) for v in votes] == [45, 45]
    assert votes[1].figures["uniform_creep_mm_yr"] == pytest.approx(
        2 * votes[0].figures["uniform_creep_mm_yr"], abs=0.1
    )
