"""The way out of a stage: one producer, thrown away after the first doubt; and dead letters."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from core.artifacts import Artifacts
from core.clock import Clock
from core.errors import SlopewatchError
from core.eventlog import EventLog, Producer, Receipt, Record
from core.events import DEAD_LETTERS, SITE_NAME, DeadLettered, Event, encode, identity
from core.telemetry import Telemetry

INLINE_PAYLOAD_BYTES = 64 << 10
LONGEST_REASON = 500
SHORTEST_WAIT_S = 0.1
NO_SITE = "unknown"
"""The site of a dead letter whose record has no key that could name one."""

DEAD_LETTER_CODES = {
    "D01": "not an event of ours",
    "D02": "the site is not configured",
    "D03": "the handler cannot use it: a damaged artifact, impossible content",
    "D04": "it says that it is from the future: a clock that wrote it is wrong",
}


class Sending(NamedTuple):
    """A record on its way, and the producer that has it."""

    receipt: Receipt
    producer: Producer


class Outlet:
    """Sends what one worker has to say.

    After one failed or overdue send nothing that the producer still holds can be trusted: it is
    discarded without flushing, and whoever had sends under way opens its site again. `timeout_s`
    limits all the waiting between two calls of `allow_waiting`, however many sites wait. The outlet
    of a stage that `looks_on` writes no dead letters.
    """

    def __init__(
        self,
        log: EventLog,
        stage: str,
        artifacts: Artifacts,
        clock: Clock,
        telemetry: Telemetry,
        timeout_s: float,
        *,
        looks_on: bool = False,
    ) -> None:
        self._log = log
        self._stage = stage
        self._artifacts = artifacts
        self._clock = clock
        self._telemetry = telemetry
        self._timeout_s = timeout_s
        self._looks_on = looks_on
        self._left_s = timeout_s
        self._producer: Producer | None = None

    def allow_waiting(self) -> None:
        """Begin a new step, with the whole time limit before it."""
        self._left_s = self._timeout_s

    def weigh(self, events: Sequence[Event]) -> int:
        """What `events` weigh on the log, in bytes; an error names one that it would not take."""
        limit = self._log.max_record_bytes
        total = 0
        for event in events:
            weight = len(encode(event)) + len(event.site.encode())
            if weight > limit:
                raise SlopewatchError(
                    f"site {event.site}: outcome {event.number}, {event.data.NAME}, weighs "
                    f"{weight} bytes and the log takes {limit}: raise max_record_bytes in the "
                    "log's address (on a broker max.message.bytes of the topic too) and restart"
                )
            total += weight
        return total

    def send(self, topic: str, events: Sequence[Event]) -> list[Sending]:
        """Send `events` in order; they are certain only after `settle`."""
        if self._producer is None:
            self._producer = self._log.producer()
        producer = self._producer
        try:
            return [Sending(producer.send(topic, e.site, encode(e)), producer) for e in events]
        except SlopewatchError:
            self._lose(producer)
            raise

    def settle(self, sendings: list[Sending]) -> None:
        """Wait until all `sendings` are acknowledged, and empty the list."""
        for sending in sendings:
            start = time.monotonic()
            try:
                sending.receipt.wait(max(SHORTEST_WAIT_S, self._left_s))
            except SlopewatchError:
                self._lose(sending.producer)
                raise
            finally:
                self._left_s -= time.monotonic() - start
        sendings.clear()

    def dead_letter(self, record: Record, code: str, reason: str) -> None:
        """Keep a record that cannot be used; returns once the log has it.

        Its id is its place in the log, so that a second reading of the record adds nothing. Of a
        stage that looks on only its own log hears.
        """
        if self._looks_on:
            place = f"{record.topic}/{record.partition}/{record.offset}"
            logger = structlog.get_logger().bind(stage=self._stage, code=code, at=place)
            logger.warning("record not usable", reason=reason[:LONGEST_REASON])
            return
        inline = len(record.value) <= min(INLINE_PAYLOAD_BYTES, self._log.max_record_bytes // 4)
        now = self._clock.now()
        letter = Event(
            id=identity(self._log.topic_id(record.topic), *record[:3]),
            site=record.key if SITE_NAME.fullmatch(record.key) else NO_SITE,
            source=f"slopewatch/{self._stage}",
            valid_time=now,
            available_at=now,
            processed_at=now,
            data=DeadLettered(
                code=code,
                reason=reason[:LONGEST_REASON],
                origin=f"{record.topic}/{record.partition}/{record.offset}",
                payload=base64.b64encode(record.value).decode() if inline else None,
                artifact=None if inline else self._artifacts.put(record.value),
            ),
        )
        self.settle(self.send(DEAD_LETTERS, [letter]))
        self._telemetry.dead_letters.labels(self._stage, code).inc()
        structlog.get_logger().warning(
            "dead letter", stage=self._stage, site=letter.site, code=code, reason=reason
        )

    def close(self) -> None:
        """Flush and close."""
        if self._producer is not None:
            self._producer.close()

    def _lose(self, producer: Producer) -> None:
        """Throw the producer away, unless that was done: its successor has done nothing wrong."""
        if producer is self._producer:
            self._producer = None
            producer.discard()
