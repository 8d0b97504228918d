"""How every DAG calls slopewatch: its command line, by the operator that a setting names.

Settings are those of Airflow, in the section `slopewatch` (`AIRFLOW__SLOPEWATCH__OPERATOR=...`):
`operator` (bash, or kubernetes for a pod a task), `command` (how the shell finds slopewatch),
`pool` (of all tasks), `image`, `namespace` and `secret` (of the pods; the secret's keys are their
environment), `deadline_mail` (who is told, through Airflow's own mail connection, that a run is
late). All of them are explained in `dags/README.md`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference
from airflow.sdk.configuration import conf

START = datetime(2024, 1, 1)
PODS_ANSWER = "/airflow/xcom/return.json"
DEFAULT_ARGS = {
    "retries": 3,
    "retry_delay": timedelta(minutes=2),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=20),
    "execution_timeout": timedelta(minutes=30),
}


def setting(name: str, default: str) -> str:
    """A setting of the section `slopewatch`."""
    return str(conf.get("slopewatch", name, fallback=default))


def late_after(hours: float) -> DeadlineAlert:
    """Tell somebody when a run has not ended `hours` after it was queued."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=hours),
        callback=AsyncCallback(
            "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
            kwargs={
                "to": setting("deadline_mail", "operations@localhost"),
                "subject": f"slopewatch: {{{{ dag_run.dag_id }}}} has not ended after {hours:g} h",
                "html_content": "Slopes may not be watched. See its log in Airflow.",
            },
        ),
    )


def call(task_id: str, *words: str, env: dict[str, str] | None = None) -> Any:
    """One task that runs `slopewatch WORDS`; `env` values are templates, in WORDS as $NAME."""
    kind, fixed = _operator(task_id, words)
    return kind(**fixed, **({_ENV[setting("operator", "bash")]: env} if env else {}))


def groups_of_sites() -> Any:
    """One task whose answer is the watched sites, in groups of at most 50."""
    kind, fixed = _operator("groups", ("ingest", "groups"), answer=True)
    return kind(**fixed).output


def call_for_each(groups: Any, task_id: str, *words: str) -> Any:
    """One task a group that runs `slopewatch WORDS --sites a,b,c`."""
    kind, fixed = _operator(task_id, (*words, "--sites", "$SITES"))
    env = {_ENV[setting("operator", "bash")]: groups.map(_sites)}
    return kind.partial(**fixed).expand(**env)


_ENV = {"bash": "env", "kubernetes": "env_vars"}


def _sites(names: list[str]) -> dict[str, str]:
    return {"SITES": ",".join(names)}


def _operator(task_id: str, words: Sequence[str], *, answer: bool = False) -> tuple[Any, Any]:
    """The class of the operator, and all of its arguments but the environment."""
    quoted = [f'"{word}"' if word.startswith("$") else shlex.quote(word) for word in words]
    line = " ".join([setting("command", "slopewatch"), *quoted])
    fixed = {"task_id": task_id, "pool": setting("pool", "default_pool"), "do_xcom_push": answer}
    name = setting("operator", "bash")
    if name == "bash":
        from airflow.providers.standard.operators.bash import BashOperator

        output = {"output_processor": json.loads} if answer else {}
        return BashOperator, {**fixed, **output, "bash_command": line, "append_env": True}
    if name == "kubernetes":
        return _pod(fixed, f"{line} > {PODS_ANSWER}" if answer else line)
    raise ValueError(f"slopewatch.operator = {name!r}: choose bash or kubernetes")


def _pod(fixed: dict[str, Any], line: str) -> tuple[Any, Any]:
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    from kubernetes.client import V1EnvFromSource, V1SecretEnvSource

    secret = V1SecretEnvSource(name=setting("secret", "slopewatch"))
    return KubernetesPodOperator, {
        **fixed,
        "name": f"slopewatch-{fixed['task_id'].replace('_', '-')}",
        "image": setting("image", "slopewatch"),
        "namespace": setting("namespace", "slopewatch"),
        "cmds": ["/bin/sh", "-c"],
        "arguments": [line],
        "env_from": [V1EnvFromSource(secret_ref=secret)],
    }
