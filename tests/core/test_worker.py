"""The consume loop, with a stage that collects words."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest
from toy_stage import Kept, Shop, configured, said, word

from core.clock import midnight
from core.errors import BadInputError
from core.eventlog import ClosedError, FencedError
from core.events import DEAD_LETTERS, OBSERVATIONS, UPCASTERS, decode, encode, identity
from core.stage import Input
from tests.pipeline import LATER, START, records_of


def newer(text: str, site: str = "a") -> bytes:
    """An event of a known type in a version that this release does not read."""
    tree = json.loads(encode(said(text, site)))
    return json.dumps({**tree, "type": "org.slopewatch.rainfall-observed.v2"}).encode()


def run_until(shop: Shop, reached: Callable[[], bool]) -> None:
    """Let the worker's own loop run until something is so."""
    stop = threading.Event()
    running = threading.Thread(target=shop.worker.run, args=(stop,))
    running.start()
    deadline = time.monotonic() + 20
    while running.is_alive() and not reached() and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    running.join()
    assert reached()


# What is taken in


def test_an_input_that_comes_twice_is_taken_once() -> None:
    shop = Shop("a")
    shop.take(said("one"), said("one"))
    shop.take(said("one"), said("two"))
    assert shop.words() == ["one", "two"]
    shop.restart()
    shop.take(said("two"))
    assert shop.words() == ["one", "two"]


def test_numbers_are_taken_in_their_order() -> None:
    shop = Shop("a")
    first, second, third = (said(w, number=n) for n, w in enumerate(("one", "two", "three"), 1))
    shop.take(third, first)
    assert shop.words() == ["one"]
    shop.take(first, second)
    assert shop.words() == ["one", "two", "three"]
    assert shop.worker.parked == {}


def test_a_site_that_waits_too_long_for_a_missing_outcome_counts_as_standing_still() -> None:
    shop = Shop("a")
    shop.take(said("two", number=2))
    assert shop.worker.parked == {}
    shop.clock.sleep(timedelta(minutes=11).total_seconds())
    shop.take()
    assert "missing event" in shop.worker.parked["a"].reason
    shop.take(said("one", number=1))
    assert shop.words() == ["one", "two"]
    assert shop.worker.parked == {}


def test_an_outcome_that_came_too_early_survives_a_restart() -> None:
    shop = Shop("a")
    shop.take(said("three", number=3), said("free"), said("one", number=1))
    assert shop.words() == ["free", "one"]
    shop.restart()
    shop.take(said("two", number=2))
    assert shop.words() == ["free", "one", "two", "three"]


def test_an_outcome_that_came_too_early_survives_parking() -> None:
    shop = Shop("a")
    shop.take(said("two", number=2))
    shop.stage.busy = {"soon"}
    shop.take(said("soon"))
    shop.stage.busy = set()
    shop.after(10)
    shop.take(said("one", number=1))
    assert shop.words() == ["soon", "one", "two"]


def test_the_same_number_with_another_id_stops_the_site_as_a_fork() -> None:
    shop = Shop("a", "b")
    shop.take(said("one", number=1), said("other", number=1), said("well", "b"))
    assert "number 1 came again as another event" in shop.parked()
    shop.after(100_000)
    assert shop.words() == ["one"]
    assert shop.words("b") == ["well"]


def test_what_the_handler_refuses_is_a_dead_letter_and_its_number_counts() -> None:
    shop = Shop("a")
    shop.take(said("bad", number=1), said("two", number=2), said("bad"), said("bad", number=1))
    assert shop.words() == ["two"]
    assert shop.letters() == [("D03", "a"), ("D03", "a")]


def test_now_never_falls_within_a_site() -> None:
    shop = Shop("a")
    seen = []
    handle = shop.stage.handle

    def watch(state, given: Input):
        seen.append(given.now)
        return handle(state, given)

    shop.stage.handle = watch
    late = midnight(START) + timedelta(days=3)
    shop.take(said("one", available_at=late, processed_at=late), said("two"))
    assert seen == [late, late]


# Dead letters


def test_the_undecodable_is_a_dead_letter_named_by_its_place() -> None:
    shop = Shop("a")
    shop.say_raw("a", b"{not json", b"\xff", encode(said("one"))[:-3])
    shop.worker.drain()
    letters = [decode(r.value) for r in records_of(shop.log, DEAD_LETTERS)]
    assert [one.data.code for one in letters] == ["D01"] * 3
    assert [one.id for one in letters] == [
        identity(shop.log.topic_id(OBSERVATIONS), OBSERVATIONS, 0, offset) for offset in (1, 2, 3)
    ]
    assert letters[0].data.origin == "observations/0/1"
    assert shop.worker.parked == {}


def test_a_large_payload_is_kept_as_an_artifact() -> None:
    shop = Shop("a")
    payload = b"x" * 200_000
    shop.say_raw("a", payload)
    shop.worker.drain()
    (letter,) = [decode(r.value) for r in records_of(shop.log, DEAD_LETTERS)]
    assert letter.data.payload is None
    assert shop.artifacts.get(letter.data.artifact) == payload


def test_the_log_refuses_an_event_of_ten_megabytes() -> None:
    shop = Shop("a")
    with pytest.raises(BadInputError, match="larger than the 1048576 bytes"):
        shop.say_raw("a", b"x" * 10_000_000)


def test_an_unknown_site_is_a_dead_letter_until_it_is_configured() -> None:
    shop = Shop("a")
    shop.take(said("one", "who"), said("one"), configured("who"), said("two", "who"))
    assert shop.letters() == [("D02", "who")]
    assert shop.words() == ["one"]
    assert shop.words("who") == ["two"]


def test_an_event_that_speaks_of_another_site_is_a_dead_letter() -> None:
    shop = Shop("a", "b")
    shop.say_raw("a", encode(said("one", "b")))
    shop.worker.drain()
    assert shop.letters() == [("D01", "a")]
    assert shop.words() == shop.words("b") == []


@pytest.mark.parametrize("wrong", ["reader", "writer"])
def test_an_event_from_the_future_is_a_dead_letter(wrong: str) -> None:
    """Else `now` would stand in 2099 for good."""
    shop = Shop("a")
    future = LATER + timedelta(days=2) if wrong == "reader" else midnight(START) + timedelta(days=2)
    processed = future if wrong == "reader" else midnight(START)
    tomorrow = LATER + timedelta(hours=20)
    shop.take(
        said("late", available_at=future, processed_at=processed),
        said("soon", available_at=tomorrow, processed_at=tomorrow),
        said("well"),
    )
    assert shop.letters() == [("D04", "a")]
    assert shop.words() == ["soon", "well"]


# Commit, then emit


def test_outcomes_are_numbered_and_said_again_at_every_opening() -> None:
    shop = Shop("a")
    shop.take(said("one"))
    shop.take(said("two"), said("three"))
    told = [(1, "1:configured"), (2, "2:one"), (3, "3:two"), (4, "4:three")]
    assert shop.outcomes() == told
    shop.restart()
    shop.worker.drain()
    assert shop.outcomes() == [*told, *told[2:]]


def test_the_next_commit_waits_until_the_last_outcomes_are_acknowledged() -> None:
    shop = Shop("a", batch=1)
    shop.log.failing = 1
    shop.take(said("one"), said("two"))
    assert shop.words() == ["one"]
    assert "not acknowledged" in shop.parked()
    assert shop.outcomes() == [(1, "1:configured")]
    shop.after(10)
    assert shop.words() == ["one", "two"]
    assert shop.outcomes() == [(1, "1:configured"), (2, "2:one"), (3, "3:two")]


def test_after_a_failed_send_the_producer_is_thrown_away_and_the_site_opened_again() -> None:
    shop = Shop("a", "b")
    shop.log.failing, shop.log.arrives = 1, True
    shop.take(said("one"), said("one", "b"))
    shop.after(10)
    first, *_, last = shop.log.made
    assert (first.discarded, last.discarded) == (True, False)
    shop.take(said("two"), said("two", "b"))
    for site in ("a", "b"):
        assert shop.words(site) == ["one", "two"]
        numbers = [number for number, _ in shop.outcomes(site)]
        assert sorted(set(numbers)) == [1, 2, 3]
        assert numbers == sorted(numbers)


def test_the_loser_of_a_race_drops_what_it_thought_and_opens_again() -> None:
    shop = Shop("a")
    kept = shop.stage.stores["a"]
    theirs = msgspec.structs.replace(kept.bookmark, seq=2, given=2)
    shop.stage.stores["a"] = Kept(
        (*kept.state, "theirs"), theirs, kept.outcomes, kept.ids, kept.revision + 1
    )
    shop.take(said("one"))
    assert "another worker committed" in shop.parked()
    assert shop.words() == ["theirs"]
    shop.after(10)
    assert shop.words() == ["theirs", "one"]


def test_much_that_is_said_at_once_is_cut_into_commits() -> None:
    shop = Shop("a")
    shop.stage.commits.clear()
    shop.take(*(said(f"{n}" + "y" * 100_000) for n in range(12)))
    assert len(shop.words()) == 12
    assert len(shop.stage.commits) > 1


# Trouble stays where it is


def test_a_retryable_error_parks_its_site_alone_and_it_catches_up_in_order() -> None:
    shop = Shop("a", "b", batch=2)
    shop.stage.busy = {"two"}
    shop.take(said("one"), said("two"), said("un", "b"), said("three"), said("deux", "b"))
    shop.take(said("trois", "b"), said("four"))
    assert shop.words() == ["one"]
    assert shop.parked() == "two is out of reach"
    assert shop.words("b") == ["un", "deux", "trois"]
    shop.stage.busy = set()
    shop.after(60)
    assert shop.words() == ["one", "two", "three", "four"]
    assert shop.worker.parked == {}


def test_a_parked_site_is_tried_again_ever_more_rarely() -> None:
    shop = Shop("a")
    shop.stage.busy = {"one"}
    shop.take(said("one"))
    waits = []
    for _ in range(12):
        parked = shop.worker.parked["a"]
        waits.append((parked.retry_at - shop.clock.now()).total_seconds())
        shop.clock.set(parked.retry_at)
        shop.worker.step(0.0)
    assert waits[:4] == [5, 10, 20, 40]
    assert waits[-1] == 600


def test_a_bug_in_the_handler_parks_its_site_alone() -> None:
    shop = Shop("a", "b")
    shop.take(said("one"), said("bug"), said("two"), said("one", "b"))
    assert shop.words() == ["one"]
    assert shop.parked() == "a bug in the handler"
    assert shop.words("b") == ["one"]


def test_a_newer_version_parks_the_site_until_the_reader_is_upgraded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop("a", "b")
    shop.say_raw("a", newer("two"))
    shop.take(said("three"), said("one", "b"))
    assert "upgrade slopewatch" in shop.parked()
    assert shop.words() == []
    assert shop.words("b") == ["one"]
    shop.after(100_000)
    shop.restart()
    shop.worker.drain()
    assert "upgrade slopewatch" in shop.parked()
    monkeypatch.setattr(type(word("")), "VERSION", 2)
    monkeypatch.setitem(UPCASTERS, ("rainfall-observed", 1), lambda data: data)
    shop.restart()
    shop.worker.drain()
    assert shop.words() == ["two", "three"]


def test_a_store_out_of_reach_parks_its_site_alone_from_where_its_store_stands() -> None:
    """Nobody knows where it stands until it opens: here it is an older state, restored."""
    shop = Shop("a", "b")
    shop.take(said("one"))
    old = shop.stage.stores["a"]
    shop.take(said("two"), said("one", "b"), said("three"))
    shop.worker.close()
    shop.stage.stores["a"] = old
    shop.stage.unreachable = {"a"}
    shop.restart()
    shop.take(said("two", "b"))
    assert shop.words("b") == ["one", "two"]
    shop.stage.unreachable = set()
    shop.after(10)
    assert shop.words() == ["one", "two", "three"]
    shop.take(said("four"))
    assert shop.words() == ["one", "two", "three", "four"]


# Positions


def test_the_offset_of_the_group_is_only_a_lower_bound() -> None:
    shop = Shop("a", "b")
    shop.stage.busy = {"one"}
    shop.take(said("one"), said("un", "b"), said("deux", "b"))
    assert shop.committed() == 2
    assert shop.words("b") == ["un", "deux"]
    shop.stage.busy = set()
    shop.restart()
    shop.worker.drain()
    assert shop.words() == ["one"]
    assert shop.words("b") == ["un", "deux"]
    assert shop.committed() == 5


def test_a_restored_older_state_catches_up() -> None:
    shop = Shop("a", "b")
    shop.take(said("one"))
    old = shop.stage.stores["a"]
    shop.take(said("two"), said("one", "b"), said("three"))
    shop.stage.stores["a"] = old
    shop.restart()
    shop.worker.drain()
    assert shop.words() == ["one", "two", "three"]
    assert shop.words("b") == ["one"]


def test_a_site_that_was_read_from_another_log_stops() -> None:
    shop = Shop("a", "b")
    kept = shop.stage.stores["a"]
    shop.stage.stores["a"] = Kept(
        kept.state, msgspec.structs.replace(kept.bookmark, log_id="other"), kept.outcomes
    )
    shop.restart()
    shop.take(said("one"), said("one", "b"))
    assert "was read from log other" in shop.parked()
    assert shop.worker.parked["a"].retry_at is None
    assert shop.words("b") == ["one"]


def test_a_site_that_has_read_past_the_end_of_the_log_stops() -> None:
    shop = Shop("a")
    kept = shop.stage.stores["a"]
    beyond = msgspec.structs.replace(kept.bookmark, offset=99)
    shop.stage.stores["a"] = Kept(kept.state, beyond, kept.outcomes)
    shop.restart()
    shop.worker.drain()
    assert "has read up to 99 and the log ends at 1" in shop.parked()


# The loop itself


def test_the_loop_waits_for_a_log_out_of_reach() -> None:
    shop = Shop("a", backoff=timedelta(milliseconds=1))
    shop.say(said("one"))
    shop.log.refused.update({"poll": 2, "consumer": 3})
    run_until(shop, lambda: shop.words() == ["one"])
    assert +shop.log.refused == {}


def test_a_second_worker_under_the_same_id_ends_the_first() -> None:
    shop = Shop("a")
    first = shop.worker
    shop.restart()
    shop.take(said("one"))
    with pytest.raises(FencedError):
        first.run(threading.Event())
    assert shop.words() == ["one"]


def test_closing_twice_is_closing_once() -> None:
    shop = Shop("a")
    shop.worker.close()
    shop.worker.close()
    with pytest.raises(ClosedError):
        shop.worker.step(0.0)
