"""docs/first-hour.md, walked: the commands in their order, then the watch started and stopped."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from core.clock import SystemClock
from tests.docs.scratch import called, first_hour_site, in_folder, watch
from tests.docs.shell_blocks import ROOT, Command, commands
from tools import practice

PAGE = ROOT / "docs" / "first-hour.md"


def steps() -> list[str]:
    return [command.text for command in commands(PAGE)]


def test_the_steps_are_these_and_in_this_order() -> None:
    named = [" ".join(Command("", text).arguments[:2]) for text in steps()]
    done = [name for text, name in zip(steps(), named, strict=True) if text.startswith("slopew")]
    assert done == [
        "site new",
        "config check",
        "doctor",
        "ingest backfill",
        "report --site",
        "alerts list",
        "alerts explain",
        "run --site",
    ]


def test_practice_data_end_yesterday_and_hide_the_future(tmp_path: Path) -> None:
    today = SystemClock().now().date()
    written = {path.name: path.read_text() for path in practice.write(tmp_path, today)}
    assert set(written) == {"outline.geojson", "displacement.csv", "rain.csv", "level.csv"}
    last = written["rain.csv"].splitlines()[-1].split(",")[0]
    assert last == str(today - timedelta(days=1))
    head = written["displacement.csv"].splitlines()[0].split(",")
    assert max(head[6:]) < f"{today:%Y%m%d}"
    assert len(head) > 100


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_whole_hour_with_three_years_of_record(tmp_path: Path) -> None:
    def walk() -> None:
        first_hour_site(tmp_path, 3 * 365)
        called("ingest", "backfill", "--site", "my-slope")
        assert "my-slope.toe" in called("alerts", "list")
        assert "excess" in called("alerts", "explain", "my-slope.toe")
        called("train", "--site", "my-slope")
        watch(tmp_path)
        called("forecast", "--site", "my-slope", "--rain", "150mm/3d", "--level", "-0.6m/d")
        called("understand", "--site", "my-slope", "--out", "understanding")
        until = SystemClock().now().date() - timedelta(days=1)
        days = ("--from", f"{until - timedelta(days=20)}", "--to", f"{until}")
        called("hindcast", "--site", "my-slope", *days, "--out", "hindcast.html")

    in_folder(tmp_path, walk)
