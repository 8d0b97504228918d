"""The ledger on a PostgreSQL server: its contract, its address, and that it equals SQLite's."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from core.database.postgresql import parse
from core.errors import SettingsError, SlopewatchError, UnavailableError
from core.ledger import Deadline, canonical, downgrade, open_ledger, upgrade
from core.ledger.database import LEDGER, Database
from core.ledger.ledger import Ledger
from tests.contracts.ledger_contract import NOW, LedgerContract, bookmark, message, think, write
from tools.engine.process import free_port


class TestPostgresqlLedger(LedgerContract):
    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        return postgres_url

    def test_only_an_upgrade_makes_the_tables(self, url: str) -> None:
        with pytest.raises(
            SettingsError, match=r"has schema none.* run `slopewatch ledger upgrade`"
        ):
            open_ledger(url)
        upgrade(url)
        open_ledger(url).close()
        downgrade(url, "base")
        with pytest.raises(SettingsError, match="run `slopewatch ledger upgrade`"):
            open_ledger(url)

    def test_tables_that_go_under_an_open_ledger_are_named(self, ledger: Ledger, url: str) -> None:
        downgrade(url, "base")
        with pytest.raises(SettingsError, match="run `slopewatch ledger upgrade`"):
            ledger.sites()
        upgrade(url)
        assert ledger.sites() == []

    def test_tables_of_something_else_stay(self, url: str) -> None:
        self.sql(url, "CREATE TABLE unrelated (x int)")
        upgrade(url)
        downgrade(url, "base")
        self.sql(url, "DROP TABLE ledger_version", "CREATE TABLE site (x int)")
        with pytest.raises(SettingsError, match=r"tables of something else \(site\)"):
            upgrade(url)

    def test_a_batch_is_few_statements(self, ledger: Ledger, url: str) -> None:
        self.sql(
            url,
            "CREATE TABLE seen_statements (n int)",
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN INSERT INTO seen_statements VALUES (1); RETURN NULL; END'",
            "CREATE TRIGGER note AFTER INSERT ON input FOR EACH STATEMENT EXECUTE FUNCTION note()",
        )
        write(ledger, range(1, 501), cut=500)
        with closing(Database(url)) as database, database.read() as connection:
            assert connection.scalar(text("SELECT count(*) FROM seen_statements")) == 1


def _season(ledger: Ledger) -> None:
    """Sites, texts and times that a server's language or types could treat their own way."""
    for site in ("b", "Z", "é", "a_b", "a-b", "ab", "10", "9", "滑坡"):
        store = ledger.site(site)
        state = store.open().state
        for seq in (1, 2, 10, 2**40):
            facts = {"reason": "NUL \0, ß, 😀", "value": 0.1 + 0.2, "n": 2**63 - 1, "é": None}
            state = state.decide(site, seq, NOW, facts)
            row = message(seq, id=f"{site}-{seq}", urgent=seq == 10)
            due = Deadline(id=f"{site}-{seq}", site=site, due=NOW, kind="silence", body="{}")
            state = replace(state, state=canonical(facts), notifications=(row,), deadlines=(due,))
            state = store.commit(state, bookmark(seq), [f"{site}-{seq}"], ())


def test_the_same_commits_are_the_same_bytes_as_on_sqlite(
    tmp_path: Path, postgres_url: str
) -> None:
    told = []
    for url in (f"sqlite://{tmp_path}/ledger.db", postgres_url):
        upgrade(url)
        with closing(open_ledger(url)) as ledger:
            _season(ledger)
            told.append(
                (
                    b"".join(ledger.export()),
                    ledger.sites(),
                    ledger.due_deadlines(NOW),
                    ledger.due_notifications(NOW, 20, "one", 60),
                    ledger.notifications(),
                    [ledger.state(site) for site in ledger.sites()],
                )
            )
    assert told[0] == told[1]
    assert told[0][0].count(b"\n") == 36


# The address


@pytest.mark.parametrize(
    ("url", "tls"),
    [
        ("postgresql://me@127.0.0.1/db", "off"),
        ("postgresql://me@localhost:5433/db", "off"),
        ("postgresql://me@[::1]/db", "off"),
        ("postgresql://me@db.example.org/db", "verify-full"),
        ("postgresql://me@192.0.2.1/db", "verify-full"),
        ("postgresql://me@db.example.org/db?tls=off", "off"),
        ("postgresql://me@db.example.org/db?tls=require", "require"),
        ("postgresql://me@127.0.0.1/db?tls=verify-full&ca=/etc/ca.pem", "verify-full"),
    ],
)
def test_what_leaves_this_machine_is_encrypted_and_checked(url: str, tls: str) -> None:
    assert parse(url, LEDGER).tls == tls


def test_an_address_shows_its_parts() -> None:
    address = parse("postgresql://m%40e@db:5433/slope%20watch?tls=off", LEDGER)
    assert (address.user, address.host, address.port) == ("m@e", "db", 5433)
    assert (address.database, str(address)) == (
        "slope watch",
        "postgresql://m@e@db:5433/slope watch",
    )
    assert str(parse("postgresql://me@[::1]/db", LEDGER)) == "postgresql://me@[::1]:5432/db"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me:hunter2@db/ledger", LEDGER.password),
        ("postgresql://me:@db/ledger", LEDGER.password),
        ("postgresql://db/ledger", "one part is missing"),
        ("postgresql://me@/ledger", "one part is missing"),
        ("postgresql://me@db", "one part is missing"),
        ("postgresql://me@db/a/b", "one part is missing"),
        ("postgresql://me@db:port/ledger", "takes the form"),
        ("postgresql://me@[db/ledger", "takes the form"),
        ("postgresql://me@db/ledger?hunter2", "takes the form"),
        ("postgresql://me@db/ledger?password=hunter2", "does not know: password"),
        ("postgresql://me@db/ledger?tls=prefer", "tls is one of verify-full, require, off"),
        ("postgresql://me@db/ledger?tls=off&ca=/ca.pem", "ca has no use"),
        ("postgresql://me@db/ledger?ca=/nowhere/ca.pem", "no file of certificates"),
        ("postgresql+psycopg://me@db/ledger", "begins with"),
        ("postgres://me@db/ledger", "begins with"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_secret(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        open_ledger(url)
    assert "hunter2" not in str(caught.value)


def test_nobody_answers() -> None:
    with pytest.raises(UnavailableError, match="out of reach"):
        open_ledger(f"postgresql://me@127.0.0.1:{free_port()}/ledger")
    with pytest.raises(UnavailableError, match="out of reach"):
        open_ledger("postgresql://me@nowhere.invalid/ledger")


def test_a_row_that_the_database_refuses_shows_no_message(postgres_url: str) -> None:
    upgrade(postgres_url)
    with closing(open_ledger(postgres_url)) as ledger:
        state = write(ledger, [1])
        store = ledger.site("a")
        store.open()
        row = message(9, id="a-1", message=canonical({"title": "hunter2"}))
        twice = replace(think(state, 2), notifications=(row,))
        with pytest.raises(SlopewatchError, match="holds such a row already") as caught:
            store.commit(twice, bookmark(2), ["i2"], ())
        assert "hunter2" not in str(caught.value)
