"""The event log on SQLite: records appended and polled a second, alone and in batches.

Records of 500 bytes under eight keys. *Certain one by one* waits for each record to be safe from a
power cut before the next is sent, which is one transaction and one sync of the disk each; in
batches of 500 they share them, as workers and feeds do. The peer is `sqlite3` itself: the same
bytes as rows of a bare table with the same durability, without partitions, groups and offsets.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from benchmarks.frame import Table, rate
from core.eventlog import EventLog, TopicSpec, open_log

TOPIC = "observations"
VALUE = b"x" * 500
BATCH = 500


def run(quick: bool) -> list[Table]:
    """Ours and the bare table, in the same folder."""
    count, alone = (1000, 20) if quick else (50_000, 500)
    with tempfile.TemporaryDirectory() as folder:
        log = open_log(f"sqlite://{folder}/log.db")
        log.create_topics([TopicSpec(TOPIC, 8)])
        bare = _bare(Path(folder) / "bare.db")
        rows = [
            _row("append, certain one by one", alone, _append(log, 1), _insert(bare, 1)),
            _row(f"append, batches of {BATCH}", count, _append(log, BATCH), _insert(bare, BATCH)),
            _row(f"poll, batches of {BATCH}", alone + count, _poll(log), _select(bare)),
        ]
        bare.close()
        log.close()
    columns = ("work", "records", "ours, a second", "bare table, a second", "x time")
    return [Table("Event log on SQLite, records of 500 bytes", columns, tuple(rows))]


def _row(
    name: str, count: int, ours: Callable[[int], None], peer: Callable[[int], None]
) -> tuple[str, ...]:
    seconds = []
    for task in (ours, peer):
        begin = perf_counter()
        task(count)
        seconds.append(perf_counter() - begin)
    figures = (rate(count, s) for s in seconds)
    return name, f"{count:,}", *figures, f"{seconds[0] / seconds[1]:.2f}"


def _append(log: EventLog, batch: int) -> Callable[[int], None]:
    def append(count: int) -> None:
        producer = log.producer()
        for first in range(0, count, batch):
            numbers = range(first, min(first + batch, count))
            receipts = [producer.send(TOPIC, f"site-{n % 8}", VALUE) for n in numbers]
            for receipt in receipts:
                receipt.wait(30.0)
        producer.close()

    return append


def _poll(log: EventLog) -> Callable[[int], None]:
    def poll(count: int) -> None:
        consumer = log.consumer(TOPIC, "bench", "0")
        found = 0
        while found < count:
            found += len(consumer.poll(BATCH, 1.0))
        consumer.close()

    return poll


def _bare(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE records (id INTEGER PRIMARY KEY, key TEXT, value BLOB)")
    return connection


def _insert(connection: sqlite3.Connection, batch: int) -> Callable[[int], None]:
    def insert(count: int) -> None:
        for first in range(0, count, batch):
            numbers = range(first, min(first + batch, count))
            rows = [(f"site-{n % 8}", VALUE) for n in numbers]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO records (key, value) VALUES (?, ?)", rows)
            connection.execute("COMMIT")

    return insert


def _select(connection: sqlite3.Connection) -> Callable[[int], None]:
    def select(count: int) -> None:
        found = last = 0
        while found < count:
            sql = "SELECT id, key, value FROM records WHERE id > ? ORDER BY id LIMIT ?"
            rows = connection.execute(sql, (last, BATCH)).fetchall()
            found, last = found + len(rows), rows[-1][0]

    return select
