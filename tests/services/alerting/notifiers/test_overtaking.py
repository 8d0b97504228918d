"""An older message about a unit must not be the last one read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from notifying import NOW, message

from core.ledger import Notification, canonical, open_ledger
from core.ledger.ledger import Ledger
from core.stage import Bookmark
from core.telemetry import Telemetry
from services.alerting.message import Message
from services.alerting.notifier import DeliveryError, Receipt
from services.alerting.sender import Sender

LEVELS = ("blue", "yellow", "orange", "red")
SOON = NOW + timedelta(seconds=10)
RETRY = NOW + timedelta(seconds=30)
"""When what failed at NOW is tried again."""


class Phone:
    """The one recipient; refuses what it is told to refuse."""

    channel = "stub"

    def __init__(self) -> None:
        self.read: list[str] = []
        self.refuses: set[str] = set()

    def send(self, message: Message, key: str) -> Receipt:
        if key in self.refuses:
            raise DeliveryError("the server says no", retryable=True)
        self.read.append(key)
        return Receipt("ok")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_ledger(f"sqlite://{tmp_path}/ledger.db")
    yield ledger
    ledger.close()


@pytest.fixture
def phone() -> Phone:
    return Phone()


@pytest.fixture
def sender(ledger: Ledger, phone: Phone) -> Iterator[Sender]:
    sender = Sender(ledger, lambda *_: phone, Telemetry(), jitter=lambda: 0.0)
    yield sender
    sender.close()


def decide(ledger: Ledger, id: str, change: str, **changes: Any) -> None:
    """The next decision tells of a `change` of level: "red>blue"."""
    before, after = change.split(">")
    store = ledger.site("a")
    held = store.open()
    seq = (held.bookmark.seq if held.bookmark else 0) + 1
    values = {"site": "a", "seq": seq, "level": after, "previous_level": before, **changes}
    row = Notification(
        id=id,
        seq=seq,
        recipient="x",
        channel="stub",
        message=canonical(message(**values)),
        created_at=NOW,
        not_before=NOW,
        urgent=LEVELS.index(after) > max(1, LEVELS.index(before)),
    )
    state = held.state.decide("a", seq, NOW, {})
    mark = Bookmark(log_id="l", partition=0, offset=seq, seq=seq, taken=seq, given=0, now=NOW)
    store.commit(type(state)("{}", state.head, state.decisions, (row,)), mark, [], [])


def outcomes(ledger: Ledger) -> dict[str, str]:
    return {row.id: row.outcome for row in ledger.notifications()}


def test_a_fall_that_a_rise_overtook_is_not_sent(
    ledger: Ledger, phone: Phone, sender: Sender
) -> None:
    phone.refuses = {"fall"}
    decide(ledger, "fall", "orange>blue")
    sender.step(NOW)
    decide(ledger, "rise", "blue>red")
    sender.step(SOON)
    phone.refuses = set()
    assert sender.step(RETRY) == 1
    assert phone.read == ["rise"]
    assert outcomes(ledger) == {"fall": "suppressed", "rise": "sent"}
    assert ledger.attempts("fall")[-1].detail == "overtaken by notification rise"


def test_a_rise_goes_before_an_older_fall_that_waits_with_it(
    ledger: Ledger, phone: Phone, sender: Sender
) -> None:
    decide(ledger, "fall", "orange>blue")
    decide(ledger, "rise", "blue>red")
    assert [sender.step(NOW), sender.step(NOW)] == [1, 1]
    assert phone.read == ["rise"]
    assert outcomes(ledger) == {"fall": "suppressed", "rise": "sent"}


@pytest.mark.parametrize("rise", ["blue>yellow", "blue>red"])
def test_a_fall_is_not_sent_while_a_newer_rise_is_tried(
    ledger: Ledger, phone: Phone, sender: Sender, rise: str
) -> None:
    phone.refuses = {"fall", "rise"}
    decide(ledger, "fall", "orange>blue")
    sender.step(NOW)
    decide(ledger, "rise", rise)
    sender.step(SOON)
    phone.refuses = {"rise"}
    sender.step(RETRY)
    assert phone.read == []
    phone.refuses = set()
    sender.step(RETRY + timedelta(seconds=10))
    assert phone.read == ["rise"]


def test_a_rise_does_not_wait_for_a_newer_fall_and_is_told_before_it(
    ledger: Ledger, phone: Phone, sender: Sender
) -> None:
    phone.refuses = {"rise", "fall"}
    decide(ledger, "rise", "blue>red")
    sender.step(NOW)
    decide(ledger, "fall", "red>orange")
    sender.step(SOON)
    phone.refuses = set()
    sender.step(RETRY)
    sender.step(RETRY + timedelta(seconds=10))
    assert phone.read == ["rise", "fall"]


@pytest.mark.parametrize(
    ("newer", "read"),
    [
        ({"kind": "coverage", "coverage": "blind"}, ["newer", "rise"]),
        ({"kind": "coverage", "coverage": "blind", "unit": "*"}, ["newer", "rise"]),
        ({"unit": "head"}, ["newer", "rise"]),
        ({}, ["newer"]),
    ],
)
def test_a_rise_is_overtaken_by_news_of_its_own_level_alone(
    ledger: Ledger, phone: Phone, sender: Sender, newer: dict[str, str], read: list[str]
) -> None:
    phone.refuses = {"rise"}
    decide(ledger, "rise", "blue>red")
    sender.step(NOW)
    decide(ledger, "newer", "red>red", **newer)
    sender.step(SOON)
    phone.refuses = set()
    sender.step(RETRY)
    assert phone.read == read


@pytest.mark.parametrize(
    ("newer", "outcome"),
    [
        ({"kind": "coverage"}, "suppressed"),
        ({"kind": "coverage", "unit": "*"}, "suppressed"),
        ({"kind": "level"}, "suppressed"),
        ({"kind": "coverage", "unit": "head"}, "sent"),
    ],
)
def test_a_coverage_is_overtaken_by_all_that_says_the_newer_one(
    ledger: Ledger, phone: Phone, sender: Sender, newer: dict[str, str], outcome: str
) -> None:
    phone.refuses = {"old"}
    decide(ledger, "old", "blue>blue", kind="coverage", coverage="blind")
    sender.step(NOW)
    decide(ledger, "newer", "blue>blue", **newer)
    sender.step(SOON)
    phone.refuses = set()
    sender.step(RETRY)
    assert outcomes(ledger) == {"old": outcome, "newer": "sent"}


def test_two_senders_keep_the_order_too(ledger: Ledger, phone: Phone, sender: Sender) -> None:
    started, go_on = threading.Event(), threading.Event()

    class Slow(Phone):
        def send(self, message: Message, key: str) -> Receipt:
            started.set()
            assert go_on.wait(20)
            return phone.send(message, key)

    slow = Sender(ledger, lambda *_: Slow(), Telemetry())
    decide(ledger, "fall", "orange>blue")
    slow.step(NOW, patience_s=0.01)
    assert started.wait(20)
    decide(ledger, "rise", "blue>red")
    assert sender.step(NOW) == 0
    go_on.set()
    slow.close()
    assert sender.step(NOW) == 1
    assert phone.read == ["fall", "rise"]
