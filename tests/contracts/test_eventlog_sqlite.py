"""The SQLite log keeps the event log contract, in one process and across several."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core.errors import BadInputError, NewerVersionError, SettingsError, UnavailableError
from core.eventlog import EventLog, TopicSpec, open_log
from tests.contracts.eventlog_contract import (
    Connect,
    EventLogContract,
    EventLogProcessContract,
    append,
    everything,
    numbered,
)


class TestSqliteLog(EventLogContract):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Iterator[Connect]:
        opened: list[EventLog] = []

        def connect() -> EventLog:
            opened.append(open_log(f"sqlite://{tmp_path}/log.db?lease_s={self.lease_s}"))
            return opened[-1]

        yield connect
        for log in opened:
            log.close()


class TestSqliteLogAcrossProcesses(EventLogProcessContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite://{tmp_path}/log.db?lease_s=1"

    def test_a_log_deleted_after_a_crash_is_a_new_log(
        self,
        url: str,
        topic: str,
        start: Callable[..., subprocess.Popen[str]],
        tmp_path: Path,
    ) -> None:
        former = id_of(url, topic)
        process = start("produce", url, topic, "p", "1000000")
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.wait()
        assert (tmp_path / "log.db-wal").exists()
        (tmp_path / "log.db").unlink()
        with closing(open_log(url)) as log:
            assert not log.topics()
        assert id_of(url, topic) != former

    def test_processes_may_create_the_log_together(self, tmp_path: Path) -> None:
        code = (
            "import sys; from tests.contracts.test_eventlog_sqlite import id_of; "
            "print(id_of(sys.argv[1]))"
        )
        url = f"sqlite://{tmp_path}/together.db"
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", code, url],
                cwd=Path(__file__).parents[2],
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        said = [process.communicate(timeout=15)[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * 4
        assert len(set(said)) == 1


def id_of(url: str, topic: str = "t") -> str:
    with closing(open_log(url)) as log:
        log.create_topics([TopicSpec(topic, 4)])
        return log.topic_id(topic)


def test_reopening_keeps_everything(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/log.db"
    with closing(open_log(url)) as log:
        log.create_topics([TopicSpec("t", 4)])
        append(log, "t", numbered(20))
        records, former = everything(log, "t"), log.topic_id("t")
    with closing(open_log(url)) as log:
        assert log.topic_id("t") == former
        assert everything(log, "t") == records


def test_a_deleted_file_is_noticed_while_open(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/log.db"
    with closing(open_log(url)) as log:
        log.create_topics([TopicSpec("t", 4)])
        receipt = log.producer().send("t", "site", b"1")
        for path in tmp_path.iterdir():
            path.unlink()
        with pytest.raises(UnavailableError, match="deleted or replaced"):
            receipt.wait(1)


def test_threads_may_create_the_log_together(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/log.db"
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(id_of(url))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 6
    assert len(set(ids)) == 1


def test_a_file_that_is_no_log_is_refused_untouched(tmp_path: Path) -> None:
    text, other, newer = tmp_path / "text.db", tmp_path / "other.db", tmp_path / "newer.db"
    text.write_bytes(b"not a database at all" * 100)
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE ledger (id INTEGER)")
    before = other.read_bytes()
    open_log(f"sqlite://{newer}").close()
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(SettingsError, match="not an event log"):
        open_log(f"sqlite://{text}")
    with pytest.raises(SettingsError, match="not an event log"):
        open_log(f"sqlite://{other}")
    with pytest.raises(NewerVersionError, match="layout 99"):
        open_log(f"sqlite://{newer}")
    assert other.read_bytes() == before


def test_a_log_held_by_another_is_unavailable_within_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(open_log(f"sqlite://{path}")) as log:
        log.create_topics([TopicSpec("t", 4)])
        producer = log.producer()
        receipt = producer.send("t", "site", b"1")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="locked"):
                receipt.wait(0.1)
            assert time.monotonic() - began < 3
            assert everything(log, "t") == []
            with pytest.raises(UnavailableError):
                producer.close(0.1)
            other.execute("ROLLBACK")


def test_the_record_limit_is_a_setting(tmp_path: Path) -> None:
    with closing(open_log(f"sqlite://{tmp_path}/a%20b.db?max_record_bytes=10")) as log:
        assert (tmp_path / "a b.db").exists()
        log.create_topics([TopicSpec("t", 4)])
        producer = log.producer()
        producer.send("t", "four", b"6bytes")
        with pytest.raises(BadInputError, match="max_record_bytes"):
            producer.send("t", "four", b"7 bytes")
        producer.close()


def test_threads_share_a_producer(tmp_path: Path) -> None:
    with closing(open_log(f"sqlite://{tmp_path}/log.db")) as log:
        log.create_topics([TopicSpec("t", 4)])
        producer = log.producer()

        def work(name: str) -> None:
            for n in range(100):
                producer.send("t", name, str(n).encode()).wait(5)

        threads = [threading.Thread(target=work, args=(f"k{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        producer.close()
        found: dict[str, list[int]] = {}
        for record in everything(log, "t"):
            found.setdefault(record.key, []).append(int(record.value))
        assert found == {f"k{n}": list(range(100)) for n in range(4)}
