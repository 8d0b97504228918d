"""Whom the watchdog of a running slopewatch tells, and what it says when it can tell nobody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from core.clock import ReplayClock
from core.settings import Service, Site
from core.watchdog import Watchdog
from services import guard
from services.alerting.message import Message
from services.alerting.notifier import DeliveryError, Receipt

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


def silent(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clock: ReplayClock,
    told: Told,
    *recipients: str,
) -> Watchdog:
    """A watchdog over a site that has been silent for too long."""
    monkeypatch.setattr(guard, "Recipients", lambda *_: told)
    site = Site.model_validate(
        {
            "name": "a",
            "area": (110.0, 30.0, 111.0, 31.0),
            "reference": {"scene_median": True},
            "slope_units": [{"id": "u", "polygon": [(110, 30), (111, 30), (111, 31)]}],
            "recipients": [
                {"id": one, "notifier": {"kind": "webhook", "url": "https://example.org/"}}
                for one in recipients
            ],
        }
    )
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
