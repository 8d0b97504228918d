"""The worker on Kafka with a handler that does nothing, against a bare consumer.

What `core.worker.Worker` costs by itself: order, distinct inputs, commits (to memory), notes of
progress and the group's offsets. The peer is a `KafkaConsumer` of kafka-python with its own
settings and no group, which polls as many records at a time and decodes the same bytes with the
same function (`core.events.decode`, msgspec); a second one does not even decode. All read the same
topic, one after the other, several times; the best counts. Every clock starts when the first batch
has been taken in, which is not counted: joining a group and connecting take tenths of a second,
and what is fetched meanwhile would flatter whoever waited longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count
from time import perf_counter
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from benchmarks import site
from benchmarks.broker import running_broker, versions
from benchmarks.frame import Table, rate
from core.artifacts import MemoryArtifacts, reference
from core.clock import ReplayClock, midnight
from core.eventlog import EventLog, TopicSpec, open_log
from core.events import (
    ASSESSMENTS,
    DEAD_LETTERS,
    OBSERVATIONS,
    DisplacementMeasured,
    Event,
    decode,
    encode,
    identity,
)
from core.notes import open_notes
from core.stage import Bookmark, Held, Input, Outcome
from core.telemetry import Telemetry
from core.worker import Worker

NAME = "bench"
PARTITIONS = 4
SITES = tuple(f"site-{n}" for n in range(8))
BATCH = 500
REPEATS = 5
GOAL = 0.7


class NoOp:
    """A stage that takes in and says nothing; its store is memory."""

    inbox = OBSERVATIONS
    outbox = ASSESSMENTS

    def __init__(self, name: str) -> None:
        self.name = name
        self.opened: set[str] = set()
        self.commits = 0
        self.taken = 0

    def sites(self) -> Sequence[str]:
        """All of them are known beforehand."""
        return SITES

    def store(self, name: str) -> _Memory:
        """The memory of one site."""
        return _Memory(self, name)

    def handle(self, state: None, given: Input) -> tuple[None, Sequence[Outcome]]:
        """Nothing."""
        return None, ()


class _Memory:
    def __init__(self, stage: NoOp, name: str) -> None:
        self._stage = stage
        self._name = name
        self._ids: set[str] = set()

    def open(self) -> Held[None]:
        self._stage.opened.add(self._name)
        return Held(None, None, ())

    def seen(self, event_id: str) -> bool:
        return event_id in self._ids

    def commit(
        self, state: None, bookmark: Bookmark, ids: Sequence[str], outcomes: Sequence[Event]
    ) -> None:
        self._ids.update(ids)
        self._stage.commits += 1
        self._stage.taken += len(ids)

    def close(self) -> None:
        return


def run(quick: bool) -> list[Table]:
    """All three on one topic of one broker."""
    events = 3_000 if quick else 20_000
    with running_broker() as address:
        log = open_log(f"kafka://{address}/{NAME}")
        log.create_topics([TopicSpec(t, PARTITIONS) for t in (OBSERVATIONS, DEAD_LETTERS)])
        log.create_topics([TopicSpec(ASSESSMENTS, PARTITIONS)])
        weight = _fill(log, events)
        try:
            return [_table(log, address, events, weight)]
        finally:
            log.close()


def _table(log: EventLog, address: str, events: int, weight: int) -> Table:
    groups = (f"noop-{n}" for n in count())
    tasks: dict[str, Callable[[], float]] = {
        "core.worker, no-op handler": lambda: _worker_s(log, next(groups), events),
        "KafkaConsumer with decode": lambda: _bare_s(address, events, decode),
        "KafkaConsumer, bytes alone": lambda: _bare_s(address, events, len),
    }
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(REPEATS):
        for name, task in tasks.items():
            best[name] = min(best[name], task())
    peer = best["KafkaConsumer with decode"]
    rows = tuple((name, rate(1, s), f"{peer / s:.0%}") for name, s in best.items())
    title = (
        f"{events:,} events of {weight} bytes, {len(SITES)} sites, {PARTITIONS} partitions, "
        f"{BATCH} a poll"
    )
    notes = (versions(), f"The goal of the worker is {GOAL:.0%} of the consumer that decodes.")
    return Table(title, ("reader", "events a second", "of the peer"), rows, notes)


def _fill(log: EventLog, events: int) -> int:
    """Put the events on the log; returns the bytes of the last one."""
    artifact = reference(b"")
    now = midnight(site.FIRST_DAY)
    producer = log.producer()
    value = b""
    for n in range(events):
        name = SITES[n % len(SITES)]
        event = Event(
            id=identity(name, n),
            site=name,
            source="slopewatch/benchmark",
            valid_time=now,
            available_at=now,
            processed_at=now,
            data=DisplacementMeasured(
                feed="interferograms-of-a-processor/small-baselines",
                track="ascending-084-frame-098-subswath-iw2-vertical-polarization-x",
                epoch=site.FIRST_DAY,
                reference_epoch=site.FIRST_DAY,
                values=artifact,
                points=artifact,
                measured=5000,
            ),
        )
        value = encode(event)
        producer.send(OBSERVATIONS, name, value)
    producer.close()
    return len(value)


def _worker_s(log: EventLog, group: str, events: int) -> float:
    """Seconds an event."""
    stage = NoOp(group)
    clock = ReplayClock(midnight(site.FIRST_DAY) + timedelta(days=1))
    worker = Worker(
        log,
        stage,
        MemoryArtifacts(),
        clock,
        Telemetry(),
        notes=open_notes("memory://"),
        batch=BATCH,
    )
    try:
        while stage.opened != set(SITES):
            worker.step(timeout_s=0.1)
        while not stage.taken:
            worker.step(timeout_s=1.0)
        first, begin = stage.taken, perf_counter()
        while stage.taken < events:
            worker.step(timeout_s=1.0)
            if worker.parked:
                raise RuntimeError(f"the worker did not come to its end: {worker.parked}")
        return (perf_counter() - begin) / (events - first)
    finally:
        worker.close()


def _bare_s(address: str, events: int, use: Callable[[bytes], Any]) -> float:
    """Seconds an event."""
    consumer = KafkaConsumer(
        bootstrap_servers=[address], enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        places = [TopicPartition(f"{NAME}.{OBSERVATIONS}", p) for p in range(PARTITIONS)]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        first = 0
        while not first:
            first = _read(consumer, use)
        found, begin = first, perf_counter()
        while found < events:
            found += _read(consumer, use)
        return (perf_counter() - begin) / (events - first)
    finally:
        consumer.close()


def _read(consumer: KafkaConsumer, use: Callable[[bytes], Any]) -> int:
    """One poll; returns the number of records used."""
    found = 0
    for records in consumer.poll(1000, max_records=BATCH).values():
        for record in records:
            use(record.value)
        found += len(records)
    return found
