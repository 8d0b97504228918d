"""Asks every 15 minutes what the satellites have seen: new passes, new displacement."""

from datetime import timedelta

from airflow.sdk import DAG
from slopewatch_calls import DEFAULT_ARGS, START, call_for_each, groups_of_sites, late_after

with DAG(
    "poll_acquisitions",
    description=__doc__,
    schedule=timedelta(minutes=15),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    deadline=late_after(1),
    tags=["slopewatch"],
):
    call_for_each(groups_of_sites(), "ask", "ingest", "news", "acquisitions")
