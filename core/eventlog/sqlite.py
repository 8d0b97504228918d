"""`sqlite:///abs/path.db`: a log in one file on a local disk, for one machine.

Any number of processes may share the file. Not for network disks: SQLite's write-ahead log needs
shared memory. Copy it with `sqlite3 .backup`, never with `cp` while in use.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from core.errors import SettingsError
from core.eventlog import AssignmentListener, Record, TopicSpec
from core.eventlog._settings import LogSettings
from core.eventlog._sql_consumer import SqliteConsumer
from core.eventlog._sql_database import OFFSET_BITS, Database
from core.eventlog._sql_producer import SqliteProducer
from core.eventlog._topics import check

_PAGE_RECORDS: Final = 500
_EXPIRE_RECORDS: Final = 10_000


def open(url: str) -> SqliteLog:
    """Open the log at `sqlite:///abs/path.db[?max_record_bytes=...&lease_s=...]`.

    The file is made when it is missing, its folder is not. Raises SettingsError for a bad URL or
    a file that is no log, UnavailableError, NewerVersionError.
    """
    settings = LogSettings.from_url(url)
    if settings.host or not settings.path.startswith("/") or settings.path.endswith("/"):
        raise SettingsError(f"event log url {url!r} takes the form sqlite:///abs/path.db")
    return SqliteLog(Database(settings.path), settings)


class SqliteLog:
    """See `core.eventlog.EventLog`."""

    def __init__(self, database: Database, settings: LogSettings) -> None:
        self._database = database
        self._settings = settings
        self._turn = threading.Lock()
        self._ids: dict[str, list[int]] = {}

    @property
    def max_record_bytes(self) -> int:
        """See `core.eventlog.EventLog.max_record_bytes`."""
        return self._settings.max_record_bytes

    def topic_id(self, topic: str) -> str:
        """See `core.eventlog.EventLog.topic_id`: topics are never removed from the file."""
        self._partition_ids(topic)
        return self._database.log_id

    def create_topics(self, topics: Sequence[TopicSpec]) -> None:
        """See `core.eventlog.EventLog.create_topics`."""
        with self._database.write() as connection:
            there = _topics(connection)
            check(topics, there)
            for topic in topics:
                retention_s = topic.retention and topic.retention.total_seconds()
                if topic.name not in there:
                    connection.execute(
                        "INSERT INTO topics VALUES (?, ?, ?)",
                        (topic.name, topic.partitions, retention_s),
                    )
                    connection.executemany(
                        "INSERT INTO partitions (topic, partition) VALUES (?, ?)",
                        [(topic.name, partition) for partition in range(topic.partitions)],
                    )
                    continue
                connection.execute(
                    "UPDATE topics SET retention_s = ? WHERE name = ?", (retention_s, topic.name)
                )

    def topics(self) -> Mapping[str, TopicSpec]:
        """See `core.eventlog.EventLog.topics`."""
        with self._database.read() as connection:
            return MappingProxyType(_topics(connection))

    def producer(self) -> SqliteProducer:
        """See `core.eventlog.EventLog.producer`."""
        return SqliteProducer(self._database, self._partition_ids, self._settings.max_record_bytes)

    def consumer(
        self, topic: str, group: str, member: str, listener: AssignmentListener | None = None
    ) -> SqliteConsumer:
        """See `core.eventlog.EventLog.consumer`."""
        return SqliteConsumer(
            self._database,
            topic=topic,
            partitions=dict(enumerate(self._partition_ids(topic))),
            group=group,
            member=member,
            lease_s=self._settings.lease_s,
            listener=listener,
        )

    def read(
        self, topic: str, partition: int, start: int = 0, stop: int | None = None
    ) -> Iterator[Record]:
        """See `core.eventlog.EventLog.read`."""
        ids = self._partition_ids(topic)
        if not 0 <= partition < len(ids):
            raise SettingsError(
                f"topic {topic!r} has partitions 0 to {len(ids) - 1}, not {partition}"
            )
        end = self.end(topic)[partition]
        stop = end if stop is None else min(stop, end)
        return self._pages(topic, partition, ids[partition] << OFFSET_BITS, max(0, start), stop)

    def beginning(self, topic: str) -> dict[int, int]:
        """See `core.eventlog.EventLog.beginning`."""
        return self._extents(topic, "begin_offset")

    def end(self, topic: str) -> dict[int, int]:
        """See `core.eventlog.EventLog.end`."""
        return self._extents(topic, "end_offset")

    def expire(self, now: datetime) -> int:
        """See `core.eventlog.EventLog.expire`; call it now and then, nothing else removes."""
        removed = 0
        for topic in self.topics().values():
            if topic.retention is None:
                continue
            before = (now.astimezone(UTC) - topic.retention).timestamp()
            for partition_id in self._partition_ids(topic.name):
                while count := self._expire_some(partition_id, before):
                    removed += count
        return removed

    def close(self) -> None:
        """See `core.eventlog.EventLog.close`."""
        self._database.close()

    def _pages(
        self, topic: str, partition: int, first: int, start: int, stop: int
    ) -> Iterator[Record]:
        while start < stop:
            with self._database.read() as connection:
                rows = connection.execute(
                    "SELECT id, key, value FROM records WHERE id >= ? AND id < ?"
                    " ORDER BY id LIMIT ?",
                    (first + start, first + stop, _PAGE_RECORDS),
                ).fetchall()
            for record_id, key, value in rows:
                yield Record(topic, partition, record_id - first, key, value)
            if len(rows) < _PAGE_RECORDS:
                return
            start = rows[-1][0] - first + 1

    def _expire_some(self, partition_id: int, before: float) -> int:
        """Remove up to a bounded number of records, so that no writer waits for long."""
        first = partition_id << OFFSET_BITS
        with self._database.write() as connection:
            begin, end = connection.execute(
                "SELECT begin_offset, end_offset FROM partitions WHERE id = ?", (partition_id,)
            ).fetchone()
            limit = min(end, begin + _EXPIRE_RECORDS)
            kept = connection.execute(
                "SELECT id FROM records WHERE id >= ? AND id < ? AND appended_at >= ?"
                " ORDER BY id LIMIT 1",
                (first + begin, first + limit, before),
            ).fetchone()
            begin_now = limit if kept is None else kept[0] - first
            connection.execute(
                "DELETE FROM records WHERE id >= ? AND id < ?", (first + begin, first + begin_now)
            )
            connection.execute(
                "UPDATE partitions SET begin_offset = ? WHERE id = ?", (begin_now, partition_id)
            )
        return int(begin_now - begin)

    def _extents(self, topic: str, column: str) -> dict[int, int]:
        self._partition_ids(topic)
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT partition, {column} FROM partitions WHERE topic = ? ORDER BY partition",
                (topic,),
            )
            return dict(rows.fetchall())

    def _partition_ids(self, topic: str) -> list[int]:
        """Return the ids of the topic's partitions in order; SettingsError when unknown."""
        with self._turn:
            if topic not in self._ids:
                with self._database.read() as connection:
                    rows = connection.execute(
                        "SELECT id FROM partitions WHERE topic = ? ORDER BY partition", (topic,)
                    ).fetchall()
                if not rows:
                    known = ", ".join(self.topics()) or "none yet"
                    raise SettingsError(
                        f"topic {topic!r} is not on the log; create it first (known: {known})"
                    )
                self._ids[topic] = [row[0] for row in rows]
            return self._ids[topic]


def _topics(connection: sqlite3.Connection) -> dict[str, TopicSpec]:
    rows = connection.execute("SELECT name, partitions, retention_s FROM topics ORDER BY name")
    return {
        name: TopicSpec(name, count, None if seconds is None else timedelta(seconds=seconds))
        for name, count, seconds in rows
    }
