"""A CAP 1.2 message as values, in the order that the schema asks for, and its bytes."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, Final
from xml.etree import ElementTree

from services.alerting.cap.grammar import NAMESPACE

Point = tuple[float, float]
"""Latitude and longitude in degrees (WGS 84)."""

_DIGITS: Final = 6
_LEAST_POINTS: Final = 4


@dataclass(frozen=True)
class Pair:
    """A named value: a parameter or a geocode."""

    value_name: str
    value: str


@dataclass(frozen=True)
class Area:
    """A place in words, and its outlines: rings that are closed when written."""

    area_desc: str
    polygon: tuple[tuple[Point, ...], ...] = ()
    geocode: tuple[Pair, ...] = ()


@dataclass(frozen=True)
class Info:
    """What happened and what to do, in one language."""

    language: str
    category: tuple[str, ...]
    event: str
    response_type: tuple[str, ...]
    urgency: str
    severity: str
    certainty: str
    effective: datetime
    onset: datetime | None
    expires: datetime
    sender_name: str
    headline: str
    description: str
    instruction: str
    web: str
    contact: str
    parameter: tuple[Pair, ...]
    area: tuple[Area, ...]


@dataclass(frozen=True)
class Earlier:
    """An earlier message."""

    sender: str
    identifier: str
    sent: datetime

    def __str__(self) -> str:
        return f"{self.sender},{self.identifier},{moment(self.sent)}"


@dataclass(frozen=True)
class Alert:
    """One CAP message. Empty texts and tuples are not written."""

    identifier: str
    sender: str
    sent: datetime
    status: str
    msg_type: str
    source: str
    scope: str
    restriction: str
    addresses: str
    note: str
    references: str
    incidents: str
    info: tuple[Info, ...]


def moment(when: datetime) -> str:
    """A moment as CAP writes it: whole seconds, UTC as -00:00."""
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S}-00:00"


def write(alert: Alert) -> bytes:
    """The message as XML in UTF-8; the same message gives the same bytes."""
    root = ElementTree.Element("alert", {"xmlns": NAMESPACE})
    _fill(root, alert)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _fill(parent: ElementTree.Element, value: Any) -> None:
    for field in fields(value):
        given = getattr(value, field.name)
        for one in given if isinstance(given, tuple) else (given,):
            if one is None or one == "":
                continue
            child = ElementTree.SubElement(parent, _camel(field.name))
            if is_dataclass(one):
                _fill(child, one)
            else:
                child.text = _text(one)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return moment(value)
    return _ring(value) if isinstance(value, tuple) else str(value)


def _ring(points: tuple[Point, ...]) -> str:
    """A closed ring; one without area, which a site file allows, has four points all the same."""
    pairs = [f"{_degrees(lat)},{_degrees(lon)}" for lat, lon in points]
    while pairs[0] != pairs[-1] or len(pairs) < _LEAST_POINTS:
        pairs.append(pairs[0])
    return " ".join(pairs)


def _degrees(value: float) -> str:
    text = f"{value:.{_DIGITS}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
