"""The commands of tasks: what they print, how they end, and that a second run changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer.testing
import yaml

from core.eventlog import open_log
from core.events import OBSERVATIONS, DayClosed
from core.settings import load_service
from services import cli
from tests.pipeline import events_of

RAIN = "day,mm\n2026-01-05,3.5\n2026-01-07,12\n"


def site(name: str, **changes: Any) -> dict[str, Any]:
    feed = {
        "kind": "table",
        "at": f"{name}.csv",
        "quantity": "rain",
        "station": name,
        "date_column": "day",
        "value_column": "mm",
        "unit": "mm",
    }
    return {
        "name": name,
        "area": [110.0, 31.0, 110.1, 31.1],
        "reference": {"box": [110.0, 31.0, 110.01, 31.01]},
        "watched_from": "2026-01-06",
        "history_from": "2026-01-01",
        "slope_units": [{"id": "u", "polygon": [[110, 31], [110.1, 31], [110.05, 31.1]]}],
        "feeds": [feed],
        **changes,
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with four sites, one of them retired, which is where the task stands."""
    (tmp_path / "sites").mkdir()
    for name in ("a", "b", "c", "gone"):
        tree = site(name, retired=name == "gone")
        (tmp_path / "sites" / f"{name}.yaml").write_text(yaml.safe_dump(tree))
        (tmp_path / f"{name}.csv").write_text(RAIN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = typer.testing.CliRunner().invoke(cli.app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def said() -> list[Any]:
    with closing(open_log(str(load_service().log))) as log:
        return events_of(log, OBSERVATIONS)


def distinct() -> dict[str, Any]:
    return {event.id: event.data for event in reversed(said())}


def test_groups_are_one_line_of_json_whatever_else_is_said(folder: Path) -> None:
    assert run("ingest", "news", "rainfall")[0] == 0
    (folder / "sites" / "a.yaml").unlink()
    (folder / "sites" / "broken.yaml").write_text("name: [")
    code = "from services.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "ingest", "groups", "--size", "1"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout) == [["b"], ["c"]]
    assert "broken.yaml" in done.stderr
    assert "no readable file" in done.stderr
    assert '"a"' in done.stderr


def test_groups_are_as_large_as_said(folder: Path) -> None:
    assert json.loads(run("ingest", "groups")[1]) == [["a", "b", "c"]]
    assert json.loads(run("ingest", "groups", "--size", "2")[1]) == [["a", "b"], ["c"]]


def test_news_of_new_sites_begin_with_their_history(folder: Path) -> None:
    code, told = run("ingest", "news", "rainfall", "--sites", "a,b")
    assert code == 0
    for name in "ab":
        assert f"{name}: new site, history of" in told
        assert f"{name}: table " in told
    assert {event.site for event in said()} == {"a", "b"}
    named = [event.data.NAME for event in said() if event.site == "a"]
    assert named[:2] == ["site-configured", "release-activated"]
    rain = [event for event in said() if event.data.NAME == "rainfall-observed"]
    assert len(rain) == 4
    assert all(event.assumed for event in rain)
    count = len(said())
    code, told = run("ingest", "news", "rainfall", "--sites", "a,b")
    assert code == 0
    assert told.splitlines() == [f"{name}: table 2, 0 of them new" for name in "ab"]
    assert len(said()) == count


def test_a_feed_that_fails_is_told_after_all_others_were_asked(folder: Path) -> None:
    assert run("ingest", "news", "rainfall")[0] == 0
    (folder / "a.csv").unlink()
    (folder / "c.csv").write_text(RAIN + "2026-01-08,1\n")
    code, told = run("ingest", "news", "rainfall")
    assert code == 1
    assert "a: table failed: cannot read a.csv" in told
    assert "c: table 3, 1 of them new" in told
    assert "gone: retired, not asked" in told
    assert run("ingest", "news", "level", "--sites", "a") == (0, "a: no feed brings level\n")


def test_a_site_without_a_file_fails_its_task_alone(folder: Path) -> None:
    code, told = run("ingest", "news", "rainfall", "--sites", "nowhere,b")
    assert code == 1
    assert "nowhere: no readable site file" in told
    assert "b: table 2" in told
    code, told = run("ingest", "close-days", "--sites", "nowhere,b")
    assert code == 1
    assert "b: 0 days closed" in told


@pytest.mark.parametrize("words", [("snow",), ("rainfall", "--sites", ",")])
def test_what_cannot_be_asked_is_said(folder: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(Exception, match=r"rainfall, level|names no site"):
        run("ingest", "news", *words)


def test_days_are_closed_once_each_and_in_order(folder: Path) -> None:
    code, first = run("ingest", "close-days", "--sites", "a,c")
    assert code == 0
    closed = [e.data.day for e in said() if isinstance(e.data, DayClosed) and e.site == "a"]
    assert closed == sorted(set(closed))
    assert f"a: {len(closed)} days closed" in first
    count = len(said())
    assert run("ingest", "close-days", "--sites", "a,c") == (
        0,
        "a: 0 days closed\nc: 0 days closed\n",
    )
    assert len(said()) == count


def test_a_change_is_announced_before_the_news(folder: Path) -> None:
    run("ingest", "news", "rainfall", "--sites", "a")
    (folder / "sites" / "a.yaml").write_text(yaml.safe_dump(site("a", title="A slope")))
    (folder / "a.csv").write_text(RAIN + "2026-01-08,1\n")
    run("ingest", "news", "rainfall", "--sites", "a")
    change, datum = said()[-2:]
    assert change.data.difference == ("title:  -> A slope",)
    assert datum.data.rain_mm == 1


def test_a_backfill_that_only_appends_can_be_run_again(folder: Path) -> None:
    words = ("ingest", "backfill", "--site", "a", "--append", "--until", "2026-01-20")
    assert run(*words)[0] == 0
    assert not (folder / "var" / "state").exists()
    assert not (folder / "var" / "ledger.db").exists()
    once, count = distinct(), len(said())
    assert sum(isinstance(data, DayClosed) for data in once.values()) == 20
    assert run(*words)[0] == 0
    assert distinct() == once
    assert len(said()) == count + 22


def test_an_older_stretch_opens_no_days_again(folder: Path) -> None:
    run("ingest", "close-days", "--sites", "a")
    run("ingest", "backfill", "--site", "a", "--append", "--until", "2026-01-03")
    assert run("ingest", "close-days", "--sites", "a") == (0, "a: 0 days closed\n")
