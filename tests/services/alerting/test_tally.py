"""Alerts and false ones are counted from the topic of alerts, each once, for a year."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from core.eventlog import EventLog, open_log
from core.events import ALERTS, AlertChanged, AlertHandled, Event, EventData, Level, Status
from services.alerting import tally
from services.alerting.tally import RAISED, Tally
from tests.pipeline import TOPICS, append, append_raw

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def event(data: EventData, days_ago: float, site: str) -> Event:
    at = NOW - timedelta(days=days_ago)
    return Event(
        id=f"{site}-{data.NAME}-{days_ago}",
        site=site,
        source="test",
        valid_time=at,
        available_at=at,
        processed_at=at,
        data=data,
    )


def changed(
    alert: str,
    level: Level,
    days_ago: float,
    *,
    historical: bool = False,
    status: Status = "actual",
    site: str = "dam",
) -> Event:
    data = AlertChanged(
        unit="toe",
        level=level,
        previous_level="blue",
        coverage="watched",
        previous_coverage="watched",
        reason="",
        votes=(),
        arose=NOW.date(),
        historical=historical,
        seq=1,
        head="",
        alert=alert,
        status=status,
    )
    return event(data, days_ago, site)


def cancelled(alert: str, days_ago: float, *, status: Status = "actual") -> Event:
    data = AlertHandled(
        unit="toe",
        alert=alert,
        action="cancelled",
        by="li",
        reason="",
        level="blue",
        status=status,
        seq=1,
        head="",
    )
    return event(data, days_ago, "dam")


@pytest.fixture
def log() -> Iterable[EventLog]:
    log = open_log("memory://")
    log.create_topics(TOPICS)
    yield log
    log.close()


def counted(counts: Tally, site: str = "dam") -> list[tuple[int, int]]:
    found = counts.counts(site, NOW)
    return [tuple(found[level]) for level in RAISED]


def test_an_alert_counts_at_each_level_that_it_reached_once(log: EventLog) -> None:
    append(
        log, ALERTS, [changed("a", "yellow", 9), changed("a", "red", 8), changed("a", "blue", 7)]
    )
    append(log, ALERTS, [changed("a", "red", 8), changed("b", "yellow", 6)])
    append(log, ALERTS, [changed("x", "orange", 6, site="hill"), changed("", "blue", 5)])
    counts = Tally(log)
    assert counts.read_on()
    assert counted(counts) == [(2, 0), (1, 0), (1, 0)]
    assert counted(counts, "hill") == [(1, 0), (1, 0), (0, 0)]
    assert counted(counts, "nowhere") == [(0, 0), (0, 0), (0, 0)]


def test_what_a_person_cancelled_was_false(log: EventLog) -> None:
    append(log, ALERTS, [changed("a", "orange", 9), changed("b", "yellow", 9)])
    counts = Tally(log)
    counts.read_on()
    assert counted(counts) == [(2, 0), (1, 0), (0, 0)]
    append(log, ALERTS, [cancelled("a", 3), cancelled("b", 3, status="test")])
    counts.read_on()
    assert counted(counts) == [(2, 1), (1, 1), (0, 0)]


def test_history_exercises_and_tests_do_not_count(log: EventLog) -> None:
    said = [
        changed("old", "red", 9, historical=True),
        changed("test", "red", 9, status="test"),
        changed("late", "orange", 9, historical=True),
        changed("late", "red", 2),
    ]
    append(log, ALERTS, said)
    counts = Tally(log)
    counts.read_on()
    assert counted(counts) == [(1, 0), (1, 0), (1, 0)]


def test_after_a_year_it_is_forgotten(log: EventLog) -> None:
    said = [changed("a", "yellow", 366), changed("a", "red", 364), cancelled("a", 363)]
    append(log, ALERTS, [*said, changed("b", "yellow", 366), cancelled("b", 366)])
    counts = Tally(log)
    counts.read_on()
    assert counted(counts) == [(1, 1), (1, 1), (1, 1)]
    assert counts.counts("dam", NOW + timedelta(days=2))["red"] == (0, 0)


def test_it_reads_on_page_by_page_and_leaves_out_what_it_cannot_read(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "PAGE", 2)
    append(log, ALERTS, [changed(f"{n}", "yellow", 9) for n in range(3)])
    append_raw(log, ALERTS, "dam", b"not an event")
    append(log, ALERTS, [changed("last", "red", 9)])
    counts = Tally(log)
    assert [counts.read_on() for _ in range(3)] == [False, False, True]
    assert counted(counts) == [(4, 0), (1, 0), (1, 0)]
