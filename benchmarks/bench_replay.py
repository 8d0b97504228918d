"""Six years of a 5,000-point site through log, inference and alerting; where the time goes.

180 epochs, rain and level daily, every day closed, on the real stores: SQLite log and ledger,
Icechunk state and artifacts as files. Measured twice: *a day at a time*, which is the service's
own pace (every day is read, decided, committed in both stages and emitted before the next one),
and *caught up*, where all six years wait on the log and batches share commits. The goal is 60 s
for the first on two cores. There is no peer: nothing else does the same.

How to read it: every second is counted once, under the innermost part that is listed. The history
is made before the clock starts. Nobody is a recipient, so sending costs nothing here.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import core.intake
import core.outlet
from benchmarks import site
from benchmarks.frame import Stopwatch, Table
from core.artifacts import FileArtifacts
from core.eventlog._sql_consumer import SqliteConsumer
from core.eventlog._sql_producer import SqliteProducer
from core.events import Event
from core.ledger.store import LedgerSite
from core.stage import Input
from core.statestore.repository import IcechunkSite
from services.alerting.service import AlertingStage
from services.compose import Slopewatch
from services.inference.service import InferenceStage
from services.inference.store import InferenceStore

GOAL_S = 60.0
Pace = Callable[[Slopewatch, list[list[Event]]], None]


def run(quick: bool) -> list[Table]:
    """Both paces, on a fresh folder each."""
    points, days = (200, 60) if quick else (5000, 2192)
    return [
        _measure(f"{points:,} points, {days} days, {name}", pace, points, days)
        for name, pace in (("a day at a time", _daily), ("caught up", _at_once))
    ]


def _measure(title: str, pace: Pace, points: int, days: int) -> Table:
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder, site.open_site(Path(folder)) as app:
        history = site.History(points, app.artifacts)
        events = [list(history.day(number)) for number in range(days)]
        with watch.on(_parts()):
            cpu, begin = time.process_time(), time.perf_counter()
            pace(app, events)
            whole, cpu = time.perf_counter() - begin, time.process_time() - cpu
        if app.settle():
            raise RuntimeError("the replay left records unread")
        site.check_parked(app)
    return _table(title, watch, whole, cpu)


def _daily(app: Slopewatch, events: list[list[Event]]) -> None:
    for number, day in enumerate(events):
        site.append(app, number, day)
        for worker in app.workers:
            worker.step(timeout_s=0.0)


def _at_once(app: Slopewatch, events: list[list[Event]]) -> None:
    site.append(app, len(events) - 1, [event for day in events for event in day])
    app.settle()


def _parts() -> list[tuple[Any, str, Any]]:
    return [
        (SqliteConsumer, "poll", "log: poll"),
        (SqliteConsumer, "commit", "log: note the group's position"),
        (SqliteProducer, "flush", "log: append"),
        (core.intake, "decode", "events: decode"),
        (core.outlet, "encode", "events: encode"),
        (InferenceStage, "handle", _handler("inference")),
        (AlertingStage, "handle", _handler("alerting")),
        (FileArtifacts, "put", "artifacts: put"),
        (FileArtifacts, "get", "artifacts: get"),
        (InferenceStore, "commit", "state: what changed"),
        (IcechunkSite, "commit", "state: Icechunk commit"),
        (IcechunkSite, "read", "state: Icechunk read"),
        (IcechunkSite, "thin", "state: thinning"),
        (LedgerSite, "commit", "ledger: commit"),
    ]


def _handler(stage: str) -> Callable[..., str]:
    def label(own: object, state: object, given: Input) -> str:
        return f"{stage} handler: {given.event.data.NAME}"

    return label


def _table(title: str, watch: Stopwatch, whole: float, cpu: float) -> Table:
    rest = whole - sum(watch.seconds.values())
    parts = [(name, watch.calls[name], seconds) for name, seconds in watch.seconds.items()]
    parts.sort(key=lambda part: -part[2])
    rows = [
        (name, f"{calls:,}", f"{seconds:.2f}", f"{seconds / calls * 1e3:.2f}", f"{share:.0%}")
        for name, calls, seconds in parts
        for share in [seconds / whole]
    ]
    rows.append(("all the rest", "", f"{rest:.2f}", "", f"{rest / whole:.0%}"))
    rows.append(("whole", "", f"{whole:.1f}", "", "100%"))
    notes = (f"{cpu:.1f} s of processor time; the goal for six years is {GOAL_S:.0f} s.",)
    return Table(title, ("part", "calls", "seconds", "ms a call", "share"), tuple(rows), notes)
