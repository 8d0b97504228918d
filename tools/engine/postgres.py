"""One PostgreSQL server of Debian's package: an ordinary user's, open to this machine alone."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.engine.process import HOST, EngineError, Server, listens

USER = "slopewatch"


def missing() -> str | None:
    """What this machine lacks to run a server; None when nothing."""
    return None if _programs() else "no PostgreSQL server on this machine (Debian: postgresql)"


class Postgres(Server):
    """A server with one superuser without password; databases are made as they are needed."""

    name = "postgres"
    asks_to_end = signal.SIGINT

    def __init__(self, folder: Path, port: int | None = None) -> None:
        super().__init__(folder, port)
        self.create_later = "slopewatch"

    @property
    def url(self) -> str:
        """The database `slopewatch`."""
        return self._url("slopewatch")

    def prepare(self) -> None:
        """Make the cluster."""
        data = self.folder / "data"
        if (data / "PG_VERSION").exists():
            return
        if os.getuid() == 0:
            _let_through(self.folder)
            shutil.chown(self.folder, _owner())
        self._run("initdb", "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale")

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
        return [
            *_as_owner(self.asks_to_end),
            _program("postgres"),
            "-D",
            str(self.folder / "data"),
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

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def create_database(self, name: str) -> str:
        """Make an empty database, if there is none of that name; its address."""
        command = [_program("createdb"), "-h", HOST, "-p", str(self.port), "-U", USER, name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and "already exists" not in done.stderr:
            raise EngineError(f"database {name} cannot be made: {done.stderr.strip()}")
        return self._url(name)

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


def _as_owner(dies_by: signal.Signals = signal.SIGTERM) -> list[str]:
    if os.getuid() != 0:
        return []
    group = pwd.getpwnam(_owner()).pw_gid
    who = [f"--reuid={_owner()}", f"--regid={group}", "--clear-groups"]
    return ["setpriv", *who, "--pdeathsig", dies_by.name]


def _let_through(folder: Path) -> None:
    """Let the owner of the server reach its folder through those of root."""
    for parent in folder.parents:
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o001)
