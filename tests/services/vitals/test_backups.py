"""The age of the last backup."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from core.notes import open_notes
from core.settings import Service
from core.telemetry import Telemetry
from services.vitals.backups import NOTE, BackupAge, LastBackup, note_backup
from services.vitals.look import Fault

AT = datetime(2026, 3, 5, 3, 15, tzinfo=UTC)


def test_the_last_backup_is_shown_where_one_was_made(tmp_path: Path) -> None:
    service = Service(data=tmp_path).resolved()
    app: Any = SimpleNamespace(telemetry=Telemetry(), service=service)
    look = BackupAge(app)
    assert list(look.look()) == []
    note_backup(str(service.memory), LastBackup("/backups", "20260305T031500Z-00", AT))
    (figure,) = look.look()
    assert figure == (app.telemetry.backup_success, ("/backups",), AT.timestamp())
    open_notes(str(service.memory)).put(NOTE, b'{"at": 3}')
    (fault,) = look.look()
    assert isinstance(fault, Fault)
    assert "the next backup mends it" in fault.sentence
