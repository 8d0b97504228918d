"""Every event that a log may hold is read for ever: stored samples of every type and version."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.errors import BadInputError, NewerVersionError, SlopewatchError
from core.events import (
    EVENT_TYPES,
    UPCASTERS,
    EventData,
    RainfallObserved,
    _Envelope,
    decode,
    encode,
    type_of,
)
from tests.core import write_samples
from tests.core.write_samples import SAMPLES, digest, fault, schema_of, stem, sums

FILES = sorted(p.name for p in SAMPLES.glob("*.json") if not p.name.endswith(".schema.json"))


def samples(name: str) -> list[bytes]:
    """The events of a file, as bytes of a log."""
    found = msgspec.json.decode((SAMPLES / name).read_bytes(), type=list[msgspec.Raw])
    return [bytes(raw) for raw in found]


@pytest.mark.parametrize("name", FILES)
def test_every_sample_is_read_as_the_present_version(name: str) -> None:
    kind = name.partition(".")[0]
    stored = samples(name)
    assert stored
    for payload in stored:
        event = decode(payload)
        assert type(event.data) is EVENT_TYPES[kind]
        assert json.loads(payload)["type"] == f"org.slopewatch.{name.removesuffix('.json')}"
        if name == f"{stem(EVENT_TYPES[kind])}.json":
            assert encode(event) == payload


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_the_present_version_of_every_type_has_samples_and_is_what_it_was(name: str) -> None:
    cls = EVENT_TYPES[name]
    assert fault(cls) is None, fault(cls)
    assert samples(f"{stem(cls)}.json")


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_samples_show_every_field_with_and_without_a_value(name: str) -> None:
    cls = EVENT_TYPES[name]
    stored = [json.loads(payload)["data"] for payload in samples(f"{stem(cls)}.json")]
    for field in msgspec.structs.fields(cls):
        values = [data[field.encode_name] for data in stored]
        assert any(value not in (None, [], {}) for value in values), field.name
        if not field.required:
            default = msgspec.to_builtins(
                field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            )
            assert any(value == json.loads(json.dumps(default)) for value in values), field.name


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_past_version_has_its_samples_and_a_way_up(name: str) -> None:
    for version in range(1, EVENT_TYPES[name].VERSION):
        assert f"{name}.v{version}.json" in FILES
        assert (name, version) in UPCASTERS


def test_no_stored_file_was_ever_changed_or_removed() -> None:
    stored = {path.name: digest(path) for path in SAMPLES.glob("*.json")}
    assert stored == sums(), "restore the file: what a log held once it holds for ever"


def test_the_envelope_only_gains_attributes_that_may_be_absent() -> None:
    pinned = json.loads((SAMPLES / "envelope.schema.json").read_text())["$defs"]["_Envelope"]
    present = json.loads(json.dumps(schema_of(_Envelope)))["$defs"]["_Envelope"]
    assert present["required"] == pinned["required"]
    assert {k: present["properties"].get(k) for k in pinned["properties"]} == pinned["properties"]


class _Changed(EventData, frozen=True, kw_only=True):
    """Rain that lost a field and kept its version."""

    NAME = "rainfall-observed"
    feed: str
    day: date
    rain_mm: float | None


class _Raised(_Changed, frozen=True, kw_only=True):
    VERSION = 2


def test_a_field_that_changes_under_the_same_version_is_told_with_what_to_do() -> None:
    told = fault(_Changed)
    assert told is not None
    assert "raise its VERSION to 2" in told
    assert "UPCASTERS['rainfall-observed', 1]" in told
    told = fault(_Raised)
    assert told is not None
    assert "no samples of version 2" in told


def test_what_is_written_is_never_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_samples, "SAMPLES", tmp_path)
    monkeypatch.setattr(write_samples, "SUMS", tmp_path / "SHA256SUMS")
    names = write_samples.write()
    assert len(names) == 2 * len(EVENT_TYPES) + 1
    (tmp_path / names[0]).write_text("changed")
    assert write_samples.write() == []
    assert write_samples.sums()[names[0]] != digest(tmp_path / names[0])
    (tmp_path / names[1]).unlink()
    with pytest.raises(SystemExit, match="never removed"):
        write_samples.write()


# A type of three versions

Lift = Callable[[dict[str, Any]], dict[str, Any]]
OLD = {"feed": "gauge", "station": "g", "day": "2024-03-05", "rain_cm": 1.5}


class _Third(EventData, frozen=True, kw_only=True):
    """v1 had `rain_cm`; v2 `rain_mm`; v3 says who read the gauge."""

    NAME = "rain-told"
    VERSION = 3
    feed: str
    station: str
    day: date
    rain_mm: float | None
    reader: str | None


def to_millimetres(data: dict[str, Any]) -> dict[str, Any]:
    rain = data.pop("rain_cm")
    return {**data, "rain_mm": None if rain is None else rain * 10}


def to_read(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "reader": None}


@pytest.fixture
def lifts(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, int], Lift]:
    known = {("rain-told", 1): to_millimetres, ("rain-told", 2): to_read}
    monkeypatch.setitem(EVENT_TYPES, "rain-told", _Third)
    for key, lift in known.items():
        monkeypatch.setitem(UPCASTERS, key, lift)
    return UPCASTERS


def told(version: int, data: dict[str, Any]) -> bytes:
    sample = json.loads(samples(f"{RainfallObserved.NAME}.v1.json")[0])
    return json.dumps(
        {**sample, "type": f"org.slopewatch.rain-told.v{version}", "data": data}
    ).encode()


@pytest.mark.usefixtures("lifts")
def test_a_version_is_lifted_step_by_step() -> None:
    second = {**{k: v for k, v in OLD.items() if k != "rain_cm"}, "rain_mm": 15.0}
    third = {**second, "reader": None}
    events = [decode(told(i, data)) for i, data in ((1, OLD), (2, second), (3, third))]
    assert len({encode(event) for event in events}) == 1
    assert type_of(events[0].data) == "org.slopewatch.rain-told.v3"
    with pytest.raises(NewerVersionError, match="version 4, this release reads up to 3"):
        decode(told(4, third))


def test_a_missing_step_is_the_release_s_fault_and_no_bad_input(
    lifts: dict[tuple[str, int], Lift], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(lifts, ("rain-told", 2))
    with pytest.raises(SlopewatchError, match="nothing lifts version 2 to 3") as caught:
        decode(told(1, OLD))
    assert not isinstance(caught.value, BadInputError)


@pytest.mark.usefixtures("lifts")
@pytest.mark.parametrize(
    "data",
    [
        {"feed": "gauge"},
        {**OLD, "rain_cm": [1]},
        {**OLD, "rain_cm": "much"},
        {**OLD, "day": "Tuesday"},
        {**OLD, "more": 1},
    ],
)
def test_old_content_that_its_version_never_held_is_bad_input(data: dict[str, Any]) -> None:
    with pytest.raises(BadInputError):
        decode(told(1, data))


@pytest.mark.usefixtures("lifts")
def test_a_lift_that_fails_names_the_event_and_the_version() -> None:
    with pytest.raises(BadInputError, match=r"event \w+: its data is no rain-told of version 1"):
        decode(told(1, {"feed": "gauge"}))
