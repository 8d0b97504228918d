"""The memory log keeps the event log contract."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from core.errors import SettingsError
from core.eventlog import ClosedError, Consumer, TopicSpec, open_log, partition_of, range_assignment
from tests.contracts.eventlog_contract import Connect, EventLogContract


class TestMemoryLog(EventLogContract):
    @pytest.fixture
    def connect(self) -> Iterator[Connect]:
        log = open_log(f"memory://?lease_s={self.lease_s}")
        yield lambda: log
        log.close()


def test_each_opening_is_a_new_log() -> None:
    one, other = open_log("memory://"), open_log("memory://")
    one.create_topics([TopicSpec("t")])
    assert not other.topics()
    other.create_topics([TopicSpec("t")])
    assert one.topic_id("t") != other.topic_id("t")
    one.close()
    other.close()
    with pytest.raises(ClosedError):
        one.topics()


@pytest.mark.parametrize("url", ["paper://x", "memory", "", "_settings://", "sqlite:/x"])
def test_an_unknown_scheme_lists_the_known_ones(url: str) -> None:
    with pytest.raises(SettingsError, match=r"memory://.*sqlite://"):
        open_log(url)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("memory://host", "no host"),
        ("memory://?lease=3", "lease is not known"),
        ("memory://?lease_s=0", "lease_s"),
        ("memory://?lease_s=inf", "lease_s"),
        ("memory://?max_record_bytes=1.5", "whole number"),
        ("sqlite://", "sqlite:///abs/path.db"),
        ("sqlite://log.db", "sqlite:///abs/path.db"),
        ("sqlite:///no/such/folder/log.db", "does not exist"),
    ],
)
def test_a_bad_url_is_named(url: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        open_log(url)


def test_the_partition_of_a_key_never_changes() -> None:
    keys = ["", "a", "oso", "Låttaskær", "site-1", "site-2"]
    assert [partition_of(key, 8) for key in keys] == [0, 3, 3, 3, 5, 7]


@pytest.mark.parametrize("seed", range(5))
def test_no_partition_has_two_owners_however_members_come_and_go(seed: int) -> None:
    chance = random.Random(seed)
    log = open_log("memory://")
    log.create_topics([TopicSpec("t", 8)])
    members: dict[str, Consumer] = {}
    for _ in range(400):
        name, what = chance.choice("abcde"), chance.random()
        if what < 0.05:
            # Under an id that is in use: the former instance is fenced, and polled no more.
            members[name] = log.consumer("t", "g", name)
        elif what < 0.1 and name in members:
            members.pop(name).close()
        elif name in members:
            members[name].poll(1, 0)
        held = [p for member in members.values() for p in member.assignment()]
        assert len(held) == len(set(held))
    members.setdefault("a", log.consumer("t", "g", "a"))
    for _ in range(3):
        for member in members.values():
            member.poll(1, 0)
    assert {name: member.assignment() for name, member in members.items()} == range_assignment(
        list(members), 8
    )
    log.close()


def test_range_gives_the_first_members_one_more() -> None:
    assert range_assignment(["c", "a", "b"], 8) == {
        "a": {0, 1, 2},
        "b": {3, 4, 5},
        "c": {6, 7},
    }
    assert range_assignment(["a", "b"], 1) == {"a": {0}, "b": set()}
    assert range_assignment([], 4) == {}
