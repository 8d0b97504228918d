"""What every event log backend must do; subclassed once per backend.

Nothing here asks for more than Kafka gives: a poll may return fewer records than there are and a
group needs several polls to settle, so tests poll until something holds, within a limit.

Run as a module it is the other process of `EventLogProcessContract`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.errors import BadInputError, SettingsError, SlopewatchError, UnavailableError
from core.eventlog import (
    Consumer,
    EventLog,
    FencedError,
    NotOwnerError,
    Record,
    TopicSpec,
    open_log,
    partition_of,
)

PATIENCE_S = 15.0
PARTITIONS = 4
Connect = Callable[[], EventLog]


def gather(
    consumers: Iterable[Consumer],
    done: Callable[[list[Record]], bool],
    *,
    patience_s: float = PATIENCE_S,
) -> list[Record]:
    """Poll the consumers in turn until `done` holds of all they returned; return that."""
    consumers = list(consumers)
    records: list[Record] = []
    deadline = time.monotonic() + patience_s
    while not done(records):
        assert time.monotonic() < deadline, f"not done in {patience_s} s; {len(records)} records"
        for consumer in consumers:
            records += consumer.poll(100, 0.01)
    return records


def once(records: Iterable[Record]) -> list[Record]:
    """Each place once: after a rebalance what was not committed may come again."""
    return list({(record.partition, record.offset): record for record in records}.values())


def take(consumer: Consumer, count: int) -> list[Record]:
    """Poll until `count` records came."""
    return gather([consumer], lambda records: len(records) >= count)


def settle(*consumers: Consumer) -> list[Record]:
    """Poll until all partitions are shared out among the consumers, none twice."""

    def done(_: list[Record]) -> bool:
        held = sorted(p for consumer in consumers for p in consumer.assignment())
        return held == list(range(PARTITIONS)) and all(c.assignment() for c in consumers)

    return gather(consumers, done)


def append(log: EventLog, topic: str, pairs: Sequence[tuple[str, bytes]]) -> list[tuple[int, int]]:
    """Append acknowledged records; return their places."""
    producer = log.producer()
    receipts = [producer.send(topic, key, value) for key, value in pairs]
    places = [receipt.wait(PATIENCE_S) for receipt in receipts]
    producer.close()
    return places


def numbered(count: int, sites: int = 7) -> list[tuple[str, bytes]]:
    return [(f"site-{n % sites}", str(n).encode()) for n in range(count)]


def by_key(records: Iterable[Record]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for record in records:
        found[record.key].append(int(record.value))
    return dict(found)


def everything(log: EventLog, topic: str) -> list[Record]:
    return [record for p in log.end(topic) for record in log.read(topic, p)]


class Diary:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, set[int]]] = []

    def on_assigned(self, partitions: set[int]) -> None:
        self.entries.append(("assigned", partitions))

    def on_revoked(self, partitions: set[int]) -> None:
        self.entries.append(("revoked", partitions))


class EventLogContract:
    """Subclasses give `connect`; its logs must have a lease of about `lease_s` seconds.

    `expires_on_demand` is whether `expire` removes all that is due, at once.
    """

    lease_s: float = 1.0
    expires_on_demand: bool = True

    @pytest.fixture
    def connect(self) -> Iterator[Connect]:
        """Yield a function that opens one more connection to this test's log."""
        raise NotImplementedError

    @pytest.fixture
    def topic(self) -> str:
        return f"topic-{uuid.uuid4().hex[:8]}"

    @pytest.fixture
    def log(self, connect: Connect, topic: str) -> EventLog:
        log = connect()
        log.create_topics([TopicSpec(topic, PARTITIONS)])
        return log

    @pytest.fixture
    def group(self) -> str:
        return f"group-{uuid.uuid4().hex[:8]}"

    # --- topics and appending

    def test_the_same_connection_twice_is_the_same_log(
        self, log: EventLog, connect: Connect, topic: str
    ) -> None:
        assert log.topic_id(topic)
        assert connect().topic_id(topic) == log.topic_id(topic)

    def test_topics_are_created_once_and_keep_their_partition_count(
        self, log: EventLog, topic: str
    ) -> None:
        log.create_topics([TopicSpec(topic, PARTITIONS)])
        assert log.topics()[topic] == TopicSpec(topic, PARTITIONS, None)
        with pytest.raises(SettingsError, match="fixed at creation"):
            log.create_topics([TopicSpec(f"{topic}-other"), TopicSpec(topic, PARTITIONS + 1)])
        assert f"{topic}-other" not in log.topics()

    @pytest.mark.parametrize("name", ["", "with space", "x" * 250, "a/b"])
    def test_a_bad_topic_name_is_refused(self, log: EventLog, name: str) -> None:
        with pytest.raises(SettingsError, match="topic name"):
            log.create_topics([TopicSpec(name)])

    def test_an_unknown_topic_is_named(self, log: EventLog, group: str) -> None:
        for call in (
            lambda: log.producer().send("nowhere", "site", b""),
            lambda: log.consumer("nowhere", group, "a"),
            lambda: log.read("nowhere", 0),
            lambda: log.beginning("nowhere"),
            lambda: log.end("nowhere"),
            lambda: log.topic_id("nowhere"),
        ):
            with pytest.raises(SettingsError, match="nowhere"):
                call()

    def test_an_unknown_partition_is_named(self, log: EventLog, topic: str) -> None:
        with pytest.raises(SettingsError, match=str(PARTITIONS)):
            log.read(topic, PARTITIONS)

    def test_a_receipt_tells_the_place(self, log: EventLog, topic: str) -> None:
        pairs = numbered(40)
        places = append(log, topic, pairs)
        for (partition, offset), (key, value) in zip(places, pairs, strict=True):
            assert partition == partition_of(key, PARTITIONS)
            (record,) = log.read(topic, partition, offset, offset + 1)
            assert record == Record(topic, partition, offset, key, value)

    def test_offsets_count_from_zero_without_holes(self, log: EventLog, topic: str) -> None:
        append(log, topic, numbered(30))
        append(log, topic, numbered(30))
        assert sum(log.end(topic).values()) == 60
        for partition, end in log.end(topic).items():
            assert [r.offset for r in log.read(topic, partition)] == list(range(end))

    def test_order_holds_within_a_key(self, log: EventLog, topic: str, group: str) -> None:
        append(log, topic, numbered(2500, sites=9))
        consumer = log.consumer(topic, group, "a")
        got = by_key(take(consumer, 2500))
        assert got == {f"site-{s}": list(range(s, 2500, 9)) for s in range(9)}
        consumer.close()

    def test_an_oversize_record_is_refused_and_the_producer_goes_on(
        self, log: EventLog, topic: str
    ) -> None:
        producer = log.producer()
        with pytest.raises(BadInputError, match="larger than"):
            producer.send(topic, "site", b"x" * 1_048_577)
        largest = log.max_record_bytes - len("site")
        producer.send(topic, "site", b"x" * largest).wait(PATIENCE_S)
        producer.close()
        assert [len(record.value) for record in everything(log, topic)] == [largest]

    def test_values_are_bytes_and_keys_are_text(self, log: EventLog, topic: str) -> None:
        pairs = [("", b""), ("Låttaskær", bytes(range(256))), ("a", b"\x00\xff")]
        append(log, topic, pairs)
        assert sorted((r.key, r.value) for r in everything(log, topic)) == sorted(pairs)

    def test_closing_a_producer_appends_what_it_holds(self, log: EventLog, topic: str) -> None:
        producer = log.producer()
        receipt = producer.send(topic, "site", b"1")
        producer.close()
        assert len(everything(log, topic)) == 1
        assert receipt.wait(0.1) == (partition_of("site", PARTITIONS), 0)
        with pytest.raises(SlopewatchError):
            producer.send(topic, "site", b"2")

    def test_a_discarded_producer_promises_nothing(self, log: EventLog, topic: str) -> None:
        producer = log.producer()
        kept = producer.send(topic, "site", b"1")
        place = kept.wait(PATIENCE_S)
        lost = producer.send(topic, "site", b"2")
        producer.discard()
        assert kept.wait(0.1) == place
        with pytest.raises(SlopewatchError):
            producer.send(topic, "site", b"3")
        values = [record.value for record in everything(log, topic)]
        assert values in ([b"1"], [b"1", b"2"])
        try:
            lost.wait(0.5)
        except UnavailableError:
            return
        assert values == [b"1", b"2"]

    # --- reading without a group

    def test_replay_reads_any_stretch(self, log: EventLog, topic: str) -> None:
        append(log, topic, [("site", str(n).encode()) for n in range(1200)])
        partition = partition_of("site", PARTITIONS)

        def values(start: int = 0, stop: int | None = None) -> list[int]:
            return [int(record.value) for record in log.read(topic, partition, start, stop)]

        assert values() == list(range(1200))
        assert values(1190) == list(range(1190, 1200))
        assert values(3, 5) == [3, 4]
        assert values(5, 5) == values(1200) == values(5000) == []
        assert values(1199, 9999) == [1199]

    def test_replay_ends_where_the_log_ended(self, log: EventLog, topic: str) -> None:
        append(log, topic, [("site", b"0")])
        records = log.read(topic, partition_of("site", PARTITIONS))
        append(log, topic, [("site", b"1")])
        assert [record.value for record in records] == [b"0"]

    # --- groups

    def test_groups_are_independent(self, log: EventLog, topic: str, group: str) -> None:
        append(log, topic, numbered(20))
        one, other = log.consumer(topic, group, "a"), log.consumer(topic, f"{group}-2", "a")
        first = take(one, 20)
        one.commit({r.partition: r.offset + 1 for r in first})
        assert by_key(take(other, 20)) == by_key(first)
        assert all(other.committed(p) is None for p in range(PARTITIONS))
        one.close()
        other.close()

    def test_without_a_commit_everything_comes_again(
        self, log: EventLog, connect: Connect, topic: str, group: str
    ) -> None:
        append(log, topic, numbered(20))
        consumer = log.consumer(topic, group, "a")
        take(consumer, 20)
        consumer.close()
        again = connect().consumer(topic, group, "a")
        assert len(take(again, 20)) == 20
        again.close()

    def test_reading_goes_on_from_the_commit(
        self, log: EventLog, connect: Connect, topic: str, group: str
    ) -> None:
        append(log, topic, [("site", str(n).encode()) for n in range(10)])
        partition = partition_of("site", PARTITIONS)
        consumer = log.consumer(topic, group, "a")
        take(consumer, 10)
        consumer.commit({partition: 7})
        assert consumer.committed(partition) == 7
        consumer.close()
        again = connect().consumer(topic, group, "a")
        assert [int(record.value) for record in take(again, 3)] == [7, 8, 9]
        again.close()

    def test_a_poll_returns_no_more_than_asked(self, log: EventLog, topic: str, group: str) -> None:
        append(log, topic, numbered(20))
        consumer = log.consumer(topic, group, "a")
        settle(consumer)
        consumer.close()
        again = log.consumer(topic, group, "a")
        got: list[Record] = []
        deadline = time.monotonic() + PATIENCE_S
        while len(got) < 20 and time.monotonic() < deadline:
            records = again.poll(3, 0.05)
            assert len(records) <= 3
            got += records
        assert len(got) == len(set(got)) == 20
        again.close()

    def test_an_idle_poll_waits_and_a_new_record_ends_it(
        self, log: EventLog, topic: str, group: str
    ) -> None:
        consumer = log.consumer(topic, group, "a")
        settle(consumer)
        began = time.monotonic()
        assert consumer.poll(10, 0.15) == []
        assert 0.1 < time.monotonic() - began < 5
        append(log, topic, [("site", b"1")])
        assert [record.value for record in take(consumer, 1)] == [b"1"]
        consumer.close()

    def test_seek_reads_again_or_skips(self, log: EventLog, topic: str, group: str) -> None:
        append(log, topic, [("site", str(n).encode()) for n in range(10)])
        partition = partition_of("site", PARTITIONS)
        consumer = log.consumer(topic, group, "a")
        take(consumer, 10)
        consumer.seek(partition, 4)
        assert [int(record.value) for record in take(consumer, 6)] == list(range(4, 10))
        consumer.seek(partition, 9)
        assert [int(record.value) for record in take(consumer, 1)] == [9]
        consumer.close()

    def test_a_position_beyond_the_end_goes_back_to_the_earliest(
        self, log: EventLog, topic: str, group: str
    ) -> None:
        append(log, topic, [("site", str(n).encode()) for n in range(3)])
        consumer = log.consumer(topic, group, "a")
        take(consumer, 3)
        consumer.seek(partition_of("site", PARTITIONS), 1000)
        assert [int(record.value) for record in take(consumer, 3)] == [0, 1, 2]
        consumer.close()

    def test_a_listener_may_seek_and_pause(self, log: EventLog, topic: str, group: str) -> None:
        append(log, topic, [("site", str(n).encode()) for n in range(10)])
        partition = partition_of("site", PARTITIONS)

        class Seeker(Diary):
            def on_assigned(self, partitions: set[int]) -> None:
                super().on_assigned(partitions)
                assert consumer.assignment() == partitions
                consumer.seek(partition, 8)
                consumer.pause(partitions - {partition})

        consumer = log.consumer(topic, group, "a", Seeker())
        assert [int(record.value) for record in take(consumer, 2)] == [8, 9]
        consumer.close()

    def test_a_paused_partition_is_silent_and_keeps_its_place(
        self, log: EventLog, topic: str, group: str
    ) -> None:
        sites = {partition_of(f"site-{n}", PARTITIONS): f"site-{n}" for n in range(40)}
        assert len(sites) == PARTITIONS
        consumer = log.consumer(topic, group, "a")
        settle(consumer)
        consumer.pause({0})
        append(log, topic, [(site, b"1") for site in sites.values()])
        assert {r.partition for r in take(consumer, PARTITIONS - 1)} == {1, 2, 3}
        deadline = time.monotonic() + 1.2 * self.lease_s
        while time.monotonic() < deadline:
            assert consumer.poll(10, 0.05) == []
        assert 0 in consumer.assignment()
        consumer.resume({0})
        assert [r.partition for r in take(consumer, 1)] == [0]
        consumer.close()

    def test_what_is_not_assigned_is_refused(self, log: EventLog, topic: str, group: str) -> None:
        consumer = log.consumer(topic, group, "a")
        calls: list[Callable[[], None]] = [
            lambda: consumer.seek(0, 0),
            lambda: consumer.pause({0}),
            lambda: consumer.resume({0}),
            lambda: consumer.commit({0: 1}),
        ]
        for call in calls:
            with pytest.raises(NotOwnerError):
                call()
        consumer.close()
        with pytest.raises(SlopewatchError):
            consumer.poll(1, 0)

    # --- rebalance

    def test_joining_and_leaving_share_the_partitions_out_by_range(
        self, log: EventLog, connect: Connect, topic: str, group: str
    ) -> None:
        diary = Diary()
        b = log.consumer(topic, group, "b", diary)
        settle(b)
        a = connect().consumer(topic, group, "a")
        settle(a, b)
        assert [sorted(m.assignment()) for m in (a, b)] == [[0, 1], [2, 3]]
        c = connect().consumer(topic, group, "c")
        settle(a, b, c)
        assert [sorted(m.assignment()) for m in (a, b, c)] == [[0, 1], [2], [3]]
        a.close()
        settle(b, c)
        c.close()
        settle(b)
        b.close()
        assert diary.entries[0] == ("assigned", {0, 1, 2, 3})
        assert diary.entries[1] == ("revoked", {0, 1, 2, 3})
        assert diary.entries[-1] == ("assigned", {0, 1, 2, 3})
        held: set[int] = set()
        for what, partitions in diary.entries:
            assert what == "assigned" or partitions == held
            held = partitions if what == "assigned" else set()

    def test_nobody_is_given_what_another_still_holds(
        self, log: EventLog, connect: Connect, topic: str, group: str
    ) -> None:
        a = log.consumer(topic, group, "a")
        settle(a)
        b = connect().consumer(topic, group, "b")
        deadline = time.monotonic() + self.lease_s / 3
        while time.monotonic() < deadline:
            b.poll(1, 0.01)
            assert b.assignment() == frozenset()
        a.commit({p: 0 for p in a.assignment()})
        settle(a, b)
        a.close()
        b.close()

    def test_a_member_may_commit_while_its_partitions_are_being_revoked(
        self, log: EventLog, connect: Connect, topic: str, group: str
    ) -> None:
        append(log, topic, numbered(20))

        class Committer(Diary):
            def on_revoked(self, partitions: set[int]) -> None:
                a.commit({p: log.end(topic)[p] for p in partitions})

        a = log.consumer(topic, group, "a", Committer())
        take(a, 20)
        b = connect().consumer(topic, group, "b")
        assert settle(a, b) == []
        assert sum(b.committed(p) or 0 for p in range(PARTITIONS)) == 20
        a.close()
        b.close()

    def test_a_silent_member_loses_its_partitions_and_may_not_commit(
        self, log: EventLog, connect: Connect, topic: str, group: str
    ) -> None:
        append(log, topic, numbered(20))
        diary = Diary()
        silent = connect().consumer(topic, group, "a", diary)
        first = take(silent, 20)
        other = log.consumer(topic, group, "b")
        found = gather([other], lambda records: len(once(records)) >= 20)
        assert by_key(once(found)) == by_key(first)
        with pytest.raises(NotOwnerError, match="lease"):
            silent.commit({0: 1})
        settle(silent, other)
        assert [what for what, _ in diary.entries] == ["assigned", "revoked", "assigned"]
        silent.close()
        other.close()

    def test_the_partitions_of_a_dead_member_go_to_those_who_were_there(
        self, log: EventLog, connect: Connect, topic: str, group: str
    ) -> None:
        dead, living = connect().consumer(topic, group, "a"), log.consumer(topic, group, "b")
        settle(dead, living)
        began = time.monotonic()
        settle(living)
        assert time.monotonic() - began > self.lease_s / 3
        dead.close()
        living.close()

    def test_handling_may_take_most_of_the_lease(
        self, log: EventLog, connect: Connect, topic: str, group: str
    ) -> None:
        diary = Diary()
        slow = log.consumer(topic, group, "a", diary)
        other = connect().consumer(topic, group, "b")
        settle(slow, other)
        entries = len(diary.entries)
        deadline = time.monotonic() + 1.5 * self.lease_s
        while time.monotonic() < deadline:
            slow.poll(1, 0)
            busy_until = time.monotonic() + self.lease_s / 2
            while time.monotonic() < busy_until:
                other.poll(1, 0.02)
        slow.commit({0: 0})
        assert len(diary.entries) == entries
        slow.close()
        other.close()

    def test_a_static_member_comes_back_without_disturbing_the_others(
        self, log: EventLog, connect: Connect, topic: str, group: str
    ) -> None:
        diary = Diary()
        steady = log.consumer(topic, group, "b", diary)
        killed = connect().consumer(topic, group, "a")
        settle(killed, steady)
        before, entries = killed.assignment(), len(diary.entries)
        reborn = connect().consumer(topic, group, "a")
        settle(reborn, steady)
        gather([reborn, steady], lambda _: True)
        assert reborn.assignment() == before
        assert len(diary.entries) == entries
        with pytest.raises(FencedError, match="'a'"):
            killed.commit({0: 1})
        for _ in range(2):
            with pytest.raises(FencedError, match="'a'"):
                gather([killed], lambda _: False)
        assert killed.assignment() == frozenset()
        killed.close()
        settle(reborn, steady)
        assert len(diary.entries) == entries
        reborn.close()
        steady.close()

    # --- retention

    def require_expiry(self) -> None:
        if not self.expires_on_demand:
            pytest.skip("this log applies retention by itself, in its own time")

    def test_retention_removes_the_oldest_and_never_gives_an_offset_twice(
        self, log: EventLog, topic: str, group: str
    ) -> None:
        self.require_expiry()
        brief = f"{topic}-brief"
        log.create_topics([TopicSpec(brief, PARTITIONS, timedelta(days=1))])
        partition = partition_of("site", PARTITIONS)
        for name in (topic, brief):
            append(log, name, [("site", str(n).encode()) for n in range(5)])
        assert log.expire(datetime.now(UTC)) == 0
        assert log.beginning(brief)[partition] == 0
        assert log.expire(datetime.now(UTC) + timedelta(days=2)) == 5
        assert log.beginning(brief)[partition] == log.end(brief)[partition] == 5
        assert log.beginning(topic)[partition] == 0
        assert append(log, brief, [("site", b"5")]) == [(partition, 5)]
        assert [record.offset for record in log.read(brief, partition)] == [5]
        consumer = log.consumer(brief, group, "a")
        assert [record.offset for record in take(consumer, 1)] == [5]
        consumer.seek(partition, 2)
        assert [record.offset for record in take(consumer, 1)] == [5]
        consumer.close()

    def test_retention_can_be_changed(self, log: EventLog, topic: str) -> None:
        self.require_expiry()
        append(log, topic, [("site", b"")])
        log.create_topics([TopicSpec(topic, PARTITIONS, timedelta(hours=1))])
        assert log.topics()[topic].retention == timedelta(hours=1)
        assert log.expire(datetime.now(UTC) + timedelta(hours=2)) == 1


class EventLogProcessContract:
    """For backends that processes share; subclasses give `url`, with a lease of a second or so."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def start(self) -> Iterator[Callable[..., subprocess.Popen[str]]]:
        started: list[subprocess.Popen[str]] = []

        def start(*arguments: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.contracts.eventlog_contract", *arguments],
                cwd=Path(__file__).parents[2],
                stdout=subprocess.PIPE,
                text=True,
            )
            started.append(process)
            return process

        yield start
        for process in started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    @pytest.fixture
    def topic(self, url: str) -> str:
        topic = f"topic-{uuid.uuid4().hex[:8]}"
        log = open_log(url)
        log.create_topics([TopicSpec(topic, PARTITIONS)])
        log.close()
        return topic

    def test_processes_produce_and_consume_at_once(
        self, url: str, topic: str, start: Callable[..., subprocess.Popen[str]]
    ) -> None:
        producers = [start("produce", url, topic, f"p{n}", "600") for n in range(2)]
        readers = [start("consume", url, topic, "g", f"m{n}") for n in range(2)]
        log = open_log(url)
        for process in producers:
            assert process.wait(PATIENCE_S) == 0
        records = everything(log, topic)
        assert by_key(records) == {
            f"p{n}-{s}": list(range(s, 600, 5)) for n in range(2) for s in range(5)
        }
        for partition, end in log.end(topic).items():
            assert [r.offset for r in records if r.partition == partition] == list(range(end))
        watcher = log.consumer(topic, "g", "z")
        ends = log.end(topic)
        deadline = time.monotonic() + PATIENCE_S
        while any((watcher.committed(p) or 0) < end for p, end in ends.items()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for process in readers:
            process.kill()
        lines = [line for p in readers for line in p.communicate()[0].splitlines()]
        assert {tuple(map(int, line.split())) for line in lines} == {
            (r.partition, r.offset) for r in records
        }
        log.close()

    def test_a_killed_producer_leaves_what_it_acknowledged(
        self, url: str, topic: str, start: Callable[..., subprocess.Popen[str]]
    ) -> None:
        process = start("produce", url, topic, "p", "1000000")
        assert process.stdout is not None
        acknowledged = [process.stdout.readline() for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        acknowledged += process.communicate()[0].splitlines(keepends=True)
        places = {tuple(map(int, line.split())) for line in acknowledged if line.endswith("\n")}
        log = open_log(url)
        records = everything(log, topic)
        assert places <= {(r.partition, r.offset) for r in records}
        values = sorted(int(r.value) for r in records)
        assert values == list(range(len(values)))
        for partition, end in log.end(topic).items():
            assert [r.offset for r in records if r.partition == partition] == list(range(end))
        append(log, topic, numbered(10))
        assert len(everything(log, topic)) == len(records) + 10
        log.close()

    def test_a_killed_consumers_partitions_move_after_its_lease(
        self, url: str, topic: str, start: Callable[..., subprocess.Popen[str]]
    ) -> None:
        log = open_log(url)
        append(log, topic, numbered(20))
        process = start("consume", url, topic, "g", "a")
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.kill()
        process.wait()
        heir = log.consumer(topic, "g", "b")
        settle(heir)
        append(log, topic, numbered(20))
        assert len(take(heir, 20)) >= 20
        heir.close()
        log.close()


def _produce(log: EventLog, topic: str, name: str, count: str) -> None:
    producer = log.producer()
    for start in range(0, int(count), 10):
        receipts = [
            producer.send(topic, f"{name}-{n % 5}", str(n).encode())
            for n in range(start, start + 10)
        ]
        for receipt in receipts:
            partition, offset = receipt.wait(PATIENCE_S)
            print(partition, offset, flush=True)
    producer.close()


def _consume(log: EventLog, topic: str, group: str, member: str) -> None:
    consumer = log.consumer(topic, group, member)
    while True:
        records = consumer.poll(50, 1.0)
        for record in records:
            print(record.partition, record.offset, flush=True)
        if records:
            consumer.commit({r.partition: r.offset + 1 for r in records})


if __name__ == "__main__":
    _, _role, _url, *_rest = sys.argv
    {"produce": _produce, "consume": _consume}[_role](open_log(_url), *_rest)
