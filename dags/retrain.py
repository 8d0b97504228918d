"""Fits the forecast models of all sites anew each month; the last year says which may speak."""

from datetime import timedelta

from airflow.sdk import DAG
from slopewatch_calls import DEFAULT_ARGS, START, call_for_each, groups_of_sites, late_after

with DAG(
    "retrain",
    description=__doc__,
    schedule="0 2 1 * *",
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args={**DEFAULT_ARGS, "execution_timeout": timedelta(hours=6)},
    deadline=late_after(12),
    tags=["slopewatch"],
):
    call_for_each(groups_of_sites(), "fit", "train")
