"""The repositories of all sites as somebody sees them who is not their worker."""

from __future__ import annotations

from pathlib import Path

import icechunk

from core.errors import SettingsError, SlopewatchError, UnavailableError
from core.objects import bucket_of, open_objects
from core.statestore.repository import SiteReader
from core.statestore.states import (
    SITE,
    checked,
    say_errors_only,
    sites_in,
    sites_of,
    storage_at,
)


class _Readers:
    """What both kinds share: the handles that are open."""

    def __init__(self) -> None:
        self._handles: list[SiteReader] = []
        self._closed = False
        say_errors_only()

    def _storage(self, site: str) -> icechunk.Storage:
        raise NotImplementedError

    def open(self, site: str) -> SiteReader:
        """See `States.open`; nothing is made."""
        if self._closed:
            raise SlopewatchError("the state store was closed")
        if not SITE.fullmatch(site):
            raise SettingsError(f"{site!r} is no site name: use 1 to 64 of A-Z a-z 0-9 _ -")
        handle = SiteReader(site, self._storage(site))
        self._handles = [one for one in self._handles if one.is_open]
        self._handles.append(handle)
        return handle

    def close(self) -> None:
        """See `States.close`."""
        self._closed = True
        for handle in self._handles:
            handle.close()


class FileReaders(_Readers):
    """Of a folder that a worker may hold."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = Path(folder)

    def sites(self) -> tuple[str, ...]:
        """See `States.sites`; none where the folder was not made yet."""
        return sites_in(self._folder) if self._folder.exists() else ()

    def _storage(self, site: str) -> icechunk.Storage:
        folder = self._folder / site
        if not folder.is_dir():
            raise UnavailableError(f"site {site} has no state in {self._folder} yet")
        return icechunk.local_filesystem_storage(str(folder))


class S3Readers(_Readers):
    """Of a prefix of a bucket."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._bucket = bucket_of(url)
        self._objects = open_objects(url)

    def sites(self) -> tuple[str, ...]:
        """See `States.sites`."""
        return sites_of(self._objects)

    def _storage(self, site: str) -> icechunk.Storage:
        pointer = f"sites/{site}"
        place = self._objects.get(pointer)
        if place is None:
            raise UnavailableError(f"site {site} has no state in {self._bucket} yet")
        return storage_at(self._bucket, checked(place, f"{self._bucket}/{pointer}"))
