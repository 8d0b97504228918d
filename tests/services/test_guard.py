"""Whom the watchdog of a running slopewatch tells, and what it says when it can tell nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
import yaml

from core.clock import ReplayClock
from core.errors import SettingsError
from core.settings import Service, Site
from core.telemetry import Telemetry
from core.watchdog import Watchdog
from services import guard
from services.alerting.message import Message
from services.alerting.notifier import DeliveryError, Receipt
from tests.core.test_figures import values

START = datetime(2026, 3, 1, 1, tzinfo=UTC)


class Told:
    """Recipients by id; those in `faults` raise."""

    def __init__(self, **faults: Exception) -> None:
        self.faults = faults
        self.sent: list[str] = []

    def __call__(self, site: str, recipient: str) -> Any:
        told = self

        class One:
            def send(self, message: Message, key: str) -> Receipt:
                if recipient in told.faults:
                    raise told.faults[recipient]
                told.sent.append(recipient)
                return Receipt("ok")

        return One()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ReplayClock:
    clock = ReplayClock(START)
    monkeypatch.setattr(guard, "SystemClock", lambda: clock)
    return clock


def site_tree(name: str, *recipients: str) -> dict[str, Any]:
    return {
        "name": name,
        "area": [110.0, 30.0, 111.0, 31.0],
        "reference": {"scene_median": True},
        "slope_units": [{"id": "u", "polygon": [[110, 30], [111, 30], [111, 31]]}],
        "recipients": [
            {"id": one, "notifier": {"kind": "webhook", "url": "https://example.org/"}}
            for one in recipients
        ],
    }


def write_site(folder: Path, name: str, *recipients: str) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(site_tree(name, *recipients)))
    return file


def silent(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clock: ReplayClock,
    told: Told,
    *recipients: str,
) -> Watchdog:
    """A watchdog over a site that has been silent for too long."""
    monkeypatch.setattr(guard, "Recipients", lambda *_: told)
    site = Site.model_validate(site_tree("a", *recipients))
    dog = guard.make_watchdog(Service(data=tmp_path), [site])
    dog.check()
    clock.sleep(timedelta(hours=27).total_seconds())
    return dog


def test_a_bug_of_one_notifier_costs_no_other_recipient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ReplayClock
) -> None:
    told = Told(x=KeyError("duty@example.org"), y=DeliveryError("HTTP 410", retryable=False))
    dog = silent(tmp_path, monkeypatch, clock, told, "x", "y", "z")
    with structlog.testing.capture_logs() as logs:
        (sentence,) = dog.check()
    assert told.sent == ["z"]
    assert sentence.startswith("Site a is silent")
    errors = [(log["recipient"], log["reason"]) for log in logs if log["log_level"] == "error"]
    assert errors == [("x", "the notifier broke (KeyError)"), ("y", "HTTP 410")]
    assert "@" not in str(logs)


def test_a_site_whose_recipients_all_fail_is_told_again_at_the_next_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ReplayClock
) -> None:
    told = Told(x=KeyError("a bug"))
    dog = silent(tmp_path, monkeypatch, clock, told, "x")
    assert dog.check() == []
    told.faults.clear()
    assert len(dog.check()) == 1
    assert told.sent == ["x"]


@pytest.mark.parametrize("away", [False, True])
def test_a_check_that_can_read_no_heartbeat_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ReplayClock, away: bool
) -> None:
    stop, telemetry = threading.Event(), Telemetry()

    class Dog:
        silent: frozenset[str] = frozenset()
        away = False

        def check(self) -> list[str]:
            clock.sleep(guard.EVERY_S)
            self.away = away
            stop.set()
            return []

    monkeypatch.setattr(guard, "make_watchdog", lambda *_: Dog())
    monkeypatch.setattr(stop, "wait", lambda _: None)
    write_site(tmp_path, "a")
    guard.Guard(Service(data=tmp_path, sites=tmp_path), None, telemetry).run(stop, print)
    (looked,) = values(telemetry, "slopewatch_watchdog_last_check_timestamp_seconds").values()
    assert looked == START.timestamp() + (0 if away else guard.EVERY_S)


def test_a_site_without_recipients_is_an_error_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ReplayClock
) -> None:
    dog = silent(tmp_path, monkeypatch, clock, Told())
    with structlog.testing.capture_logs() as logs:
        assert [dog.check(), dog.check()] == [[], []]
    assert [log["log_level"] for log in logs] == ["error", "error"]
    for log in logs:
        assert "site a has no recipients" in log["reason"]
        assert "Site a is silent" in log["reason"]


class Rounds:
    """A guard, a pass at a time: whom it watches, with which recipients."""

    def __init__(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: str | None = None
    ) -> None:
        self.watched: dict[str, list[str]] = {}
        monkeypatch.setattr(guard, "make_watchdog", self._make)
        self.guard = guard.Guard(Service(data=tmp_path, sites=tmp_path), only, Telemetry())

    def _make(self, _: Service, sites: Iterable[Site]) -> Watchdog:
        self.watched = {site.name: [one.id for one in site.recipients] for site in sites}
        dog: Any = SimpleNamespace(check=list, silent=frozenset(), away=False)
        return dog  # type: ignore[no-any-return]

    def again(self) -> dict[str, list[str]]:
        stop = threading.Event()
        stop.wait = lambda _: bool(stop.set())  # type: ignore[method-assign,assignment,func-returns-value]
        self.guard.run(stop, print)
        return self.watched


def test_a_broken_file_costs_no_other_site_the_watchdog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "c.yaml"
    broken.write_text("name: [")
    first, second = write_site(tmp_path, "a", "x"), write_site(tmp_path, "b", "y")
    rounds = Rounds(tmp_path, monkeypatch)
    assert rounds.watched == {"a": ["x"], "b": ["y"]}
    (missing,) = rounds.guard.missing()
    assert missing.startswith("not watched: ")
    assert "c.yaml" in missing
    write_site(tmp_path, "c")
    assert rounds.again() == {"a": ["x"], "b": ["y"], "c": []}
    assert rounds.guard.missing() == []
    first.write_text("name: [")
    write_site(tmp_path, "b", "z")
    write_site(tmp_path, "d")
    with structlog.testing.capture_logs() as logs:
        assert rounds.again() == {"a": ["x"], "b": ["z"], "c": [], "d": []}
    assert ["a.yaml" in log["reason"] for log in logs if log["log_level"] == "error"] == [True]
    assert rounds.guard.missing() == []
    second.unlink()
    assert rounds.again().keys() == {"a", "c", "d"}
    for file in tmp_path.glob("*.yaml"):
        file.unlink()
    assert rounds.again().keys() == {"a", "c", "d"}, "a folder that is away for a moment"


def test_a_watchdog_of_one_site_looks_at_its_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_site(tmp_path, "a", "x")
    (tmp_path / "b.yaml").write_text("name: [")
    rounds = Rounds(tmp_path, monkeypatch, "a")
    assert rounds.again() == {"a": ["x"]}
    assert rounds.guard.missing() == []
    with pytest.raises(SettingsError, match=r"b\.yaml"):
        guard.Guard(Service(data=tmp_path, sites=tmp_path), "b", Telemetry())
    (tmp_path / "a.yaml").unlink()
    with pytest.raises(SettingsError, match="no site file"):
        guard.Guard(Service(data=tmp_path, sites=tmp_path), None, Telemetry())
