"""Where the repositories of all sites of one worker lie."""

from __future__ import annotations

import os
import re
import shutil
from abc import abstractmethod
from pathlib import Path

import icechunk

from core.errors import SettingsError, SlopewatchError, UnavailableError
from core.statestore.lock import FolderLock
from core.statestore.repository import IcechunkSite, create, trouble

_SITE = re.compile(r"[A-Za-z0-9_-]{1,64}")


class _States:
    """What all backends share: the open handles of every site."""

    def __init__(self) -> None:
        self._handles: dict[str, list[IcechunkSite]] = {}
        self._closed = False

    @abstractmethod
    def sites(self) -> tuple[str, ...]:
        """See `States.sites`."""

    @abstractmethod
    def _storage(self, site: str) -> icechunk.Storage: ...

    def open(self, site: str) -> IcechunkSite:
        """See `States.open`."""
        self._check()
        if not _SITE.fullmatch(site):
            raise SettingsError(f"{site!r} is no site name: use 1 to 64 of A-Z a-z 0-9 _ -")
        return IcechunkSite(site, self._storage(site), self._handles.setdefault(site, []))

    def close(self) -> None:
        """See `States.close`."""
        self._closed = True
        for handle in [handle for handles in self._handles.values() for handle in handles]:
            handle.close()

    def _check(self) -> None:
        if self._closed:
            raise SlopewatchError("the state store was closed")


class MemoryStates(_States):
    """Repositories in memory; they live as long as this object."""

    def __init__(self) -> None:
        super().__init__()
        self._storages: dict[str, icechunk.Storage] = {}

    def sites(self) -> tuple[str, ...]:
        """See `States.sites`."""
        self._check()
        return tuple(sorted(self._storages))

    def _storage(self, site: str) -> icechunk.Storage:
        if site not in self._storages:
            storage = icechunk.in_memory_storage()
            create(site, storage)
            self._storages[site] = storage
        return self._storages[site]


class FileStates(_States):
    """Repositories in one folder each below `folder`, which is locked until closing."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = Path(folder)
        self._lock = FolderLock(self._folder)
        if "ICECHUNK_LOG" not in os.environ:
            # It warns at every opening that folders are unsafe for two writers: hence the lock.
            icechunk.set_logs_filter("error")

    def sites(self) -> tuple[str, ...]:
        """See `States.sites`."""
        self._check()
        try:
            names = sorted(entry.name for entry in os.scandir(self._folder) if entry.is_dir())
        except OSError as error:
            raise UnavailableError(f"cannot list {self._folder}: {error.strerror}") from error
        return tuple(name for name in names if _SITE.fullmatch(name))

    def close(self) -> None:
        """See `States.close`."""
        super().close()
        self._lock.release()

    def _storage(self, site: str) -> icechunk.Storage:
        folder = self._folder / site
        if not folder.exists():
            # Made aside and moved into place: a half-made repository is never seen as the site's.
            made = self._folder / f".{site}.new"
            with trouble(site):
                shutil.rmtree(made, ignore_errors=True)
                create(site, icechunk.local_filesystem_storage(str(made)))
                made.rename(folder)
        return icechunk.local_filesystem_storage(str(folder))
