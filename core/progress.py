"""How far a stage has read each partition of its inbox: what spares it the log's whole history.

Truth stands in the sites' bookmarks. Progress only saves reading, so it may be lost or late; but it
says of every site what its store must hold at least, so that a store which was lost, is new or
comes from a backup is found out. It also tells other processes which sites stand still, and why.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from core.errors import UnavailableError
from core.notes import Notes

NOTE_EVERY_S: Final = 5.0


class Behind(msgspec.Struct, frozen=True):
    """A site that stands still: the offset from which it goes on, and why."""

    offset: int
    reason: str


class Progress(msgspec.Struct, frozen=True):
    """One partition, read up to `next`.

    `sites` have taken in all that is theirs below `next`, and their bookmarks stood at this offset
    (-1 without one) or later; `behind` have not.
    """

    next: int = 0
    sites: dict[str, int] = {}
    behind: dict[str, Behind] = {}

    def missed(self, site: str, bookmark: int) -> bool:
        """Whether a site whose bookmark stands at this offset lacks records below `next`."""
        return bookmark < self.sites.get(site, self.next - 1)

    @property
    def reasons(self) -> dict[str, str]:
        """Why each site behind is so."""
        return {name: behind.reason for name, behind in self.behind.items()}


class ProgressNotes:
    """The progress of one stage, one note for each partition of each topic, by its identity.

    Without notes nothing is remembered.
    """

    def __init__(self, notes: Notes | None, stage: str) -> None:
        self._notes = notes
        self._stage = stage
        self._put: dict[str, Progress] = {}
        self._put_at = 0.0

    def get(self, topic_id: str, partition: int) -> Progress:
        """Progress in a partition, its beginning where none was noted.

        Raises UnavailableError when the notes are out of reach.
        """
        name = self._name(topic_id, partition)
        content = self._notes.get(name) if self._notes else None
        try:
            return msgspec.json.decode(content, type=Progress) if content else Progress()
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            structlog.get_logger().warning("progress not readable", note=name, reason=str(error))
            return Progress()

    def put(
        self, topic_id: str, progress: Mapping[int, Progress], *, at_once: bool = False
    ) -> None:
        """Note progress by partition: at once what stands still and why, the rest now and then."""
        if self._notes is None:
            return
        soon = at_once or time.monotonic() >= self._put_at + NOTE_EVERY_S
        try:
            for partition, new in progress.items():
                name = self._name(topic_id, partition)
                old = self._put.get(name)
                if new != old and (soon or old is None or new.reasons != old.reasons):
                    self._notes.put(name, msgspec.json.encode(new))
                    self._put[name] = new
        except UnavailableError as error:
            # It only saves reading, and the next step tries again.
            structlog.get_logger().info("progress not noted", reason=str(error))
        if soon:
            self._put_at = time.monotonic()

    def _name(self, topic_id: str, partition: int) -> str:
        return f"reading/{self._stage}/{topic_id}/{partition}"
