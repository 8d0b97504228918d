"""The whole on this machine: a scheduled poll travels through Kafka to a mail."""

import os
import subprocess
import time

import pytest

from tests.conftest import go_without
from tools.engine import airflow, groups, pids
from tools.engine.__main__ import up
from tools.engine.process import EngineError
from tools.engine.whole import MARK, Whole

PATIENCE_S = 240


def by_commands(whole: Whole, *words: str) -> str:
    """What a person's shell is answered."""
    line = f'. "{whole.folder}/environment"; slopewatch {" ".join(words)}'
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    return done.stdout


def wait_for_mails(whole: Whole, count: int) -> list[str]:
    deadline = time.monotonic() + PATIENCE_S
    while len(mails := sorted((whole.folder / "world" / "mail").glob("*.eml"))) < count:
        assert time.monotonic() < deadline, f"{len(mails)} of {count} mails"
        time.sleep(0.5)
    return [mail.read_text() for mail in mails]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("engines")
def test_a_scheduled_poll_travels_through_kafka_to_an_alert(tmp_path, capsys, monkeypatch):
    go_without(airflow.missing())
    monkeypatch.setenv(MARK, "")  # so that it is taken back at the end
    said: list[str] = []
    whole = Whole(tmp_path / "engine", said.append)
    try:
        up(whole)
        parts = pids.read(whole.record)
        assert [part.name for part in parts if not part.runs] == []
        mails = wait_for_mails(whole, 2)
        assert any("Slope that fails" in mail for mail in mails)
        assert "level=" in by_commands(whole, "log", "tail", "alerts")
        assert "the ledger is whole" in by_commands(whole, "ledger", "verify")
        assert "0 dead letters" in by_commands(whole, "dead-letters", "list")
        assert "main slope:" in by_commands(whole, "report", "--site", "failing")

        up(whole)
        assert "it is up already" in capsys.readouterr().out
        assert [part.runs for part in parts] == [True] * len(parts)

        os.kill(next(part.pid for part in parts if part.name == "inference-1"), 9)
        while all(part.runs for part in parts):
            time.sleep(0.1)
        with pytest.raises(EngineError, match=r"have ended.*inference-1.*make down"):
            up(whole)
    finally:
        whole.down()
    assert [part.name for part in parts if groups.members(part.pid)] == []
    assert "inference-1: had ended before" in said
    assert not whole.record.exists()
    whole.down()
    assert said[-1] == "nothing is up"
