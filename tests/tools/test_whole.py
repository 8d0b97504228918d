"""The whole on this machine: a scheduled poll travels through Kafka to a mail."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import go_without
from tools.engine import airflow, groups, pids

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240


def said_to_a_shell(folder: Path, *words: str) -> str:
    """What a person is told who follows the advice of `make up`."""
    line = f'. "{folder}/environment"; slopewatch {" ".join(words)}'
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    return done.stdout


def wait_for_mails(folder: Path, count: int) -> list[str]:
    deadline = time.monotonic() + PATIENCE_S
    while len(mails := sorted((folder / "world" / "mail").glob("*.eml"))) < count:
        assert time.monotonic() < deadline, f"{len(mails)} of {count} mails"
        time.sleep(0.5)
    return [mail.read_text() for mail in mails]


def engine(folder: Path, task: str) -> subprocess.CompletedProcess[str]:
    """`make up` or `make down`, in another folder."""
    command = [sys.executable, "-m", "tools.engine", task, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("engines")
def test_a_scheduled_poll_travels_through_kafka_to_an_alert(tmp_path):
    go_without(airflow.missing())
    folder = tmp_path / "engine"
    try:
        first = engine(folder, "up")
        assert first.returncode == 0, first.stderr
        parts = pids.read(folder / "pids.json")
        assert [part.name for part in parts if not part.runs] == []
        mails = wait_for_mails(folder, 2)
        assert sum("Slope that fails" in mail for mail in mails) == 1
        assert "level=" in said_to_a_shell(folder, "log", "tail", "alerts")
        assert "the ledger is whole" in said_to_a_shell(folder, "ledger", "verify")
        assert "0 dead letters" in said_to_a_shell(folder, "dead-letters", "list")
        assert "schema 1 already" in said_to_a_shell(folder, "projection", "upgrade")
        assert "main slope:" in said_to_a_shell(folder, "report", "--site", "failing")

        second = engine(folder, "up")
        assert "it is up already" in second.stdout
        assert [part.name for part in parts if not part.runs] == []

        os.kill(next(part.pid for part in parts if part.name == "inference-1"), 9)
        third = engine(folder, "up")
        assert third.returncode == 1
        assert "these have ended, see their logs: inference-1; `make down`" in third.stderr
    finally:
        last = engine(folder, "down")
    assert [part.name for part in parts if groups.members(part.pid)] == []
    assert "inference-1: had ended before" in last.stdout
    assert "nothing is up" in engine(folder, "down").stdout
