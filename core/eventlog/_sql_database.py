"""One SQLite connection to a log: schema, identity, transactions with a limit on every wait."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from core.errors import NewerVersionError, SettingsError, SlopewatchError, UnavailableError
from core.eventlog import ClosedError

IN_MEMORY: Final = ":memory:"
WAIT_S: Final = 5.0
OFFSET_BITS: Final = 40

_APPLICATION_ID: Final = 0x534C4F50
_SCHEMA_VERSION: Final = 1

# A record's id is (partition id << OFFSET_BITS) + offset: one b-tree, each partition contiguous
# in it, and no second index to keep.
_SCHEMA: Final = (
    "CREATE TABLE log (log_id TEXT NOT NULL)",
    """CREATE TABLE topics (
        name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, retention_s REAL) WITHOUT ROWID""",
    """CREATE TABLE partitions (
        id INTEGER PRIMARY KEY, topic TEXT NOT NULL REFERENCES topics, partition INTEGER NOT NULL,
        begin_offset INTEGER NOT NULL DEFAULT 0, end_offset INTEGER NOT NULL DEFAULT 0,
        UNIQUE (topic, partition))""",
    """CREATE TABLE records (
        id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB NOT NULL,
        appended_at REAL NOT NULL)""",
    "CREATE TABLE groups (name TEXT PRIMARY KEY, generation INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE members (
        group_name TEXT NOT NULL REFERENCES groups, member TEXT NOT NULL, topic TEXT NOT NULL,
        instance TEXT NOT NULL, joined INTEGER NOT NULL, beat_s REAL NOT NULL,
        lease_s REAL NOT NULL, PRIMARY KEY (group_name, member)) WITHOUT ROWID""",
    """CREATE TABLE commits (
        group_name TEXT NOT NULL, partition_id INTEGER NOT NULL REFERENCES partitions,
        next_offset INTEGER NOT NULL, PRIMARY KEY (group_name, partition_id)) WITHOUT ROWID""",
)


class Database:
    """A log's tables in one file, or in memory for the path `:memory:`.

    Threads take turns on the one connection; processes take turns through SQLite's own locks.
    Raises SettingsError when the file is something else or its folder is missing,
    NewerVersionError when a newer version of the product made it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._turn = threading.RLock()
        self._open = True
        folder = os.path.dirname(path)
        if folder and not os.path.isdir(folder):
            raise SettingsError(f"the folder {folder} of the event log {path} does not exist")
        try:
            if path != IN_MEMORY:
                _make_if_missing(path)
            self._connection = sqlite3.connect(
                path, timeout=WAIT_S, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._in_our_words(error) from error
        except OSError as error:
            raise UnavailableError(f"the event log {path} cannot be made: {error}") from error
        self._file = self._file_now()
        try:
            self._prepare()
            with self.read() as connection:
                self.log_id: str = connection.execute("SELECT log_id FROM log").fetchone()[0]
        except BaseException:
            self.close()
            raise

    @contextmanager
    def read(self, timeout_s: float = WAIT_S) -> Iterator[sqlite3.Connection]:
        """Hold the connection; each statement sees one consistent state."""
        deadline = time.monotonic() + timeout_s
        with self._held(timeout_s) as connection:
            try:
                left_ms = max(0, math.ceil(1000 * (deadline - time.monotonic())))
                connection.execute(f"PRAGMA busy_timeout={left_ms}")
                yield connection
            except sqlite3.Error as error:
                raise self._in_our_words(error) from error

    @contextmanager
    def write(self, timeout_s: float = WAIT_S) -> Iterator[sqlite3.Connection]:
        """Hold the connection in a transaction, committed at the end, else rolled back.

        Raises UnavailableError when the turn does not come within `timeout_s` seconds.
        """
        with self.read(timeout_s) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        with self._turn:
            self._open = False
            self._connection.close()

    @contextmanager
    def _held(self, timeout_s: float) -> Iterator[sqlite3.Connection]:
        if not self._turn.acquire(timeout=max(0.0, timeout_s)):
            raise UnavailableError(f"the event log {self.path} was busy for {timeout_s:g} s")
        try:
            if not self._open:
                raise ClosedError(f"the event log {self.path} is closed")
            # A deleted file would take records without complaint and lose them at the end.
            if self._file_now() != self._file:
                raise UnavailableError(
                    f"the event log {self.path} was deleted or replaced while in use; restart"
                )
            yield self._connection
        finally:
            self._turn.release()

    def _file_now(self) -> tuple[int, int] | None:
        if self.path == IN_MEMORY:
            return None
        try:
            status = os.stat(self.path)
        except OSError:
            return (-1, -1)
        return status.st_dev, status.st_ino

    def _prepare(self) -> None:
        with self.read() as connection:
            # One transaction: another process may be creating the log between two looks.
            connection.execute("BEGIN")
            try:
                self._check_origin(connection)
            finally:
                connection.execute("ROLLBACK")
            if self.path != IN_MEMORY:
                self._use_wal(connection)
            # FULL, not NORMAL: a power loss must not take back an acknowledged record, for its
            # offset would be given again to another and every noted position would mislead.
            connection.execute("PRAGMA synchronous=FULL")
        with self.write() as connection:
            if not self._check_origin(connection):
                self._create(connection)

    def _check_origin(self, connection: sqlite3.Connection) -> bool:
        """Return whether the file is a log already; refuse what is neither log nor empty."""
        application: int = connection.execute("PRAGMA application_id").fetchone()[0]
        tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application != _APPLICATION_ID and (application or tables):
            raise SettingsError(f"the file {self.path} is a database, but not an event log")
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > _SCHEMA_VERSION:
            raise NewerVersionError(
                f"the event log {self.path} has layout {version}, this version reads"
                f" {_SCHEMA_VERSION}: upgrade"
            )
        return bool(tables)

    @staticmethod
    def _create(connection: sqlite3.Connection) -> None:
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO log VALUES (?)", (str(uuid.uuid4()),))
        connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        # SQLite does not wait for its lock here when two processes open a new file together.
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
                continue
            if mode != "wal":
                raise SettingsError(
                    f"the disk of the event log {self.path} cannot keep a write-ahead log;"
                    " use a local disk"
                )
            return

    def _in_our_words(self, error: sqlite3.Error) -> SlopewatchError:
        if isinstance(error, sqlite3.OperationalError):
            return UnavailableError(f"the event log {self.path} is out of reach: {error}")
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            return SettingsError(f"the file {self.path} is not an event log")
        return SlopewatchError(f"the event log {self.path} is damaged: {error}")


def _make_if_missing(path: str) -> None:
    # Only an exclusive creation: closing a second descriptor of a database that is in use would
    # drop the locks that this process holds on it.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644))
    except FileExistsError:
        return
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
