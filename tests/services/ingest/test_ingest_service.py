"""Feeds of one site beside each other: what fails, what is asked again, what the log is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.artifacts import MemoryArtifacts
from core.clock import ReplayClock
from core.errors import UnavailableError
from core.eventlog import EventLog, open_log
from core.events import (
    DEAD_LETTERS,
    OBSERVATIONS,
    DayClosed,
    LevelObserved,
    RainfallObserved,
)
from core.settings import Service, Site
from core.telemetry import Telemetry
from core.topics import topic_specs
from services.ingest import saying
from services.ingest.service import Ingest
from tests.pipeline import events_of, make_site, records_of

NOW = datetime(2026, 3, 1, 1, tzinfo=UTC)


def table(path: Path, quantity: str) -> dict[str, object]:
    return {
        "kind": "table",
        "at": str(path),
        "quantity": quantity,
        "station": quantity,
        "date_column": "day",
        "value_column": "value",
        "unit": "mm" if quantity == "rain" else "m",
    }


def rows(days: int, value: float = 1.0) -> str:
    first = (NOW - timedelta(days=days)).date()
    listed = (f"{first + timedelta(days=n)},{value}" for n in range(days))
    return "\n".join(["day,value", *listed, ""])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(
        "dam",
        watched_from="2026-02-01",
        history_from="2026-01-01",
        feeds=[table(tmp_path / "rain.csv", "rain"), table(tmp_path / "level.csv", "level")],
    )


@pytest.fixture
def log() -> Iterator[EventLog]:
    with closing(open_log("memory://")) as log:
        log.create_topics(topic_specs(Service()))
        yield log


def ingest(tmp_path: Path, log: EventLog, clock: ReplayClock, told: Telemetry) -> Ingest:
    service = Service(data=tmp_path / "var").resolved()
    return Ingest(service, log, MemoryArtifacts(), clock, told)


def days_of(log: EventLog, cls: type) -> int:
    return sum(isinstance(event.data, cls) for event in events_of(log, OBSERVATIONS))


def test_a_feed_that_fails_is_asked_from_the_start_though_its_twin_answered(
    tmp_path: Path, site: Site, log: EventLog
) -> None:
    (tmp_path / "level.csv").write_text(rows(50))
    clock = ReplayClock(NOW)
    service = ingest(tmp_path, log, clock, Telemetry())
    first = service.tick(site)
    assert set(first.failed) == {"table"}
    assert first.observations == {"table-2": 50}
    (tmp_path / "rain.csv").write_text(rows(50))
    clock.set(NOW + timedelta(days=20))
    assert not service.tick(site).failed
    assert days_of(log, RainfallObserved) == days_of(log, LevelObserved) == 50


def test_wrong_settings_of_one_feed_leave_the_others_and_the_days_alone(
    tmp_path: Path, site: Site, log: EventLog
) -> None:
    (tmp_path / "level.csv").write_text(rows(10))
    broken = {**site.model_dump(mode="json"), "feeds": [{"kind": "gsod"}, *site.feeds[1:]]}
    poll = ingest(tmp_path, log, ReplayClock(NOW), Telemetry()).tick(Site.model_validate(broken))
    assert "station" in poll.failed["gsod"]
    assert poll.observations == {"table": 10}
    closed = [e for e in events_of(log, OBSERVATIONS) if e.data.NAME == "day-closed"]
    assert len(closed) == 59


def test_the_log_is_given_nothing_twice_in_a_row(tmp_path: Path, site: Site, log: EventLog) -> None:
    for name in ("rain", "level"):
        (tmp_path / f"{name}.csv").write_text(rows(10) + "nonsense,1\n")
    told = Telemetry()
    service = ingest(tmp_path, log, ReplayClock(NOW), told)
    service.tick(site)
    given = len(records_of(log, OBSERVATIONS)), len(records_of(log, DEAD_LETTERS))
    service.tick(site)
    assert (len(records_of(log, OBSERVATIONS)), len(records_of(log, DEAD_LETTERS))) == given
    for label in ("table", "table-2"):
        assert told.rejections.labels("dam", label, "R05")._value.get() == 1
        assert told.observations.labels("dam", label)._value.get() == 10
    (tmp_path / "rain.csv").write_text(rows(10, value=2.0))
    service.tick(site)
    assert days_of(log, RainfallObserved) == 20


def test_what_comes_weeks_late_is_found_whatever_the_cursor_says(
    tmp_path: Path, site: Site, log: EventLog
) -> None:
    (tmp_path / "rain.csv").write_text(rows(50))
    (tmp_path / "level.csv").write_text(rows(50))
    clock = ReplayClock(NOW)
    service = ingest(tmp_path, log, clock, Telemetry())
    service.tick(site)
    for _ in range(30):
        clock.sleep(timedelta(days=1).total_seconds())
        service.tick(site)
    late = (NOW + timedelta(days=1)).date()
    (tmp_path / "rain.csv").write_text(rows(50) + f"{late},7.0\n")
    service.tick(site)
    assert days_of(log, RainfallObserved) == 51
    old = (NOW - timedelta(days=55)).date()
    (tmp_path / "level.csv").write_text(f"day,value\n{old},9.0\n" + rows(50).split("\n", 1)[1])
    for _ in range(7):
        clock.sleep(timedelta(days=1).total_seconds())
        service.tick(site)
    assert days_of(log, LevelObserved) == 51


def test_days_of_a_backfill_that_are_watched_catch_up(
    tmp_path: Path, site: Site, log: EventLog
) -> None:
    (tmp_path / "rain.csv").write_text(rows(50))
    (tmp_path / "level.csv").write_text(rows(50))
    last = (NOW - timedelta(days=1)).date()
    ingest(tmp_path, log, ReplayClock(NOW), Telemetry()).backfill(
        site, last - timedelta(days=40), last
    )
    closed = [e.data for e in events_of(log, OBSERVATIONS) if isinstance(e.data, DayClosed)]
    late = [data.day for data in closed if data.catching_up]
    assert (min(late), max(late)) == (site.watched_from, last - timedelta(days=1))
    assert closed[-1].day == last


def test_what_the_log_did_not_take_is_asked_and_said_again(
    tmp_path: Path, site: Site, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rain", "level"):
        (tmp_path / f"{name}.csv").write_text(rows(50))
    service = ingest(tmp_path, log, ReplayClock(NOW), Telemetry())

    def full(*_: object) -> None:
        raise UnavailableError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(saying, "append", full)
        patch.setattr("services.ingest.service.append", full)
        for call in (service.tick, service.close_days, service.begin):
            with pytest.raises(UnavailableError):
                call(site)
        (poll,) = service.news([site], "rainfall").values()
        assert poll.failed == {"ingest": "the disk is full"}
    assert not records_of(log, OBSERVATIONS)
    assert service.closed_until([site]) is None
    assert not list((tmp_path / "var" / "memory").rglob("feeds/*/*"))
    service.tick(site)
    assert days_of(log, RainfallObserved) == days_of(log, LevelObserved) == 50
    assert days_of(log, DayClosed) == 59
