"""Events on the log: their form, their versions, and what is no event."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInputError, NewerVersionError
from core.events import (
    EVENT_TYPES,
    UPCASTERS,
    DayClosed,
    Event,
    OperatorCommanded,
    RainfallObserved,
    decode,
    encode,
    identity,
    observation_id,
)

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
RAIN = RainfallObserved(feed="gauge", station="g", day=date(2024, 5, 1), rain_mm=3.5)


def event(data: Any = RAIN, **changes: Any) -> Event:
    made = {
        "id": "1",
        "site": "dam",
        "source": "test",
        "valid_time": NOON,
        "available_at": NOON,
        "processed_at": NOON,
        "data": data,
    }
    return Event(**{**made, **changes})


def test_an_event_comes_back_as_it_was() -> None:
    told = event(number=3, assumed=True, retry_of="0")
    assert decode(encode(told)) == told


def test_it_is_a_cloudevent() -> None:
    tree = json.loads(encode(event()))
    assert tree["specversion"] == "1.0"
    assert tree["type"] == "org.slopewatch.rainfall-observed.v1"
    assert tree["subject"] == "dam"
    assert all(name == name.lower() and name.isalnum() for name in tree)


def test_times_are_utc_whatever_offset_they_were_written_with() -> None:
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    read = decode(encode(event(available_at=east)))
    assert read.available_at == NOON
    assert read.available_at.utcoffset() == timedelta(0)


def test_a_time_in_the_payload_needs_an_offset_too() -> None:
    silence = OperatorCommanded(
        command="silence", operator="li", unit=None, reason="works", until=datetime(2024, 5, 2)
    )
    with pytest.raises(BadInputError, match="until"):
        decode(encode(event(silence)))


def test_an_older_version_is_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    old = encode(event(DayClosed(day=date(2024, 5, 1))))
    monkeypatch.setattr(DayClosed, "VERSION", 2)
    lifted = {"day": "2024-05-02"}
    monkeypatch.setitem(UPCASTERS, ("day-closed", 1), lambda data: {**data, **lifted})
    assert decode(old).data == DayClosed(day=date(2024, 5, 2))


def test_a_newer_version_is_no_bad_input() -> None:
    tree = {**json.loads(encode(event())), "type": "org.slopewatch.rainfall-observed.v7"}
    with pytest.raises(NewerVersionError, match="version 7, this release reads up to 1"):
        decode(json.dumps(tree).encode())


@settings(derandomize=True, deadline=None, max_examples=300, database=None)
@given(cut=st.integers(0, 400), junk=st.binary(max_size=8))
def test_whatever_the_bytes_nothing_but_our_errors_is_raised(cut: int, junk: bytes) -> None:
    whole = encode(event())
    with contextlib.suppress(BadInputError, NewerVersionError):
        decode(whole[:cut] + junk + whole[cut + len(junk) :])


@settings(derandomize=True, deadline=None, max_examples=200, database=None)
@given(kind=st.text(max_size=40), version=st.text(max_size=8))
def test_whatever_the_type_nothing_but_our_errors_is_raised(kind: str, version: str) -> None:
    tree = json.loads(encode(event()))
    for name in (
        kind,
        f"org.slopewatch.{kind}.v{version}",
        f"org.slopewatch.day-closed.v{version}",
    ):
        with contextlib.suppress(BadInputError, NewerVersionError):
            decode(json.dumps({**tree, "type": name}).encode())


def test_ids_follow_from_what_is_said_and_not_from_when() -> None:
    same = observation_id("dam", "g/2024-05-01", RAIN)
    assert same == observation_id("dam", "g/2024-05-01", RAIN)
    assert same != observation_id("dike", "g/2024-05-01", RAIN)
    assert identity("a", "bc") != identity("ab", "c")
    assert len(same) == 32


def test_every_type_says_in_the_past_tense_what_happened() -> None:
    assert set(EVENT_TYPES) >= {"day-closed", "site-configured", "alert-changed"}
    for name, cls in EVENT_TYPES.items():
        assert name == name.lower()
        assert cls.__doc__
