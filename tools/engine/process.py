"""Servers as child processes: on a free port of 127.0.0.1, waited for, ended by their own pid."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"
STOP_S = 30.0


class EngineError(Exception):
    """A server cannot be started; the message says what is missing or what it said last."""


class Server(ABC):
    """One server with its data in `folder`; a context manager. `port` None: any free one.

    It keeps port and data over `stop`, `kill` and `start`. On Linux it ends when the thread that
    started it ends, however that happens; `detached` it lives on, in a process group of its own.
    """

    name: str
    asks_to_end = signal.SIGTERM
    ends_as_group = False
    start_s = 90.0
    cwd = Path("/")

    def __init__(self, folder: Path, port: int | None = None, *, detached: bool = False) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.detached = detached
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process; an error where none was started."""
        if self._process is None:
            raise EngineError(f"{self.name} was not started")
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / f"{self.name}.log"

    @abstractmethod
    def prepare(self) -> None:
        """Make the data folder ready, once and again."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What is run."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it does its work."""

    def environment(self) -> dict[str, str]:
        """What it finds in its environment: ours."""
        return dict(os.environ)

    def start(self) -> None:
        """Start it and wait until it answers; `EngineError` with its last words if it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if listens(self.port):
            raise EngineError(f"{self.name} does not start: {self.address} is in use by another")
        self.prepare()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._dying_with_us(), *self.command()],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.cwd,
                env=self.environment(),
                start_new_session=self.detached or self.ends_as_group,
            )
        try:
            self._wait_for_answer(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ask it to end, and wait; one that does not is killed."""
        if self._process is not None and self.runs:
            self._process.send_signal(self.asks_to_end)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Let it stand still: connections stay, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait_for_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.start_s
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise EngineError(f"{self.name} does not start; it said last: {self._last_words()}")
            time.sleep(0.1)

    def _dying_with_us(self) -> list[str]:
        if self.detached or shutil.which("setpriv") is None:
            return []
        return ["setpriv", "--pdeathsig", self.asks_to_end.name]

    def _last_words(self) -> str:
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-8:])


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server((HOST, 0)) as held:
        return int(held.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False
