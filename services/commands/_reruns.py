"""One stage run again over the inbox of one site, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

from tqdm import tqdm

from core.artifacts import Artifacts
from core.clock import SystemClock
from core.errors import SlopewatchError, UnavailableError
from core.eventlog import EventLog, TopicSpec, open_log
from core.events import (
    ASSESSMENTS,
    DEAD_LETTERS,
    ArtifactRef,
    DeadLettered,
    ReleaseActivated,
    decode,
)
from core.ledger import Decision, QueuedNotification, open_ledger
from core.settings import Service
from core.stage import Input, Outcome, SiteStore, Stage
from core.telemetry import Telemetry
from core.topics import TOPICS
from core.worker import Worker
from services.alerting.service import AlertingStage
from services.commands._standing import records_of

S = TypeVar("S")
SEND_TIMEOUT_S = 60.0
LONG = 5_000
"""Records from which on a progress bar is shown."""
LARGEST_RECORD_BYTES = 64 << 20
"""More than any log takes: what the old one took, the copy takes."""


class Taken(NamedTuple):
    """One distinct input: its place in the site's order, `now`, and the release it names."""

    seq: int
    now: datetime
    release: ReleaseActivated | None


class Decided(NamedTuple):
    """What alerting took in again; the ledger's rows now, and what it would send.

    `unused`: why inputs could not be used, a sentence each.
    """

    taken: list[Taken]
    decisions: list[Decision]
    notifications: list[QueuedNotification]
    unused: list[str]


class Overlay:
    """Artifacts that reads both and writes only its own: a replay changes nothing that stands."""

    def __init__(self, own: Artifacts, old: Artifacts) -> None:
        self._own = own
        self._old = old

    def put(self, content: bytes) -> ArtifactRef:
        """Keep `content` in the own store."""
        return self._own.put(content)

    def get(self, ref: ArtifactRef) -> bytes:
        """Read from the own store, else from the old one."""
        try:
            return self._own.get(ref)
        except UnavailableError:
            return self._old.get(ref)


class _Followed(Generic[S]):
    """A stage of which is noted what it takes in."""

    def __init__(self, stage: Stage[S]) -> None:
        self.name = stage.name
        self.inbox = stage.inbox
        self.outbox = stage.outbox
        self.taken: dict[int, Taken] = {}
        self._stage = stage

    def sites(self) -> Iterable[str]:
        return self._stage.sites()

    def store(self, site: str) -> SiteStore[S]:
        return self._stage.store(site)

    def handle(self, state: S, given: Input) -> tuple[S, Sequence[Outcome]]:
        result = self._stage.handle(state, given)
        data = given.event.data
        release = data if isinstance(data, ReleaseActivated) else None
        self.taken[given.seq] = Taken(given.seq, given.now, release)
        return result


def copied_log(url: str, topic: str, site: str, values: Sequence[bytes]) -> EventLog:
    """A new log at `url` that holds `values` on `topic`; the caller closes it."""
    log = open_log(f"{url}?max_record_bytes={LARGEST_RECORD_BYTES}")
    log.create_topics([TopicSpec(name) for name in TOPICS])
    producer = log.producer()
    receipts = [producer.send(topic, site, value) for value in values]
    for receipt in receipts:
        receipt.wait(SEND_TIMEOUT_S)
    producer.close()
    return log


def run_again(stage: Stage[Any], log: EventLog, artifacts: Artifacts, records: int) -> list[Taken]:
    """Let `stage` read its inbox of `records` records to the end; its distinct inputs in order.

    Raises SlopewatchError where the site came to stand still.
    """
    followed: _Followed[Any] = _Followed(stage)
    worker = Worker(log, followed, artifacts, SystemClock(), Telemetry(), member="replay")
    bar: tqdm[NoReturn] = tqdm(total=records, desc=stage.name, unit="event", disable=records < LONG)
    with bar, closing(worker):
        while read := worker.step(0.0):
            bar.update(read)
            for site, parked in worker.parked.items():
                raise SlopewatchError(
                    f"{stage.name} of {site} cannot be replayed further: {parked.reason}"
                )
    return [followed.taken[seq] for seq in sorted(followed.taken)]


def decide_again(
    fresh: Service, artifacts: Overlay, site: str, assessments: Sequence[bytes]
) -> Decided:
    """Let alerting read `assessments` into the folder of `fresh`; nothing is sent to anybody.

    Raises SlopewatchError where the site came to stand still.
    """
    url = f"sqlite://{fresh.data}/assessments.db"
    with (
        closing(copied_log(url, ASSESSMENTS, site, assessments)) as log,
        closing(open_ledger(str(fresh.ledger))) as ledger,
    ):
        taken = run_again(AlertingStage(ledger, artifacts), log, artifacts, len(assessments))
        unused = dead_letters(log, site)
        return Decided(taken, ledger.decisions(site), ledger.notifications(site), unused)


def dead_letters(log: EventLog, site: str) -> list[str]:
    """Why records of `site` could not be used, in order."""
    found = (decode(record.value).data for record in records_of(log, DEAD_LETTERS, site))
    return [f"{data.code}: {data.reason}" for data in found if isinstance(data, DeadLettered)]
