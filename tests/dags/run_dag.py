"""Runs DAGs with `dag.test()`, one after the other, in a process that has imported Airflow once.

`python -m tests.dags.run_dag` reads an object a line, `{"dag": ID, "conf": {...}}`, and answers
each with what became of the run and of its tasks. All else goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from airflow.dag_processing.dagbag import BundleDagBag

from tests.conftest import ROOT


def run(dag: Any, conf: Mapping[str, str]) -> dict[str, Any]:
    """One run of a DAG; a task that fails is not tried again, a test shall see it at once."""
    # In Airflow 3.3.2 `dag.test()` of a DAG with a deadline breaks off when all tasks are through:
    # https://github.com/apache/airflow/issues/73428
    dag.deadline = None
    for task in dag.tasks:
        if not hasattr(task, "partial_kwargs"):
            task.retries = 0
        else:
            task.partial_kwargs["retries"] = 0
    made = dag.test(run_conf=dict(conf))
    tasks = {f"{t.task_id}/{t.map_index}": str(t.state) for t in made.get_task_instances()}
    return {"state": str(made.state), "tasks": tasks}


def main() -> None:
    """Answer until the input ends."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        folder = ROOT / "dags"
        bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder")
        for line in sys.stdin:
            asked = json.loads(line)
            answer = run(bag.dags[asked["dag"]], asked["conf"])
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
