"""The services of slopewatch as processes, and the commands that make their stores ready."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.engine.process import EngineError, Server, listens

ROOT = Path(__file__).parents[2]
CLI = (sys.executable, "-m", "services.cli")


class Role(Server):
    """`slopewatch run ROLE --member M` with the settings that `environment` names."""

    cwd = ROOT

    def __init__(
        self,
        folder: Path,
        role: str,
        member: str,
        environment: Mapping[str, str],
        *,
        detached: bool = False,
    ) -> None:
        super().__init__(folder, detached=detached)
        self.name = f"{role}-{member}"
        self._role = role
        self._member = member
        self._environment = environment

    def prepare(self) -> None:
        """Nothing."""

    def command(self) -> Sequence[str]:
        """The service."""
        return [*CLI, "run", self._role, "--member", self._member]

    def environment(self) -> dict[str, str]:
        """Settings, and the port of its own metrics."""
        return {**self._environment, "SLOPEWATCH_METRICS_PORT": str(self.port)}

    def answers(self) -> bool:
        """Whether it says that it is ready."""
        if not listens(self.port):
            return False
        try:
            urllib.request.urlopen(f"http://{self.address}/readyz", timeout=10).close()
        except (urllib.error.URLError, TimeoutError):
            return False
        return True


class Watchdog(Role):
    """The watchdog: it is up when it holds its lock, whether or not it is seen watching."""

    def __init__(
        self, folder: Path, data: Path, environment: Mapping[str, str], *, detached: bool = False
    ) -> None:
        super().__init__(folder, "watchdog", "1", environment, detached=detached)
        self.name = "watchdog"
        self._data = data

    @property
    def address(self) -> str:
        """It has none."""
        return ""

    def answers(self) -> bool:
        """Whether it took its lock."""
        return (self._data / "heartbeat" / "watchdog.lock").exists()


def slopewatch(environment: Mapping[str, str], *words: str) -> str:
    """Run a command to its end; what it printed. `EngineError` with its words if it failed."""
    done = subprocess.run(
        [*CLI, *words], cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EngineError(f"slopewatch {' '.join(words)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
