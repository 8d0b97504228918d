"""Process groups as Linux shows them under /proc: who is alive in one, and how one is ended."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from tools.engine.process import STOP_S


def born(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None for none, and for a dead one's rest."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] != "Z" else None


def members(group: int) -> list[int]:
    """The living processes of a group."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(entry.name))
        if fields and fields[0] != "Z" and int(fields[2]) == group:
            found.append(int(entry.name))
    return found


def end(group: int, number: int, *, everyone: bool) -> bool:
    """Send a signal to the leader, or to everyone; False where some had to be killed at last."""
    for pid in members(group) if everyone else [group]:
        _send(pid, number)
    deadline = time.monotonic() + STOP_S
    while left := members(group):
        if time.monotonic() > deadline:
            for pid in left:
                _send(pid, signal.SIGKILL)
            return False
        time.sleep(0.1)
    return True


def kill_marked(name: str, value: str) -> int:
    """Kill every process whose environment began with `name` as `value`; how many there were."""
    mark, found = f"{name}={value}".encode(), 0
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                _send(int(entry.name), signal.SIGKILL)
                found += 1
    return found


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the name; none where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
