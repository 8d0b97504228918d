"""Where a reader of docs/first-hour.md stands, made quickly, and what is done there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import typer.testing
import yaml

from core.clock import SystemClock
from services import cli
from tests.docs.shell_blocks import ROOT, blocks
from tools import practice

LONGEST_S = 120
MAY_FIND_FAULT = ("doctor", "alerts contacts", "reconcile")
"""Commands that end with 1 because of what they found: here no mail server, nobody reached yet."""


def first_hour_site(folder: Path, history_d: int) -> None:
    """What docs/first-hour.md makes: practice data, a new site, its YAML block filled in."""
    today = SystemClock().now().date()
    practice.write(folder / "data", today)
    called("site", "new", "my-slope", "--from", "data/outline.geojson", "--offline")
    path = folder / "sites" / "my-slope.yaml"
    tree = yaml.safe_load(path.read_text())
    page = (ROOT / "docs" / "first-hour.md").read_text(encoding="utf-8")
    for block in blocks(page, {"yaml"}):
        tree |= yaml.safe_load(block)
    tree["history_from"] = today - timedelta(days=history_d)
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")


def called(*arguments: str) -> str:
    """Output of `slopewatch` in this process; it must end well."""
    result = typer.testing.CliRunner().invoke(cli.app, list(arguments))
    allowed = {0, 1} if " ".join(arguments).startswith(MAY_FIND_FAULT) else {0}
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"slopewatch {' '.join(arguments)}: {result.exception}")
    assert result.exit_code in allowed, f"slopewatch {' '.join(arguments)}: {result.output}"
    return result.output


def in_folder(folder: Path, work: Callable[[], None]) -> None:
    """`work` done where a reader stands: in the folder, with the variables of the first hour."""
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SLOPEWATCH_")]:
            patch.delenv(name)
        patch.setenv("DUTY_MAIL", "duty@example.org")
        try:
            os.chdir(folder)
            work()
        finally:
            os.chdir(before)


def watch(folder: Path) -> None:
    """`slopewatch run` until its page answers, then Ctrl-C."""
    environment = {**os.environ, "SLOPEWATCH_METRICS_PORT": "0", "PYTHONPATH": str(ROOT)}
    environment["SLOPEWATCH_SMTP__PORT"] = "1"
    with (folder / "said").open("w+", encoding="utf-8") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "run", "--site", "my-slope"],
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            page = _page(folder / "said", process)
            assert "my-slope" in page or "Practice slope" in page
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=2 * LONGEST_S)  # it ends the step that it is in
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def _page(said: Path, process: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + LONGEST_S
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+", said.read_text(encoding="utf-8"))
        if found:
            with urllib.request.urlopen(found[0], timeout=30) as answer:
                return str(answer.read().decode())
        time.sleep(0.2)
    raise AssertionError(f"no page: {said.read_text(encoding='utf-8')[-2000:]}")
