"""What ingest remembers between two processes: two notes a site and feed, and three a site.

It only saves requests and repeats. A note is written after the log has what it speaks of, and of
two tasks at once one note stands, whole; a lost, damaged or overtaken note makes ingest ask and
say again what readers drop by its id.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, TypeVar

import msgspec
import structlog

from core.events import ReleaseActivated
from core.notes import Notes
from services.ingest.feed import Datum

T = TypeVar("T")


class FeedNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one feed of a site: its newest day, the day it was last asked for long before that, and
    the ids of what it said, each with the day on which it said so last.
    """

    newest: date | None = None
    looked_back: date | None = None
    said: dict[str, date] = {}


class AnswerNote(msgspec.Struct, frozen=True):
    """When a feed of a site answered last, by the wall clock, and what it can be asked for."""

    at: datetime
    brings: tuple[Datum, ...]


class SettingsNote(msgspec.Struct, frozen=True):
    """The site's settings (canonical JSON) that were announced last, and that event's id."""

    id: str
    settings: msgspec.Raw

    def tree(self) -> dict[str, Any]:
        """The settings as JSON has them."""
        return msgspec.json.decode(self.settings, type=dict[str, Any])


class ReleaseNote(msgspec.Struct, frozen=True):
    """The release that the site was told of last, and that event's id."""

    id: str
    release: ReleaseActivated


class DayNote(msgspec.Struct, frozen=True):
    """The last day that was closed."""

    closed: date


class Memory:
    """Ingest's notes. Every method raises `UnavailableError` when they are out of reach."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def feed(self, site: str, key: str) -> FeedNote:
        """Where a feed stands; an empty note where nothing is known."""
        return self._get(f"feeds/{site}/{key}", FeedNote) or FeedNote()

    def note_feed(self, site: str, key: str, before: FeedNote, now: FeedNote) -> None:
        """Note where a feed stands now."""
        if now != before:
            self._put(f"feeds/{site}/{key}", now)

    def answer(self, site: str, key: str) -> AnswerNote | None:
        """When a feed answered last; None where it never did."""
        return self._get(f"answers/{site}/{key}", AnswerNote)

    def note_answer(self, site: str, key: str, note: AnswerNote) -> None:
        """Note that a feed answered."""
        self._put(f"answers/{site}/{key}", note)

    def closed(self, site: str) -> date | None:
        """The last day closed; None for a site that is new."""
        note = self._get(f"days/{site}", DayNote)
        return note.closed if note else None

    def note_closed(self, site: str, day: date) -> None:
        """Note that all days up to `day` are closed; an earlier day changes nothing."""
        known = self.closed(site)
        if known is None or known < day:
            self._put(f"days/{site}", DayNote(day))

    def settings(self, site: str) -> SettingsNote | None:
        """The settings announced last."""
        return self._get(f"settings/{site}", SettingsNote)

    def note_settings(self, site: str, note: SettingsNote) -> None:
        """Note that these were announced."""
        self._put(f"settings/{site}", note)

    def release(self, site: str) -> ReleaseNote | None:
        """The release announced last."""
        return self._get(f"release/{site}", ReleaseNote)

    def note_release(self, site: str, note: ReleaseNote) -> None:
        """Note that this one was announced."""
        self._put(f"release/{site}", note)

    def watched(self) -> set[str]:
        """Sites whose settings were announced and did not say that the site is retired."""
        names = [name.removeprefix("settings/") for name in self._notes.names("settings/")]
        notes = {name: self.settings(name) for name in names}
        return {name for name, note in notes.items() if note and not note.tree().get("retired")}

    def _get(self, name: str, kind: type[T]) -> T | None:
        content = self._notes.get(name)
        if content is None:
            return None
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            structlog.get_logger().warning("note of ingest is damaged, taken as lost", note=name)
            return None

    def _put(self, name: str, note: msgspec.Struct) -> None:
        self._notes.put(name, msgspec.json.encode(note, order="deterministic"))
