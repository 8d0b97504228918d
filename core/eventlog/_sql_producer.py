"""A producer on a SQLite log: sends are held and written together in one transaction."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from core.errors import BadInputError, UnavailableError
from core.eventlog import ClosedError, partition_of
from core.eventlog._sql_database import OFFSET_BITS, WAIT_S, Database

_HELD_RECORDS: Final = 1000
_HELD_BYTES: Final = 4 * 1024 * 1024


class SqliteReceipt:
    """See `core.eventlog.Receipt`."""

    __slots__ = ("_producer", "partition", "place")

    def __init__(self, producer: SqliteProducer, partition: int) -> None:
        self._producer = producer
        self.partition = partition
        self.place: tuple[int, int] | None = None

    def wait(self, timeout_s: float) -> tuple[int, int]:
        """See `core.eventlog.Receipt.wait`; writes everything that the producer holds."""
        if self.place is None:
            self._producer.flush(timeout_s)
        if self.place is None:
            raise UnavailableError(
                "the producer was thrown away before this record was acknowledged;"
                " it may be on the log or not"
            )
        return self.place


class _Held(NamedTuple):
    partition_id: int
    key: str
    value: bytes
    receipt: SqliteReceipt


class SqliteProducer:
    """See `core.eventlog.Producer`; `partition_ids` gives a topic's partition ids in order."""

    def __init__(
        self, database: Database, partition_ids: Callable[[str], list[int]], max_record_bytes: int
    ) -> None:
        self._database = database
        self._partition_ids = partition_ids
        self._max_record_bytes = max_record_bytes
        self._turn = threading.RLock()
        self._held: list[_Held] = []
        self._held_bytes = 0
        self._closed = False

    def send(self, topic: str, key: str, value: bytes) -> SqliteReceipt:
        """See `core.eventlog.Producer.send`; writes when much is held."""
        size_bytes = len(value) + len(key.encode())
        if size_bytes > self._max_record_bytes:
            raise BadInputError(
                f"a record of {size_bytes} bytes under key {key!r} is larger than the"
                f" {self._max_record_bytes} bytes (max_record_bytes) that the log takes"
            )
        ids = self._partition_ids(topic)
        partition = partition_of(key, len(ids))
        receipt = SqliteReceipt(self, partition)
        with self._turn:
            if self._closed:
                raise ClosedError("the producer was closed or discarded")
            self._held.append(_Held(ids[partition], key, value, receipt))
            self._held_bytes += size_bytes
            if len(self._held) >= _HELD_RECORDS or self._held_bytes >= _HELD_BYTES:
                self.flush(WAIT_S)
        return receipt

    def flush(self, timeout_s: float) -> None:
        """Append all that is held in one transaction.

        Raises UnavailableError when that fails within `timeout_s` seconds; it is held still.
        """
        deadline = time.monotonic() + timeout_s
        if not self._turn.acquire(timeout=max(0.0, timeout_s)):
            raise UnavailableError(f"the producer was busy for {timeout_s:g} s")
        try:
            if not self._held:
                return
            with self._database.write(deadline - time.monotonic()) as connection:
                offsets = _append(connection, self._held)
            for held, offset in zip(self._held, offsets, strict=True):
                held.receipt.place = (held.receipt.partition, offset)
            self._forget()
        finally:
            self._turn.release()

    def discard(self) -> None:
        """See `core.eventlog.Producer.discard`."""
        with self._turn:
            self._closed = True
            self._forget()

    def close(self, timeout_s: float = 10) -> None:
        """See `core.eventlog.Producer.close`."""
        try:
            self.flush(timeout_s)
        finally:
            self.discard()

    def _forget(self) -> None:
        self._held = []
        self._held_bytes = 0


def _append(connection: sqlite3.Connection, batch: list[_Held]) -> list[int]:
    """Write the records in their order; return their offsets."""
    appended_at = time.time()
    ends: dict[int, int] = {}
    offsets: list[int] = []
    rows: list[tuple[int, str, bytes, float]] = []
    for held in batch:
        offset = ends.get(held.partition_id)
        if offset is None:
            (offset,) = connection.execute(
                "SELECT end_offset FROM partitions WHERE id = ?", (held.partition_id,)
            ).fetchone()
        ends[held.partition_id] = offset + 1
        offsets.append(offset)
        rows.append(
            ((held.partition_id << OFFSET_BITS) + offset, held.key, held.value, appended_at)
        )
    connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
    connection.executemany(
        "UPDATE partitions SET end_offset = ? WHERE id = ?",
        [(end, partition_id) for partition_id, end in ends.items()],
    )
    return offsets
