"""Receivers that misbehave, for a moment or for days: each message has one effect, in order."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from notifying import NOW
from receiving import SECRET_NAME, Manner, Receiver, decide, receiver, unflushed, webhook

from core.clock import ReplayClock
from core.ledger import QueuedNotification, open_ledger
from core.ledger.ledger import Ledger
from core.telemetry import Telemetry
from services.alerting.notifier import Notifier
from services.alerting.reachability import standing
from services.alerting.retry import Retry
from services.alerting.sender import Sender

ALERT = "a.toe.7"
DAY = timedelta(days=1)
EVERY_MISBEHAVIOUR = (500, 503, 429, 410, 404, 301, "cut", "cut after taking")
"""After which a message is tried again."""


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_NAME, "correct horse battery staple")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger that has its tables and nothing else."""
    path = tmp_path_factory.mktemp("empty") / "ledger.db"
    open_ledger(f"sqlite://{path}").close()
    return path


@pytest.fixture
def ledger(empty: Path, tmp_path: Path) -> Iterator[Ledger]:
    shutil.copy(empty, tmp_path / "ledger.db")
    with closing(unflushed(open_ledger(f"sqlite://{tmp_path}/ledger.db"))) as ledger:
        yield ledger


class World:
    """A sender of one ledger on a clock of its own; `to` are the notifiers by recipient."""

    def __init__(self, ledger: Ledger, to: dict[str, Notifier], **options: Any) -> None:
        self.ledger = ledger
        self.clock = ReplayClock(NOW)
        self.sender = Sender(
            ledger, lambda _, who: to[who], Telemetry(), jitter=lambda: 0.0, **options
        )

    def run(self, until: datetime) -> None:
        """Let time pass up to `until`, sending whatever is due on the way."""
        while (due := self._next_due()) is not None and due <= until:
            self.clock.sleep(max(0.0, (due - self.clock.now()).total_seconds()))
            while self.sender.step(self.clock.now()):
                pass
        self.clock.sleep((until - self.clock.now()).total_seconds())

    def _next_due(self) -> datetime | None:
        queued = [row.not_before for row in self.ledger.notifications() if row.outcome == "queued"]
        return min(queued, default=None)

    def row(self, id: str) -> QueuedNotification:
        return next(row for row in self.ledger.notifications() if row.id == id)


@contextmanager
def world(ledger: Ledger, to: dict[str, Notifier], **options: Any) -> Iterator[World]:
    one = World(ledger, to, **options)
    try:
        yield one
    finally:
        one.sender.close()


def first(*manners: Manner) -> Callable[[str], Manner]:
    """Behave so to the first posts, well to all others."""
    left = list(manners)
    return lambda _: left.pop(0) if left else 200


@pytest.mark.parametrize("manner", EVERY_MISBEHAVIOUR)
def test_each_misbehaviour_has_one_effect_of_each_message_in_order(
    ledger: Ledger, manner: Manner
) -> None:
    with receiver(manner=first(manner)) as one, world(ledger, {"x": webhook(one.url)}) as w:
        decide(ledger, "n1", alert=ALERT, level="orange")
        decide(ledger, "n2", alert=ALERT, level="yellow")
        w.sender.step(NOW)
        assert one.posts == ["n1"]
        assert w.row("n2").not_before == w.row("n1").not_before == NOW + timedelta(seconds=30)
        w.run(NOW + timedelta(minutes=1))
        assert one.effects == ["n1", "n2"]
        assert one.posts == ["n1", "n1", "n2"]
        assert {len(bodies) for bodies in one.bodies.values()} == {1}
        assert [row.outcome for row in ledger.notifications()] == ["sent", "sent"]
        assert [row.claims for row in ledger.notifications()] == [2, 1]


def test_an_answer_that_is_torn_off_was_one(ledger: Ledger) -> None:
    with receiver(manner=first("torn")) as one, world(ledger, {"x": webhook(one.url)}) as w:
        decide(ledger, "n1", alert=ALERT)
        w.run(NOW + timedelta(minutes=1))
        assert (one.effects, one.posts) == (["n1"], ["n1"])


def test_an_answer_that_comes_too_late_is_asked_for_again_and_has_one_effect(
    ledger: Ledger,
) -> None:
    with (
        receiver(manner=first("slow")) as one,
        world(ledger, {"x": webhook(one.url, timeout_s=0.2)}) as w,
    ):
        decide(ledger, "n1", alert=ALERT)
        w.run(NOW + timedelta(minutes=1))
        assert (one.effects, one.posts) == (["n1"], ["n1", "n1"])
        assert "did not answer in time" in ledger.attempts("n1")[0].detail


def test_the_wait_that_429_asks_for_holds_back_what_follows_too(ledger: Ledger) -> None:
    limited = {"Retry-After": "600"}
    with (
        receiver(manner=first(429), headers=limited) as one,
        world(ledger, {"x": webhook(one.url)}) as w,
    ):
        decide(ledger, "n1", alert=ALERT, level="orange")
        decide(ledger, "n2", alert=ALERT, level="yellow")
        w.run(NOW + timedelta(seconds=599))
        assert one.posts == ["n1"]
        w.run(NOW + timedelta(seconds=600))
        assert one.effects == ["n1", "n2"]


def test_two_days_down_lose_nothing_and_hold_up_nobody_else(ledger: Ledger) -> None:
    down_until = NOW + 2 * DAY
    with (
        receiver() as one,
        receiver() as other,
        world(
            ledger,
            {"x": webhook(one.url), "y": webhook(other.url)},
            retry=Retry(longest=timedelta(hours=2)),
        ) as w,
    ):
        one.manner = lambda _: 503 if w.clock.now() < down_until else 200
        alerts: dict[str, list[str]] = {ALERT: [], "a.head.9": []}
        for hour, level in enumerate(("yellow", "orange", "yellow", "blue")):
            now = NOW + timedelta(hours=11 * hour)
            for alert, ids in alerts.items():
                ids.append(f"{alert}-{hour}")
                decide(ledger, ids[-1], now, alert=alert, unit=alert[2:5], level=level)
                decide(ledger, f"y-{ids[-1]}", now, to="y", alert=alert, level=level)
            w.run(now)
            assert set(other.effects[-2:]) == {f"y-{ids[-1]}" for ids in alerts.values()}
        w.run(down_until - timedelta(seconds=1))
        assert one.effects == []
        (dead, well) = ledger.routes()
        assert standing(dead, w.clock.now()) == "unreachable"
        assert (dead.failing_since, dead.waiting) == (NOW, 8)
        assert (standing(well, w.clock.now()), well.waiting) == ("reached", 0)
        w.run(down_until + timedelta(hours=2))
        for alert, ids in alerts.items():
            assert [key for key in one.effects if key in ids] == ids, alert
        assert len(one.effects) == len(set(one.effects)) == 8
        assert {row.outcome for row in ledger.notifications()} == {"sent"}


def test_a_dead_route_is_said_once_and_so_is_its_return(ledger: Ledger) -> None:
    told: list[tuple[str, int]] = []
    with (
        receiver(manner=lambda _: 410) as one,
        world(ledger, {"x": webhook(one.url)}, unreachable=lambda *news: told.append(news)) as w,
        structlog.testing.capture_logs() as logs,
    ):
        decide(ledger, "n1", alert=ALERT)
        w.run(NOW + timedelta(hours=6))
        dead = [log for log in logs if "cannot be reached" in log["event"]]
        assert [(log["recipient"], log["waiting"], log["log_level"]) for log in dead] == [
            ("x", 1, "error")
        ]
        assert "set the url that the receiver has now" in dead[0]["reason"]
        assert told[-1] == ("a", 1)
        one.manner = lambda _: 200
        w.run(NOW + timedelta(hours=6, minutes=16))
        w.sender.step(NOW + timedelta(hours=7))
        assert sum("again" in log["event"] and "recipient can" in log["event"] for log in logs) == 1
        assert told[-1] == ("a", 0)
        assert one.effects == ["n1"]


def test_a_rise_passes_a_message_that_fails(ledger: Ledger) -> None:
    with (
        receiver(manner=lambda key: 422 if key == "poison" else 200) as one,
        world(ledger, {"x": webhook(one.url)}) as w,
    ):
        decide(ledger, "poison", alert=ALERT, level="yellow")
        decide(ledger, "rise", alert=ALERT, level="red")
        w.sender.step(NOW)
        assert one.effects == ["rise"]
        w.run(NOW + timedelta(minutes=1))
        assert w.row("poison").outcome == "suppressed"
        assert ledger.attempts("poison")[-1].detail == "overtaken by notification rise"


def test_one_message_that_is_refused_for_an_hour_holds_up_no_more(ledger: Ledger) -> None:
    with (
        receiver(manner=lambda key: 500 if key == "poison" else 200) as one,
        world(ledger, {"x": webhook(one.url)}) as w,
    ):
        decide(ledger, "poison", alert=ALERT, level="orange")
        decide(ledger, "fall", alert=ALERT, level="yellow")
        decide(ledger, "clear", alert=ALERT, level="blue")
        w.run(NOW + timedelta(minutes=59))
        assert one.effects == []
        w.run(NOW + timedelta(minutes=80))
        assert one.effects == ["fall", "clear"]
        assert w.row("poison").outcome == "suppressed"


def test_what_quiet_hours_keep_back_holds_up_nothing_and_is_not_dragged_along(
    ledger: Ledger,
) -> None:
    with receiver() as one, world(ledger, {"x": webhook(one.url)}) as w:
        decide(ledger, "held", NOW + timedelta(hours=8), alert=ALERT, kind="coverage")
        decide(ledger, "now", alert=ALERT, level="red")
        w.run(NOW + timedelta(hours=1))
        assert one.effects == ["now"]


def test_news_is_tried_at_once_with_what_waits_before_it(ledger: Ledger) -> None:
    with (
        receiver(manner=first(500, 500, 500, 500)) as one,
        world(ledger, {"x": webhook(one.url)}) as w,
    ):
        decide(ledger, "n1", alert=ALERT, level="orange")
        w.run(NOW + timedelta(minutes=4))
        assert w.row("n1").not_before > NOW + timedelta(minutes=6)
        decide(ledger, "n2", NOW + timedelta(minutes=5), alert=ALERT, level="yellow")
        w.run(NOW + timedelta(minutes=5))
        assert one.effects == ["n1", "n2"]


# Any sequence of failures

MESSAGES = st.lists(
    st.tuples(
        st.integers(0, 120),
        st.sampled_from(["a.toe.1", "a.head.2"]),
        st.sampled_from(["blue", "yellow", "orange", "red"]),
    ),
    min_size=1,
    max_size=5,
)
MANNERS = st.sampled_from([200, *EVERY_MISBEHAVIOUR])
WINDOWS = st.lists(st.tuples(st.integers(1, 45), MANNERS), max_size=4)
FEW = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def play(
    empty: Path,
    tmp_path: Path,
    messages: list[tuple[int, str, str]],
    behave: Callable[[World, Receiver], Callable[[str], Manner]],
) -> tuple[dict[str, list[str]], list[str], Ledger]:
    """Decide and send `messages`; ids by alert in order, the effects in order, the ledger."""
    path = tmp_path / "one.db"
    shutil.copy(empty, path)
    ledger = unflushed(open_ledger(f"sqlite://{path}"))
    with receiver() as one, world(ledger, {"x": webhook(one.url)}) as w:
        one.manner = behave(w, one)
        wanted: dict[str, list[str]] = {}
        for number, (minute, alert, level) in enumerate(sorted(messages)):
            now = NOW + timedelta(minutes=minute)
            w.run(now)
            decide(ledger, f"n{number}", now, alert=alert, unit=alert[2:5], level=level)
            wanted.setdefault(alert, []).append(f"n{number}")
        w.run(NOW + timedelta(days=2))
        assert all(len(bodies) == 1 for bodies in one.bodies.values())
        return wanted, one.effects, ledger


@FEW
@given(messages=MESSAGES, windows=WINDOWS)
def test_whatever_a_receiver_does_meanwhile_it_gets_all_once_and_in_order(
    empty: Path, tmp_path: Path, messages: list[tuple[int, str, str]], windows: list[Any]
) -> None:
    ends = [NOW]
    for minutes, _ in windows:
        ends.append(ends[-1] + timedelta(minutes=minutes))

    def behave(w: World, _: Receiver) -> Callable[[str], Manner]:
        def manner(key: str) -> Manner:
            for (start, end), (_, how) in zip(pairwise(ends), windows, strict=True):
                if start <= w.clock.now() < end:
                    return how  # type: ignore[no-any-return]
            return 200

        return manner

    wanted, effects, ledger = play(empty, tmp_path, messages, behave)
    with closing(ledger):
        assert len(effects) == len(set(effects))
        for ids in wanted.values():
            assert [key for key in effects if key in ids] == ids
        assert {row.outcome for row in ledger.notifications()} == {"sent"}


@FEW
@given(messages=MESSAGES, script=st.lists(MANNERS, max_size=12))
def test_whatever_each_post_meets_the_order_holds_and_what_is_left_out_is_said(
    empty: Path, tmp_path: Path, messages: list[tuple[int, str, str]], script: list[Manner]
) -> None:
    wanted, effects, ledger = play(empty, tmp_path, messages, lambda *_: first(*script))
    with closing(ledger):
        assert len(effects) == len(set(effects))
        for ids in wanted.values():
            arrived = [key for key in effects if key in ids]
            assert arrived == sorted(arrived, key=ids.index)
            for lost in set(ids) - set(arrived):
                detail = ledger.attempts(lost)[-1].detail
                by = detail.removeprefix("overtaken by notification ")
                assert by in arrived
                assert ids.index(by) > ids.index(lost)
