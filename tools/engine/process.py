"""Servers as child processes: on a free port of 127.0.0.1, waited for, ended by their own pid."""

from __future__ import annotations

import os
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
START_S = 90.0
STOP_S = 30.0


class EngineError(Exception):
    """A server cannot be started; the message says what is missing or what it said last."""


class Server(ABC):
    """One server with its data in `folder`; a context manager. `port` None: any free one.

    It keeps port and data over `stop`, `kill` and `start`. It dies with the process that made it.
    """

    name: str
    asks_to_end = signal.SIGTERM

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
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

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", self.asks_to_end.name, *self.command()],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd="/",
            )
        deadline = time.monotonic() + START_S
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise EngineError(f"{self.name} does not start; it said last: {self._last_words()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ask it to end, and wait; one that does not is killed."""
        if self._process is not None and self._process.poll() is None:
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
