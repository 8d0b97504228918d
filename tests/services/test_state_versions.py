"""A state of another release stops its site with a sentence; it is never misread."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.artifacts import MemoryArtifacts
from core.errors import NewerVersionError, SettingsError
from core.events import ASSESSMENTS
from core.ledger import canonical
from services.alerting.state import STATE_VERSION as ALERT_VERSION
from services.alerting.state import SiteAlerts, decode_state, encode_state
from services.inference.issuing.feedback import Feedback
from services.inference.service import InferenceStage
from services.inference.store import OLDEST_READ, STATE_VERSION
from tests.pipeline import Bench, Scene, events_of, make_site

SITES = ("lian", "shan")
SENTENCES = [
    (STATE_VERSION + 1, NewerVersionError, "upgrade slopewatch"),
    (OLDEST_READ - 1, SettingsError, "go back to the release that wrote it"),
]


@pytest.mark.parametrize(("version", "error", "advice"), SENTENCES)
def test_a_state_of_another_version_parks_its_site_alone(
    tmp_path: Path, version: int, error: type[Exception], advice: str
) -> None:
    artifacts = MemoryArtifacts()
    scenes = [Scene(make_site(name), artifacts) for name in SITES]
    with Bench(tmp_path, artifacts=artifacts) as bench:
        for scene in scenes:
            bench.run([scene.configured(), *scene.story(13)])
        state = bench.states.open("lian")
        state.commit([], {**state.attrs(), "version": version}, [])
        state.close()
        with pytest.raises(error, match=rf"site lian: its state has version {version}.*{advice}"):
            InferenceStage(bench.states, artifacts).store("lian").open()

        bench.inference.close()
        bench.inference = bench._worker(InferenceStage(bench.states, artifacts))
        for scene in scenes:
            bench.append(scene.story(25, first=13))
        bench.drain()
        parked = bench.inference.parked
        assert list(parked) == ["lian"]
        assert advice in parked["lian"].reason
        assert bench.letters() == []
        assert bench.inference_state("shan").last_closed.isoformat() == "2022-01-25"


def test_a_state_of_version_1_is_read_as_having_no_forecast_models(tmp_path: Path) -> None:
    """It went on as it stood: what it says afterwards is what a state made today says."""
    artifacts = MemoryArtifacts()
    scene = Scene(make_site("lian"), artifacts)
    with Bench(tmp_path / "old", artifacts=artifacts) as bench:
        bench.run([scene.configured(), *scene.story(20)])
        store = bench.states.open("lian")
        first = {n: v for n, v in store.attrs().items() if n not in {"fitted", "issued"}}
        store.commit([], {**first, "version": 1}, store.outcomes())
        store.close()
        bench.inference.close()
        bench.inference = bench._worker(InferenceStage(bench.states, artifacts))
        state = bench.inference_state("lian")
        assert (state.fitted, state.issued, state.feedback) == (None, None, Feedback())
        assert len(state.drivers) + len(state.past_drivers) == 40
        bench.run(scene.story(30, first=20))
        assert bench.parked() == {}
        after = bench.inference_state("lian")
        said = events_of(bench.log, ASSESSMENTS, "lian")
    with Bench(tmp_path / "new", artifacts=artifacts) as bench:
        scene = Scene(make_site("lian"), artifacts)
        bench.run([scene.configured(), *scene.story(20), *scene.story(30, first=20)])
        assert bench.inference_state("lian").issued == after.issued
        fresh = events_of(bench.log, ASSESSMENTS, "lian")
        assert list(dict.fromkeys(e.id for e in said)) == [e.id for e in fresh]
        assert {e.id: e.data for e in said} == {e.id: e.data for e in fresh}


def test_an_alert_state_of_another_version_is_not_read() -> None:
    assert decode_state(encode_state(SiteAlerts())) == SiteAlerts()
    with pytest.raises(NewerVersionError, match="upgrade slopewatch"):
        decode_state(canonical({"version": ALERT_VERSION + 1}))
    with pytest.raises(SettingsError, match="nothing lifts it"):
        decode_state(canonical({"version": 0}))
