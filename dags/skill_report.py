"""Compares each day the issued forecasts with the epochs that arrived since."""

from airflow.sdk import DAG
from slopewatch_calls import DEFAULT_ARGS, START, call_for_each, groups_of_sites, late_after

with DAG(
    "skill_report",
    description=__doc__,
    schedule="0 9 * * *",
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    deadline=late_after(4),
    tags=["slopewatch"],
):
    call_for_each(groups_of_sites(), "report", "skill")
