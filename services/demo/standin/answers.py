"""What goes in and out of every part of the stand-in, apart from the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

JSON = "application/json; charset=utf-8"
CSV = "text/csv; charset=utf-8"

Fields = list[tuple[str, str]]


class Request(NamedTuple):
    """What a client asks. `fields`: query and form, in order; header names in lower case."""

    method: str
    path: str
    fields: Fields
    headers: Mapping[str, str]

    def one(self, name: str, default: str = "") -> str:
        """The field `name`; `RefusedError` where it comes twice."""
        found = [value for key, value in self.fields if key == name]
        if len(found) > 1:
            raise RefusedError(400, f"{name} comes {len(found)} times")
        return found[0] if found else default


class Reply(NamedTuple):
    """What the client is told."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = {}


class RefusedError(Exception):
    """A request that gets an error: the status and sentences for the client."""

    def __init__(self, status: int, *messages: str) -> None:
        super().__init__(*messages)
        self.status = status
        self.messages = messages


def refusal(status: int, *messages: str, headers: Mapping[str, str] | None = None) -> Reply:
    """An error as the catalogue words it: {"errors": [...]}."""
    return as_json({"errors": list(messages)}, status=status, headers=headers or {})


def as_json(
    content: Any, *, status: int = 200, kind: str = JSON, headers: Mapping[str, str] | None = None
) -> Reply:
    """A JSON document."""
    return Reply(status, msgspec.json.encode(content), kind, headers or {})
