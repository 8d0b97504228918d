"""Inference on Kafka, catching up: events a second through the real stage and its commits.

Rain, level and a closed day daily, a pass and an epoch in 12 days, which is their real
proportion; all of them wait on the log, and batches are as they are polled. Kafka is the log;
state, artifacts and notes are files. The goal is 2,000 events a second for a site of 5,000
points. There is no peer: nothing else does the same.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter

from benchmarks import site
from benchmarks.broker import running_broker, versions
from benchmarks.frame import Stopwatch, Table, rate
from core.artifacts import FileArtifacts
from core.eventlog._kafka_consumer import KafkaLogConsumer
from core.events import Event
from core.outlet import Outlet
from services.compose import Slopewatch
from services.inference.service import InferenceStage
from services.inference.store import InferenceStore

GOAL = 2000
COMMIT = "state: commits"


def run(quick: bool) -> list[Table]:
    """Fill the log, then let inference read it."""
    points, days = (200, 60) if quick else (5000, 2192)
    with running_broker() as address, tempfile.TemporaryDirectory() as folder:
        log = f"kafka://{address}/bench"
        with site.open_site(Path(folder), ("inference",), log=log) as app:
            app.settle()
            history = site.History(points, app.artifacts)
            events = [event for number in range(days) for event in history.day(number)]
            site.append(app, days - 1, events)
            return [_measure(app, events, f"{points:,} points, {days:,} days")]


def _measure(app: Slopewatch, events: list[Event], title: str) -> Table:
    watch = Stopwatch()
    parts = [
        (KafkaLogConsumer, "poll", "log: polls"),
        (InferenceStage, "handle", "handler"),
        (FileArtifacts, "put", "artifacts: put"),
        (FileArtifacts, "get", "artifacts: get"),
        (Outlet, "send", "outcomes: sent"),
        (Outlet, "settle", "outcomes: waited for"),
        (InferenceStore, "commit", COMMIT),
    ]
    with watch.on(parts):
        begin = perf_counter()
        read = app.settle()
        whole = perf_counter() - begin
    site.check_parked(app)
    if read != len(events):
        raise RuntimeError(f"{read} records were read and {len(events)} appended")
    commits = watch.calls[COMMIT]
    taken = sorted(watch.seconds.items(), key=lambda part: -part[1])
    rows = [(name, f"{watch.calls[name]:,}", f"{s:.2f}", f"{s / whole:.0%}") for name, s in taken]
    rows.append(("whole", f"{len(events):,} events", f"{whole:.2f}", "100%"))
    speed = rate(len(events), whole)
    notes = (
        f"{speed} events a second, {len(events) / commits:,.0f} events a commit; the goal is "
        f"{GOAL:,} a second with 5,000 points.",
        versions(),
    )
    return Table(title, ("part", "calls", "seconds", "share"), tuple(rows), notes)
