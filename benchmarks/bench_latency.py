"""From an epoch on the log to its alert: one epoch at a time, inference and alerting on Kafka.

The clock starts before `displacement-measured` is appended, by a producer that has sent before: the
velocity rule decides on it alone, without its day being closed. *Decided* is when the ledger has
committed the decision (from here on the sender may tell people of it), *alert read* when another
consumer has read its `alert-changed` from the log. With every epoch another slope unit gives way
by 300 mm, so each raises an alert. Both workers run in threads of one process and share its
interpreter lock; the rest of the 12 days is read before the next epoch comes. A late epoch is one
of 66 days ago, between the fifth and the fourth epoch from the end: four are folded anew, and only
the decision is timed.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import wraps
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, NamedTuple

import numpy as np

from benchmarks import site
from benchmarks.broker import running_broker, versions
from benchmarks.frame import Table
from core.clock import end_of
from core.eventlog import EventLog, Producer
from core.events import (
    ALERTS,
    OBSERVATIONS,
    AlertChanged,
    DisplacementMeasured,
    Event,
    decode,
    encode,
    identity,
)
from core.ledger.store import LedgerSite
from core.settings import rank
from services.alerting.state import decode_state
from services.compose import Slopewatch

RULE = {
    "kind": "velocity",
    "component": "los",
    "direction": "either",
    "thresholds_mm_per_year": {"yellow": 100.0},
    "hits": 1,
    "of": 1,
}
SURGE_MM = 300.0
LATE_DAYS = 66
LATE_EPOCH = -47
"""The first late epoch is of this day, counted from the newest; there is one at -48 and at -36."""
MOST_LATE = 11
LONGEST_S = 60.0


class Surging(site.History):
    """Slope unit `n` gives way at once before the timed epoch `n`."""

    def __init__(self, app: Slopewatch, points: int, units: int, first: int) -> None:
        super().__init__(points, app.artifacts)
        west, _, east, _ = site.AREA
        unit = np.minimum((self.lon - west) / (east - west) * units, units - 1).astype(int)
        moves = self.lat > 31.02
        self._onset = np.where(moves, (first + unit) * site.REPEAT_DAYS, np.inf)

    def motion_mm(self, number: int) -> site.Vector:
        """See `History.motion_mm`; the surge comes on top."""
        return super().motion_mm(number) - SURGE_MM * (number >= self._onset)


class Arrivals:
    """When each thing came to be known, by name; told by other threads."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._news = threading.Condition()

    def note(self, names: list[str]) -> None:
        """These are there now."""
        with self._news:
            self._at.update(dict.fromkeys(names, perf_counter()))
            self._news.notify_all()

    def wait(self, name: str) -> float:
        """The moment at which it was there; RuntimeError when it does not come."""
        with self._news:
            if not self._news.wait_for(lambda: name in self._at, LONGEST_S):
                raise RuntimeError(f"{name!r} did not come within {LONGEST_S:g} s")
            return self._at[name]


class Feed(NamedTuple):
    """What brings epochs: its producer is at work before any clock starts."""

    app: Slopewatch
    producer: Producer

    def send(self, number: int, event: Event) -> float:
        """Append an event in the night after day `number`; the moment just before."""
        site.set_night(self.app, number)
        value = encode(event)
        begin = perf_counter()
        self.producer.send(OBSERVATIONS, event.site, value)
        return begin


def run(quick: bool) -> list[Table]:
    """History first, then epochs in order, then late ones."""
    points, before, timed, late = (200, 8, 8, 2) if quick else (5000, 36, 60, MOST_LATE)
    with running_broker() as address, tempfile.TemporaryDirectory() as folder:
        configured = site.site(timed, [RULE])
        log = f"kafka://{address}/bench"
        with site.open_site(Path(folder), log=log, configured=configured) as app:
            history = Surging(app, points, timed, before)
            last = before * site.REPEAT_DAYS + site.LATENCY_DAYS
            past = [e for n in range(last) for e in history.day(n)]
            site.append(app, last - 1, past[:-1])
            feed = Feed(app, app.log.producer())
            feed.send(last - 1, past[-1])
            app.settle()
            rows = _timed(feed, history, range(before, before + timed), late)
    title = f"{points:,} points, {timed} slope units, {before} epochs before the first timed one"
    columns = ("epochs", "number", "p50, ms", "p99, ms", "longest, ms")
    notes = (f"{versions()}; state and artifacts as files, ledger on SQLite.",)
    return [Table(title, columns, rows, notes)]


def _timed(feed: Feed, history: Surging, epochs: range, late: int) -> tuple[tuple[str, ...], ...]:
    app = feed.app
    decided, alerts = Arrivals(), Arrivals()
    with _watched_ledger(decided), _watched_alerts(app.log, alerts), _running(app):
        in_order = [
            _one(feed, history, n, f"unit-{i}", decided, alerts) for i, n in enumerate(epochs)
        ]
        newest = epochs[-1] * site.REPEAT_DAYS
        days = range(newest + LATE_EPOCH, newest + LATE_EPOCH + late)
        refolded = [_late(feed, history, day, decided) for day in days]
        feed.producer.close()
        site.check_parked(app)
    return (
        _row("in order, decided", [first for first, _ in in_order]),
        _row("in order, alert read", [second for _, second in in_order]),
        _row(f"{LATE_DAYS} days late, decided", refolded),
    )


def _one(
    feed: Feed, history: Surging, epoch: int, unit: str, decided: Arrivals, alerts: Arrivals
) -> tuple[float, float]:
    """Seconds until the decision and until the alert of `unit`; then the days to the next epoch."""
    app = feed.app
    first = epoch * site.REPEAT_DAYS + site.LATENCY_DAYS
    night = list(history.day(first))
    [measured] = [e for e in night if isinstance(e.data, DisplacementMeasured)]
    begin = feed.send(first, measured)
    seconds = decided.wait(_state_updated(measured)) - begin
    day = site.FIRST_DAY + timedelta(days=epoch * site.REPEAT_DAYS)
    alert = alerts.wait(_raised(unit, day)) - begin
    rest = [e for e in night if e is not measured]
    last = first + site.REPEAT_DAYS - 1
    rest += [e for n in range(first + 1, last + 1) for e in history.day(n)]
    site.append(app, last, rest)
    _await_closed(app, last)
    return seconds, alert


def _late(feed: Feed, history: Surging, epoch: int, decided: Arrivals) -> float:
    """Seconds until the decision on the epoch of a day that comes `LATE_DAYS` after it."""
    today = epoch + LATE_DAYS
    now = end_of(site.FIRST_DAY + timedelta(days=today)) + timedelta(hours=1)
    measured = site.observed(f"epoch/{epoch}", history.epoch(epoch), now)
    begin = feed.send(today, measured)
    return decided.wait(_state_updated(measured)) - begin


def _raised(unit: str, day: date) -> str:
    return f"{unit} raised by {day}"


def _state_updated(measured: Event) -> str:
    return identity("inference", site.NAME, measured.id, 0)


def _await_closed(app: Slopewatch, number: int) -> None:
    """Wait until alerting has decided on the end of day `number`."""
    assert app.ledger is not None
    day = site.FIRST_DAY + timedelta(days=number)
    deadline = perf_counter() + LONGEST_S
    while perf_counter() < deadline:
        view = app.ledger.state(site.NAME)
        closed = decode_state(view.state).closed if view else None
        if closed is not None and closed.day >= day:
            return
        sleep(0.02)
    raise RuntimeError(f"{day} was not closed within {LONGEST_S:g} s")


@contextmanager
def _watched_ledger(decided: Arrivals) -> Iterator[None]:
    commit = LedgerSite.commit

    @wraps(commit)
    def noted(own: LedgerSite, state: Any, bookmark: Any, ids: Any, outcomes: Any) -> Any:
        kept = commit(own, state, bookmark, ids, outcomes)
        decided.note(list(ids))
        return kept

    setattr(LedgerSite, "commit", noted)  # noqa: B010
    try:
        yield
    finally:
        setattr(LedgerSite, "commit", commit)  # noqa: B010


@contextmanager
def _watched_alerts(log: EventLog, alerts: Arrivals) -> Iterator[None]:
    consumer = log.consumer(ALERTS, "reader", "0")
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            said = [decode(record.value).data for record in consumer.poll(500, 0.2)]
            changes = [data for data in said if isinstance(data, AlertChanged)]
            raised = [c for c in changes if rank(c.level) > rank(c.previous_level)]
            alerts.note([_raised(c.unit, c.arose) for c in raised])

    try:
        with _threads([read], stop):
            yield
    finally:
        consumer.close()


@contextmanager
def _running(app: Slopewatch) -> Iterator[None]:
    stop = threading.Event()
    with _threads([lambda w=w: w.run(stop) for w in app.workers], stop):  # type: ignore[misc]
        yield


@contextmanager
def _threads(tasks: list[Callable[[], None]], stop: threading.Event) -> Iterator[None]:
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _row(name: str, seconds: list[float]) -> tuple[str, ...]:
    figures = (*np.percentile(seconds, [50, 99]), max(seconds))
    return name, str(len(seconds)), *(f"{s * 1e3:,.0f}" for s in figures)
