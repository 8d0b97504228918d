"""Canonical JSON and the hash chain over it; pure, knows no database.

A row's hash is SHA-256 over the UTF-8 bytes of the previous row's hash (hexadecimal, empty for
the first row) followed by its body. So a chain's last hash, the head, vouches for every row
before it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from core.errors import BadInputError

if TYPE_CHECKING:
    from core.ledger.entries import Decision

_ENCODER = msgspec.json.Encoder(order="deterministic")


def canonical(obj: object) -> str:
    """Write `obj` as JSON text that is the same for the same content on every machine.

    Keys are sorted, there is no white space, times are UTC and end in `Z`. Takes what msgspec
    takes: mappings, sequences, structs, dataclasses, dates, numbers. Raises BadInputError for a
    NaN or infinite number, a time without UTC offset, and what JSON cannot say.
    """
    try:
        plain = msgspec.to_builtins(obj, builtin_types=(datetime,), str_keys=True)
        return _ENCODER.encode(_checked(plain)).decode()
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInputError(f"this cannot be written as canonical JSON: {error}") from error


def chain_hash(previous: str, body: str) -> str:
    """Hash (hexadecimal SHA-256) of the row `body` that follows the row hashed `previous`."""
    return hashlib.sha256((previous + body).encode()).hexdigest()


def first_fault(site: str, rows: Iterable[Decision], head: str, missing: set[str]) -> str | None:
    """Follow one site's chain in order of seq; a sentence about the first row that is broken.

    `head` is the head that the site's row names; hashes found are taken out of `missing`.
    """
    previous = ""
    fault = None
    for row in rows:
        missing.discard(row.hash)
        fault = fault or _fault_of(site, row, previous)
        previous = row.hash
    if fault is None and previous != head:
        return (
            f"site {site}: its chain ends in {previous or 'no row'}, but its head is"
            f" {head or 'empty'}: rows were removed, added or the head was changed"
        )
    return fault


def export_line(site: str, row: Decision) -> bytes:
    """One row as a line of canonical JSON; `body` is a string: exactly the text that was hashed."""
    line = {
        "site": site,
        "seq": row.seq,
        "body": row.body,
        "previous": row.previous,
        "hash": row.hash,
    }
    return canonical(line).encode() + b"\n"


def utc_text(moment: datetime) -> str:
    """ISO-8601 in UTC, always of the same width, so that text order is time order."""
    if moment.tzinfo is None:
        raise BadInputError(f"time {moment} has no UTC offset")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def from_utc_text(text: str) -> datetime:
    """Read back what `utc_text` wrote."""
    return datetime.fromisoformat(text)


def fault_of_body(site: str, row: Decision) -> str | None:
    """Say what is wrong when the body does not name its own place, else None."""
    try:
        body = msgspec.json.decode(row.body)
    except msgspec.DecodeError:
        return f"site {site}, seq {row.seq}: the body is not JSON"
    place = (body.get("site"), body.get("seq")) if isinstance(body, dict) else (None, None)
    if place != (site, row.seq):
        return f"site {site}, seq {row.seq}: the body names site {place[0]}, seq {place[1]}"
    return None


def _fault_of(site: str, row: Decision, previous: str) -> str | None:
    if not all(isinstance(text, str) for text in (row.body, row.previous, row.hash)):
        return f"site {site}, seq {row.seq}: the row holds something else than text"
    if row.previous != previous:
        return (
            f"site {site}, seq {row.seq}: it follows {row.previous or 'no row'}, but the row before"
            f" it is {previous or 'none'}"
        )
    if row.hash != chain_hash(previous, row.body):
        return f"site {site}, seq {row.seq}: the body or the hash was changed afterwards"
    return fault_of_body(site, row)


def _checked(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        case datetime() if value.tzinfo is None:
            raise ValueError(f"time {value} has no UTC offset")
        case datetime():
            return value.astimezone(UTC)
        case dict():
            return {key: _checked(item) for key, item in value.items()}
        case list() | tuple():
            return [_checked(item) for item in value]
    return value
