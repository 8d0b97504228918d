"""Asks every morning how high reservoirs and rivers stood the days before."""

from airflow.sdk import DAG
from slopewatch_calls import DEFAULT_ARGS, START, call_for_each, groups_of_sites, late_after

with DAG(
    "poll_level",
    description=__doc__,
    schedule="40 5 * * *",
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    deadline=late_after(4),
    tags=["slopewatch"],
):
    call_for_each(groups_of_sites(), "ask", "ingest", "news", "level")
