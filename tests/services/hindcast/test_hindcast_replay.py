"""Replay of the past: what was known decides, models are fitted monthly, forecasts are met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import pytest

from core.errors import BadInputError
from core.evidence import Floats
from services.hindcast.judge import (
    by_group,
    coverage,
    held,
    judge,
    overall,
    rmse_mm,
    skill,
)
from services.hindcast.replay import Case, Replay, replay, spells
from services.inference.known import History
from services.inference.model import HORIZONS_D, Model, Parameters
from tests.services.inference.plain_history import PlainHistory, Stays, Told, record

FIRST, LAST = 700, 880


def moves(day: Floats) -> Floats:
    """A steady creep with a yearly swing, mm."""
    return np.asarray(-0.1 * day + 12 * np.sin(2 * np.pi * day / 365))


@dataclass(frozen=True)
class Noting(Stays):
    """Persistence that remembers on which days it was fitted."""

    fitted: list[int] = field(default_factory=list)

    def fit(self, history: History, day: int) -> Parameters:
        """Note the day."""
        self.fitted.append(day)
        return {}


def case_of(history: PlainHistory, **changes: object) -> Case:
    models: Mapping[str, Model] = {
        "persistence": Stays(),
        "kalman": Told("kalman", moves, 0.3, sd_mm=3.0),
        "kalman_transfer": Told("kalman_transfer", moves, 0.02),
    }
    made = Case("Track 1", ("toe", "middle", "ridge"), history, models)
    return replace(made, **changes)


@pytest.fixture(scope="module")
def whole() -> Replay:
    return replay(case_of(record(moves)), FIRST, LAST)


def test_every_day_has_a_forecast_of_every_unit_with_who_spoke(whole: Replay) -> None:
    assert np.isfinite(whole.path_mm).all()
    assert (whole.speaker == "kalman_transfer").all()
    assert len(whole.issued) == LAST - FIRST + 1
    assert [one.day for one in whole.issued] == list(range(FIRST, LAST + 1))


def test_models_are_fitted_at_once_and_then_on_the_first_of_each_month() -> None:
    noting = Noting()
    case = case_of(record(moves), models={"persistence": noting}, day_zero=date(2020, 1, 1))
    first = case.day_of(date(2021, 12, 10))
    told = replay(case, first, case.day_of(date(2022, 3, 15)))
    dates = [case.date_of(fit.day).isoformat() for fit in told.fits]
    assert dates == ["2021-12-10", "2022-01-01", "2022-02-01", "2022-03-01"]
    assert {fit.day for fit in told.fits} <= set(noting.fitted)
    assert max(noting.fitted) == case.day_of(date(2022, 3, 1))


def test_nothing_that_becomes_known_later_changes_a_forecast(whole: Replay) -> None:
    middle = 800
    other = replay(case_of(record(moves).with_another_future(middle)), FIRST, LAST)
    upto = middle - FIRST + 1
    assert np.array_equal(whole.path_mm[:upto], other.path_mm[:upto])
    for one, two in zip(whole.issued[:upto], other.issued[:upto], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(whole.last_mm, other.last_mm)


def test_before_there_are_ten_epochs_nothing_is_forecast() -> None:
    told = replay(case_of(record(moves, days=400)), 20, 160)
    spoke = (told.speaker != "").all(axis=1)
    tenth = 5 + 9 * 12 + 2
    assert told.day[spoke][0] == tenth
    assert np.isnan(told.path_mm[~spoke]).all()
    assert set(told.reason[~spoke].ravel()) == {"no model was fitted yet"}


def test_a_model_named_in_the_settings_speaks_and_the_reason_says_so() -> None:
    told = replay(case_of(record(moves), named="kalman"), FIRST, FIRST + 5)
    assert (told.speaker == "kalman").all()
    assert set(told.reason.ravel()) == {"kalman: the site's settings name it"}


def test_a_model_that_cannot_be_fitted_is_told(whole: Replay) -> None:
    @dataclass(frozen=True)
    class Fails(Stays):
        def fit(self, history: History, day: int) -> Parameters:
            raise BadInputError("too little rain to learn from")

    models = {"persistence": Stays(), "kalman_transfer": Fails()}
    told = replay(case_of(record(moves), models=models), FIRST, FIRST + 2)
    assert told.fits[0].failed == {"kalman_transfer": "too little rain to learn from"}
    assert (told.speaker == "persistence").all()
    assert "kalman_transfer was not tried: too little rain" in told.reason[0, 0]


def test_days_in_the_wrong_order_or_without_data_are_refused() -> None:
    case = case_of(record(moves), day_zero=date(2020, 1, 1))
    with pytest.raises(BadInputError, match="the last day comes first"):
        replay(case, 800, 799)
    with pytest.raises(BadInputError, match="nothing was measured by 2020-01-03"):
        replay(case, 0, 2)


def test_each_epoch_meets_the_forecast_of_exactly_its_horizon(whole: Replay) -> None:
    judged = judge(whole)
    for e, day in enumerate(judged.epoch_day):
        for h, horizon in enumerate(HORIZONS_D):
            issued = int(day) - horizon - FIRST
            if issued < 0:
                assert np.isnan(judged.error_mm[h, e]).all()
                continue
            wanted = whole.path_mm[issued, horizon] - judged.los_mm[e]
            assert judged.error_mm[h, e] == pytest.approx(wanted)
            assert judged.expected_mm[h, e] - judged.moved_mm[h, e] == pytest.approx(wanted)


def test_only_epochs_that_arrived_by_the_last_day_are_judged() -> None:
    history = record(moves)
    slow = replace(history, arrival_day=history.epoch_day + 40)
    judged = judge(replay(case_of(slow), 800, 880))
    assert judged.epoch_day.max() <= 840
    assert judged.epoch_day.min() >= 800


def test_a_good_model_has_skill_and_intervals_that_hold(whole: Replay) -> None:
    judged = judge(whole)
    h = HORIZONS_D.index(24)
    better = skill(judged, h, "persistence")
    assert better.low > 0
    assert rmse_mm(judged.error_mm[h], judged).value == pytest.approx(2.0, rel=0.3)  # the noise
    kept = overall(judged, 0.9)
    assert kept.low <= 0.9 <= kept.high
    assert kept.epochs == judged.epoch_day.size
    assert [one.epochs for one in coverage(judged, 0.9)] == sorted(
        (one.epochs for one in coverage(judged, 0.9)), reverse=True
    )


def test_skill_against_itself_is_nothing(whole: Replay) -> None:
    own = skill(judge(whole), 4, "kalman_transfer")
    assert own[:3] == pytest.approx((0.0, 0.0, 0.0))


def test_units_of_one_epoch_count_once(whole: Replay) -> None:
    judged = judge(whole)
    inside = held(judged, 0.9)[0]
    value = overall_at(inside)
    assert coverage(judged, 0.9)[0].value == pytest.approx(value)
    assert coverage(judged, 0.9)[0].epochs == len(inside)


def overall_at(inside: Floats) -> float:
    """Mean over epochs of the share of units, with one unit missing at one epoch or not."""
    return float(np.nanmean(np.nanmean(inside, axis=1)))


def test_a_share_of_few_epochs_has_no_narrow_interval(whole: Replay) -> None:
    judged = judge(whole)
    inside = np.zeros(judged.error_mm.shape, bool)
    inside[:, 3:5] = True
    few = overall(judged, 0.9, inside)
    assert few.epochs == 2
    assert few.high - few.low > 0.5


def test_groups_are_those_known_at_issue(whole: Replay) -> None:
    found = by_group(judge(whole), 0.9)
    assert set(found["part of the slope"]) == {"lower", "upper"}
    assert len(found["season"]) >= 2
    assert "noise" not in found  # one class alone divides nothing


def test_spells_are_runs_of_equal_values() -> None:
    assert list(spells(["a", "a", "b", "a"])) == [(0, 1, "a"), (2, 2, "b"), (3, 3, "a")]
    assert list(spells([])) == []
