"""Small notes by name, each written whole or not at all; what is lost can be found out again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from core.errors import SettingsError
from core.objects import Objects, open_objects

MAX_NAME = 500
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class Notes(Protocol):
    """Notes under one address.

    A name is a path of letters, digits, `.`, `_` and `-` whose parts do not begin with a dot; a
    note never lies below another. Every method raises `SettingsError` for another name and
    `UnavailableError` when the store is out of reach, within about 15 seconds.
    """

    def get(self, name: str) -> bytes | None:
        """What was noted last, None where nothing was."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Note `content` in place of what was there. Of two at once one stands, whole."""
        ...

    def names(self, prefix: str = "") -> Iterator[str]:
        """Names of all notes that begin with `prefix`, sorted."""
        ...


class _ObjectNotes:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def get(self, name: str) -> bytes | None:
        """See `Notes.get`."""
        return self._objects.get(_checked(name))

    def put(self, name: str, content: bytes) -> None:
        """See `Notes.put`."""
        self._objects.put(_checked(name), content)

    def names(self, prefix: str = "") -> Iterator[str]:
        """See `Notes.names`."""
        whole = prefix.rpartition("/")[0]
        if whole:
            _checked(whole)
        return iter(sorted(self._objects.names(prefix)))


def open_notes(url: str) -> Notes:
    """Notes at `file:///folder` (made if missing), `s3://bucket/prefix?...` or `memory://`.

    Raises `SettingsError` for another address and `UnavailableError` when the folder cannot be
    made. A bucket is not asked before the first note.
    """
    return _ObjectNotes(open_objects(url))


def _checked(name: str) -> str:
    if len(name) > MAX_NAME or not all(_PART.fullmatch(part) for part in name.split("/")):
        raise SettingsError(
            f"{name[:80]!r} is no name for a note: use parts of letters, digits, . _ - and /"
        )
    return name
