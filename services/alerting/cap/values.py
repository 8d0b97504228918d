"""What single values of CAP 1.2 look like: each function says what is wrong with one, or None.

Beyond the schema these are the rules that the standard has in words and a schema cannot hold
(OASIS CAP 1.2, section 3.2 and 3.3.2; RFC 5646 for languages; RFC 3986 for addresses).
"""

from __future__ import annotations

import binascii
import math
import re
from base64 import b64decode
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import urlsplit

Look = Callable[[str], str | None]
"""A value -> what is wrong with it, to be read after the element's name; None: nothing."""

MAX_SHOWN: Final = 60
MAX_POINTS: Final = 20_000

SPACE: Final = " \t\r\n"
"""What XML calls white space; other spaces are characters."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", re.ASCII)
_FARTHEST = timedelta(hours=14)
_NOT_ONE_WORD = re.compile(r"[\s,<&]")
_NUMBER = r"[+-]?(?:\d{1,3}(?:\.\d*)?|\.\d+)"
_POINT = re.compile(rf"({_NUMBER}),({_NUMBER})", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_WHOLE = re.compile(r"\+?\d{1,18}", re.ASCII)
_TAG = re.compile(r"<[/!]?[a-zA-Z][^<>]*>|<!--")
_ENTITY = re.compile(r"&(?:[a-zA-Z][a-zA-Z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
_MIME = re.compile(r"[a-zA-Z0-9!#$&^_.+-]+/[a-zA-Z0-9!#$&^_.+-]+(?:\s*;.*)?", re.S)
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*")
_NOT_IN_URI = re.compile(r"[\s<>\"{}|\\^`\x00-\x1f\x7f]|%(?![0-9a-fA-F]{2})")
# RFC 5646, 2.1. A primary subtag of 4 letters is reserved and none of 5 to 8 was ever registered.
_LANGUAGE = re.compile(
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}(?:-[a-z]{4})?(?:-(?:[a-z]{2}|\d{3}))?"
    r"(?:-(?:[a-z0-9]{5,8}|\d[a-z0-9]{3}))*(?:-[0-9a-wyz](?:-[a-z0-9]{2,8})+)*"
    r"(?:-x(?:-[a-z0-9]{1,8})+)?|x(?:-[a-z0-9]{1,8})+|i-[a-z]{3,8})",
    re.I | re.ASCII,
)


def shown(text: str) -> str:
    """A stranger's `text` for a sentence: one line, quoted, no longer than `MAX_SHOWN`."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return repr(line if len(line) <= MAX_SHOWN else line[: MAX_SHOWN - 3] + "...")


def free(_: str) -> str | None:
    """Any text whatever."""
    return None


def something(text: str) -> str | None:
    """Plain text that says something."""
    return plain(text) if text.strip() else "is empty"


def plain(text: str) -> str | None:
    """Text for people, who may be shown it by what knows no HTML."""
    if found := _TAG.search(text):
        return f"holds HTML ({shown(found[0])}): write plain text"
    if found := _ENTITY.search(text):
        return f"holds an HTML entity ({shown(found[0])}): write the character itself"
    return None


def one_word(text: str) -> str | None:
    """An identifier or a sender, which `references` puts between commas and spaces."""
    if not text:
        return "is empty"
    if _NOT_ONE_WORD.search(text):
        return f"is {shown(text)}: no spaces, commas, < or & are allowed in it"
    return None


def one_of(*allowed: str) -> Look:
    """One of the standard's own words."""

    def look(text: str) -> str | None:
        if text in allowed:
            return None
        return f"is {shown(text)}: it must be one of {', '.join(allowed)}"

    return look


def read_moment(text: str) -> datetime | None:
    """The moment that `text` writes; None when it writes none."""
    text = text.strip(SPACE)
    if not _MOMENT.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    offset = found.utcoffset()
    return found if offset is not None and abs(offset) <= _FARTHEST else None


def moment(text: str) -> str | None:
    """A moment with a numeric offset; UTC is -00:00."""
    if read_moment(text) is None:
        return f"is {shown(text)}: write a date, a time and an offset: 2026-03-14T06:30:00-00:00"
    if text.strip(SPACE).endswith("+00:00"):
        return f"is {shown(text)}: CAP writes UTC as -00:00"
    return None


def language(text: str) -> str | None:
    """A language tag (BCP 47)."""
    text = text.strip(SPACE)
    if len(text) <= 64 and _LANGUAGE.fullmatch(text):
        return None
    return f"is {shown(text)}: write a language tag, such as en or zh-Hans"


def absolute_uri(text: str) -> str | None:
    """A full address with its scheme."""
    return relative_uri(text) or (
        None
        if _is_absolute(text.strip(SPACE))
        else f"is {shown(text)}: write it whole, with https://"
    )


def relative_uri(text: str) -> str | None:
    """An address, or a part of one."""
    text = text.strip(SPACE)
    if not text:
        return "is empty"
    try:
        urlsplit(text)
    except ValueError:
        return f"is {shown(text)}, which is no address"
    return f"is {shown(text)}, which is no address" if _NOT_IN_URI.search(text) else None


def _is_absolute(text: str) -> bool:
    scheme, colon, rest = text.partition(":")
    if not colon or not rest or not _SCHEME.fullmatch(scheme):
        return False
    return scheme.lower() not in ("http", "https") or bool(urlsplit(text).hostname)


class Point(NamedTuple):
    """Latitude and longitude in degrees (WGS 84)."""

    lat: float
    lon: float


def _read_point(text: str) -> Point | str:
    """A point, or what is wrong with it."""
    found = _POINT.fullmatch(text)
    if found is None:
        return f"has {shown(text)} where a latitude,longitude must be"
    point = Point(float(found[1]), float(found[2]))
    if abs(point.lat) > 90 or abs(point.lon) > 180:
        return f"has {shown(text)}: latitude is within 90 and longitude within 180 degrees"
    return point


def polygon(text: str) -> str | None:
    """A closed ring of at least four points."""
    parts = text.split()
    if len(parts) > MAX_POINTS:
        return f"has {len(parts)} points: at most {MAX_POINTS} are read"
    points = []
    for part in parts:
        point = _read_point(part)
        if isinstance(point, str):
            return point
        points.append(point)
    if len(points) < 4:
        return f"has {len(points)} points: a closed ring needs four or more"
    if points[0] != points[-1]:
        return "is not closed: the last point must be the first one again"
    return None


def circle(text: str) -> str | None:
    """A point and a radius in kilometres."""
    parts = text.split()
    if len(parts) != 2:
        return f"is {shown(text)}: write latitude,longitude radius"
    point = _read_point(parts[0])
    if isinstance(point, str):
        return point
    return decimal(parts[1]) or ("has a negative radius" if float(parts[1]) < 0 else None)


def decimal(text: str) -> str | None:
    """A number without an exponent."""
    text = text.strip(SPACE)
    if _DECIMAL.fullmatch(text) and math.isfinite(float(text)):
        return None
    return f"is {shown(text)}: write a number"


def size(text: str) -> str | None:
    """Bytes of a resource."""
    text = text.strip(SPACE)
    return None if _WHOLE.fullmatch(text) else f"is {shown(text)}: write whole bytes"


def mime_type(text: str) -> str | None:
    """A media type, such as image/png."""
    text = text.strip(SPACE)
    return None if _MIME.fullmatch(text) else f"is {shown(text)}: write a media type: image/png"


def base64(text: str) -> str | None:
    """Content as base64."""
    try:
        b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return "is no base64"
    return None


class Reference(NamedTuple):
    """One earlier message, as `references` names it."""

    sender: str
    identifier: str
    sent: datetime


def read_references(text: str) -> tuple[list[Reference], str | None]:
    """The messages that `text` names, and what is wrong with it."""
    found: list[Reference] = []
    for part in text.split():
        fields = part.split(",")
        sent = read_moment(fields[2]) if len(fields) == 3 else None
        if sent is None or one_word(fields[0]) or one_word(fields[1]):
            return found, f"has {shown(part)} where sender,identifier,sent must be"
        found.append(Reference(fields[0], fields[1], sent))
    return found, None if found else "names no message: leave it out, or name one"


def references(text: str) -> str | None:
    """Earlier messages, `sender,identifier,sent` each."""
    return read_references(text)[1]
