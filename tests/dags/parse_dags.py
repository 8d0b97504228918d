"""`python -m tests.dags.parse_dags`: what Airflow finds in `dags/`, as a line of JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow.dag_processing.dagbag import BundleDagBag

from tests.conftest import ROOT

FIELDS = ("bash_command", "cmds", "arguments", "image", "namespace", "do_xcom_push")


def described(task: Any) -> dict[str, Any]:
    """A task, mapped or not, as it was written."""
    mapped = hasattr(task, "partial_kwargs")
    given = task.partial_kwargs if mapped else vars(task)
    return {
        "id": task.task_id,
        "kind": (task.operator_class if mapped else type(task)).__name__,
        "mapped": mapped,
        "retries": task.retries,
        "timeout_s": task.execution_timeout.total_seconds(),
        "pool": task.pool,
        "secrets": [source.secret_ref.name for source in given.get("env_from") or ()],
        **{name: given[name] for name in FIELDS if name in given},
    }


def main() -> None:
    """Parse, then print."""
    folder = ROOT / "dags"
    bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder")
    dags = {
        name: {
            "max_active_runs": dag.max_active_runs,
            "catchup": dag.catchup,
            "schedule": None if dag.schedule is None else str(dag.schedule),
            "deadlines": [
                {"hours": d.interval.total_seconds() / 3600, "callback": vars(d.callback)}
                for d in dag.deadline
            ],
            "tasks": [described(task) for task in dag.tasks],
        }
        for name, dag in bag.dags.items()
    }
    told = {
        "errors": {name.rpartition("/")[2]: text for name, text in bag.import_errors.items()},
        "dags": dags,
        "seconds": {s.file: s.duration.total_seconds() for s in bag.dagbag_stats},
        "loaded": sorted({name.partition(".")[0] for name in sys.modules}),
    }
    print(json.dumps(told, default=str))


if __name__ == "__main__":
    main()
