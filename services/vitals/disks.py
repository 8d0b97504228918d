"""How full the disks are that slopewatch writes to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from core.figures import Figure
from core.settings import Service
from services.vitals.look import Fault

if TYPE_CHECKING:
    from services.compose import Slopewatch

FOLDERS: Final = ("data", "log", "state", "ledger", "artifacts", "memory", "projection")
"""Settings that may name a place on a disk of this machine."""


class Disk(NamedTuple):
    """The disk of the setting `name`, at a folder that is there; sizes in bytes."""

    name: str
    place: Path
    free: int
    size: int


class Disks:
    """Of `data`, and of every other setting whose files lie on another disk."""

    name = "disk"
    every_s = 60.0
    lasting = False

    def __init__(self, app: Slopewatch) -> None:
        self._app = app

    def look(self) -> Iterator[Figure | Fault]:
        """See `Look.look`."""
        shown = self._app.telemetry
        for disk in disks(self._app.service):
            if isinstance(disk, Fault):
                yield disk
                continue
            yield Figure(shown.disk_free, (disk.name,), disk.free)
            yield Figure(shown.disk_size, (disk.name,), disk.size)


def disks(service: Service) -> Iterator[Disk | Fault]:
    """Each disk once, under the first setting that lies on it."""
    known = set()
    for name in FOLDERS:
        folder = _folder(str(getattr(service, name)))
        if folder is None:
            continue
        try:
            place = existing(folder)
            device = place.stat().st_dev
            usage = shutil.disk_usage(place)
        except OSError as error:
            yield Fault(f"the disk of {name} cannot be looked at: {error.strerror or error}")
            continue
        if device not in known:
            known.add(device)
            yield Disk(name, place, usage.free, usage.total)


def existing(folder: Path) -> Path:
    """`folder`, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _folder(address: str) -> Path | None:
    """Where on this machine an address leads, None for one that leads elsewhere."""
    if "://" not in address:
        return Path(address)
    parts = urlsplit(address)
    return Path(unquote(parts.path)) if parts.scheme in ("file", "sqlite") else None
