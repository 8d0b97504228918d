"""When the last backup was made: whoever makes one notes it in the memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from core.figures import Figure
from core.notes import open_notes
from services.vitals.look import Fault

if TYPE_CHECKING:
    from services.compose import Slopewatch

NOTE: Final = "backup/last"


class LastBackup(msgspec.Struct, frozen=True):
    """The last backup that became whole: where it lies, and when that was."""

    place: str
    name: str
    at: datetime


def note_backup(memory: str, last: LastBackup) -> None:
    """Note a backup in the memory at an address."""
    open_notes(memory).put(NOTE, msgspec.json.encode(last))


class BackupAge:
    """Of the last backup; nothing where none was ever made."""

    name = "backup"
    every_s = 300.0
    lasting = True

    def __init__(self, app: Slopewatch) -> None:
        self._app = app

    def look(self) -> Iterator[Figure | Fault]:
        """See `Look.look`."""
        note = open_notes(str(self._app.service.memory)).get(NOTE)
        if note is None:
            return
        try:
            last = msgspec.json.decode(note, type=LastBackup)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            yield Fault(f"the note {NOTE} in the memory is damaged: the next backup mends it")
            return
        yield Figure(self._app.telemetry.backup_success, (last.place,), last.at.timestamp())
