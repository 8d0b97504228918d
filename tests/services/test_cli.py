"""The command line as a user meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.testing
import yaml

from services import cli
from tests.conftest import ROOT

SITE = {
    "name": "demo-slope",
    "area": [110.0, 31.0, 110.1, 31.1],
    "reference": {"box": [110.0, 31.0, 110.01, 31.01]},
    "watched_from": "2024-01-01",
    "history_from": "2023-12-01",
    "slope_units": [{"id": "u", "polygon": [[110.02, 31.02], [110.08, 31.02], [110.05, 31.08]]}],
    "feeds": [
        {
            "kind": "table",
            "at": "rain.csv",
            "quantity": "rain",
            "station": "hut",
            "date_column": "day",
            "value_column": "mm",
            "unit": "mm",
        }
    ],
}
RAIN = "day,mm\n2023-12-05,3.5\n2023-12-06,abc\n2023-12-07,12\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one site and its rain, which is where the user stands."""
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "demo-slope.yaml").write_text(yaml.safe_dump(SITE))
    (tmp_path / "rain.csv").write_text(RAIN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(*arguments: str) -> str:
    """Standard output and error of a call that ends well."""
    result = typer.testing.CliRunner().invoke(cli.app, list(arguments))
    if result.exception is not None:
        raise result.exception
    return result.output


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['slopewatch', '--help']\n"
        "from services.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pydantic', 'sqlalchemy', 'asf_search', 'xarray', 'requests', 'rich'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    groups = ("site", "ingest", "config", "log", "dead-letters", "alerts", "cap")
    for command in ("demo", "run", "replay", *groups):
        assert f"\n  {command} " in done.stdout


def test_backfill_then_read_everything_that_was_written(folder: Path) -> None:
    output = said("ingest", "backfill", "--site", "demo-slope", "--until", "2023-12-20")
    assert "table: 2 observations" in output
    assert "table R03: 1 rejected" in output
    assert "20 days closed" in output
    tail = said("log", "tail", "observations", "-n", "50")
    assert "rainfall-observed" in tail
    event = tail.splitlines()[-1].split()[2]
    assert '"specversion": "1.0"' in said("log", "show", event)
    letters = said("dead-letters", "list")
    assert "R03" in letters
    assert "abc" in said("dead-letters", "show", letters.split()[2])
    assert "blind" in said("ledger", "export")
    assert "whole" in said("ledger", "verify")
    assert "state: equal; ledger: equal" in said(
        "replay", "--site", "demo-slope", "--into", str(folder / "again")
    )


def test_a_poll_by_hand_says_what_came(folder: Path) -> None:
    output = said("ingest", "poll", "table", "--site", "demo-slope", "--since", "2023-12-01")
    assert "table: 2 observations" in output


def test_an_operator_is_heard(folder: Path) -> None:
    said("ingest", "backfill", "--site", "demo-slope", "--until", "2023-12-20")
    said(
        "alerts", "acknowledge", "--site", "demo-slope", "--operator", "ann", "--reason", "seen it"
    )
    assert "operator-commanded" in said("log", "tail", "assessments", "-n", "100")


@pytest.mark.parametrize(
    ("word", "options", "said_of"),
    [
        ("silence", ("--reason", "works", "--until", "2100-01-01"), "all units"),
        ("unsilence", ("--reason", "over", "--unit", "u"), "u"),
        ("handover", ("--reason", "night", "--to", "bo"), "all units"),
        ("amend", ("--note", "the gauge was wet"), "all units"),
        ("cancel", ("--reason", "radar shadow", "--unit", "u"), "u"),
        ("drill", ("--reason", "spring", "--unit", "u", "--level", "red"), "u"),
    ],
)
def test_every_word_of_an_operator_gets_on_the_log(
    folder: Path, word: str, options: tuple[str, ...], said_of: str
) -> None:
    output = said("alerts", word, "--site", "demo-slope", "--operator", "ann", *options)
    command = {"handover": "hand over"}.get(word, word)
    assert output == f"{command} of {said_of} of demo-slope is on the log\n"
    assert f'"command": "{command}"' in said(
        "log", "show", said("log", "tail", "assessments").split()[2]
    )


def test_a_cap_file_that_is_none_is_refused(folder: Path) -> None:
    (folder / "alert.xml").write_text("<alert/>")
    result = typer.testing.CliRunner().invoke(cli.app, ["cap", "check", "alert.xml"])
    assert result.exit_code == 1
    assert "alert.xml: refused" in result.output


def test_alerts_are_listed_and_asked_for_where_there_are_none(folder: Path) -> None:
    said("ingest", "backfill", "--site", "demo-slope", "--until", "2023-12-20")
    assert said("alerts", "list", "--site", "demo-slope", "--all") == "0 alerts\n"


def test_a_replay_hears_the_operators_at_their_places(folder: Path) -> None:
    word = ("--site", "demo-slope", "--operator", "ann", "--reason", "drill")
    said("ingest", "backfill", "--site", "demo-slope", "--until", "2023-12-20")
    said("alerts", "silence", *word, "--until", "2100-01-01")
    said(
        "ingest",
        "backfill",
        "--site",
        "demo-slope",
        "--since",
        "2023-12-21",
        "--until",
        "2023-12-24",
    )
    said("alerts", "unsilence", *word)
    said(
        "ingest",
        "backfill",
        "--site",
        "demo-slope",
        "--since",
        "2023-12-25",
        "--until",
        "2023-12-28",
    )
    assert said("ledger", "export").count(r"\"command\":") == 2
    assert "state: equal; ledger: equal" in said(
        "replay", "--site", "demo-slope", "--into", str(folder / "again")
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ingest", "poll", "table", "--site", "nowhere"], "no site 'nowhere'"),
        (["ingest", "poll", "gsod", "--site", "demo-slope"], "has no feed 'gsod'"),
        (["log", "tail"], "does not exist"),
        (["alerts", "explain", "demo-slope.u"], "ledger.db is out of reach"),
        (
            ["alerts", "review", "--site", "demo-slope", "--operator", "x", "--reason", "y"],
            "no officer",
        ),
        (["report", "--site", "demo-slope"], "has no state yet"),
        (["run", "everything"], "no service 'everything'"),
        (["site", "new", "x", "--at", "here"], "LAT,LON"),
        (["--config", "missing.yaml", "config", "show"], "cannot read missing.yaml"),
    ],
)
def test_a_mistake_is_one_sentence(
    folder: Path,
    arguments: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["slopewatch", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert sentence in capsys.readouterr().err


def test_a_mistake_ends_the_process_without_traceback(folder: Path) -> None:
    command = [sys.executable, "-m", "services.cli", "log", "tail"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert "does not exist" in done.stderr
    assert "Traceback" not in done.stderr
