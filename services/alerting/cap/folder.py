"""A folder of CAP messages, `<identifier>.xml` each, and their feed `feed.xml`.

A message is written once and never changed. Files appear whole or not at all, so that anybody may
serve the folder while it is written to.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from core.errors import BadInputError, UnavailableError
from services.alerting.cap.feed import Entry, Head, entry_of, names_in, write_feed

FEED: Final = "feed.xml"

_LOCK = ".lock"
_FOR_ALL_TO_READ = 0o644


class Folder:
    """The folder at `path`, which must be there: one that is not mounted is not made anew.

    Several may write to it at once. `newest`: how many messages the feed lists.
    """

    def __init__(self, path: Path, head: Head, newest: int) -> None:
        self._path = path
        self._head = head
        self._newest = newest

    def publish(self, identifier: str, content: bytes) -> bool:
        """Keep a message and list it; False when it was here already.

        Raises `BadInputError` when the name is taken by another message, and `UnavailableError`
        when the folder cannot be written to.
        """
        name = f"{identifier}.xml"
        try:
            with self._alone():
                is_new = self._keep(name, content)
                self._list(name)
        except OSError as error:
            raise UnavailableError(
                f"cannot write to the folder {self._path} ({error.strerror}): make it, mount it or "
                "make room in it"
            ) from error
        return is_new

    def _keep(self, name: str, content: bytes) -> bool:
        path = self._path / name
        if not path.exists():
            _write_whole(path, content)
            return True
        if path.read_bytes() != content:
            raise BadInputError(
                f"{path} is another message of the same name: give each recipient of this site a "
                "folder of its own"
            )
        return False

    def _list(self, added: str) -> None:
        feed = self._path / FEED
        listed = self._listed(feed)
        names = {added, *(listed if listed is not None else self._all())}
        entries = [entry for name in names if (entry := self._entry(name)) is not None]
        content = write_feed(self._head, entries, self._newest)
        if not feed.exists() or feed.read_bytes() != content:
            _write_whole(feed, content)

    def _listed(self, feed: Path) -> list[str] | None:
        """Names in the feed; None where there is none, or none that can be read."""
        try:
            return names_in(feed.read_bytes())
        except (FileNotFoundError, BadInputError):
            return None

    def _all(self) -> list[str]:
        return [path.name for path in self._path.glob("*.xml") if path.name != FEED]

    def _entry(self, name: str) -> Entry | None:
        """What the feed says of a message; None when it was taken away or is not public."""
        try:
            return entry_of(name, (self._path / name).read_bytes())
        except (FileNotFoundError, BadInputError):
            return None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._path / _LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _write_whole(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), _FOR_ALL_TO_READ)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
