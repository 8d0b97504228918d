"""The connection to a database: what a transaction for reading and for writing is.

`_sqlite_engine` is the one place that knows SQLite, `core.database.postgresql` the one that knows
PostgreSQL.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc

from core.database.faults import in_our_words
from core.errors import SettingsError

SQLITE_WAIT_S: Final = 30.0
"""How long a writer waits for another process's transaction: long, for a slow disk's flushes."""
WRITES: Final = "slopewatch_writes"
"""Execution option of a connection whose transaction is to write."""


class Purpose(NamedTuple):
    """What a database is for: its `name` in sentences, the variable with its `password`, the
    command that makes its tables (`upgrade`).

    A `durable` one has what it committed after a power loss; another one may lack the last commits.
    """

    name: str
    password: str
    upgrade: str
    durable: bool = True


class Database:
    """A pool of connections to the database at `url`; may be shared by threads.

    With `migrates` a server is given the time that a change of its schema may take.
    """

    def __init__(self, url: str, purpose: Purpose, *, migrates: bool = False) -> None:
        self.purpose = purpose
        self.is_sqlite = url.partition(":")[0] == "sqlite"
        if self.is_sqlite:
            self._engine = _sqlite_engine(url, purpose)
            self.name = self._engine.url.render_as_string()
        else:
            self._engine, self.name = _server_engine(url, purpose, migrates)
        self._writer = self._engine.execution_options(**{WRITES: True})
        # SQLite wakes waiting writers by chance, which can starve a thread of this process.
        self._turn: AbstractContextManager[object] = (
            threading.Lock() if self.is_sqlite else nullcontext()
        )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees the database as of its first statement."""
        with self._in_our_words(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is written whole on leaving, or not at all after an exception."""
        with self._turn, self._in_our_words(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except exc.SQLAlchemyError as error:
            raise in_our_words(self.purpose, self.name, error) from error


def _server_engine(url: str, purpose: Purpose, migrates: bool) -> tuple[Engine, str]:
    scheme = url.partition(":")[0]
    if scheme != "postgresql":
        raise SettingsError(
            f"a {purpose.name} url begins with sqlite:///abs/path.db or postgresql://, not "
            f"{scheme!r}"
        )
    from core.database import postgresql

    address = postgresql.parse(url, purpose)
    limits = postgresql.MIGRATION if migrates else postgresql.WORK
    return postgresql.server_engine(address, purpose, limits), str(address)


def _sqlite_engine(url: str, purpose: Purpose) -> Engine:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc or parts.query or not path.startswith("/") or path.endswith("/"):
        raise SettingsError(f"{purpose.name} url {url!r} takes the form sqlite:///abs/path.db")
    engine = create_engine(
        URL.create("sqlite", database=path), connect_args={"timeout": SQLITE_WAIT_S}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        # Python's own transaction control would begin late and leave reads outside of any.
        connection.isolation_level = None
        _use_wal(connection, path, purpose)
        connection.execute("PRAGMA foreign_keys=ON")
        # FULL: a power loss must not take back a decision whose events are on the log already.
        connection.execute(f"PRAGMA synchronous={'FULL' if purpose.durable else 'NORMAL'}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock at once: one that read first could not wait for another's.
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_wal(connection: sqlite3.Connection, path: str, purpose: Purpose) -> None:
    # SQLite does not wait for its lock here when two processes open a new file together.
    deadline = time.monotonic() + SQLITE_WAIT_S
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
                f"the disk of the {purpose.name} {path} cannot keep a write-ahead log; use a local"
                " disk"
            )
        return
