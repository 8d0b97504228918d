"""The DAGs as Airflow reads them: short, thin, bounded, and one command line for every operator."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.demo.sinks import HOST, SmtpSink
from tests.conftest import ROOT

pytestmark = pytest.mark.xdist_group("airflow")

MOST_LINES = 60
OPERATOR_MODULE = "slopewatch_calls.py"
"""Makes the operators of all DAGs and holds none, so that each of them is short."""

SITES = '--sites "$SITES"'
GROUPS = "ingest groups"
COMMANDS = {
    "backfill": {
        "take_in": 'ingest backfill --append --site "$SITE" --since "$SINCE" --until "$UNTIL"'
    },
    "close_day": {"groups": GROUPS, "close": f"ingest close-days {SITES}"},
    "poll_acquisitions": {"groups": GROUPS, "ask": f"ingest news acquisitions {SITES}"},
    "poll_level": {"groups": GROUPS, "ask": f"ingest news level {SITES}"},
    "poll_rainfall": {"groups": GROUPS, "ask": f"ingest news rainfall {SITES}"},
    "reconcile": {"groups": GROUPS, "compare": f"reconcile {SITES}"},
    "retrain": {"groups": GROUPS, "fit": f"train {SITES}"},
    "skill_report": {"groups": GROUPS, "report": f"skill {SITES}"},
}
SCHEDULES = {
    "backfill": None,
    "close_day": "10 0 * * *",
    "poll_acquisitions": "0:15:00",
    "poll_level": "40 5 * * *",
    "poll_rainfall": "20 5 * * *",
    "reconcile": "30 8 * * *",
    "retrain": "0 2 1 * *",
    "skill_report": "0 9 * * *",
}


def parsed(environment: dict[str, str], **settings: str) -> dict[str, Any]:
    """What Airflow finds with these settings of the section `slopewatch`."""
    ours = {f"AIRFLOW__SLOPEWATCH__{name.upper()}": value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "tests.dags.parse_dags"],
        cwd=ROOT,
        env={**environment, **ours},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def tasks_of(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, task) for name, dag in found["dags"].items() for task in dag["tasks"]]


@pytest.fixture(scope="module")
def by_bash(airflow_environment: dict[str, str]) -> dict[str, Any]:
    settings = {"pool": "outside", "command": "/opt/slopewatch", "deadline_mail": "ops@example.org"}
    return parsed(airflow_environment, **settings)


@pytest.fixture(scope="module")
def by_pods(airflow_environment: dict[str, str]) -> dict[str, Any]:
    settings = {
        "operator": "kubernetes",
        "pool": "outside",
        "image": "registry.example.org/slopewatch:7",
        "namespace": "slopes",
        "secret": "slopes-environment",
    }
    return parsed(airflow_environment, **settings)


def test_all_eight_are_found_without_an_error(by_bash: dict[str, Any]) -> None:
    assert by_bash["errors"] == {}
    schedules = {name: dag["schedule"] for name, dag in by_bash["dags"].items()}
    assert schedules == SCHEDULES


def test_each_file_is_short() -> None:
    files = {path.name: path for path in (ROOT / "dags").glob("*.py")}
    del files[OPERATOR_MODULE]
    assert set(files) == {f"{name}.py" for name in COMMANDS}
    lines = {name: len(path.read_text().splitlines()) for name, path in files.items()}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}


def test_parsing_loads_nothing_of_slopewatch_and_no_array(by_bash: dict[str, Any]) -> None:
    for file, seconds in by_bash["seconds"].items():
        print(f"{file} parsed in {1000 * seconds:.1f} ms")
    print(f"all of dags/ parsed in {1000 * sum(by_bash['seconds'].values()):.1f} ms")
    assert not {"torch", "services", "core", "numpy", "kubernetes"} & set(by_bash["loaded"])


def test_each_dag_runs_alone_is_late_some_time_and_catches_nothing_up(
    by_bash: dict[str, Any],
) -> None:
    for dag in by_bash["dags"].values():
        assert dag["max_active_runs"] == 1
        assert dag["catchup"] is False
        (deadline,) = dag["deadlines"]
        assert 1 <= deadline["hours"] <= 12
        assert deadline["callback"]["kwargs"]["to"] == "ops@example.org"


def test_each_task_is_bounded_tried_again_and_in_the_pool(by_bash: dict[str, Any]) -> None:
    for name, task in tasks_of(by_bash):
        deadline = by_bash["dags"][name]["deadlines"][0]["hours"] * 3600
        assert task["retries"] == 3
        assert 0 < task["timeout_s"] < deadline
        assert task["pool"] == "outside"


def test_bash_runs_the_command_line(by_bash: dict[str, Any]) -> None:
    commands: dict[str, dict[str, str]] = {name: {} for name in by_bash["dags"]}
    for name, task in tasks_of(by_bash):
        assert task["kind"] == "BashOperator"
        assert task["mapped"] == (SITES in task["bash_command"])
        commands[name][task["id"]] = task["bash_command"].removeprefix("/opt/slopewatch ")
    assert commands == COMMANDS


def test_pods_run_the_same_command_line(by_pods: dict[str, Any]) -> None:
    assert by_pods["errors"] == {}
    commands: dict[str, dict[str, str]] = {name: {} for name in by_pods["dags"]}
    for name, task in tasks_of(by_pods):
        assert task["kind"] == "KubernetesPodOperator"
        assert task["image"] == "registry.example.org/slopewatch:7"
        assert task["namespace"] == "slopes"
        assert task["secrets"] == ["slopes-environment"]
        assert task["pool"] == "outside"
        assert task["cmds"] == ["/bin/sh", "-c"]
        (line,) = task["arguments"]
        answered = line.removesuffix(" > /airflow/xcom/return.json")
        assert (answered != line) == task["do_xcom_push"] == (task["id"] == "groups")
        commands[name][task["id"]] = answered.removeprefix("slopewatch ")
    assert commands == COMMANDS


def test_an_unknown_operator_is_one_sentence(airflow_environment: dict[str, str]) -> None:
    found = parsed(airflow_environment, operator="carrier-pigeon")
    assert found["dags"] == {}
    assert set(found["errors"]) == {f"{name}.py" for name in COMMANDS}
    for text in found["errors"].values():
        said = "slopewatch.operator = 'carrier-pigeon': choose bash or kubernetes"
        assert text.splitlines()[-1] == f"ValueError: {said}"


def test_who_is_named_is_told_by_mail_that_a_run_is_late(
    airflow_environment: dict[str, str], tmp_path: Path
) -> None:
    with SmtpSink(tmp_path) as sink:
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.org"}
        connection = {"conn_type": "smtp", "host": HOST, "port": sink.port, "extra": extra}
        ours = {
            "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(connection),
            "AIRFLOW__SLOPEWATCH__DEADLINE_MAIL": "ops@example.org",
        }
        done = subprocess.run(
            [sys.executable, "-m", "tests.dags.late_dag", "close_day"],
            cwd=ROOT,
            env={**airflow_environment, **ours},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        (mail,) = sink.messages()
    assert mail["To"] == "ops@example.org"
    assert mail["Subject"] == "slopewatch: close_day has not ended after 2 h"
