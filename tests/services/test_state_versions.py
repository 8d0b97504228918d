"""A state of another release stops its site with a sentence; it is never misread."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.artifacts import MemoryArtifacts
from core.errors import NewerVersionError, SettingsError
from core.ledger import canonical
from services.alerting.state import STATE_VERSION as ALERT_VERSION
from services.alerting.state import SiteAlerts, decode_state, encode_state
from services.inference.service import InferenceStage
from services.inference.store import STATE_VERSION
from tests.pipeline import Bench, Scene, make_site

SITES = ("lian", "shan")
SENTENCES = [
    (STATE_VERSION + 1, NewerVersionError, "upgrade slopewatch"),
    (STATE_VERSION - 1, SettingsError, "go back to the release that wrote it"),
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


def test_an_alert_state_of_another_version_is_not_read() -> None:
    assert decode_state(encode_state(SiteAlerts())) == SiteAlerts()
    with pytest.raises(NewerVersionError, match="upgrade slopewatch"):
        decode_state(canonical({"version": ALERT_VERSION + 1}))
    with pytest.raises(SettingsError, match="nothing lifts it"):
        decode_state(canonical({"version": ALERT_VERSION - 1}))
