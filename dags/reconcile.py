"""Compares each day the passes that were due with those found, processed and told of.

What is missing is asked for again.
"""

from airflow.sdk import DAG
from slopewatch_calls import DEFAULT_ARGS, START, call_for_each, groups_of_sites, late_after

with DAG(
    "reconcile",
    description=__doc__,
    schedule="30 8 * * *",
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    deadline=late_after(4),
    tags=["slopewatch"],
):
    call_for_each(groups_of_sites(), "compare", "reconcile")
