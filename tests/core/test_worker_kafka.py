"""The consume loop over a real Kafka: two workers, kills, and a broker that goes away."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from toy_stage import Toy, Words, configured, said

from core.artifacts import MemoryArtifacts
from core.clock import SystemClock
from core.eventlog import EventLog, TopicSpec, open_log, partition_of
from core.events import ASSESSMENTS, DEAD_LETTERS, OBSERVATIONS, Event, decode
from core.notes import Notes, open_notes
from core.stage import Input, Outcome
from core.telemetry import Telemetry
from core.worker import Worker
from tests.pipeline import append, events_of
from tools.engine.kafka import Broker

PARTITIONS = 4
SITES = tuple(f"site-{n}" for n in range(8))
PATIENCE_S = 120.0


class Slow(Toy):
    """Takes its time, so that kills find it at work."""

    def handle(self, state: Words, given: Input) -> tuple[Words, Sequence[Outcome]]:
        time.sleep(0.002)
        return super().handle(state, given)


class Running:
    """One worker in a thread of its own."""

    def __init__(self, url: str, stage: Toy, notes: Notes, member: str) -> None:
        self.log = open_log(url)
        self.stop = threading.Event()
        self.worker = Worker(
            self.log,
            stage,
            MemoryArtifacts(),
            SystemClock(),
            Telemetry(),
            member=member,
            notes=notes,
            batch=20,
            backoff=timedelta(seconds=0.2),
        )
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.worker.run(self.stop)
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        self.stop.set()
        self.thread.join(60)
        self.log.close()
        assert self.error is None
        assert not self.thread.is_alive()


@pytest.fixture
def log(kafka_url: str) -> Iterator[EventLog]:
    log = open_log(kafka_url)
    log.create_topics([TopicSpec(t, PARTITIONS) for t in (OBSERVATIONS, ASSESSMENTS, DEAD_LETTERS)])
    yield log
    log.close()


def words(first: int, last: int) -> list[Event]:
    """Words `first` to `last` of every site."""
    return [said(f"w{n}", site) for n in range(first, last) for site in SITES]


def wait_for(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def holds(stage: Toy, count: int) -> bool:
    """Whether every site holds its configuration and `count` words."""
    kept = stage.stores
    return all(site in kept and len(kept[site].state) == count + 1 for site in SITES)


def check(log: EventLog, stage: Toy, count: int) -> None:
    """Each word is in the store once and in order; outcomes have all numbers, each one id."""
    for site in SITES:
        assert stage.stores[site].state == ("configured", *(f"w{n}" for n in range(count)))
        told = events_of(log, ASSESSMENTS, site)
        assert {e.number for e in told} == set(range(1, count + 2))
        assert len({(e.number, e.id) for e in told}) == count + 1


def test_two_workers_share_a_group_and_one_is_stopped_and_comes_back(
    log: EventLog, kafka_url: str
) -> None:
    stage, notes = Slow(), open_notes("memory://")
    append(log, OBSERVATIONS, [*map(configured, SITES), *words(0, 20)])
    workers = [Running(kafka_url, stage, notes, f"toy-{n}") for n in range(2)]
    try:
        wait_for(lambda: len(stage.commits) > len(SITES))
        workers[1].end()
        append(log, OBSERVATIONS, words(20, 40))
        wait_for(lambda: holds(stage, 40))
        workers[1] = Running(kafka_url, stage, notes, "toy-1")
        append(log, OBSERVATIONS, words(40, 60))
        wait_for(lambda: holds(stage, 60))
    finally:
        for one in workers:
            one.end()
    check(log, stage, 60)


def test_a_broker_that_is_killed_and_comes_back_loses_and_doubles_nothing(
    tmp_path: Path, engines: None
) -> None:
    """A broker of its own: others use the shared one."""
    with Broker(tmp_path) as broker:
        url = f"kafka://{broker.address}/killed?lease_s=6&delivery_s=4&answer_s=2"
        log = open_log(url)
        log.create_topics(
            [TopicSpec(t, PARTITIONS) for t in (OBSERVATIONS, ASSESSMENTS, DEAD_LETTERS)]
        )
        stage, notes = Slow(), open_notes("memory://")
        append(log, OBSERVATIONS, [*map(configured, SITES), *words(0, 40)])
        workers = [Running(url, stage, notes, f"toy-{n}") for n in range(2)]
        try:
            wait_for(lambda: len(stage.commits) > len(SITES))
            broker.kill()
            time.sleep(6)
            broker.start()
            append(log, OBSERVATIONS, words(40, 50))
            wait_for(lambda: holds(stage, 50))
            wait_for(lambda: not any(one.worker.parked for one in workers))
        finally:
            for one in workers:
                one.end()
        check(log, stage, 50)
        log.close()


def test_records_of_strangers_are_dead_letters(log: EventLog, kafka: Any, kafka_url: str) -> None:
    own = partition_of("site-0", PARTITIONS)
    producer = KafkaProducer(bootstrap_servers=kafka.address)
    topic = f"{kafka_url.split('/')[3].split('?', maxsplit=1)[0]}.{OBSERVATIONS}"
    strangers: list[tuple[bytes | None, bytes | None]] = [
        (None, b"no key"),
        (b"\xff\xfe", b"no text"),
        (b"a site?", b"no name"),
        (b"site-0", None),
    ]
    append(log, OBSERVATIONS, [configured("site-0")])
    for key, value in strangers:
        producer.send(topic, key=key, value=value, partition=own).get(20)
    producer.send(topic, key=b"site-0", value=b"astray", partition=(own + 1) % PARTITIONS).get(20)
    producer.close()
    append(log, OBSERVATIONS, [said("w0", "site-0")])
    stage = Toy()
    worker = Worker(
        log,
        stage,
        MemoryArtifacts(),
        SystemClock(),
        Telemetry(),
        notes=open_notes("memory://"),
    )
    worker.drain()
    worker.close()
    letters = [decode(r.value) for p in range(PARTITIONS) for r in log.read(DEAD_LETTERS, p)]
    assert stage.stores["site-0"].state == ("configured", "w0")
    assert Counter((e.site, e.data.code) for e in letters) == {
        ("unknown", "D01"): 3,
        ("site-0", "D01"): 2,
    }
