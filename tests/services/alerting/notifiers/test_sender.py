from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from notifying import NOW, message

from core.clock import SystemClock
from core.errors import SettingsError, UnavailableError
from core.ledger import Notification, QueuedNotification, canonical, open_ledger
from core.ledger.ledger import Ledger
from core.settings import Service, Smtp
from core.stage import Bookmark
from core.telemetry import Telemetry
from services.alerting.delivery import Resolve
from services.alerting.message import Message
from services.alerting.notifier import DeliveryError, Notifier, Receipt, RecipientGoneError
from services.alerting.notifiers import email
from services.alerting.sender import Retry, Sender
from services.demo.sinks import SmtpSink

Behaviour = Callable[[str], Receipt]


class Stub:
    """A notifier that does as it is told and remembers what it sent."""

    channel = "stub"

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.sent: list[str] = []
        self.tried: list[str] = []
        self.behaviour = behaviour or (lambda key: Receipt(f"ok {key}"))

    def send(self, message: Message, key: str) -> Receipt:
        assert message.site == "a"
        self.tried.append(key)
        receipt = self.behaviour(key)
        self.sent.append(key)
        return receipt


def refuse(*, retryable: bool = True, after: timedelta | None = None) -> Behaviour:
    def behave(key: str) -> Receipt:
        raise DeliveryError("the server says no", retryable=retryable, retry_after=after)

    return behave


def wait_for(event: threading.Event) -> Behaviour:
    def behave(key: str) -> Receipt:
        assert event.wait(20)
        return Receipt("late")

    return behave


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_ledger(f"sqlite://{tmp_path}/ledger.db")
    yield ledger
    ledger.close()


def queue(ledger: Ledger, *rows: tuple[str, str], **changes: Any) -> None:
    """Put (id, recipient) rows into the outbox by one commit."""
    store = ledger.site("a")
    held = store.open()
    seq = (held.bookmark.seq if held.bookmark else 0) + 1
    values = {
        "seq": seq,
        "channel": "stub",
        "message": canonical(message(site="a")),
        "created_at": NOW,
        "not_before": NOW,
        **changes,
    }
    rows_ = tuple(Notification(id=id, recipient=recipient, **values) for id, recipient in rows)
    state = replace(held.state.decide("a", seq, NOW, {}), state="{}", notifications=rows_)
    bookmark = Bookmark(log_id="l", partition=0, offset=seq, seq=seq, taken=seq, given=0, now=NOW)
    store.commit(state, bookmark, [], [])


class Rig:
    """A sender with stubs for recipients."""

    def __init__(
        self,
        ledger: Any,
        stubs: dict[str, Notifier],
        resolve: Resolve | None = None,
        **options: Any,
    ) -> None:
        self.telemetry = Telemetry()
        self.sender = Sender(
            ledger,
            resolve or (lambda _, recipient: stubs[recipient]),
            self.telemetry,
            **{"jitter": lambda: 0.0, **options},
        )

    def counts(self) -> dict[str, float]:
        samples = next(iter(self.telemetry.notifications.collect())).samples
        return {s.labels["outcome"]: s.value for s in samples if s.name.endswith("_total")}


def drain(sender: Sender, now: datetime = NOW) -> int:
    """Send all that is due; returns how many sendings were written down."""
    done = 0
    while more := sender.step(now):
        done += more
    return done


@pytest.fixture
def rig() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(*args: Any, **options: Any) -> Rig:
        made.append(Rig(*args, **options))
        return made[-1]

    yield make
    for one in made:
        one.sender.close()


def row_of(ledger: Ledger, id: str) -> QueuedNotification:
    return next(row for row in ledger.notifications() if row.id == id)


def test_what_is_due_is_sent_once_and_written_down(ledger: Ledger, rig: Callable[..., Rig]) -> None:
    queue(ledger, ("n1", "x"), ("n2", "y"))
    stub = Stub()
    one = rig(ledger, {"x": stub, "y": stub})
    assert [one.sender.step(NOW), one.sender.step(NOW)] == [2, 0]
    assert sorted(stub.sent) == ["n1", "n2"]
    assert one.counts() == {"sent": 2}
    (attempt,) = ledger.attempts("n1")
    assert (attempt.outcome, attempt.receipt, attempt.at) == ("sent", "ok n1", NOW)


def test_failed_sending_backs_off_and_is_given_up(ledger: Ledger, rig: Callable[..., Rig]) -> None:
    queue(ledger, ("n1", "x"))
    retry = Retry(first=timedelta(seconds=10), longest=timedelta(seconds=25), max_attempts=4)
    one = rig(ledger, {"x": Stub(refuse())}, retry=retry)
    now, waits = NOW, []
    while row_of(ledger, "n1").outcome == "queued":
        assert one.sender.step(now) == 1
        waits.append((row_of(ledger, "n1").not_before - now).total_seconds())
        now = row_of(ledger, "n1").not_before
    assert waits[:3] == [10, 20, 25]
    assert one.counts() == {"retried": 3, "failed": 1}
    last = ledger.attempts("n1")[-1]
    assert last.detail == "the server says no; given up after 4 attempts"


def test_age_counts_from_the_first_attempt(ledger: Ledger, rig: Callable[..., Rig]) -> None:
    queue(ledger, ("n1", "x"))
    one = rig(ledger, {"x": Stub(refuse())}, retry=Retry(max_age=timedelta(hours=1)))
    late = NOW + timedelta(days=30)
    one.sender.step(late)
    assert row_of(ledger, "n1").outcome == "queued"
    one.sender.step(late + timedelta(hours=1))
    assert row_of(ledger, "n1").outcome == "failed"


def test_only_a_recipient_that_is_gone_is_final(ledger: Ledger, rig: Callable[..., Rig]) -> None:
    def gone(key: str) -> Receipt:
        raise RecipientGoneError("address 1 of 1 refused: 550")

    queue(ledger, ("n1", "x"), ("n2", "x"))
    stub = Stub(gone)
    one = rig(ledger, {"x": stub})
    drain(one.sender)
    assert stub.tried == ["n1", "n2"]
    assert one.counts() == {"failed": 2}
    assert [row_of(ledger, id).outcome for id in ("n1", "n2")] == ["failed", "failed"]


@pytest.mark.parametrize(
    "fault",
    [
        DeliveryError("does not accept the login: 535", retryable=False),
        SettingsError("the environment variable HOOK_SECRET is not set"),
        ValueError("a bug"),
    ],
)
def test_what_somebody_must_mend_is_tried_on_and_said_loudly_at_once_and_when_dead(
    ledger: Ledger, rig: Callable[..., Rig], fault: Exception
) -> None:
    def broken(key: str) -> Receipt:
        raise fault

    queue(ledger, ("n1", "x"))
    stub = Stub(broken)
    one = rig(ledger, {"x": stub})
    now, tries = NOW, 0
    with structlog.testing.capture_logs() as logs:
        while now < NOW + timedelta(hours=23, minutes=30):
            assert one.sender.step(now) == 1
            tries += 1
            assert row_of(ledger, "n1").outcome == "queued"
            now = row_of(ledger, "n1").not_before
    loud = [log for log in logs if log["log_level"] == "error"]
    assert ["mend" in log["event"] and bool(log["reason"]) for log in loud] == [True, True]
    assert "cannot be reached" in loud[1]["event"]
    assert sum(log["log_level"] == "info" for log in logs) == tries - 1
    assert tries > 90
    stub.behaviour = lambda key: Receipt("ok")
    one.sender.step(now)
    assert (stub.sent, row_of(ledger, "n1").outcome) == (["n1"], "sent")


def test_what_nobody_mends_is_given_up_after_a_week(
    ledger: Ledger, rig: Callable[..., Rig]
) -> None:
    queue(ledger, ("n1", "x"))
    one = rig(ledger, {"x": Stub(refuse(retryable=False))})
    one.sender.step(NOW)
    one.sender.step(NOW + timedelta(days=6, hours=23))
    assert row_of(ledger, "n1").outcome == "queued"
    one.sender.step(NOW + timedelta(days=7))
    assert row_of(ledger, "n1").outcome == "failed"
    assert ledger.attempts("n1")[-1].detail == "the server says no; given up after 7 days, 0:00:00"


def test_what_passes_by_itself_is_only_a_warning(ledger: Ledger, rig: Callable[..., Rig]) -> None:
    queue(ledger, ("n1", "x"))
    with structlog.testing.capture_logs() as logs:
        rig(ledger, {"x": Stub(refuse())}).sender.step(NOW)
    assert [log["log_level"] for log in logs] == ["warning"]


@pytest.mark.parametrize(
    ("asked", "wait"),
    [(timedelta(minutes=5), 300), (timedelta(seconds=1), 30), (timedelta(days=3), 3600)],
)
def test_wait_that_the_server_asks_for_is_kept(
    ledger: Ledger, rig: Callable[..., Rig], asked: timedelta, wait: int
) -> None:
    queue(ledger, ("n1", "x"))
    rig(ledger, {"x": Stub(refuse(after=asked))}).sender.step(NOW)
    assert row_of(ledger, "n1").not_before == NOW + timedelta(seconds=wait)


def test_jitter_takes_up_to_half() -> None:
    waits = [Retry().wait(3, jitter).total_seconds() for jitter in (0.0, 0.5, 1.0)]
    assert waits == [120, 90, 60]
    assert Retry().wait(10_000, 0.0) == Retry().longest


def test_a_row_that_fails_holds_up_no_other(ledger: Ledger, rig: Callable[..., Rig]) -> None:
    def dead(key: str) -> Receipt:
        if key == "n1":
            raise DeliveryError("the server says no", retryable=True)
        return Receipt("ok")

    queue(ledger, ("n1", "x"), ("n2", "x"), ("n3", "y"))
    stub, well = Stub(dead), Stub()
    one = rig(ledger, {"x": stub, "y": well})
    assert drain(one.sender) == 3
    assert (stub.tried, well.sent) == (["n1", "n2"], ["n3"])
    assert row_of(ledger, "n1").not_before == NOW + timedelta(seconds=30)


def test_hanging_recipient_holds_up_nobody_else(ledger: Ledger, rig: Callable[..., Rig]) -> None:
    queue(ledger, ("n1", "x"), ("n2", "y"))
    hang, slow, well = threading.Event(), Stub(), Stub()
    slow.behaviour = wait_for(hang)
    one = rig(ledger, {"x": slow, "y": well}, slots=3)
    assert one.sender.step(NOW, patience_s=5) == 1
    for number in range(5):
        queue(ledger, (f"x{number}", "x"), (f"y{number}", "y"))
        for _ in range(2):
            one.sender.step(NOW, patience_s=0.3)
    assert len(well.sent) == 6
    assert slow.sent == []
    waiting = row_of(ledger, "x0")
    assert (waiting.claims, ledger.attempts("x0")) == (0, [])
    hang.set()
    drain(one.sender)
    assert slow.sent == ["n1", *(f"x{number}" for number in range(5))]


def test_every_row_to_a_recipient_that_refuses_has_its_turn(
    ledger: Ledger, rig: Callable[..., Rig]
) -> None:
    names = [f"n{number:02}" for number in range(40)]
    queue(ledger, *((name, "x") for name in names))
    stub, now = Stub(refuse()), NOW
    one = rig(ledger, {"x": stub})
    # As if each try hung a minute: the next begins when it has ended.
    for _ in range(120):
        one.sender.step(now, patience_s=20)
        now += timedelta(minutes=1)
    assert {stub.tried.count(name) for name in names} == {3}
    assert {len(ledger.attempts(name)) for name in names} == {3}


def test_missing_recipient_and_broken_plugin_cost_only_themselves(
    ledger: Ledger, rig: Callable[..., Rig]
) -> None:
    def broken(key: str) -> Receipt:
        raise ValueError("duty@example.org has the password tiger")

    queue(ledger, ("n1", "gone"), ("n2", "broken"), ("n3", "well"))
    stubs: dict[str, Notifier] = {"broken": Stub(broken), "well": Stub()}

    def resolve(site: str, recipient: str) -> Notifier:
        if recipient not in stubs:
            raise RecipientGoneError(f"site {site} has no recipient {recipient!r} (any more)")
        return stubs[recipient]

    one = rig(ledger, {}, resolve)
    with structlog.testing.capture_logs() as logs:
        one.sender.step(NOW)
    assert one.counts() == {"failed": 1, "retried": 1, "sent": 1}
    assert ledger.attempts("n2")[0].detail.startswith("the notifier broke: ValueError in broken")
    shown = str(logs) + str([ledger.attempts(n) for n in ("n1", "n2", "n3")])
    assert "tiger" not in shown
    assert "@" not in shown


def test_message_that_cannot_be_read_waits_for_an_upgrade(
    ledger: Ledger, rig: Callable[..., Rig]
) -> None:
    queue(ledger, ("n1", "x"), message='{"from":"the future"}')
    rig(ledger, {"x": Stub()}).sender.step(NOW)
    assert row_of(ledger, "n1").outcome == "queued"
    assert "cannot be read" in ledger.attempts("n1")[0].detail


def test_address_that_was_refused_is_written_down(ledger: Ledger, rig: Callable[..., Rig]) -> None:
    queue(ledger, ("n1", "x"))
    stub = Stub(lambda _: Receipt("250 ok", ("address 2 of 2 refused: 550",)))
    rig(ledger, {"x": stub}).sender.step(NOW)
    (attempt,) = ledger.attempts("n1")
    assert (attempt.outcome, attempt.detail) == ("sent", "address 2 of 2 refused: 550")


class Faulty:
    """A ledger that fails when an attempt is to be written down."""

    def __init__(self, ledger: Ledger, *faults: BaseException) -> None:
        self._ledger = ledger
        self._faults = list(faults)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def record_attempt(self, *args: Any) -> None:
        if self._faults:
            raise self._faults.pop(0)
        self._ledger.record_attempt(*args)


class Killed(BaseException):
    """The process dies here."""


def test_crash_after_acceptance_sends_again_under_the_same_id(
    ledger: Ledger, rig: Callable[..., Rig], tmp_path: Path
) -> None:
    queue(ledger, ("n1", "x"))
    with SmtpSink(tmp_path / "mail") as sink:
        service = Service(smtp=Smtp(port=sink.port, security="none", sender="w@example.org"))
        mail = email.open(email.Settings(to=("duty@example.org",)), service)
        with pytest.raises(Killed):
            rig(Faulty(ledger, Killed()), {"x": mail}).sender.step(NOW)
        assert ledger.attempts("n1") == []
        other = rig(ledger, {"x": mail})
        assert other.sender.step(NOW + timedelta(seconds=59)) == 0
        assert other.sender.step(NOW + timedelta(seconds=61)) == 1
        assert (len(sink.messages()), sink.repeats) == (1, 1)
    assert other.counts() == {"sent": 1, "repeated": 1}
    assert row_of(ledger, "n1").outcome == "sent"


def test_record_that_fails_for_a_moment_sends_nothing_twice(
    ledger: Ledger, rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(ledger, ("n1", "x"))
    stub = Stub()
    faults = [UnavailableError("locked"), UnavailableError("locked")]
    one = rig(Faulty(ledger, *faults), {"x": stub})
    monkeypatch.setattr(one.sender._closing, "wait", lambda _: None)
    assert one.sender.step(NOW) == 1
    assert stub.sent == ["n1"]
    assert one.counts() == {"sent": 1}


def test_two_senders_share_an_outbox(ledger: Ledger, rig: Callable[..., Rig]) -> None:
    queue(ledger, *((f"n{number}", f"r{number % 4}") for number in range(40)))
    stubs = {f"r{number}": Stub() for number in range(4)}
    senders = [rig(ledger, stubs, slots=5).sender for _ in range(2)]

    def serve(sender: Sender) -> None:
        while any(row.outcome == "queued" for row in ledger.notifications()):
            sender.step(NOW)

    threads = [threading.Thread(target=serve, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(key for stub in stubs.values() for key in stub.sent) == sorted(
        f"n{number}" for number in range(40)
    )


def test_stopping_finishes_what_is_under_way_and_gives_back_the_rest(
    ledger: Ledger, rig: Callable[..., Rig]
) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(key: str) -> Receipt:
        started.set()
        assert go_on.wait(20)
        return Receipt("ok")

    queue(ledger, ("n1", "x"), ("n2", "x"))
    stub = Stub(slow)
    one = rig(ledger, {"x": stub})
    stop = threading.Event()
    thread = threading.Thread(target=one.sender.run, args=(stop, _Fixed(NOW), 0.05))
    thread.start()
    assert started.wait(20)
    stop.set()
    one.sender._closing.set()
    go_on.set()
    thread.join(20)
    assert not thread.is_alive()
    assert stub.sent == ["n1"]
    left = row_of(ledger, "n2")
    assert (left.outcome, left.claims, left.attempts, left.lease_owner) == ("queued", 0, 0, None)


def test_a_claim_that_a_stop_overtakes_is_as_if_it_had_not_been(
    ledger: Ledger, rig: Callable[..., Rig]
) -> None:
    queue(ledger, ("n1", "x"))
    stub = Stub()
    one = rig(ledger, {"x": stub})
    (row,) = ledger.due_notifications(NOW, 9, "claim", 60)
    one.sender._closing.set()
    assert one.sender._delivery.turn(row, NOW, []) == 0
    left = row_of(ledger, "n1")
    assert (left.outcome, left.claims, left.attempts, left.lease_owner) == ("queued", 0, 0, None)
    assert stub.sent == []


def test_a_sender_that_stood_still_does_not_send_twice_by_itself(
    ledger: Ledger, rig: Callable[..., Rig]
) -> None:
    queue(ledger, ("n1", "x"))
    hang = threading.Event()
    stub = Stub(wait_for(hang))
    one = rig(ledger, {"x": stub})
    for hours in range(3):
        assert one.sender.step(NOW + timedelta(hours=hours), patience_s=0.05) == 0
    hang.set()
    one.sender.step(NOW + timedelta(hours=4))
    one.sender.step(NOW + timedelta(hours=8))
    assert stub.tried == ["n1"]
    assert (row_of(ledger, "n1").outcome, one.counts()) == ("sent", {"sent": 1})


def test_what_is_under_way_stays_claimed_however_long_it_takes(
    ledger: Ledger, rig: Callable[..., Rig]
) -> None:
    queue(ledger, ("n1", "x"))
    hang, stub = threading.Event(), Stub()
    slow = rig(ledger, {"x": Stub(wait_for(hang))})
    other = rig(ledger, {"x": stub})
    for seconds in range(0, 300, 50):
        slow.sender.step(NOW + timedelta(seconds=seconds), patience_s=0.05)
        assert other.sender.step(NOW + timedelta(seconds=seconds + 59)) == 0
    hang.set()
    assert slow.sender.step(NOW + timedelta(seconds=300)) == 1
    assert stub.sent == []


def test_each_claim_of_a_sender_has_its_own_name(ledger: Ledger, rig: Callable[..., Rig]) -> None:
    queue(ledger, ("n1", "x"))
    owners: list[str | None] = []

    def refusing(key: str) -> Receipt:
        owners.append(row_of(ledger, key).lease_owner)
        raise DeliveryError("the server says no", retryable=True)

    one = rig(ledger, {"x": Stub(refusing)})
    one.sender.step(NOW)
    one.sender.step(NOW + timedelta(minutes=1))
    assert None not in owners
    assert len(set(owners)) == 2


def test_what_another_sender_left_is_not_begun_beside_ones_own_try(
    ledger: Ledger, rig: Callable[..., Rig]
) -> None:
    queue(ledger, ("n1", "x"))
    hang = threading.Event()
    slow, stub = Stub(wait_for(hang)), Stub(refuse())
    one, other = rig(ledger, {"x": slow}), rig(ledger, {"x": stub})
    one.sender.step(NOW, patience_s=0.05)
    other.sender.step(NOW + timedelta(seconds=61))
    one.sender.step(NOW + timedelta(minutes=5), patience_s=0.05)
    left = row_of(ledger, "n1")
    assert (left.claims, left.attempts, left.lease_owner) == (2, 1, None)
    assert slow.tried == stub.tried == ["n1"]
    hang.set()


def test_closing_keeps_the_claim_of_what_it_waits_for(
    ledger: Ledger, rig: Callable[..., Rig]
) -> None:
    queue(ledger, ("n1", "x"))
    hang = threading.Event()
    renewing = _Renewing(ledger, lambda: hang.set() if one.sender._closing.is_set() else None)
    one = rig(renewing, {"x": Stub(wait_for(hang))}, lease_s=0.3)
    one.sender.step(NOW, patience_s=0.01)
    one.sender.close()
    assert row_of(ledger, "n1").outcome == "sent"


def test_who_lost_its_claim_on_the_way_does_not_send(
    ledger: Ledger, rig: Callable[..., Rig]
) -> None:
    queue(ledger, ("n1", "x"))
    stopped, stub = Stub(), Stub()
    other = rig(ledger, {"x": stub})

    def resolve(site: str, recipient: str) -> Notifier:
        other.sender.step(NOW + timedelta(seconds=61))  # this process stood still that long
        return stopped

    rig(ledger, {}, resolve).sender.step(NOW)
    assert (stopped.sent, stub.sent) == ([], ["n1"])
    assert row_of(ledger, "n1").outcome == "sent"


def test_run_outlives_a_ledger_out_of_reach(ledger: Ledger, rig: Callable[..., Rig]) -> None:
    queue(ledger, ("n1", "x"), not_before=SystemClock().now() - timedelta(seconds=5))
    stub = Stub()
    one = rig(_OutOfReachOnce(ledger), {"x": stub})
    stop = threading.Event()
    thread = threading.Thread(target=one.sender.run, args=(stop, SystemClock(), 0.02))
    thread.start()
    deadline = time.monotonic() + 20
    while not stub.sent and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    thread.join(20)
    assert stub.sent == ["n1"]


class _Renewing(Faulty):
    """Says when claims are renewed."""

    def __init__(self, ledger: Ledger, tell: Callable[[], None]) -> None:
        super().__init__(ledger)
        self._tell = tell

    def renew_claims(self, *args: Any) -> int:
        self._tell()
        return self._ledger.renew_claims(*args)


class _Fixed:
    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        raise AssertionError("the sender waits on its stop event")


class _OutOfReachOnce(Faulty):
    _once = False

    def due_notifications(self, *args: Any) -> list[QueuedNotification]:
        if not self._once:
            self._once = True
            raise UnavailableError("locked")
        return self._ledger.due_notifications(*args)
