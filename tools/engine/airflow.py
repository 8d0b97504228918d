"""Airflow on this machine: `airflow standalone`, which is all of Airflow and a SQLite file."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.engine import groups
from tools.engine.process import Server, free_port, listens

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent


def missing() -> str | None:
    """What this machine lacks to run it; None when nothing."""
    lacking = importlib.util.find_spec("airflow") is None
    return "Airflow is not installed (the extra airflow)" if lacking else None


class Airflow(Server):
    """Scheduler, DAG processor, triggerer and API; `folder` is its home, `dags/` are its DAGs.

    Its tasks find the `slopewatch` of this installation and everything in `environment`.
    """

    name = "airflow"
    ends_as_group = True
    start_s = 240.0

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        port: int | None = None,
        *,
        detached: bool = False,
    ) -> None:
        super().__init__(folder, port, detached=detached)
        self._environment = environment
        self._log_ports = [free_port(), free_port()]

    @property
    def password_file(self) -> Path:
        """Where the password of the user `admin` is."""
        return self.folder / "simple_auth_manager_passwords.json.generated"

    def prepare(self) -> None:
        """Airflow makes its home by itself."""

    def command(self) -> Sequence[str]:
        """All of Airflow in one process group."""
        return [str(PROGRAMS / "airflow"), "standalone"]

    def environment(self) -> dict[str, str]:
        """Settings of Airflow: its own process group, this machine alone, no examples."""
        base = f"http://{self.address}"
        return {
            **self._environment,
            "PATH": f"{PROGRAMS}{os.pathsep}{self._environment.get('PATH', os.defpath)}",
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{base}/execution/",
            "AIRFLOW__API__BASE_URL": base,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self._log_ports[0]),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self._log_ports[1]),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    def stop(self) -> None:
        """Ask all of its processes to end, and wait; what does not is killed."""
        if self.runs:
            groups.end(self.pid, self.asks_to_end, everyone=True)
        super().stop()

    def answers(self) -> bool:
        """Whether scheduler and DAG processor say that they are well."""
        if not listens(self.port):
            return False
        try:
            with urllib.request.urlopen(
                f"http://{self.address}/api/v2/monitor/health", timeout=10
            ) as answer:
                health = json.load(answer)
        except (urllib.error.URLError, TimeoutError, ValueError):
            return False
        return all(health[part]["status"] == "healthy" for part in ("scheduler", "dag_processor"))
