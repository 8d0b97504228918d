"""Looks are taken in their turn; one that fails stops no other and leaves no old figure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import structlog

from core.clock import ReplayClock
from core.errors import UnavailableError
from core.figures import Figure
from core.telemetry import Telemetry
from services.vitals.look import Fault
from services.vitals.service import AGAIN_S, Rounds
from tests.core.test_figures import values

START = datetime(2026, 3, 1, tzinfo=UTC)
DISK = "slopewatch_disk_free_bytes"
LOOKED = "slopewatch_vitals_last_success_timestamp_seconds"


class Toy:
    """A look at the disk of a folder; what it finds is set by the test."""

    def __init__(self, telemetry: Telemetry, name: str, *, lasting: bool = False) -> None:
        self.name, self.every_s, self.lasting = name, 1000.0, lasting
        self.finds: list[str | Fault | Exception] = [name]
        self.taken = 0
        self._gauge = telemetry.disk_free

    def look(self) -> Iterator[Figure | Fault]:
        self.taken += 1
        for found in self.finds:
            if isinstance(found, Exception):
                raise found
            yield Figure(self._gauge, (found,), self.taken) if isinstance(found, str) else found


class Scene:
    def __init__(self, *lasting: bool) -> None:
        self.telemetry = Telemetry()
        self.clock = ReplayClock(START)
        names = "abc"[: len(lasting)]
        looks = zip(names, lasting, strict=True)
        self.looks = [Toy(self.telemetry, name, lasting=lasts) for name, lasts in looks]
        self._rounds = Rounds(self.looks, self.telemetry, self.clock)
        self.now_s = 0.0
        self.stop = threading.Event()

    def later(self, seconds: float) -> list[str]:
        """Take what is due after so long; what the log said."""
        self.now_s += seconds
        self.clock.sleep(seconds)
        with structlog.testing.capture_logs() as logs:
            self._rounds.take(self.now_s, self.stop)
        return [f"{log['event']}: {log.get('reason', '')}" for log in logs]

    def shown(self) -> set[str]:
        return {labels[0] for labels in values(self.telemetry, DISK)}

    def ages(self) -> dict[str, float]:
        now = self.clock.now().timestamp()
        return {labels[0]: now - at for labels, at in values(self.telemetry, LOOKED).items()}


def test_each_look_is_taken_at_its_own_time() -> None:
    scene = Scene(False, False)
    scene.looks[1].every_s = 10.0
    for _ in range(5):
        scene.later(5)
    assert [look.taken for look in scene.looks] == [1, 3]


def test_a_look_that_fails_stops_no_other_and_is_taken_again_soon() -> None:
    scene = Scene(False, False)
    scene.later(1)
    scene.looks[0].finds = [UnavailableError("the disk is away")]
    assert scene.later(1000) == ["look failed: the disk is away"]
    assert scene.ages() == {"a": 1000.0, "b": 0.0}
    assert scene.shown() == {"b"}
    assert scene.later(AGAIN_S - 1) == []
    assert scene.looks[0].taken == 2
    assert scene.later(1) == [], "what is no news is not said again"
    assert scene.looks[0].taken == 3
    scene.looks[0].finds = ["a"]
    assert scene.later(AGAIN_S) == ["look succeeds again: "]
    assert scene.shown() == {"a", "b"}
    assert scene.ages()["a"] == 0.0


def test_a_moment_stays_true_while_nobody_can_look() -> None:
    scene = Scene(True, False)
    for look in scene.looks:
        look.finds = ["one", "two"] if look.lasting else ["three", "four"]
    scene.later(1)
    for look in scene.looks:
        look.finds = [Fault("one is away"), look.finds[1]]
    scene.later(1000)
    assert scene.shown() == {"one", "two", "four"}
    assert scene.ages() == {"a": 1000.0, "b": 1000.0}
    scene.looks[0].finds = ["two"]
    scene.later(AGAIN_S)
    assert scene.shown() == {"two", "four"}


def test_a_bug_in_a_look_costs_no_other_and_its_text_stays_out_of_the_log() -> None:
    scene = Scene(False, False)
    scene.looks[0].finds = [KeyError("a secret")]
    said = scene.later(1)
    assert said == ["look broken: ", "look failed: the look broke (KeyError)"]
    assert scene.shown() == {"b"}


def test_a_look_that_never_succeeded_shows_since_when_it_is_tried() -> None:
    scene = Scene(False, False)
    scene.looks[0].finds = [UnavailableError("the disk is away")]
    scene.later(10)
    assert scene.ages() == {"a": 10.0, "b": 0.0}
    scene.later(AGAIN_S)
    assert scene.ages()["a"] == 10.0 + AGAIN_S


def test_a_stop_leaves_what_was_begun() -> None:
    scene = Scene(False, False)
    scene.later(1)
    first, second = scene.looks
    stop = scene.stop

    class Stopping(list[str]):
        def __iter__(self) -> Iterator[str]:
            yield "a"
            stop.set()
            yield "new"
            raise AssertionError("it went on")

    first.finds = Stopping()
    scene.later(1000)
    assert scene.shown() == {"a", "b"}
    assert (first.taken, second.taken) == (2, 1)
    assert scene.ages() == {"a": 1000.0, "b": 1000.0}
