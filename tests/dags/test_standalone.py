"""All of Airflow on this machine: a poll that it schedules travels through Kafka to an alert."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, go_without
from tests.dags.conftest import FOREIGN
from tools.engine import airflow, groups
from tools.engine.airflow import Airflow
from tools.engine.services import Role, slopewatch
from tools.engine.world import World

PATIENCE_S = 600


class PollingAirflow(Airflow):
    """An Airflow that knows one DAG, so that nothing else can have asked."""

    def prepare(self) -> None:
        """Give it the DAG and the module of operators."""
        (self.folder / "dags").mkdir()
        for name in ("poll_acquisitions.py", "slopewatch_calls.py"):
            shutil.copy(ROOT / "dags" / name, self.folder / "dags")

    def environment(self) -> dict[str, str]:
        """Airflow's settings, with that folder."""
        return {**super().environment(), "AIRFLOW__CORE__DAGS_FOLDER": str(self.folder / "dags")}


@pytest.fixture
def environment(tmp_path: Path, kafka_url: str) -> Iterator[dict[str, str]]:
    """What leads to a log on Kafka, and to a world with a slope that fails in some weeks."""
    go_without(airflow.missing())
    with World(tmp_path / "world") as world:
        settings = {
            "data": str(tmp_path / "var"),
            "log": kafka_url,
            "topics": {"partitions": 2},
            **json.loads(world.outside.read_bytes()),
        }
        (tmp_path / "slopewatch.yaml").write_text(yaml.safe_dump(settings))
        ours = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        yield {**ours, **world.secrets, "SLOPEWATCH_CONFIG": str(tmp_path / "slopewatch.yaml")}


def posts(folder: Path) -> list[dict[str, Any]]:
    """What the webhook has been told so far."""
    files = sorted((folder / "world" / "webhook").glob("*.json"))
    return [json.loads(path.read_bytes())["message"] for path in files]


@pytest.mark.slow  # short forms: test_dag_runs, and tests/scenarios/test_engines.py
@pytest.mark.timeout(PATIENCE_S + 120)
def test_a_scheduled_poll_travels_through_kafka_to_an_alert(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    slopewatch(environment, "topics", "create")
    with ExitStack() as stack:
        for role in ("inference", "alerting"):
            stack.enter_context(Role(tmp_path / "services", role, "1", environment))
        whole = stack.enter_context(PollingAirflow(tmp_path / "airflow", environment))
        group = whole.pid
        deadline = time.monotonic() + PATIENCE_S
        while not (told := [p for p in posts(tmp_path) if p["site"] == "failing"]):
            assert time.monotonic() < deadline, whole.log.read_text(errors="replace")[-3000:]
            time.sleep(0.5)
        assert "run_id=scheduled__" in whole.log.read_text(errors="replace")
    assert told[0]["level"] != "blue"
    assert groups.members(group) == []
