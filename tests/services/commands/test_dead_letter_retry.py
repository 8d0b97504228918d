"""A dead letter that is tried again is taken in, once."""

from pathlib import Path

import pytest

from core.artifacts import FileArtifacts
from core.events import ASSESSMENTS, DEAD_LETTERS, StateUpdated
from core.settings import Service
from services.commands import logs
from services.compose import Slopewatch
from tests.pipeline import Scene, append, events_of, make_site


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(data=tmp_path, sites=tmp_path / "sites").resolved()


def test_an_outcome_whose_evidence_was_damaged_counts_after_its_repair(service: Service) -> None:
    with Slopewatch(service) as app:
        scene = Scene(make_site("hill"), app.artifacts)
        fast = [event for n in (0, 12, 24, 36) for event in (scene.epoch(n, -3.0 * n),)]
        append(app.log, "observations", [scene.configured(), *fast, scene.closed(36)])
        inference, alerting = app.workers
        inference.drain()
        said = [e for e in events_of(app.log, ASSESSMENTS) if isinstance(e.data, StateUpdated)]
        evidence = [e.data.evidence for e in said if e.data.evidence is not None][-1]
        assert isinstance(app.artifacts, FileArtifacts)
        path = Path(str(service.artifacts).removeprefix("file://"))
        path = path / evidence.sha256[:2] / evidence.sha256[2:]
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        alerting.drain()
        (letter,) = events_of(app.log, DEAD_LETTERS)
        before = app.ledger.state("hill") if app.ledger else None
        path.write_bytes(whole)

        for _ in range(2):
            logs.retry_dead(service, letter.id, lambda _: None)
            alerting.drain()

        after = app.ledger.state("hill") if app.ledger else None
        assert before is not None and after is not None
        assert after.seq == before.seq + 1
        assert len(events_of(app.log, DEAD_LETTERS)) == 1
