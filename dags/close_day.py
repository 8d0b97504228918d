"""Says to every site that the UTC day is over: the forecast is made and the rules decide."""

from airflow.sdk import DAG
from slopewatch_calls import DEFAULT_ARGS, START, call_for_each, groups_of_sites, late_after

with DAG(
    "close_day",
    description=__doc__,
    schedule="10 0 * * *",
    start_date=START,
    catchup=False,  # one run closes every day that is missing
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    deadline=late_after(2),
    tags=["slopewatch"],
):
    call_for_each(groups_of_sites(), "close", "ingest", "close-days")
