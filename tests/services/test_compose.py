"""What the composed process does beside its workers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.clock import ReplayClock
from core.events import ASSESSMENTS
from core.ledger import Deadline
from core.settings import Service
from services.compose import Slopewatch
from tests.pipeline import records_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_deadline_that_nobody_reads_is_put_on_the_log_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ReplayClock(NOW)
    with Slopewatch(Service(data=tmp_path).resolved(), clock=clock) as app:
        assert app.ledger is not None
        due = Deadline(id="silence-1", site="dam", due=NOW, kind="silence", body="{}")
        monkeypatch.setattr(app.ledger, "due_deadlines", lambda now: [due])
        assert app.pass_deadlines() == 1
        clock.sleep(timedelta(minutes=1).total_seconds())
        assert app.pass_deadlines() == 0
        assert len(records_of(app.log, ASSESSMENTS)) == 1
