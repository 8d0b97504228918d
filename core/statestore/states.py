"""Where the repositories of all sites of one worker lie."""

from __future__ import annotations

import os
import re
import shutil
from abc import abstractmethod
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import icechunk

from core.errors import SettingsError, SlopewatchError, UnavailableError
from core.objects import Bucket, Objects, bucket_of, open_objects
from core.statestore.lock import FolderLock
from core.statestore.repository import IcechunkSite, create, trouble
from core.statestore.thinning import ALONE, AMONG_OTHERS

SITE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLACE = re.compile(rb"repositories/[A-Za-z0-9_-]{1,64}-[0-9a-f]{32}")


class _States:
    """What all backends share: the open handles of every site."""

    spared: timedelta = ALONE

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
        if not SITE.fullmatch(site):
            raise SettingsError(f"{site!r} is no site name: use 1 to 64 of A-Z a-z 0-9 _ -")
        peers = self._handles.setdefault(site, [])
        return IcechunkSite(site, self._storage(site), peers, self.spared)

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
        say_errors_only()  # It warns at every opening of two writers: hence the lock.

    def sites(self) -> tuple[str, ...]:
        """See `States.sites`."""
        self._check()
        return sites_in(self._folder)

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


class S3States(_States):
    """Repositories below a prefix of a bucket, for any number of workers.

    Icechunk's own making of a repository is not safe for two at once and leaves half of one when
    killed. So each is made under a name of its own in `repositories/`, and becomes the site's by
    one conditional write of `sites/<site>`, which says where it lies and never changes. What
    came second or was killed stays behind, a few hundred bytes that nothing names.
    """

    spared = AMONG_OTHERS

    def __init__(self, url: str) -> None:
        super().__init__()
        self._bucket = bucket_of(url)
        self._objects = open_objects(url)
        say_errors_only()  # It warns of each kind of credentials that it tries in vain.
        if not self._objects.keeps_conditions("conditional-writes"):
            raise SettingsError(
                f"{self._bucket} does not look at the conditions of a write (If-None-Match, "
                "If-Match), so two workers could both win: use a store on S3 that does"
            )

    def sites(self) -> tuple[str, ...]:
        """See `States.sites`."""
        self._check()
        return sites_of(self._objects)

    def _storage(self, site: str) -> icechunk.Storage:
        pointer = f"sites/{site}"
        place = self._objects.get(pointer)
        if place is None:
            made = f"repositories/{site}-{uuid4().hex}"
            create(site, storage_at(self._bucket, made))
            self._objects.create(pointer, made.encode())
            place = self._objects.get(pointer)
        return storage_at(self._bucket, checked(place, f"{self._bucket}/{pointer}"))


def sites_in(folder: Path) -> tuple[str, ...]:
    """Names of the sites that have a repository in `folder`, sorted."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError as error:
        raise UnavailableError(f"cannot list {folder}: {error.strerror}") from error
    return tuple(name for name in names if SITE.fullmatch(name))


def sites_of(objects: Objects) -> tuple[str, ...]:
    """Names of the sites that have a repository below the prefix of a bucket, sorted."""
    return tuple(sorted(name.removeprefix("sites/") for name in objects.names("sites/")))


def checked(place: bytes | None, pointer: str) -> str:
    """Where a site's repository lies, as the object `pointer` says."""
    if place is None or not _PLACE.fullmatch(place):
        raise SlopewatchError(f"{pointer} does not say where the site lies: restore a backup")
    return place.decode()


def storage_at(bucket: Bucket, place: str) -> icechunk.Storage:
    """The repository that lies at `place` below a prefix of a bucket."""
    return icechunk.s3_storage(
        bucket=bucket.name,
        prefix=bucket.below(place),
        region=bucket.region,
        endpoint_url=bucket.endpoint,
        allow_http=bucket.plain_http,
        force_path_style=bucket.endpoint is not None,
        from_env=True,
    )


def say_errors_only() -> None:
    """Keep Icechunk's warnings out of the log, unless ICECHUNK_LOG asks for them."""
    if "ICECHUNK_LOG" not in os.environ:
        icechunk.set_logs_filter("error")
