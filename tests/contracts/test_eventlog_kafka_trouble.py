"""A Kafka log whose broker is killed, stands still or is not there."""

from __future__ import annotations

import gc
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress

import pytest

from core.errors import SlopewatchError, UnavailableError
from core.eventlog import EventLog, Producer, TopicSpec, open_log
from tests.contracts.eventlog_contract import (
    PARTITIONS,
    PATIENCE_S,
    append,
    by_key,
    everything,
    gather,
    numbered,
    settle,
)
from tools.engine.kafka import Broker
from tools.engine.process import free_port

QUICK_S = 5.0
"""Longer than all that must not wait for a broker takes on a busy machine."""

# kafka-python leaves the socket of a connection that was refused to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(scope="module")
def broker(engines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


def url_on(broker: Broker, **settings: float) -> str:
    given = {"lease_s": 2, "delivery_s": 20, "answer_s": 10, **settings}
    query = "&".join(f"{name}={value}" for name, value in given.items())
    return f"kafka://{broker.address}/t{uuid.uuid4().hex[:8]}?{query}"


def made(url: str) -> EventLog:
    log = open_log(url)
    log.create_topics([TopicSpec("t", PARTITIONS)])
    return log


@contextmanager
def standing_still(broker: Broker) -> Iterator[None]:
    broker.pause()
    try:
        time.sleep(0.3)  # its threads stop one after the other
        yield
    finally:
        broker.resume()


def test_nothing_is_lost_or_doubled_over_a_kill_and_a_quick_restart(broker: Broker) -> None:
    with closing(made(url_on(broker))) as log, ThreadPoolExecutor() as pool:
        producer = log.producer()
        half_way = threading.Event()

        def write() -> list[tuple[int, int]]:
            receipts = []
            for key, value in numbered(3000):
                receipts.append(producer.send("t", key, value))
                if len(receipts) == 1000:
                    half_way.set()
            return [receipt.wait(30) for receipt in receipts]

        written = pool.submit(write)
        assert half_way.wait(PATIENCE_S)
        broker.kill()
        broker.start()
        assert len(set(written.result())) == 3000
        producer.close()
        expected = {f"site-{s}": list(range(s, 3000, 7)) for s in range(7)}
        assert by_key(everything(log, "t")) == expected


def test_after_a_lost_record_a_producer_takes_and_appends_nothing_more(broker: Broker) -> None:
    """The broker stands still for longer than a record may be on its way."""
    with closing(made(url_on(broker, delivery_s=2, answer_s=2))) as log:
        producer = log.producer()
        append(log, "t", [("site", b"0")])
        sure = [producer.send("t", "site", str(n).encode()) for n in range(1, 50)]
        for receipt in sure:
            receipt.wait(PATIENCE_S)
        with standing_still(broker):
            doubtful = [producer.send("t", "site", str(n).encode()) for n in range(50, 1000)]
            with pytest.raises(UnavailableError):
                doubtful[-1].wait(PATIENCE_S)
            with pytest.raises(UnavailableError, match="earlier record"):
                producer.send("t", "site", b"late")
            began = time.monotonic()
            producer.discard()
            assert time.monotonic() - began < QUICK_S
        with pytest.raises(SlopewatchError):
            producer.send("t", "site", b"late")
        time.sleep(1)
        values = [int(record.value) for record in everything(log, "t")]
        assert values == list(range(len(values)))
        assert len(values) >= 50
        append(log, "t", [("site", str(len(values)).encode())])


def test_what_was_held_behind_a_lost_record_is_not_appended_either(broker: Broker) -> None:
    """Some records are too old when the broker is back, and those behind them are not."""
    began = time.monotonic()
    broker.kill()
    broker.start()
    away_s = time.monotonic() - began
    url = url_on(broker, delivery_s=round(0.75 * away_s, 1), answer_s=2)
    with closing(made(url)) as log, ThreadPoolExecutor() as pool:
        producer = log.producer()
        receipts = [producer.send("t", "site", b"0")]
        receipts[0].wait(PATIENCE_S)

        def write() -> None:
            deadline = time.monotonic() + 3 * away_s
            while time.monotonic() < deadline:
                value = str(len(receipts)).encode() + b" " * 50_000
                receipts.append(producer.send("t", "site", value))
                time.sleep(0.02)

        written = pool.submit(write)
        broker.kill()
        broker.start()
        with suppress(UnavailableError):
            written.result(60)
        began = time.monotonic()
        for receipt in receipts:
            with suppress(UnavailableError):
                receipt.wait(PATIENCE_S)
        assert time.monotonic() - began < QUICK_S, "what is lost is told at once"
        producer.discard()
        values = [int(record.value) for record in everything(log, "t")]
        assert values == list(range(len(values)))


def test_closing_a_producer_has_a_limit(broker: Broker) -> None:
    with closing(made(url_on(broker))) as log:
        producer = log.producer()
        producer.send("t", "site", b"0").wait(PATIENCE_S)
        with standing_still(broker):
            producer.send("t", "site", b"1")
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="within 1 s"):
                producer.close(1)
            assert time.monotonic() - began < QUICK_S


def pour(producer: Producer) -> None:
    for _ in range(200):
        producer.send("t", "site", b"x" * 1000)


def test_what_is_on_its_way_has_a_limit(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.eventlog._kafka_producer._MOST_BYTES", 100_000)
    with closing(made(url_on(broker, answer_s=1))) as log:
        producer = log.producer()
        producer.send("t", "site", b"0").wait(PATIENCE_S)
        with standing_still(broker), pytest.raises(UnavailableError):
            pour(producer)
        producer.discard()


def test_questions_to_a_broker_that_stands_still_have_a_limit(broker: Broker) -> None:
    with closing(made(url_on(broker, answer_s=1))) as log:
        member = log.consumer("t", "group", "a")
        settle(member)
        with standing_still(broker):
            for question in (
                log.topics,
                lambda: log.topic_id("t"),
                lambda: log.end("t"),
                lambda: list(log.read("t", 0)),
                lambda: log.consumer("t", "group", "b"),
                log.producer,
                lambda: log.create_topics([TopicSpec("other")]),
                lambda: member.commit({0: 0}),
                lambda: member.committed(0),
                lambda: open_log(f"kafka://{broker.address}/x?answer_s=1"),
            ):
                began = time.monotonic()
                with pytest.raises(UnavailableError):
                    question()
                assert time.monotonic() - began < QUICK_S
            for step in (lambda: member.poll(10, 0.2), member.close):
                began = time.monotonic()
                step()
                assert time.monotonic() - began < QUICK_S
        assert "t" in log.topics()


def test_a_consumer_goes_on_after_its_broker_was_killed(broker: Broker) -> None:
    with closing(made(url_on(broker))) as log:
        append(log, "t", numbered(20))
        member = log.consumer("t", "group", "a")
        found = gather([member], lambda records: len(records) >= 20)
        member.commit(log.end("t"))
        broker.kill()
        assert member.poll(10, 0.2) == []
        with pytest.raises(UnavailableError):
            log.end("t")
        broker.start()
        append(log, "t", numbered(20))
        again = gather([member], lambda records: len(records) >= 20, patience_s=30)
        assert not set(again) & set(found)
        member.commit(log.end("t"))
        assert [member.committed(p) for p in range(PARTITIONS)] == list(log.end("t").values())
        member.close()


def test_no_broker_is_said_in_one_sentence_and_leaves_nothing_behind() -> None:
    before = threading.active_count()
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(UnavailableError, match=r"answers at 127\.0\.0\.1:.*REFUSED") as caught:
            open_log(f"kafka://127.0.0.1:{free_port()}/x?answer_s=0.5")
        assert "\n" not in str(caught.value)
    assert time.monotonic() - began < QUICK_S
    assert threading.active_count() == before
