"""The way out of a stage: one producer, thrown away after the first doubt; and dead letters."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import structlog

from core.artifacts import Artifacts
from core.clock import Clock
from core.errors import SlopewatchError
from core.eventlog import EventLog, Producer, Receipt, Record
from core.events import DEAD_LETTERS, DeadLettered, Event, encode, identity
from core.telemetry import Telemetry

INLINE_PAYLOAD_BYTES = 64 << 10

DEAD_LETTER_CODES = {
    "D01": "not an event of ours",
    "D02": "the site is not configured",
    "D03": "the handler cannot use it: a damaged artifact, impossible content",
    "D04": "it says that it is from the future: a clock that wrote it is wrong",
}


class Outlet:
    """Sends what one worker has to say.

    After one failed or overdue send nothing that the producer still holds can be trusted: it is
    discarded without flushing, and whoever had sends under way opens its site again.
    """

    def __init__(
        self,
        log: EventLog,
        stage: str,
        artifacts: Artifacts,
        clock: Clock,
        telemetry: Telemetry,
        timeout_s: float,
    ) -> None:
        self._log = log
        self._stage = stage
        self._artifacts = artifacts
        self._clock = clock
        self._telemetry = telemetry
        self._timeout_s = timeout_s
        self._producer: Producer = log.producer()

    def send(self, topic: str, events: Sequence[Event]) -> list[Receipt]:
        """Send `events` in order; they are certain only after `settle`."""
        try:
            return [self._producer.send(topic, e.site, encode(e)) for e in events]
        except SlopewatchError:
            self._lose()
            raise

    def settle(self, receipts: list[Receipt]) -> None:
        """Wait until all `receipts` are acknowledged, and empty the list."""
        try:
            for receipt in receipts:
                receipt.wait(self._timeout_s)
        except SlopewatchError:
            self._lose()
            raise
        receipts.clear()

    def dead_letter(self, record: Record, code: str, reason: str) -> None:
        """Keep a record that cannot be used; returns once the log has it.

        Its id is its place in the log, so that a second reading of the record adds nothing.
        """
        inline = len(record.value) <= INLINE_PAYLOAD_BYTES
        now = self._clock.now()
        letter = Event(
            id=identity(self._log.topic_id(record.topic), *record[:3]),
            site=record.key,
            source=f"slopewatch/{self._stage}",
            valid_time=now,
            available_at=now,
            processed_at=now,
            data=DeadLettered(
                code=code,
                reason=reason,
                origin=f"{record.topic}/{record.partition}/{record.offset}",
                payload=base64.b64encode(record.value).decode() if inline else None,
                artifact=None if inline else self._artifacts.put(record.value),
            ),
        )
        self.settle(self.send(DEAD_LETTERS, [letter]))
        self._telemetry.dead_letters.labels(self._stage, code).inc()
        structlog.get_logger().warning(
            "dead letter", stage=self._stage, site=record.key, code=code, reason=reason
        )

    def close(self) -> None:
        """Flush and close."""
        self._producer.close()

    def _lose(self) -> None:
        self._producer.discard()
        self._producer = self._log.producer()
