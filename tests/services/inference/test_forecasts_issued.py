"""What inference says of the days ahead, by whom, and what epochs teach it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.artifacts import Artifacts, MemoryArtifacts, unpack
from core.clock import end_of
from core.events import (
    ASSESSMENTS,
    Event,
    ForecasterFitted,
    ForecastIssued,
    StateUpdated,
    encode,
)
from services.inference.issuing.feedback import Feedback, packed, unpacked
from services.inference.issuing.forecaster import Forecaster, TrackFit, motion_of, pack_forecaster
from services.inference.issuing.ladder import NOT_FITTED
from services.inference.issuing.publishing import BOUNDS
from services.inference.model import HORIZONS_D
from services.inference.service import InferenceStage
from services.inference.state import day_number
from services.inference.trust import conformal
from services.inference.trust.conformal import MEMORY_D, NORMAL
from services.inference.trust.gate import Choice
from tests.pipeline import (
    POINTS,
    Bench,
    Scene,
    day,
    distinct,
    events_of,
    few,
    make_site,
    records_of,
    state_differences,
)

FITTED_ON = 40
DAYS = 66


@contextmanager
def bench(artifacts: Artifacts | None = None) -> Iterator[Bench]:
    with TemporaryDirectory() as folder, Bench(Path(folder), artifacts=artifacts) as made:
        yield made


def forecaster(scene: Scene, **changes) -> Forecaster:
    """Both units of both tracks: one chose persistence, the other a model that is not there."""
    sd = np.linspace(1.0, 4.0, 31)[:, None]
    fits = {
        track: TrackFit(
            units=("toe", "head"),
            choices=(Choice("persistence", "it was best"), Choice("boosting", "it was best")),
            of_units={"persistence": {"sd_mm": np.repeat(sd, 2, axis=1)}},
            of_points={"persistence": {"sd_mm": np.repeat(sd, POINTS, axis=1)}},
        )
        for track in ("A44", "D120")
    }
    made = {"motion": motion_of(scene.site), "tracks": fits, "bands": conformal.begin()}
    return Forecaster(**{**made, **changes})


def fitted(scene: Scene, number: int = FITTED_ON, **changes) -> Event:
    """Models come into force after day `number` is closed."""
    content = pack_forecaster(forecaster(scene, **changes))
    data = ForecasterFitted(
        day=day(number), parameters=scene.artifacts.put(content), models=("persistence",), units=()
    )
    moment = end_of(day(number)) + timedelta(hours=1)
    return scene.event(data, end_of(day(number)), moment, f"fitted/{number}")


def story(scene: Scene, days: int = DAYS, *more: Event) -> list[Event]:
    said = [scene.configured(), *scene.story(days), *(more or (fitted(scene),))]
    return sorted(said, key=lambda event: event.available_at)


def issued(made: Bench, site: str = "lian") -> dict[int, ForecastIssued]:
    found = events_of(made.log, ASSESSMENTS, site)
    said = [event.data for event in found if isinstance(event.data, ForecastIssued)]
    return {(one.issued_for - day(0)).days: one for one in said}


@pytest.fixture(scope="module")
def whole() -> Iterator[tuple[Bench, Scene]]:
    with bench() as made:
        scene = Scene(make_site("lian"), made.artifacts)
        made.run(story(scene))
        assert made.letters() == []
        assert made.parked() == {}
        yield made, scene


def test_before_a_fit_the_filter_goes_on_and_says_why(whole: tuple[Bench, Scene]) -> None:
    made, scene = whole
    said = issued(made)[30]
    assert said.fitted is None
    assert said.point_forecasts is None
    found = events_of(made.log, ASSESSMENTS, "lian")
    states = {
        (e.valid_time, u.track, u.unit): u
        for e in found
        if isinstance(e.data, StateUpdated) and e.data.reason == "day"
        for u in e.data.units
    }
    h = np.array(said.horizons_d, float)
    for unit in said.units:
        state = states[end_of(day(30)), unit.track, unit.unit]
        assert (unit.model, unit.reason, unit.stepped_down) == ("filter", NOT_FITTED, False)
        np.testing.assert_allclose(unit.los_increment_mm, state.los_velocity_mm_d * h, rtol=1e-12)
        assert unit.increment_sd_mm[0] == pytest.approx(state.displacement_sd_mm)
        assert np.all(np.diff(unit.increment_sd_mm) > 0)
    assert scene.site.model is None
    assert said.model == "best"


def test_bounds_lie_round_the_increment_by_the_sd_of_a_measurement(
    whole: tuple[Bench, Scene],
) -> None:
    made, _ = whole
    for unit in issued(made)[30].units:
        mean, sd = np.array(unit.los_increment_mm), np.array(unit.increment_sd_mm)
        bounds = {name: np.array(getattr(unit, name)) for name in BOUNDS}
        assert (np.diff(np.stack(list(bounds.values())), axis=0) > 0).all()
        observed = (bounds["high_90_mm"] - mean) / NORMAL[1]
        noise = np.sqrt(observed**2 - sd**2)
        np.testing.assert_allclose(noise, noise[0], rtol=1e-9)
        np.testing.assert_allclose(bounds["high_50_mm"] - mean, NORMAL[0] * observed, rtol=1e-9)
        np.testing.assert_allclose(mean - bounds["low_90_mm"], bounds["high_90_mm"] - mean)


def test_after_a_fit_the_chosen_model_speaks_and_a_rung_stands_in_with_its_reason(
    whole: tuple[Bench, Scene],
) -> None:
    made, _ = whole
    said = issued(made)
    assert said[FITTED_ON].fitted is None
    after = said[FITTED_ON + 1]
    assert after.fitted == day(FITTED_ON)
    assert after.horizons_d == HORIZONS_D == (0, 1, 3, 6, 12, 24, 30)
    for unit in after.units:
        assert unit.model == "persistence"
        assert unit.stepped_down == (unit.unit == "head")
        assert np.ptp(unit.los_increment_mm) == pytest.approx(0.0, abs=1e-9)
    reasons = {unit.unit: unit.reason for unit in after.units}
    assert reasons["toe"] == "it was best"
    assert reasons["head"].startswith("persistence: boosting is not installed or was not fitted")


def test_points_are_told_on_live_days_after_a_fit(whole: tuple[Bench, Scene]) -> None:
    made, _ = whole
    said = issued(made)
    assert all(said[n].point_forecasts is None for n in range(FITTED_ON + 1))
    arrays = unpack(made.artifacts.get(said[DAYS - 1].point_forecasts))
    assert [str(name) for name in arrays["models"]] == ["persistence"]
    for name in ("displacement_mm", "sd_mm", *BOUNDS):
        assert arrays[f"A44/{name}"].shape == (len(HORIZONS_D), POINTS)
        assert arrays[f"A44/{name}"].dtype == np.float32
        assert np.isfinite(arrays[f"A44/{name}"]).all()
    assert (arrays["A44/model"] == 0).all()
    assert (arrays["A44/low_90_mm"] < arrays["A44/displacement_mm"]).all()


def test_points_are_not_told_of_history_nor_while_days_are_caught_up() -> None:
    with bench() as made:
        site = make_site("lian", watched_from=day(50).isoformat())
        scene = Scene(site, made.artifacts)
        said = [e for e in story(scene, 60) if e.data.NAME != "day-closed"]
        said += [scene.closed(n, catching_up=n in {55, 56}) for n in range(60)]
        made.run(sorted(said, key=lambda event: event.available_at))
        told = {n for n, one in issued(made).items() if one.point_forecasts is not None}
    assert told == {49, 50, 51, 52, 53, 54, 57, 58, 59}


def test_epochs_teach_the_intervals_and_old_forecasts_are_let_go(
    whole: tuple[Bench, Scene],
) -> None:
    made, _ = whole
    feedback = made.inference_state("lian").feedback
    assert feedback.judged == {"A44": 6, "D120": 6}
    kept = [one.day - day_number(day(0)) for one in feedback.pending["A44"]]
    assert kept == list(range(FITTED_ON + 1, DAYS))
    assert feedback.bands.scores.sum() > 0
    assert (feedback.bands.shift != 0).any()
    longer = feedback
    for number in range(DAYS, DAYS + 30):
        one = feedback.pending["A44"][-1]._replace(day=day_number(day(number)))
        longer = longer.keeping("A44", one)
    days = [one.day for one in longer.pending["A44"]]
    assert days[-1] - days[0] < MEMORY_D
    assert len(days) == MEMORY_D


def test_the_feedback_is_stored_as_it_is(whole: tuple[Bench, Scene]) -> None:
    made, _ = whole
    feedback = made.inference_state("lian").feedback
    again = unpacked(packed(feedback))
    assert packed(again) == packed(feedback)
    assert again.judged == feedback.judged
    assert unpacked(packed(Feedback())) == Feedback()


def test_a_new_fit_keeps_what_the_intervals_learned() -> None:
    with bench() as made:
        scene = Scene(make_site("lian"), made.artifacts)
        made.run(story(scene))
        before = made.inference_state("lian").feedback
        made.run([fitted(scene, DAYS - 1)])
        state = made.inference_state("lian")
    assert state.fitted.day == day(DAYS - 1)
    assert packed(state.feedback) == packed(before)


@settings(few, max_examples=3)
@given(cuts=st.lists(st.integers(1, 60), min_size=2, max_size=5))
def test_how_the_log_is_cut_changes_no_forecast(
    whole: tuple[Bench, Scene], cuts: list[int]
) -> None:
    made, _ = whole
    scene = Scene(make_site("lian"), made.artifacts)
    said, place = story(scene), 0
    with bench(made.artifacts) as other:
        for size in cuts:
            other.run(said[place : place + size])
            place += size
        other.inference.close()
        other.inference = other._worker(InferenceStage(other.states, other.artifacts))
        other.run(said[place:])
        both = [records_of(one.log, ASSESSMENTS, "lian") for one in (made, other)]
        assert distinct(both[0]) == distinct(both[1])
        assert state_differences(other.states, made.states, "lian") == []


@settings(few, max_examples=3)
@given(cut=st.integers(20, 60))
def test_what_comes_later_changes_no_forecast_by_one_bit(
    whole: tuple[Bench, Scene], cut: int
) -> None:
    """All that is known after a moment is replaced, rain and level included."""
    made, _ = whole
    moment = end_of(day(cut))
    scene = Scene(make_site("lian"), made.artifacts)
    past = [e for e in story(scene) if e.available_at <= moment]
    other = Scene(make_site("lian"), made.artifacts, seed=9)
    future = [other.epoch(n, 40.0) for n in range(cut + 2, 80, 6)]
    future += [other.rain(n, 250.0) for n in range(cut + 1, 80)]
    future += [other.level(n, 99.0) for n in range(cut + 1, 80)]
    future += [other.closed(n) for n in range(cut + 1, 80)]
    future = [e for e in future if e.available_at > moment]
    with bench(made.artifacts) as changed:
        changed.run(sorted([*past, *future], key=lambda event: event.available_at))
        said, then = issued(changed), issued(made)
        assert {n: said[n] for n in said if n <= cut} == {n: then[n] for n in then if n <= cut}
        last = max(said)
        assert last > cut
        assert cut >= DAYS - 1 or said[cut + 6] != then.get(cut + 6)


def test_a_fit_of_other_units_does_not_hold_and_says_so() -> None:
    with bench() as made:
        scene = Scene(make_site("lian"), made.artifacts)
        made.run(story(scene, DAYS, fitted(scene, motion="other")))
        said = issued(made)[DAYS - 1]
    assert said.fitted is not None
    for unit in said.units:
        assert unit.model == "filter"
        assert "changed since the models were fitted" in unit.reason


def test_a_named_model_speaks_alone_and_until_it_is_fitted_the_filter_stands_in() -> None:
    with bench() as made:
        scene = Scene(make_site("lian", model={"kind": "persistence"}), made.artifacts)
        made.run(story(scene))
        said = issued(made)
    early, late = said[30], said[DAYS - 1]
    assert (early.model, late.model) == ("persistence", "persistence")
    assert {(u.model, u.stepped_down) for u in early.units} == {("filter", True)}
    assert {u.reason for u in early.units} == {f"persistence was chosen: {NOT_FITTED}"}
    assert {(u.model, u.stepped_down) for u in late.units} == {("persistence", False)}
    assert {u.reason for u in late.units} == {"the site's settings name it"}


def test_models_that_are_none_become_a_dead_letter_and_the_site_goes_on() -> None:
    with bench() as made:
        scene = Scene(make_site("lian"), made.artifacts)
        broken = ForecasterFitted(
            day=day(20), parameters=scene.points, models=("persistence",), units=()
        )
        at = end_of(day(20))
        made.run(story(scene, 30, scene.event(broken, at, at + timedelta(hours=1), "broken")))
        assert [letter.code for letter in made.letters()] == ["D03"]
        assert max(issued(made)) == 29
        assert made.inference_state("lian").fitted is None


def test_the_artifact_of_a_fit_is_the_same_for_the_same_fit() -> None:
    scene = Scene(make_site("lian"), MemoryArtifacts())
    one, other = fitted(scene), fitted(scene)
    assert encode(one) == encode(other)
    assert fitted(scene, FITTED_ON + 1).id != one.id
