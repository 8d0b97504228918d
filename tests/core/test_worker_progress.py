"""From where a stage reads on, whatever became of its store, its notes or its group."""

from __future__ import annotations

import msgspec
import pytest
from toy_stage import Kept, Shop, configured, said

from core.errors import UnavailableError
from core.events import OBSERVATIONS, encode


@pytest.fixture(autouse=True)
def noted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.progress.NOTE_EVERY_S", 0.0)


def note_of(shop: Shop) -> str:
    return f"reading/toy/{shop.log.sound.topic_id(OBSERVATIONS)}/0"


def spoken_to() -> Shop:
    shop = Shop("a", "b")
    shop.take(said("one"), said("un", "b"), said("two"), said("deux", "b"))
    return shop


# The store


def test_a_lost_store_reads_everything_again() -> None:
    shop = spoken_to()
    shop.stage.stores.clear()
    shop.restart()
    shop.worker.drain()
    assert (shop.words(), shop.words("b")) == (["one", "two"], ["un", "deux"])
    assert shop.letters() == []


def test_a_store_that_lacks_one_site_reads_that_one_again() -> None:
    shop = spoken_to()
    shop.take(said("one", "who"))
    del shop.stage.stores["a"]
    shop.stage.commits.clear()
    shop.restart()
    assert shop.worker.drain() == 0
    assert (shop.words(), shop.words("b")) == (["one", "two"], ["un", "deux"])
    assert {site for site, _ in shop.stage.commits} == {"a"}
    assert shop.letters() == [("D02", "who")]


def test_a_site_added_after_the_backup_is_read_again_when_the_backup_is_restored() -> None:
    shop = Shop("a")
    shop.take(said("one"))
    backup = dict(shop.stage.stores)
    shop.take(configured("b"), said("un", "b"), said("two"))
    shop.worker.close()
    shop.stage.stores = backup
    shop.restart()
    shop.take(said("deux", "b"))
    assert (shop.words(), shop.words("b")) == (["one", "two"], ["un", "deux"])
    assert shop.letters() == []


def test_a_store_that_comes_back_after_others_read_on_without_it_catches_up() -> None:
    shop = spoken_to()
    away = shop.stage.stores.pop("a")
    shop.restart()
    shop.take(said("three"), said("trois", "b"))
    shop.worker.close()
    shop.stage.stores["a"] = away
    shop.restart()
    shop.take(said("four"))
    assert shop.words() == ["one", "two", "three", "four"]


def test_a_store_read_from_a_partition_that_the_topic_lacks_stops_its_site() -> None:
    shop = spoken_to()
    kept = shop.stage.stores["a"]
    elsewhere = msgspec.structs.replace(kept.bookmark, partition=7)
    shop.stage.stores["a"] = Kept(kept.state, elsewhere, kept.outcomes)
    shop.restart()
    shop.take(said("trois", "b"))
    assert "was read from partition 7 and belongs to partition 0" in shop.parked()
    assert shop.words("b") == ["un", "deux", "trois"]


# The notes


def test_neither_a_quiet_site_nor_one_that_stands_still_pulls_a_start_back() -> None:
    shop = Shop("a", "b", "quiet")
    shop.take(said("one"), said("bug", "b"), said("one", "who"), said("two"))
    shop.worker.close()
    for _ in range(3):
        shop.restart()
        assert shop.worker.drain() == 0
    assert shop.letters() == [("D02", "who")]
    assert shop.parked("b") == "a bug in the handler"
    shop.take(said("one", "quiet"))
    assert shop.words("quiet") == ["one"]


def test_lost_damaged_or_late_notes_cost_a_second_look_and_nothing_else() -> None:
    shop = spoken_to()
    late = shop.notes.get(note_of(shop))
    shop.take(said("three"), said("one", "who"), configured("c"), said("ein", "c"))
    for content in (b"", b"\xff{", b'{"next": "far"}', late):
        shop.notes.put(note_of(shop), content)
        shop.restart()
        assert shop.worker.drain() > 0
        assert shop.words() == ["one", "two", "three"]
        assert (shop.words("b"), shop.words("c")) == (["un", "deux"], ["ein"])
        assert shop.letters() == [("D02", "who")]


def test_notes_out_of_reach_stop_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop("a")

    def put(name: str, content: bytes) -> None:
        raise UnavailableError("the bucket is away")

    monkeypatch.setattr(shop.notes, "put", put)
    shop.take(said("one"))
    assert shop.words() == ["one"]
    assert shop.worker.parked == {}


def test_the_notes_tell_other_processes_who_stands_still_and_why() -> None:
    shop = Shop("a", "b")
    shop.take(said("bug"), said("un", "b"))
    assert b'"a":{"offset":2,"reason":"a bug in the handler"}' in shop.notes.get(note_of(shop))
    labels = {"stage": "toy", "site": "a"}
    value = shop.telemetry.registry.get_sample_value
    assert value("slopewatch_site_parked", labels) == 1
    shop.stage.handle = lambda state, given: (state, [])
    shop.after(10)
    assert b"a bug" not in shop.notes.get(note_of(shop))
    assert value("slopewatch_site_parked", labels) is None


def test_the_lag_of_a_partition_is_shown_while_it_is_read_here() -> None:
    shop = Shop("a")
    shop.take(said("one"))

    def lag() -> float | None:
        labels = {"stage": "toy", "partition": "0"}
        return shop.telemetry.registry.get_sample_value("slopewatch_log_lag_records", labels)

    assert lag() == 0
    shop.worker.on_revoked({0})
    assert lag() is None


# Reading on


def test_a_site_catches_up_batch_by_batch_while_the_others_are_read() -> None:
    shop = Shop("a", "b", batch=2)
    shop.stage.busy = {"0"}
    shop.take(*(said(str(n)) for n in range(6)))
    shop.stage.busy = set()
    shop.clock.sleep(10)
    shop.say(said("6"), said("un", "b"))
    seen = []
    for _ in range(5):
        shop.worker.step(0.0)
        seen.append((len(shop.words()), shop.words("b"), "a" in shop.worker.parked))
    assert [words for words, _, _ in seen] == [2, 4, 6, 7, 7]
    assert [others for _, others, _ in seen] == [["un"]] * 5
    assert [parked for _, _, parked in seen] == [True, True, True, False, False]
    assert shop.words() == list("0123456")


def test_draining_goes_on_over_polls_that_give_nothing() -> None:
    shop = Shop("a")
    shop.say(said("one"))
    shop.log.idle = 3
    assert shop.worker.drain() == 1
    shop.restart()
    shop.say(said("two"))
    shop.log.idle = 3
    shop.worker.drain()
    assert shop.words() == ["one", "two"]


def test_an_assignment_asks_the_log_once_however_many_sites_it_has() -> None:
    shop = Shop(*"abcdefgh")
    shop.log.asked.clear()
    shop.restart()
    shop.worker.drain()
    assert shop.log.asked["topic_id"] == 1
    assert shop.log.asked["end"] <= 3


# Strangers


@pytest.mark.parametrize("key", ["", "�", "a b", "x" * 65])
def test_a_key_that_names_no_site_is_a_dead_letter(key: str) -> None:
    shop = Shop("a")
    shop.say_raw(key, b"?", encode(configured(key)))
    shop.take(said("one"))
    assert shop.letters() == [("D01", "unknown")] * 2
    assert shop.words() == ["one"]
    assert shop.worker.parked == {}
