"""One more epoch for a site with 40 epochs and for one with 160: the cost must not grow.

The next epoch of 5,000 points goes through inference alone: event from the log, filter, evidence,
one Icechunk commit, outcomes on the log. Each archive takes in several; the median counts. There
is no peer: the larger archive is held against the smaller.

How to read it: *x time* is the larger archive's time over the smaller's; 1 is flat.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks import site
from benchmarks.frame import Stopwatch, Table
from core.clock import ReplayClock, midnight
from core.events import OBSERVATIONS, Event, encode
from services.compose import Slopewatch
from services.inference.service import InferenceStage
from services.inference.store import InferenceStore


def run(quick: bool) -> list[Table]:
    """Both archives, each on a fresh folder."""
    points, sizes, again = (200, (4, 8), 2) if quick else (5000, (40, 160), 15)
    measured = [_measure(points, size, again) for size in sizes]
    first = measured[0]
    rows = tuple(
        (f"{size} epochs", *(f"{ms:.1f}" for ms in row), f"{row[0] / first[0]:.2f}")
        for size, row in zip(sizes, measured, strict=True)
    )
    columns = ("archive", "ms an epoch", "handler", "commit", "x time")
    return [Table(f"The next epoch, {points:,} points, median of {again}", columns, rows)]


def _measure(points: int, epochs: int, again: int) -> tuple[float, float, float]:
    """Milliseconds of a whole step, and of handler and commit within it."""
    steps: list[tuple[float, float, float]] = []
    parts = [(InferenceStage, "handle", "handler"), (InferenceStore, "commit", "commit")]
    with (
        tempfile.TemporaryDirectory() as folder,
        site.open_site(Path(folder), roles=("inference",)) as app,
    ):
        history = site.History(points, app.artifacts)
        _send(app, [_epoch(history, number) for number in range(epochs)])
        app.settle()
        for number in range(epochs, epochs + again):
            watch = Stopwatch()
            _send(app, [_epoch(history, number)])
            with watch.on(parts):
                begin = perf_counter()
                app.workers[0].step(0.0)
                whole = perf_counter() - begin
            steps.append((whole, watch.seconds["handler"], watch.seconds["commit"]))
    whole_s, handler_s, commit_s = (median(column) for column in zip(*steps, strict=True))
    return whole_s * 1e3, handler_s * 1e3, commit_s * 1e3


def _epoch(history: site.History, number: int) -> Event:
    day = site.FIRST_DAY + timedelta(days=number * site.REPEAT_DAYS)
    data = history.epoch(number * site.REPEAT_DAYS)
    return site.observed(f"epoch/{number}", data, midnight(day) + timedelta(days=3))


def _send(app: Slopewatch, events: list[Event]) -> None:
    assert isinstance(app.clock, ReplayClock)
    app.clock.set(events[-1].available_at)
    producer = app.log.producer()
    for event in events:
        producer.send(OBSERVATIONS, event.site, encode(event))
    producer.close()
