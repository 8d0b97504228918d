"""One PostgreSQL server of Debian's package: an ordinary user's, open to this machine alone."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tools.engine.process import HOST, STOP_S, EngineError, Server, listens

USER = "slopewatch"


def missing() -> str | None:
    """What this machine lacks to run a server; None when nothing."""
    return None if _programs() else "no PostgreSQL server on this machine (Debian: postgresql)"


class Postgres(Server):
    """A server with one superuser without password; databases are made as they are needed.

    Run by root it serves as an ordinary user, whom root's folders are closed to: `data` is then a
    link to a temporary folder. A context manager removes the data at its end.
    """

    name = "postgres"
    asks_to_end = signal.SIGINT

    def __init__(self, folder: Path, port: int | None = None, *, detached: bool = False) -> None:
        super().__init__(folder, port, detached=detached)
        self.create_later = "slopewatch"

    @property
    def url(self) -> str:
        """The database `slopewatch`."""
        return self._url("slopewatch")

    def prepare(self) -> None:
        """Make the cluster."""
        if not self._data.exists():
            self._data.unlink(missing_ok=True)
            if os.getuid() == 0:
                home = tempfile.mkdtemp(prefix="slopewatch-postgres-")
                shutil.chown(home, _owner())
                self._data.symlink_to(home)
        if not (self._data / "PG_VERSION").exists():
            where = str(self._data.resolve())
            self._run("initdb", "-D", where, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale")

    def command(self) -> Sequence[str]:
        """The server: no socket files, little memory."""
        options = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": "",
            "shared_buffers": "32MB",
            "max_connections": 60,
        }
        settings = [f"--{name}={value}" for name, value in options.items()]
        dies_by = None if self.detached else self.asks_to_end
        return [
            *_as_owner(dies_by),
            _program("postgres"),
            "-D",
            str(self._data.resolve()),
            *settings,
        ]

    def answers(self) -> bool:
        """Whether it lets one in."""
        if not listens(self.port):
            return False
        check = [_program("pg_isready"), "-q", "-h", HOST, "-p", str(self.port)]
        return subprocess.run(check, check=False).returncode == 0

    def start(self) -> None:
        """Start it; the database `slopewatch` is there afterwards."""
        super().start()
        if self.create_later:
            self.create_database(self.create_later)
            self.create_later = ""

    def kill(self) -> None:
        """End the server at once; its children end by themselves, which is waited for."""
        children = _children(self.pid) if self.runs else []
        super().kill()
        deadline = time.monotonic() + STOP_S
        while any(Path(f"/proc/{child}").exists() for child in children):
            if time.monotonic() > deadline:
                raise EngineError(f"{self.name}: processes of the killed server do not end")
            time.sleep(0.02)

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def forget(self) -> None:
        """Remove the data of a server that was stopped."""
        if self._data.exists():
            shutil.rmtree(self._data.resolve())
        if self._data.is_symlink():
            self._data.unlink()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.forget()

    def create_database(self, name: str) -> str:
        """Make an empty database, if there is none of that name; its address."""
        command = [_program("createdb"), "-h", HOST, "-p", str(self.port), "-U", USER, name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and "already exists" not in done.stderr:
            raise EngineError(f"database {name} cannot be made: {done.stderr.strip()}")
        return self._url(name)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}@{self.address}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [*_as_owner(), _program(program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
        if done.returncode:
            raise EngineError(f"{program} failed: {done.stderr.strip()[-500:]}")


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def _program(name: str) -> str:
    programs = _programs()
    if programs is None:
        raise EngineError(str(missing()))
    return str(programs / name)


def _owner() -> str:
    """An ordinary user: PostgreSQL refuses to run as root."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _as_owner(dies_by: signal.Signals | None = signal.SIGTERM) -> list[str]:
    if os.getuid() != 0:
        return []
    group = pwd.getpwnam(_owner()).pw_gid
    who = [f"--reuid={_owner()}", f"--regid={group}", "--clear-groups"]
    # A change of user takes the tie to our life away: it is made anew.
    return ["setpriv", *who, *(["--pdeathsig", dies_by.name] if dies_by else [])]


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []
