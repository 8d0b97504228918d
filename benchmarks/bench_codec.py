"""Events in and out of their CloudEvents JSON, against the standard library doing as much.

The events are those of the log's hot path: a day's rain and a state of four slope units. The peer
is `json` with the same checks written out: known type and version, no unknown or missing field,
times with an offset, numbers where numbers belong. It makes plain dictionaries, ours frozen
structs. Both read the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from benchmarks.frame import Table, best, rate
from core.events import (
    Event,
    EventData,
    RainfallObserved,
    StateUpdated,
    UnitState,
    decode,
    encode,
    type_of,
)

MOMENTS = ("time", "validtime", "processedtime")
REQUIRED = {"specversion", "id", "type", "source", "subject", *MOMENTS, "data"}
ALLOWED = REQUIRED | {"datacontenttype", "number", "assumed", "retryof"}
NUMBER = (int, float, type(None))
RAIN = {"feed": str, "station": str, "day": str, "rain_mm": NUMBER}
STATE = {
    "reason": str,
    "track": (str, type(None)),
    "epoch": (str, type(None)),
    "seq": int,
    "units": list,
    "evidence": (dict, type(None)),
    "inputs": list,
    "historical": bool,
}
UNIT = {
    "track": str,
    "unit": str,
    "los_displacement_mm": NUMBER,
    "displacement_sd_mm": NUMBER,
    "los_velocity_mm_d": NUMBER,
    "velocity_sd_mm_d": NUMBER,
    "los_acceleration_mm_d2": NUMBER,
    "acceleration_sd_mm_d2": NUMBER,
    "measured_points": int,
    "usual_points": int,
    "los_factor": NUMBER,
    "out_of_range": bool,
}


def run(quick: bool) -> list[Table]:
    """Both directions of both events."""
    count = 200 if quick else 20_000
    rows = []
    for name, event in (("rainfall observed", _rain()), ("state updated, 4 units", _state())):
        content = encode(event)
        if decode(content) != event or _peer_encode(_peer_decode(content)) != content:
            raise RuntimeError(f"{name} does not come back as it was")
        plain = _peer_decode(content)
        for way, ours, peer in (
            ("encode", lambda event=event: encode(event), lambda plain=plain: _peer_encode(plain)),
            (
                "decode",
                lambda content=content: decode(content),
                lambda content=content: _peer_decode(content),
            ),
        ):
            ours_s, peer_s = _repeated(ours, count), _repeated(peer, count)
            figures = rate(count, ours_s), rate(count, peer_s), f"{peer_s / ours_s:.1f}"
            rows.append((f"{way} {name} ({len(content)} B)", *figures))
    columns = ("work", "ours, a second", "json, a second", "x time")
    return [Table(f"Event codec, {count:,} events each", columns, tuple(rows))]


def _repeated(task: Callable[[], Any], count: int) -> float:
    def many() -> None:
        for _ in range(count):
            task()

    return best(many)[0]


def _event(data: EventData) -> Event:
    now = datetime(2024, 5, 1, 1, tzinfo=UTC)
    return Event(
        id="0123456789abcdef0123456789abcdef",
        site="bench",
        source="slopewatch/ingest",
        valid_time=now,
        available_at=now,
        processed_at=now,
        data=data,
    )


def _rain() -> Event:
    return _event(
        RainfallObserved(feed="gsod", station="99000099999", day=date(2024, 4, 30), rain_mm=12.5)
    )


def _state() -> Event:
    units = tuple(
        UnitState(
            track="a",
            unit=f"unit-{n}",
            los_displacement_mm=-12.345678 * n,
            displacement_sd_mm=1.2345678,
            los_velocity_mm_d=-0.123456789,
            velocity_sd_mm_d=0.0123456789,
            los_acceleration_mm_d2=-0.00123456789,
            acceleration_sd_mm_d2=0.000123456789,
            measured_points=1234,
            usual_points=1200,
            los_factor=-0.6789,
        )
        for n in range(1, 5)
    )
    return _event(
        StateUpdated(reason="day", track=None, epoch=None, seq=17, units=units, evidence=None)
    )


def _peer_encode(tree: dict[str, Any]) -> bytes:
    return json.dumps(tree, separators=(",", ":")).encode()


def _peer_decode(content: bytes) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(content)
    if not tree.keys() >= REQUIRED or not tree.keys() <= ALLOWED or tree["specversion"] != "1.0":
        raise ValueError("no event")
    for name in MOMENTS:
        if datetime.fromisoformat(tree[name]).tzinfo is None:
            raise ValueError("a time without offset")
    data = tree["data"]
    if tree["type"] == type_of(RainfallObserved):
        _check(data, RAIN)
        date.fromisoformat(data["day"])
    elif tree["type"] == type_of(StateUpdated):
        _check(data, STATE)
        for unit in data["units"]:
            _check(unit, UNIT)
    else:
        raise ValueError("unknown type")
    return tree


def _check(tree: dict[str, Any], fields: dict[str, Any]) -> None:
    if tree.keys() != fields.keys():
        raise ValueError("missing or unknown field")
    for name, kind in fields.items():
        if not isinstance(tree[name], kind):
            raise ValueError(f"{name} is of another kind")
