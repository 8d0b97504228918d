"""Sends that fail, calls that fail beside them, and what is too large or out of order."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from test_worker import run_until
from toy_stage import Shop, configured, said

from core.errors import SlopewatchError, UnavailableError
from core.events import ASSESSMENTS, encode
from core.outlet import Outlet


def changed(event_json: bytes, **changes: object) -> bytes:
    return json.dumps({**json.loads(event_json), **changes}).encode()


# Numbered outcomes


def test_an_outcome_of_an_unknown_type_parks_its_site_until_an_upgrade() -> None:
    """A newer release wrote it: were it a dead letter, the site would wait for its number."""
    shop = Shop("a", "b")
    kind = "org.slopewatch.flood-expected.v1"
    shop.say_raw("a", changed(encode(said("one", number=1)), type=kind))
    shop.take(said("two", number=2), said("un", "b"))
    assert "which this release does not know: upgrade slopewatch" in shop.parked()
    assert shop.letters() == []
    assert shop.words("b") == ["un"]


def test_an_observation_of_an_unknown_type_is_a_dead_letter() -> None:
    shop = Shop("a")
    shop.say_raw("a", changed(encode(said("one")), type="org.slopewatch.flood-expected.v1"))
    shop.take(said("two"))
    assert shop.letters() == [("D01", "a")]
    assert shop.words() == ["two"]


@pytest.mark.parametrize("order", [[1, 2, 3], [2, 3, 1], [3, 2, 1]])
def test_the_number_of_an_outcome_with_spoiled_data_counts(order: list[int]) -> None:
    shop = Shop("a")
    three = {n: encode(said(str(n), number=n)) for n in (1, 2, 3)}
    three[2] = changed(three[2], data={"rain": "wet"})
    shop.say_raw("a", *(three[n] for n in order), three[2])
    shop.worker.drain()
    shop.restart()
    shop.take(said("4", number=4))
    assert shop.words() == ["1", "3", "4"]
    assert shop.letters() == [("D01", "a")]
    assert shop.worker.parked == {}


def test_two_outcomes_with_one_number_are_a_fork_before_their_turn_too() -> None:
    shop = Shop("a")
    shop.take(said("two", number=2), said("other", number=2))
    assert "number 2 came again as another event" in shop.parked()


# Sizes


def test_what_would_make_a_commit_too_large_goes_into_the_next() -> None:
    shop = Shop("a")
    shop.stage.commits.clear()
    shop.take(said("x" * 300_000), said("y" * 300_000), said("z"))
    assert shop.stage.commits == [("a", 1), ("a", 2)]
    assert [len(word) for word in shop.words()] == [300_000, 300_000, 1]
    assert [number for number, _ in shop.outcomes()] == [1, 2, 3, 4]


def test_a_commit_in_the_middle_keeps_an_early_outcome_whose_turn_has_come() -> None:
    shop = Shop("a")
    shop.take(said("z" * 300_000, number=2))
    shop.stage.busy = {"z" * 300_000}
    shop.take(said("y" * 300_000, number=1))
    assert [word[0] for word in shop.words()] == ["y"]
    shop.stage.busy = set()
    shop.restart()
    shop.worker.drain()
    assert [word[0] for word in shop.words()] == ["y", "z"]


def test_an_outcome_that_the_log_does_not_take_stops_its_site_before_the_commit() -> None:
    shop = Shop("a", "b")
    shop.take(said("one"), said("huge"), said("un", "b"))
    assert "weighs 2000" in shop.parked()
    assert "the log takes 1048576: raise max_record_bytes" in shop.parked()
    assert shop.words() == ["one"]
    assert [number for number, _ in shop.outcomes()] == [1, 2]
    shop.restart()
    shop.worker.drain()
    assert "raise max_record_bytes" in shop.parked()


# Sends


def test_all_waits_of_a_step_share_one_limit() -> None:
    shop = Shop(*"abcdefgh")
    shop.say(*(said("one", site) for site in "abcdefgh"))
    now = [0.0]

    class Clock:
        @staticmethod
        def monotonic() -> float:
            now[0] += sum(shop.log.waited)
            shop.log.waited.clear()
            return now[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.outlet.time", Clock)
        shop.log.failing = 8
        shop.worker.step(0.0)
    assert len(shop.worker.parked) == 8
    assert now[0] < 31


def test_a_failure_of_old_leaves_the_new_producer_alone() -> None:
    shop = Shop("a")
    outlet = Outlet(shop.log, "toy", shop.artifacts, shop.clock, shop.telemetry, 30.0)
    shop.log.failing = 2
    old = [outlet.send(ASSESSMENTS, [said(word)]) for word in ("one", "two")]
    with pytest.raises(UnavailableError):
        outlet.settle(old[0])
    new = outlet.send(ASSESSMENTS, [said("three")])
    with pytest.raises(UnavailableError):
        outlet.settle(old[1])
    assert not shop.log.made[-1].discarded
    outlet.settle(new)


def test_a_site_whose_sends_keep_failing_is_tried_ever_more_rarely() -> None:
    shop = Shop("a")
    shop.log.failing = 1000
    shop.take(said("one"))
    waits = []
    for _ in range(4):
        parked = shop.worker.parked["a"]
        waits.append((parked.retry_at - shop.clock.now()).total_seconds())
        shop.clock.set(parked.retry_at)
        shop.worker.step(0.0)
    assert waits == [5, 10, 20, 40]


def test_a_log_that_gives_no_producer_just_now_does_not_end_the_worker() -> None:
    shop = Shop("a", "b", backoff=timedelta(0))
    shop.log.failing = 1
    shop.log.refused["producer"] = 3
    shop.say(said("one"), said("un", "b"))
    run_until(shop, lambda: [n for n, _ in shop.outcomes()] == [1, 2] and not shop.worker.parked)
    shop.worker = shop._worker()
    shop.take(said("two"), said("deux", "b"))
    for site in ("a", "b"):
        assert list(dict.fromkeys(n for n, _ in shop.outcomes(site))) == [1, 2, 3]


# Calls beside the way


def test_a_log_that_cannot_be_read_for_catching_up_keeps_that_site_alone_parked() -> None:
    shop = Shop("a", "b")
    shop.stage.busy = {"one"}
    shop.take(said("one"))
    shop.stage.busy = set()
    shop.log.refused["read"] = 2
    shop.say(said("un", "b"))
    shop.after(10)
    assert "out of reach: read" in shop.parked()
    assert shop.worker.parked["a"].attempt == 2
    assert shop.words("b") == ["un"]
    shop.after(20)
    shop.after(40)
    assert shop.words() == ["one"]


def test_the_lag_is_asked_now_and_then_and_never_starts_the_worker_over() -> None:
    shop = Shop("a")
    shop.log.asked.clear()
    for number in range(20):
        shop.say(said(str(number)))
        shop.worker.step(0.0)
    assert shop.log.asked["end"] < 5
    shop.log.refused["end"] = 1
    shop.worker._asked_lag_at = 0.0
    shop.say(said("more"))
    shop.worker.step(0.0)
    assert +shop.log.refused == {}
    assert len(shop.words()) == 21


def test_a_group_offset_that_cannot_be_noted_is_noted_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop("a")

    def commit(offsets: object) -> None:
        raise UnavailableError("no coordinator")

    with monkeypatch.context() as patch:
        patch.setattr(shop.worker._consumer.inner, "commit", commit)
        shop.take(said("one"))
    assert shop.words() == ["one"]
    shop.worker.step(0.0)
    assert shop.committed() == 2


def test_an_error_that_is_no_trouble_of_the_moment_ends_the_loop() -> None:
    shop = Shop("a")
    shop.say(configured("b"))

    def poll(most: int, timeout_s: float) -> list[object]:
        raise SlopewatchError("the log is damaged")

    shop.worker._consumer.inner.poll = poll

    with pytest.raises(SlopewatchError, match="damaged"):
        shop.worker.run(threading.Event())
