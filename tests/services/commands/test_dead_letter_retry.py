"""A dead letter that is tried again is taken in, once."""

from datetime import date
from pathlib import Path

import pytest

from core.events import ASSESSMENTS, DEAD_LETTERS, OBSERVATIONS, StateUpdated
from core.ledger import SiteView
from core.settings import Service
from services.alerting.state import decode_state
from services.commands import logs
from services.compose import Slopewatch
from tests.pipeline import Scene, append, day, events_of, make_site


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(data=tmp_path, sites=tmp_path / "sites").resolved()


def test_an_outcome_whose_evidence_was_damaged_counts_after_its_repair(service: Service) -> None:
    with Slopewatch(service) as app:
        scene = Scene(make_site("hill"), app.artifacts)
        fast = [scene.epoch(number, -3.0 * number) for number in (0, 12, 24, 36)]
        append(app.log, OBSERVATIONS, [scene.configured(), *fast, scene.closed(36)])
        inference, alerting = app.workers
        inference.drain()
        said = [e.data for e in events_of(app.log, ASSESSMENTS)]
        named = [d.evidence for d in said if isinstance(d, StateUpdated) and d.evidence]
        folder = Path(str(service.artifacts).removeprefix("file://"))
        path = folder / named[-1].sha256[:2] / named[-1].sha256[2:]
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        alerting.drain()
        assert last_epoch(app) == day(24)

        path.write_bytes(whole)
        (letter,) = events_of(app.log, DEAD_LETTERS)
        logs.retry_dead(service, letter.id, lambda _: None)
        alerting.drain()
        assert last_epoch(app) == day(36)
        taken = state_of(app).bookmark.seq

        logs.retry_dead(service, letter.id, lambda _: None)
        alerting.drain()
        assert state_of(app).bookmark.seq == taken
        assert len(events_of(app.log, DEAD_LETTERS)) == 1


def state_of(app: Slopewatch) -> SiteView:
    """What alerting holds of the site."""
    view = app.ledger.state("hill") if app.ledger else None
    assert view is not None
    return view


def last_epoch(app: Slopewatch) -> date:
    """The last epoch of which alerting knows."""
    units = decode_state(state_of(app).state).units.values()
    return max(sight.epoch for unit in units for sight in unit.sights.values())
