"""Takes the history of one site in, as it would have become known; started by a person."""

from datetime import timedelta

from airflow.sdk import DAG, Param
from slopewatch_calls import DEFAULT_ARGS, START, call, late_after

DAY = {"type": "string", "format": "date"}

with DAG(
    "backfill",
    description=__doc__,
    schedule=None,
    start_date=START,
    max_active_runs=1,
    default_args={**DEFAULT_ARGS, "execution_timeout": timedelta(hours=6)},
    deadline=late_after(12),
    params={
        "site": Param(type="string", pattern=r"^[A-Za-z0-9_-]{1,64}$"),
        "since": Param(**DAY),
        "until": Param(**DAY),
    },
    tags=["slopewatch"],
):
    call(
        "take_in",
        *("ingest", "backfill", "--append", "--site", "$SITE"),
        *("--since", "$SINCE", "--until", "$UNTIL"),
        env={name.upper(): f"{{{{ params.{name} }}}}" for name in ("site", "since", "until")},
    )
