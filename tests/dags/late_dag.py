"""`python -m tests.dags.late_dag ID`: does what Airflow's triggerer does when a run is late."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from airflow.dag_processing.dagbag import BundleDagBag
from airflow.triggers.callback import CallbackTrigger

from tests.conftest import ROOT


async def told(callback: Any, dag_id: str) -> list[Any]:
    """What the callback reports; the context is the short one that deadlines are given."""
    context = {"dag_run": {"dag_id": dag_id}}
    trigger = CallbackTrigger(callback.path, {**callback.kwargs, "context": context})
    return [event.payload async for event in trigger.run()]


def main(dag_id: str) -> None:
    """Let the DAG be late; an error where its callback fails."""
    folder = ROOT / "dags"
    bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder")
    (deadline,) = bag.dags[dag_id].deadline
    last = asyncio.run(told(deadline.callback, dag_id))[-1]
    if last["state"] != "success":
        raise SystemExit(str(last["body"]))


if __name__ == "__main__":
    main(sys.argv[1])
