"""The inner fold and the choice of who speaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.evidence import Floats
from services.inference.model import HORIZONS_D, Path
from services.inference.trust import gate, inner
from services.inference.trust.gate import Choice
from tests.services.inference.plain_history import Stays, Told, record

UNIT = np.zeros(3, np.int64)


def moves(day: Floats) -> Floats:
    """A steady creep with a yearly swing, mm."""
    return np.asarray(0.1 * day + 15 * np.sin(2 * np.pi * day / 365))


def _models(network: float, kalman_transfer: float, kalman: float = 0.3) -> dict:
    return {
        "persistence": Stays(),
        "kalman": Told("kalman", moves, kalman),
        "kalman_transfer": Told("kalman_transfer", moves, kalman_transfer),
        "musenet": Told("musenet", moves, network),
    }


def _choice(models: dict, seed: int = 1, **more: object) -> Choice:
    scores = inner.inner_scores(record(moves, seed=seed), models, 1300)
    return gate.choose(scores, UNIT, 1, **more)[0]


def test_the_best_model_of_the_inner_fold_speaks_and_says_why() -> None:
    choice = _choice(_models(network=0.9, kalman_transfer=0.1))
    assert choice.model == "kalman_transfer"
    assert choice.reason.startswith("kalman_transfer: ")
    assert "% below kalman, " in choice.reason
    assert "% below persistence at +12 d over 2" in choice.reason
    assert "; musenet does not speak because it is " in choice.reason


def test_the_network_speaks_where_it_beats_both() -> None:
    choice = _choice(_models(network=0.0, kalman_transfer=0.3))
    assert choice.model == "musenet"
    assert choice.reason.startswith("musenet: ")
    assert "% below kalman_transfer, " in choice.reason
    assert choice.rmse_mm["musenet"] < choice.rmse_mm["kalman_transfer"]


@settings(max_examples=25, deadline=None)
@given(st.floats(0.0, 0.6), st.floats(0.0, 0.6), st.integers(0, 1000))
def test_the_network_never_speaks_where_it_is_worse(
    network: float, rival: float, seed: int
) -> None:
    scores = inner.inner_scores(record(moves, seed=seed), _models(network, rival), 1300)
    choice = gate.choose(scores, UNIT, 1)[0]
    if choice.model == "musenet":
        squares = np.nanmean(
            (scores.mean_mm - scores.los_mm)[:, gate._JUDGED, 2:] ** 2, axis=(2, 3)
        )
        ratio = (squares[-1] / squares).mean(axis=1)
        assert ratio[scores.models.index("kalman_transfer")] < 1
        assert ratio[scores.models.index("persistence")] < 1


def test_the_network_does_not_speak_by_a_hair_or_by_luck() -> None:
    assert _choice(_models(network=0.0, kalman_transfer=0.01)).model != "musenet"
    lucky = np.full((3, 40), 1.0)
    lucky[:, 7] = 30.0  # one epoch decides all
    assert gate._share_won(np.ones((3, 40)), lucky) < gate.SURE
    assert gate._share_won(np.ones((3, 40)), np.full((3, 40), 1.3)) == 1.0


def test_without_a_rival_to_beat_the_network_does_not_speak() -> None:
    models = _models(network=0.0, kalman_transfer=0.3)
    del models["kalman_transfer"]
    choice = _choice(models)
    assert choice.model == "kalman"
    assert "kalman_transfer is missing to compare it with" in choice.reason


def test_a_lucky_year_does_not_outweigh_a_poor_reputation() -> None:
    models = _models(network=1.0, kalman_transfer=0.10, kalman=0.07)
    assert _choice(models).model == "kalman"
    known = {"persistence": 1.0, "kalman": 0.8, "kalman_transfer": 0.3}
    assert _choice(models, reputation=known).model == "kalman_transfer"
    clear = _models(network=1.0, kalman_transfer=1.0, kalman=0.0)
    assert _choice(clear, reputation=known).model == "kalman"


def test_reputations_are_those_of_a_pool_in_units_of_persistence() -> None:
    history = record(moves, series=12, places=4)
    scores = inner.inner_scores(history, _models(0.0, 0.1), 1300)
    found = gate.reputation_of(scores)
    assert found["persistence"] == pytest.approx(1.0)
    assert found["musenet"] < found["kalman_transfer"] < found["kalman"] < 1.0


def test_of_equals_the_simplest_speaks() -> None:
    same = {name: Told(name, moves, 0.1) for name in ("boosting", "harmonic", "linear")}
    assert _choice({**same, "persistence": Stays()}).model == "linear"


def test_an_absent_model_is_told_with_its_reason() -> None:
    models = _models(network=0.0, kalman_transfer=0.1)
    del models["musenet"]
    choice = _choice(models, absent={"musenet": "torch is not installed"})
    assert choice.model == "kalman_transfer"
    assert choice.reason.endswith("musenet was not tried: torch is not installed")


def test_a_record_that_came_all_at_once_has_no_fold_and_says_so() -> None:
    history = record(moves)
    late = replace(history, arrival_day=np.maximum(history.arrival_day, 1290))
    scores = inner.inner_scores(late, _models(0.0, 0.1), 1300)
    assert "0 epochs had arrived when the inner fold begins" in scores.refusal
    assert gate.choose(scores, UNIT, 1)[0].model == "kalman_transfer"


def test_a_short_record_has_no_fold_and_says_so() -> None:
    history = record(moves)
    scores = inner.inner_scores(history, _models(0.0, 0.1), 500)
    choice = gate.choose(scores, UNIT, 1)[0]
    assert choice.model == "kalman_transfer"
    assert "the record of 495 days is under a year and a half" in choice.reason
    assert inner.inner_scores(history, _models(0.0, 0.1), 553).refusal == ""


@pytest.mark.parametrize(("day", "fold_d"), [(553, 182), (905, 300), (1300, 365)])
def test_the_fold_is_a_third_of_a_short_record_and_a_year_of_a_long_one(
    day: int, fold_d: int
) -> None:
    scores = inner.inner_scores(record(moves), {"persistence": Stays()}, day)
    assert day - scores.first_day == fold_d


def test_nothing_later_than_the_day_changes_a_bit() -> None:
    history = record(moves)
    models, day = _models(0.1, 0.2), 1101
    scores = inner.inner_scores(history, models, day)
    other = inner.inner_scores(history.with_another_future(day), models, day)
    for name in ("epoch_day", "los_mm", "sd_mm", "mean_mm", "spread_mm", "rate_mm_d", "standing"):
        assert np.array_equal(getattr(scores, name), getattr(other, name), equal_nan=True), name
    assert gate.choose(scores, UNIT, 1) == gate.choose(other, UNIT, 1)
    past = inner.inner_scores(history.with_another_future(900), models, day)
    assert not np.array_equal(scores.los_mm, past.los_mm, equal_nan=True)


def test_each_forecast_uses_only_what_had_arrived_on_its_day() -> None:
    history = record(moves, noise_mm=0.0)
    scores = inner.inner_scores(history, {"persistence": Stays()}, 1300)
    for at, day in enumerate(scores.epoch_day):
        for place, horizon in enumerate(HORIZONS_D):
            issued = int(day) - horizon
            if issued < scores.first_day:
                assert np.isnan(scores.mean_mm[0, place, at]).all()
                continue
            last = (issued - 2 - 5) // 12 * 12 + 5  # the newest epoch known two days later
            assert scores.mean_mm[0, place, at] == pytest.approx(moves(np.full(3, last)))


def test_units_choose_for_themselves() -> None:
    history = record(moves, series=4)
    still = np.array(history.los_mm)
    still[:, 2:] = np.random.default_rng(3).normal(0.0, 2.0, still[:, 2:].shape)
    models = {"persistence": Stays(), "linear": Told("linear", lambda day: 0 * day, 0.0)}
    models["kalman_transfer"] = Told("kalman_transfer", moves, 0.05)
    scores = inner.inner_scores(replace(history, los_mm=still), models, 1300)
    choices = gate.choose(scores, np.array([0, 0, 1, 1]), 2)
    assert [c.model for c in choices] == ["kalman_transfer", "linear"]


def test_a_model_that_is_often_silent_is_not_judged() -> None:
    history = record(moves)
    scores = inner.inner_scores(history, _models(0.0, 0.2), 1300)
    silent = scores.mean_mm.copy()
    silent[3, :, ::4] = np.nan
    assert gate.choose(replace(scores, mean_mm=silent), UNIT, 1)[0].model == "kalman_transfer"


def _speak(choice: str, paths: dict, needs: frozenset[str], lost: dict[str, str]) -> gate.Spoken:
    models = {n: Told(n, moves, needs=needs) for n in ("musenet", "kalman_transfer")}
    models |= {n: Told(n, moves) for n in ("kalman", "persistence")}
    return gate.speak([Choice(choice, "chosen")], np.zeros(1, int), paths, models, [lost])


def _paths(*silent: str) -> dict[str, Path]:
    names = ("musenet", "kalman_transfer", "kalman", "persistence")
    return {
        name: Path(np.full((31, 1), np.nan if name in silent else float(place)), np.ones((31, 1)))
        for place, name in enumerate(names)
    }


def test_the_choice_speaks_with_the_gates_reason() -> None:
    spoken = _speak("musenet", _paths(), frozenset(), {})
    assert (spoken.speaker, spoken.reason) == (("musenet",), ("chosen",))
    assert spoken.path.displacement_mm[0, 0] == 0.0


def test_each_step_down_the_ladder_has_its_reason() -> None:
    spoken = _speak("musenet", _paths("musenet"), frozenset(), {})
    assert spoken.speaker == ("kalman_transfer",)
    assert spoken.reason == ("kalman_transfer: musenet gives no finite forecast",)
    rain = {"rain": "rain is unknown on 60 % of the last 120 days"}
    spoken = _speak("musenet", _paths(), frozenset({"rain"}), rain)
    assert spoken.speaker == ("kalman",)
    assert spoken.reason[0].startswith("kalman: musenet cannot speak because rain is unknown on 60")
    spoken = _speak("persistence", _paths("persistence"), frozenset(), {})
    assert spoken.speaker == ("kalman_transfer",)
    gone = _paths()
    del gone["musenet"]
    assert "musenet is not installed" in _speak("musenet", gone, frozenset(), {}).reason[0]


def test_where_no_model_can_speak_the_path_is_nan_and_says_what_was_lacking() -> None:
    spoken = _speak("musenet", _paths(*_paths()), frozenset(), {})
    assert spoken.speaker == ("",)
    assert np.isnan(spoken.path.displacement_mm).all()
    assert spoken.reason[0].count("gives no finite forecast") == 4


def test_a_driver_with_a_gap_is_missing_and_one_never_known_is_not() -> None:
    history = record(moves, series=2)
    rain = history.rain_mm.copy()
    rain[1200:1290] = np.nan
    history = replace(history, rain_mm=rain, level_m=np.full_like(history.level_m, np.nan))
    assert gate.missing(history.known(1195)) == ({}, {})
    lost = gate.missing(history.known(1295))
    assert set(lost[0]) == {"rain"}
    assert "rain is unknown on 76 % of the last 120 days" in lost[0]["rain"]
