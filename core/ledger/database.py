"""The connection to the ledger's database: transactions, and our words for its errors.

`_sqlite_engine` is the one place that knows SQLite; every other statement of this package is
plain SQLAlchemy.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc

from core.errors import SettingsError, SlopewatchError, UnavailableError

SQLITE_WAIT_S: Final = 5.0
_WRITES: Final = "slopewatch_writes"


class Database:
    """A pool of connections to the database at `url`; may be shared by threads."""

    def __init__(self, url: str) -> None:
        self.is_sqlite = urlsplit(url).scheme == "sqlite"
        engine = _sqlite_engine(url) if self.is_sqlite else _server_engine(url)
        self._engine = engine
        self._reader = (
            engine
            if self.is_sqlite
            else engine.execution_options(isolation_level="REPEATABLE READ")
        )
        self._writer = engine.execution_options(**{_WRITES: True})
        self.name = engine.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees the database as of its first statement."""
        with self._in_our_words(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is written whole on leaving, or not at all after an exception."""
        with self._in_our_words(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            raise UnavailableError(
                f"the ledger {self.name} is out of reach: {_cause(error)}"
            ) from error
        except exc.IntegrityError as error:
            raise SlopewatchError(
                f"the ledger {self.name} holds such a row already: {_cause(error)}"
            ) from error
        except exc.DatabaseError as error:
            if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
                raise SettingsError(f"the file of {self.name} is not a ledger") from error
            raise SlopewatchError(
                f"the ledger {self.name} is damaged or was asked wrongly: {_cause(error)}"
            ) from error


def _cause(error: exc.SQLAlchemyError) -> object:
    # Not the whole error: it shows the statement's values, and so the text of messages.
    return getattr(error, "orig", None) or error


def _server_engine(url: str) -> Engine:
    if urlsplit(url).scheme.partition("+")[0] != "postgresql":
        scheme = urlsplit(url).scheme
        raise SettingsError(
            f"a ledger url begins with sqlite:///abs/path.db or postgresql://, not {scheme!r}"
        )
    try:
        return create_engine(url, pool_pre_ping=True)
    except exc.ArgumentError as error:
        raise SettingsError(f"the ledger's postgresql url cannot be read: {error}") from error
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"a postgresql ledger needs the package {error.name!r}: install it"
        ) from error


def _sqlite_engine(url: str) -> Engine:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc or parts.query or not path.startswith("/") or path.endswith("/"):
        raise SettingsError(f"ledger url {url!r} takes the form sqlite:///abs/path.db")
    engine = create_engine(
        URL.create("sqlite", database=path), connect_args={"timeout": SQLITE_WAIT_S}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        # Python's own transaction control would begin late and leave reads outside of any.
        connection.isolation_level = None
        _use_wal(connection, path)
        connection.execute("PRAGMA foreign_keys=ON")
        # FULL: a power loss must not take back a decision whose events are on the log already.
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock at once: one that read first could not wait for another's.
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_wal(connection: sqlite3.Connection, path: str) -> None:
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
                f"the disk of the ledger {path} cannot keep a write-ahead log; use a local disk"
            )
        return
