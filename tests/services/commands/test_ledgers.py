"""The ledger's tables from the command line, and what the check-up says of a server."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import typer.testing
from sqlalchemy import text

from core.errors import SettingsError
from core.ledger import open_ledger
from core.ledger.database import Database
from core.settings import Service
from services import cli
from services.commands._doctor_stores import store_findings
from services.commands._findings import Finding
from services.commands.ledgers import downgrade_schema, upgrade_schema
from tests.contracts.ledger_contract import write


@pytest.fixture(params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    if request.param == "sqlite":
        url = f"sqlite://{tmp_path}/ledger.db"
    else:
        url = request.getfixturevalue("postgres_url")
    return Service(data=tmp_path, ledger=url).resolved()


def test_up_and_down(service: Service) -> None:
    said: list[str] = []
    upgrade_schema(service, said.append)
    upgrade_schema(service, said.append)
    assert said == ["the ledger had schema none and has 0001", "the ledger has schema 0001 already"]
    with closing(open_ledger(str(service.ledger))) as ledger:
        write(ledger, [1, 2])
        said.clear()
        assert not downgrade_schema(service, "base", said.append, lambda: False)
        assert len(ledger.decisions("a")) == 2
    assert said == [
        "what a step back drops is lost for good, unless you keep a copy of the database:",
        "  it holds 2 decisions of 1 sites, 2 notifications are not sent",
        "  from 0001: Drop the tables and what they hold.",
        "nothing was changed",
    ]
    assert downgrade_schema(service, "base", said.append, lambda: True)
    assert downgrade_schema(service, "base", said.append, lambda: False)
    assert said[-2:] == [
        "the ledger had schema 0001 and has none",
        "the ledger has no schema above base: nothing was changed",
    ]
    upgrade_schema(service, said.append)
    with pytest.raises(SettingsError, match="cannot go to schema 9999"):
        downgrade_schema(service, "9999", said.append, lambda: True)


def test_the_command_asks_before_it_goes_back(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLOPEWATCH_LEDGER", str(service.ledger))

    def run(*options: str, answer: str = "") -> tuple[int, str]:
        done = typer.testing.CliRunner().invoke(
            cli.app, ["ledger", "upgrade", *options], input=answer
        )
        return done.exit_code, done.output

    assert run() == (0, "the ledger had schema none and has 0001\n")
    for answer in ("", "n\n"):
        code, output = run("--down-to", "base", answer=answer)
        assert (code, "lost for good" in output) == (1, True)
    assert run() == (0, "the ledger has schema 0001 already\n")
    code, output = run("--down-to", "base", answer="y\n")
    assert (code, "has none" in output) == (0, True)
    run()
    code, output = run("--down-to", "base", "--yes")
    assert (code, "has none" in output) == (0, True)


def _look(url: str, *, network: bool = True) -> Finding:
    service = Service(ledger=url).resolved()
    (finding,) = [f for f in store_findings(service, network=network) if f.what == "ledger"]
    return finding


def test_what_the_check_up_says_of_a_server(postgres_url: str, tmp_path: Path) -> None:
    assert "was not asked" in _look(postgres_url, network=False).sentence
    empty = _look(postgres_url)
    assert (empty.status, "run `slopewatch ledger upgrade`" in empty.sentence) == ("problem", True)
    service = Service(ledger=postgres_url).resolved()
    upgrade_schema(service, lambda _said: None)
    with closing(open_ledger(postgres_url)) as ledger:
        write(ledger, [1, 2])
    whole = _look(postgres_url)
    assert whole.status == "ok"
    assert whole.sentence == (
        "its server answers, its schema is 0001, every chain is whole, 1 site(s)"
    )
    with closing(Database(postgres_url)) as database, database.write() as connection:
        connection.execute(text("UPDATE decision SET body = '{}' WHERE seq = 1"))
    torn = _look(postgres_url)
    assert (torn.status, "site a, seq 1" in torn.sentence) == ("problem", True)
    gone = _look(postgres_url.replace(postgres_url.rpartition("/")[2], "elsewhere"))
    assert (gone.status, "make that database first" in gone.sentence) == ("problem", True)
