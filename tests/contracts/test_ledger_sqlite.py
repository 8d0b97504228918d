"""The ledger in an SQLite file, and the parts of it that need no database."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from core.database import database as database_module
from core.errors import BadInputError, SettingsError, UnavailableError
from core.ledger import Decision, canonical, chain_hash, open_ledger
from tests.contracts.ledger_contract import LedgerContract, bookmark, think, write


class TestSqliteLedger(LedgerContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite://{tmp_path}/ledger.db"

    def test_opening_makes_the_file(self, url: str, tmp_path: Path) -> None:
        open_ledger(url).close()
        with sqlite3.connect(tmp_path / "ledger.db") as raw:
            assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        raw.close()

    def test_many_may_open_a_new_file_at_once(self, url: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            ledgers = list(pool.map(open_ledger, [url] * 8))
        write(ledgers[0], [1])
        assert [len(ledger.decisions("a")) for ledger in ledgers] == [1] * 8
        for ledger in ledgers:
            ledger.close()

    def test_a_locked_file_is_unavailable_and_the_commit_can_be_tried_again(
        self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database_module, "SQLITE_WAIT_S", 0.1)
        ledger = open_ledger(url)
        store = ledger.site("a")
        state = think(store.open().state, 1)
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="locked"):
            store.commit(state, bookmark(1), ["i1"], ())
        assert store.open().bookmark is None
        other.execute("ROLLBACK")
        other.close()
        store.commit(state, bookmark(1), ["i1"], ())
        assert ledger.verify() == []
        ledger.close()

    def test_rows_that_are_not_text_show(self, url: str, tmp_path: Path) -> None:
        ledger = open_ledger(url)
        write(ledger, [1, 2])
        raw = sqlite3.connect(tmp_path / "ledger.db")
        raw.execute("UPDATE decision SET body = CAST(body AS BLOB) WHERE seq = 2")
        raw.commit()
        raw.close()
        assert ledger.verify() == ["site a, seq 2: the row holds something else than text"]
        ledger.close()

    def test_a_chain_whose_site_row_is_gone_shows(self, url: str, tmp_path: Path) -> None:
        ledger = open_ledger(url)
        write(ledger, [1, 2])
        raw = sqlite3.connect(tmp_path / "ledger.db")
        raw.execute("DELETE FROM site")
        raw.commit()
        raw.close()
        (problem,) = ledger.verify()
        assert "its head is empty" in problem
        ledger.close()

    def test_files_that_are_no_ledger_are_refused(self, url: str, tmp_path: Path) -> None:
        raw = sqlite3.connect(tmp_path / "ledger.db")
        raw.execute("CREATE TABLE something (x)")
        raw.close()
        with pytest.raises(SettingsError, match="not a ledger"):
            open_ledger(url)
        (tmp_path / "text.db").write_text("no database at all\n" * 100)
        with pytest.raises(SettingsError, match="not a ledger"):
            open_ledger(f"sqlite://{tmp_path}/text.db")
        with pytest.raises(UnavailableError, match="out of reach"):
            open_ledger(f"sqlite://{tmp_path}/nowhere/ledger.db")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite://host/ledger.db",
        "sqlite:///a.db?mode=ro",
        "mysql://host/db",
        "ledger.db",
    ],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"sqlite:///abs/path\.db"):
        open_ledger(url)


def test_importing_the_package_loads_no_database_library() -> None:
    code = "import sys, core.ledger; print({'sqlalchemy', 'alembic'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_canonical_json_is_one_text_for_one_content() -> None:
    tokyo = datetime(2026, 1, 1, 9, 0, 0, 5, timezone(timedelta(hours=9)))
    row = Decision(1, "ü", "", "h")
    given = {"z": [tokyo, 1e-7, -0.5], "a": {2: date(2026, 1, 2), "1": None}, "row": row}
    expected = (
        '{"a":{"1":null,"2":"2026-01-02"},"row":{"body":"ü","hash":"h","previous":"","seq":1},'
        '"z":["2026-01-01T00:00:00.000005Z",1e-7,-0.5]}'
    )
    assert canonical(given) == expected
    assert canonical(dict(reversed(given.items()))) == expected


@pytest.mark.parametrize(
    "bad",
    [math.nan, {"x": [math.inf]}, datetime(2026, 1, 1), object(), "\ud800"],
)
def test_what_canonical_json_cannot_say_is_refused(bad: object) -> None:
    with pytest.raises(BadInputError, match="cannot be written as canonical JSON"):
        canonical({"deep": (bad,)})


def test_a_hash_is_of_previous_and_body() -> None:
    assert chain_hash("", "{}") == (
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )
    assert chain_hash("x", "{}") != chain_hash("", "x{}x")


def test_the_tables_can_be_made_on_postgresql() -> None:
    from core.ledger.schema import metadata

    made = [
        str(CreateTable(one).compile(dialect=postgresql.dialect()))
        for one in metadata.sorted_tables
    ]
    assert len(made) == 6
    assert all('TEXT COLLATE "C"' in one for one in made)
