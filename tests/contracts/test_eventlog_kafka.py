"""The Kafka log keeps the event log contract, on a real broker."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource

from core.errors import SettingsError
from core.eventlog import EventLog, FencedError, TopicSpec, open_log, partition_of
from tests.contracts.eventlog_contract import (
    PARTITIONS,
    PATIENCE_S,
    Connect,
    EventLogContract,
    EventLogProcessContract,
    append,
    everything,
    gather,
    numbered,
    settle,
)

ROOT = Path(__file__).parents[2]


def url_on(broker: Any, *, lease_s: float = 1.0, poll_s: float = 30.0) -> str:
    """A log of its own, with a lease short enough for tests."""
    return f"kafka://{broker.address}/t{uuid.uuid4().hex[:8]}?lease_s={lease_s}&poll_s={poll_s}"


class TestKafkaLog(EventLogContract):
    expires_on_demand = False

    @pytest.fixture
    def connect(self, kafka: Any) -> Iterator[Connect]:
        opened: list[EventLog] = []
        # Members share one process here, so that one is silent only by not polling.
        url = url_on(kafka, lease_s=self.lease_s, poll_s=self.lease_s)

        def connect() -> EventLog:
            opened.append(open_log(url))
            return opened[-1]

        yield connect
        for log in opened:
            log.close()


class TestKafkaLogAcrossProcesses(EventLogProcessContract):
    @pytest.fixture
    def url(self, kafka: Any) -> str:
        return url_on(kafka)


@pytest.fixture
def admin(kafka: Any) -> Iterator[KafkaAdminClient]:
    with closing(KafkaAdminClient(bootstrap_servers=kafka.address)) as admin:
        yield admin


@pytest.fixture
def log(kafka: Any) -> Iterator[EventLog]:
    with closing(open_log(url_on(kafka))) as log:
        yield log


def inner_name(log: Any, topic: str) -> str:
    return str(log._settings.topic(topic))


# Topics


def test_systems_that_share_a_broker_see_their_own_topics(kafka: Any) -> None:
    with closing(open_log(url_on(kafka))) as one, closing(open_log(url_on(kafka))) as other:
        one.create_topics([TopicSpec("same", 1)])
        other.create_topics([TopicSpec("same", 2)])
        append(one, "same", [("site", b"one")])
        assert {name: spec.partitions for name, spec in one.topics().items()} == {"same": 1}
        assert {name: spec.partitions for name, spec in other.topics().items()} == {"same": 2}
        assert one.topic_id("same") != other.topic_id("same")
        assert everything(other, "same") == []
        for log in (one, other):
            member = log.consumer("same", "group", "a")
            gather([member], lambda _, member=member: bool(member.assignment()))
            member.close()


def test_a_topic_that_was_made_anew_is_another(log: EventLog, admin: KafkaAdminClient) -> None:
    log.create_topics([TopicSpec("t", PARTITIONS)])
    first = log.topic_id("t")
    admin.delete_topics([inner_name(log, "t")])
    deadline = time.monotonic() + PATIENCE_S
    while "t" in log.topics():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    log.create_topics([TopicSpec("t", PARTITIONS)])
    assert log.topic_id("t") != first


def test_topics_are_kept_for_ever_or_as_long_as_said(
    log: EventLog, admin: KafkaAdminClient
) -> None:
    log.create_topics([TopicSpec("kept"), TopicSpec("brief", retention=timedelta(days=1))])
    names = [inner_name(log, topic) for topic in ("kept", "brief")]
    found = admin.describe_configs([ConfigResource("topic", n) for n in names], config_filter="all")
    kept, brief = (found["topic"][name] for name in names)
    assert kept["retention.ms"]["value"] == kept["retention.bytes"]["value"] == "-1"
    assert brief["retention.ms"]["value"] == str(24 * 3600 * 1000)
    assert {one["cleanup.policy"]["value"] for one in (kept, brief)} == {"delete"}
    assert {one["compression.type"]["value"] for one in (kept, brief)} == {"uncompressed"}
    assert int(kept["max.message.bytes"]["value"]) > log.max_record_bytes
    log.create_topics([TopicSpec("kept", retention=timedelta(hours=1)), TopicSpec("brief")])
    wanted = {"kept": timedelta(hours=1), "brief": None}
    deadline = time.monotonic() + PATIENCE_S  # a broker takes up a change in its own time
    while {name: spec.retention for name, spec in log.topics().items()} != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_more_replicas_than_brokers_are_refused_before_anything_is_made(log: EventLog) -> None:
    with pytest.raises(SettingsError, match=r"topics\.replication"):
        log.create_topics([TopicSpec("one", 1), TopicSpec("three", 1, replication=3)])
    assert not log.topics()


# Reading


def test_replay_passes_places_that_hold_no_record(log: EventLog, kafka: Any) -> None:
    """Markers of transactions take up offsets; at the end of a log they keep nobody waiting."""
    log.create_topics([TopicSpec("t", PARTITIONS)])
    partition = partition_of("site", PARTITIONS)
    writer = KafkaProducer(bootstrap_servers=kafka.address, transactional_id=uuid.uuid4().hex)
    writer.init_transactions()
    for value in (b"0", b"1"):
        writer.begin_transaction()
        writer.send(inner_name(log, "t"), key=b"site", value=value, partition=partition)
        writer.commit_transaction()
    writer.close()
    assert log.end("t")[partition] == 4
    began = time.monotonic()
    found = list(log.read("t", partition))
    assert [(one.offset, one.value) for one in found] == [(0, b"0"), (2, b"1")]
    assert list(log.read("t", partition, 3)) == []
    assert time.monotonic() - began < PATIENCE_S / 2
    member = log.consumer("t", "group", "a")
    assert len(gather([member], lambda records: len(records) >= 2)) == 2
    member.close()


# Members


def test_a_member_that_is_put_out_hears_of_it_when_it_only_polls(log: EventLog) -> None:
    log.create_topics([TopicSpec("t", PARTITIONS)])
    first = log.consumer("t", "group", "a")
    settle(first)
    second = log.consumer("t", "group", "a")
    settle(second)
    with pytest.raises(FencedError, match="'a'"):
        gather([first], lambda _: False)
    assert first.assignment() == frozenset()
    first.close()
    append(log, "t", numbered(3))
    assert len(gather([second], lambda records: len(records) >= 3)) == 3
    second.close()


def test_a_member_that_closes_hands_over_long_before_its_lease_ends(kafka: Any) -> None:
    with closing(open_log(url_on(kafka, lease_s=60, poll_s=60))) as log:
        log.create_topics([TopicSpec("t", PARTITIONS)])
        going, staying = log.consumer("t", "group", "a"), log.consumer("t", "group", "b")
        settle(going, staying)
        going.close()
        settle(staying)
        staying.close()


def test_a_group_settles_however_briefly_its_members_poll(log: EventLog) -> None:
    """A join that ends between two polls counts, also when new metadata was its cause."""
    log.create_topics([TopicSpec("t", PARTITIONS)])
    members = [log.consumer("t", "group", name) for name in "abc"]
    deadline = time.monotonic() + PATIENCE_S
    while sorted(p for m in members for p in m.assignment()) != list(range(PARTITIONS)):
        assert time.monotonic() < deadline
        for member in members:
            member.poll(1, 0)
            time.sleep(0.003)
    append(log, "t", numbered(40))
    assert len(gather(members, lambda records: len(records) >= 40)) == 40
    for member in members:
        member.close()


@pytest.fixture
def start_worker() -> Iterator[Callable[[str, str], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(url: str, member: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.contracts.kafka_worker", url, member]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_worker_that_is_asked_to_end_hands_over_at_once(
    kafka: Any, start_worker: Callable[[str, str], subprocess.Popen[str]]
) -> None:
    url = url_on(kafka, lease_s=60, poll_s=60)
    with closing(open_log(url)) as log:
        log.create_topics([TopicSpec(topic, PARTITIONS) for topic in ("observations", "toy")])
        worker = start_worker(url, "a")
        assert worker.stdout is not None
        assert worker.stdout.readline() == f"holds {list(range(PARTITIONS))}\n"
        worker.send_signal(signal.SIGTERM)
        heir = log.consumer("observations", "toy", "b")
        settle(heir)
        assert worker.wait(PATIENCE_S) == 0
        heir.close()
