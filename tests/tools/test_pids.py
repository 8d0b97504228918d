"""What was started is recognised by more than its number, and ended with its whole group."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import msgspec
import pytest

from tools.engine import groups, pids

FAMILY = (
    "import subprocess, sys, time;"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print('born', flush=True); time.sleep(60)"
)


@contextmanager
def family():
    """A process that leads a group and has a child, with its record."""
    command = [sys.executable, "-c", FAMILY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout is not None
        leader.stdout.readline()
        record = pids.Started(
            name="part",
            address="",
            pid=leader.pid,
            born=groups.born(leader.pid) or 0,
            log="",
            asks_to_end=signal.SIGTERM,
            ends_as_group=True,
        )
        try:
            yield leader, record
        finally:
            for pid in groups.members(leader.pid):
                subprocess.run(["kill", "-9", str(pid)], check=False)


def test_a_part_ends_with_its_children():
    with family() as (leader, record):
        assert record.runs
        assert len(groups.members(leader.pid)) == 2
        assert record.end() == "ended"
        assert not record.runs
        assert groups.members(leader.pid) == []


def test_children_of_a_dead_part_are_ended():
    with family() as (leader, record):
        leader.kill()
        leader.wait()
        assert not record.runs
        assert record.end() == "had ended before, its children are ended now"
        assert groups.members(leader.pid) == []


def test_what_has_ended_is_no_trouble():
    with family() as (leader, record):
        groups.end(leader.pid, signal.SIGKILL, everyone=True)
        leader.wait()
        assert record.end() == "had ended before"


def test_a_later_process_of_the_same_number_is_left_alone():
    with family() as (leader, record):
        other = msgspec.structs.replace(record, born=record.born - 1)
        assert not other.runs
        assert other.end() == "had ended before"
        assert len(groups.members(leader.pid)) == 2


def test_a_process_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(groups, "STOP_S", 0.3)
    code = "import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True);"
    code += "signal.pause()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        assert not groups.end(deaf.pid, signal.SIGTERM, everyone=False)
        assert deaf.wait(10) == -signal.SIGKILL


def test_what_left_its_group_is_found_by_its_mark(tmp_path):
    command = ["sleep", "60"]
    marked = subprocess.Popen(command, env={"MARK": str(tmp_path)}, start_new_session=True)
    other = subprocess.Popen(command, env={"MARK": f"{tmp_path}2"}, start_new_session=True)
    try:
        while not groups.kill_marked("MARK", str(tmp_path)):
            time.sleep(0.02)  # until it has become `sleep`
        assert marked.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (marked, other):
            process.kill()
            process.wait()


def test_the_record_comes_back_in_order(tmp_path):
    path = tmp_path / "pids.json"
    assert pids.read(path) == []
    with family() as (_, record):
        parts = [record, msgspec.structs.replace(record, name="second")]
        pids.write(path, parts)
        assert pids.read(path) == parts


@pytest.mark.parametrize("pid", [0, 2**22 + 1])
def test_what_never_was_does_not_run(pid):
    assert groups.born(pid) is None
    assert groups.members(2**22 + 1) == []
