"""Moving house, the readers: nobody else works on the old log, and nothing in it is left unread."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, TypeVar

from core.artifacts import Artifacts
from core.clock import SystemClock
from core.errors import SlopewatchError
from core.eventlog import EventLog, partition_of
from core.ledger.ledger import Ledger
from core.notes import Notes, open_notes
from core.progress import Progress, ProgressNotes
from core.settings import Service
from core.stage import Stage
from core.statestore import States
from core.telemetry import Telemetry
from core.worker import Worker
from services.alerting.service import AlertingStage
from services.inference.service import InferenceStage

S = TypeVar("S")
MEMBER = "log-copy"
POLL_S = 0.2
BEAT_S = 0.5


class Reader(Worker[S]):
    """A worker that also says what it has not read."""

    def __init__(self, log: EventLog, stage: Stage[S], artifacts: Artifacts, notes: Notes) -> None:
        super().__init__(
            log,
            stage,
            artifacts,
            SystemClock(),
            Telemetry(),
            member=f"{stage.name}-{MEMBER}",
            notes=notes,
            backoff=timedelta(days=1),
        )
        self.name = stage.name

    def alone(self) -> bool:
        """Whether the group has given every partition to this process."""
        return self._consumer.assignment() == frozenset(range(self._partitions))

    def at_end(self) -> bool:
        """Whether every partition was read to its end, also by sites that have to catch up."""
        return self._at_end()

    def standing(self) -> dict[str, str]:
        """Sites that stand still, with the reason; not those that only catch up."""
        return {name: parked.reason for name, parked in self._parked.items() if parked.attempt}

    def waiting(self) -> dict[str, str]:
        """Sites that hold an outcome whose predecessor has not come, with the reason."""
        reason = "it waits for an event that is missing"
        held = self._sites.items()
        return {name: reason for name, site in held if site.earliest_waiting is not None}


class OldHouse:
    """Both stages on the old log, held by this process until closed.

    `patience_s`: how long to wait for a group to give all its partitions to this process; a
    reader that was killed is forgotten only after its lease.
    """

    def __init__(
        self,
        service: Service,
        log: EventLog,
        artifacts: Artifacts,
        states: States,
        ledger: Ledger,
        patience_s: float,
    ) -> None:
        self._url = str(service.log)
        self._patience_s = patience_s
        self._beaten = 0.0
        self._closing = ExitStack()
        stages: list[Stage[Any]] = [
            InferenceStage(states, artifacts, service.thinning),
            AlertingStage(ledger, artifacts),
        ]
        notes = open_notes(str(service.memory))
        self._readers: list[Reader[Any]] = []
        for stage in stages:
            self._readers.append(reader := Reader(log, stage, artifacts, notes))
            self._closing.callback(reader.close)

    def drain(self, moved: Callable[[str], Collection[str]]) -> None:
        """Read both inboxes to their ends.

        `moved` names, by stage, the sites that stand on the new log already. Raises
        SlopewatchError when another process reads in one of the groups, and for a site that
        cannot take in what lies before it.
        """
        deadline = time.monotonic() + self._patience_s
        while True:
            read = sum(reader.step(POLL_S) for reader in self._readers)
            for reader in self._readers:
                _refuse(reader, reader.standing(), moved(reader.name))
            if all(reader.alone() and reader.at_end() for reader in self._readers) and not read:
                break
            stuck = [reader for reader in self._readers if not reader.alone()]
            if stuck and time.monotonic() > deadline:
                raise self._not_alone(stuck[0])
        for reader in self._readers:
            _refuse(reader, reader.waiting(), moved(reader.name))

    def beat(self) -> None:
        """Keep the places in the groups; SlopewatchError when somebody joined or wrote."""
        if time.monotonic() - self._beaten < BEAT_S:
            return
        if any(reader.step(0.0) for reader in self._readers):
            raise SlopewatchError(
                f"the log {self._url} grew while it was copied: stop what still writes to it "
                "(ingest, an operator's command), then run this again"
            )
        for reader in self._readers:
            if not reader.alone():
                raise self._not_alone(reader)
        self._beaten = time.monotonic()

    def close(self) -> None:
        """Leave the groups; state and ledger stay open."""
        self._closing.close()

    def _not_alone(self, reader: Reader[Any]) -> SlopewatchError:
        return SlopewatchError(
            f"another {reader.name} reads the log {self._url}: stop all its services, then run "
            "this again (one that was killed is forgotten within a minute)"
        )


def _refuse(reader: Reader[Any], reasons: Mapping[str, str], moved: Collection[str]) -> None:
    for name, reason in sorted(reasons.items()):
        if name not in moved:
            raise SlopewatchError(
                f"site {name} stands still in {reader.name} and would lose its place: "
                f"{reason}; mend that, let the old services read on, then run this again"
            )


def note_read(
    log: EventLog, stage: str, inbox: str, ends: Mapping[int, int], patience_s: float
) -> None:
    """Commit for the group `stage` that `inbox` was read up to `ends` (by partition).

    Without it a new group would begin at the first record and make dead letters of sites that no
    stage knows once more. SlopewatchError when the group has other members.
    """
    partitions = frozenset(range(log.topics()[inbox].partitions))
    consumer = log.consumer(inbox, stage, f"{stage}-{MEMBER}")
    try:
        deadline = time.monotonic() + patience_s
        while consumer.assignment() != partitions:
            consumer.poll(1, POLL_S)
            if time.monotonic() > deadline and consumer.assignment() != partitions:
                raise SlopewatchError(
                    f"another {stage} reads the new log already: stop the new services until "
                    "this has ended, then run it again"
                )
        consumer.commit({p: max(end, consumer.committed(p) or 0) for p, end in ends.items()})
    finally:
        consumer.close()


def note_progress(
    notes: Notes, stage: str, topic_id: str, ends: Mapping[int, int], sites: Collection[str]
) -> None:
    """Note that `sites` have read the new log to its ends, so that nothing of it is read again."""
    read = {p: Progress(end, {}, {}) for p, end in ends.items()}
    for name in sites:
        partition = partition_of(name, len(ends))
        read[partition].sites[name] = ends[partition] - 1
    ProgressNotes(notes, stage).put(topic_id, read, at_once=True)
