"""Airflow for tests: a home of its own with a database, made once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT, go_without
from tools.engine import airflow

FOREIGN = ("AIRFLOW", "SLOPEWATCH_")


@pytest.fixture(scope="session")
def airflow_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a process that uses Airflow; nothing of an Airflow that is in use here."""
    go_without(airflow.missing())
    ours = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    environment = {
        **ours,
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=environment,
        check=True,
        capture_output=True,
    )
    return environment
