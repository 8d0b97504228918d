"""A ledger on PostgreSQL whose server, network or disk fails: nothing is lost, nothing doubled."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import text

from core.database import postgresql
from core.database.postgresql import WORK, Limits
from core.errors import ConflictError, UnavailableError
from core.ledger import open_ledger, upgrade
from core.ledger.database import Database
from core.ledger.ledger import Ledger
from tests.contracts.ledger_contract import NOW, bookmark, outcome, think, write
from tools.engine.postgres import Postgres

Fault = Callable[[str, bytes], bool]
"""("request" or "answer", bytes on their way) -> whether the connection breaks before them."""


class Wire:
    """A network between ledger and server that breaks, or goes silent, when it is told to."""

    def __init__(self, server: int) -> None:
        self.breaks: Fault = lambda _way, _data: False
        self.silent = False
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join()
        for end in (*self._ends, self._listener):
            end.close()

    def cut(self) -> None:
        """Break every connection."""
        for end in self._ends:
            _end(end)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._server))
            except ConnectionRefusedError:
                near.close()
                continue
            self._ends += [near, far]
            for way, source, target in (("request", near, far), ("answer", far, near)):
                self._threads.append(
                    threading.Thread(target=self._carry, args=(way, source, target))
                )
                self._threads[-1].start()

    def _carry(self, way: str, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if self.breaks(way, data):
                    break
                if not self.silent:
                    target.sendall(data)
        except OSError:
            pass
        _end(source)
        _end(target)


def _end(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended


@pytest.fixture
def wire(postgres: Postgres) -> Iterator[Wire]:
    wire = Wire(postgres.port)
    yield wire
    wire.close()


@pytest.fixture
def limits() -> Limits:
    """The usual ones; a test that waits for one shortens it."""
    return WORK


@pytest.fixture
def ledger(
    wire: Wire,
    postgres: Postgres,
    postgres_url: str,
    limits: Limits,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Ledger]:
    """A ledger at the far end of `wire`."""
    monkeypatch.setattr(postgresql, "WORK", limits)
    upgrade(postgres_url)
    ledger = open_ledger(postgres_url.replace(f":{postgres.port}/", f":{wire.port}/"))
    yield ledger
    wire.breaks, wire.silent = (lambda _way, _data: False), False
    ledger.close()


@contextmanager
def beside(url: str) -> Iterator[Database]:
    """The database by another way, with long limits."""
    with closing(Database(url, migrates=True)) as database:
        yield database


def run_sql(url: str, *statements: str) -> None:
    with beside(url) as database, database.write() as connection:
        for statement in statements:
            connection.execute(text(statement))


def goes_on(ledger: Ledger, seqs: range) -> None:
    """The ledger holds the commits up to `seqs` once, and takes the next."""
    write(ledger, seqs)
    every = list(range(1, seqs[-1] + 1))
    assert [row.seq for row in ledger.decisions("a")] == every
    assert [row.seq for row in ledger.notifications("a")] == every
    assert ledger.verify() == []


@pytest.mark.parametrize("before", [0, 1])
def test_a_commit_whose_answer_is_lost_is_found_by_opening_again(
    ledger: Ledger, wire: Wire, before: int
) -> None:
    write(ledger, range(1, before + 1))
    store, seq = ledger.site("a"), before + 1
    state = think(store.open().state, seq)
    wire.breaks = lambda way, data: way == "answer" and b"COMMIT\0" in data
    with pytest.raises(UnavailableError, match="out of reach"):
        store.commit(state, bookmark(seq), [f"i{seq}"], [outcome(seq)])
    wire.breaks = lambda _way, _data: False
    with pytest.raises(ConflictError):
        store.commit(state, bookmark(seq), [f"i{seq}"], [outcome(seq)])
    held = store.open()
    assert (held.bookmark, held.outcomes) == (bookmark(seq), (outcome(seq),))
    assert held.state.head == state.head
    assert store.seen(f"i{seq}")
    goes_on(ledger, range(seq + 1, seq + 3))


@pytest.mark.parametrize(
    "statement", [b"UPDATE site", b"INSERT INTO input", b"INSERT INTO notification", b"commit\0"]
)
def test_a_commit_that_did_not_arrive_can_be_tried_as_it_is(
    ledger: Ledger, wire: Wire, statement: bytes
) -> None:
    write(ledger, [1])
    store = ledger.site("a")
    state = think(store.open().state, 2)
    wire.breaks = lambda way, data: way == "request" and statement in data
    with pytest.raises(UnavailableError, match="out of reach"):
        store.commit(state, bookmark(2), ["i2"], [outcome(2)])
    wire.breaks = lambda _way, _data: False
    assert ledger.site("a").open().bookmark == bookmark(1)
    store.commit(state, bookmark(2), ["i2"], [outcome(2)])
    goes_on(ledger, range(3, 5))


def test_a_record_of_a_sending_whose_answer_is_lost_is_not_sent_again(
    ledger: Ledger, wire: Wire
) -> None:
    write(ledger, [1])
    (row,) = ledger.due_notifications(NOW, 9, "one", 60)
    wire.breaks = lambda way, data: way == "answer" and b"COMMIT\0" in data
    with pytest.raises(UnavailableError):
        ledger.record_attempt(row.id, "one", NOW, "sent")
    wire.breaks = lambda _way, _data: False
    with pytest.raises(ConflictError):
        ledger.record_attempt(row.id, "one", NOW, "sent")
    assert ledger.due_notifications(NOW.replace(year=2030), 9, "two", 60) == []
    assert len(ledger.attempts(row.id)) == 1


def test_connections_that_broke_while_idle_are_not_noticed(ledger: Ledger, wire: Wire) -> None:
    write(ledger, [1])
    wire.cut()
    goes_on(ledger, range(2, 4))


@pytest.mark.parametrize("limits", [replace(WORK, connect=2, answer=2)])
def test_a_network_that_goes_silent_is_given_up(ledger: Ledger, wire: Wire) -> None:
    write(ledger, [1])
    store = ledger.site("a")
    state = think(store.open().state, 2)
    wire.silent = True
    with pytest.raises(UnavailableError, match="out of reach"):
        store.commit(state, bookmark(2), ["i2"], ())
    with pytest.raises(UnavailableError, match="out of reach"):
        ledger.sites()
    wire.silent = False
    store.commit(state, bookmark(2), ["i2"], ())
    goes_on(ledger, range(3, 5))


def test_a_server_that_restarts_or_is_killed(
    ledger: Ledger, postgres: Postgres, postgres_url: str
) -> None:
    write(ledger, [1])
    postgres.restart()
    write(ledger, [2])
    for end in (postgres.stop, postgres.kill):
        store = ledger.site("a")
        state = think(store.open().state, 3)
        end()
        try:
            with pytest.raises(UnavailableError, match="out of reach"):
                store.commit(state, bookmark(3), ["i3"], ())
        finally:
            postgres.start()
        assert store.open().bookmark == bookmark(2)
    goes_on(ledger, range(3, 5))


def test_a_session_that_the_server_ends(ledger: Ledger, postgres_url: str) -> None:
    write(ledger, [1])
    ends = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    run_sql(postgres_url, ends)
    write(ledger, [2])

    def write_while_it_ends() -> None:
        with ledger._database.write() as connection:
            connection.execute(text("DELETE FROM decision"))
            run_sql(postgres_url, ends)
            connection.execute(text("DELETE FROM attempt"))

    with pytest.raises(UnavailableError):
        write_while_it_ends()
    goes_on(ledger, range(3, 5))


@pytest.mark.parametrize("limits", [replace(WORK, lock=0.3)])
def test_a_row_that_another_holds_is_waited_for_and_given_up(
    ledger: Ledger, postgres_url: str
) -> None:
    write(ledger, [1])
    store = ledger.site("a")
    state = think(store.open().state, 2)
    with beside(postgres_url) as other, other.write() as connection:
        connection.execute(text("SELECT * FROM site FOR UPDATE"))
        with pytest.raises(UnavailableError, match="lock timeout"):
            store.commit(state, bookmark(2), ["i2"], ())
        assert ledger.sites() == ["a"]
    store.commit(state, bookmark(2), ["i2"], ())
    goes_on(ledger, range(3, 5))


@pytest.mark.parametrize("limits", [replace(WORK, idle=1.5)])
def test_a_stopped_process_holds_nobody_up_for_long(ledger: Ledger, limits: Limits) -> None:
    write(ledger, [1])

    def stop_while_writing() -> None:
        with ledger._database.write() as connection:
            connection.execute(text("SELECT * FROM site FOR UPDATE"))
            time.sleep(limits.idle * 2)
            write(ledger, [2])
            connection.execute(text("DELETE FROM attempt"))

    with pytest.raises(UnavailableError):
        stop_while_writing()
    goes_on(ledger, range(3, 5))


@pytest.mark.parametrize("limits", [replace(WORK, idle=1)])
def test_a_reader_may_take_its_time(ledger: Ledger, limits: Limits) -> None:
    write(ledger, [1])
    lines = ledger.export()
    first = next(lines)
    time.sleep(limits.idle * 2)
    write(ledger, [2])
    assert list(lines) == []
    assert [first] == list(ledger.export())[:1]


@pytest.mark.parametrize(
    "trouble",
    [
        "RAISE EXCEPTION USING ERRCODE = 'disk_full'",
        "RAISE EXCEPTION USING ERRCODE = 'out_of_memory'",
        "RAISE EXCEPTION USING ERRCODE = 'serialization_failure'",
        "RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'",
        "RAISE EXCEPTION USING ERRCODE = 'io_error'",
        "RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction'",
        "PERFORM pg_sleep(9)",
        "PERFORM pg_cancel_backend(pg_backend_pid()), pg_sleep(9)",
    ],
)
@pytest.mark.parametrize("limits", [replace(WORK, statement=2)])
def test_trouble_of_the_server_passes(ledger: Ledger, postgres_url: str, trouble: str) -> None:
    run_sql(
        postgres_url,
        f"CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {trouble}; END$$",
        "CREATE TRIGGER trouble BEFORE INSERT ON decision EXECUTE FUNCTION trouble()",
    )
    store = ledger.site("a")
    state = think(store.open().state, 1)
    with pytest.raises(UnavailableError) as caught:
        store.commit(state, bookmark(1), ["i1"], ())
    assert caught.value.retryable
    assert store.open().bookmark is None
    run_sql(postgres_url, "DROP FUNCTION trouble CASCADE")
    store.open()
    store.commit(state, bookmark(1), ["i1"], ())
    goes_on(ledger, range(2, 4))


def test_of_two_that_wait_for_each_other_one_goes_on(ledger: Ledger, postgres_url: str) -> None:
    for site in ("a", "b"):
        write(ledger, [1], site)
    both = threading.Barrier(2, timeout=30)

    def lock(first: str, second: str) -> str:
        rows = text("SELECT * FROM site WHERE name = :name FOR UPDATE")
        with beside(postgres_url) as own:
            try:
                with own.write() as connection:
                    connection.execute(rows, {"name": first})
                    both.wait()
                    connection.execute(rows, {"name": second})
            except UnavailableError as error:
                return str(error)
        return ""

    with ThreadPoolExecutor(2) as pool:
        winner, loser = sorted(pool.map(lock, "ab", "ba"))
    assert winner == ""
    assert "deadlock" in loser
    goes_on(ledger, range(2, 4))


def test_a_server_that_accepts_and_says_nothing(
    postgres_url: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "WORK", replace(WORK, connect=0.5))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(UnavailableError, match="out of reach"):
            open_ledger(postgres_url.replace(f":{postgres.port}/", f":{port}/"))
