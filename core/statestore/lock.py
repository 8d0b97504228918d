"""One worker a data folder: a lock held from opening to closing.

On a local file system two processes committing at once can both believe they won, so the folder
is locked as a whole. The kernel frees the lock when its holder dies, however it dies: there is
no stale lock to clear away, the pid inside is only there to be read.
"""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from core.errors import SettingsError, UnavailableError

LOCK_NAME = ".lock"


class FolderLock:
    """The lock on `folder`, which is made if missing.

    Raises `SettingsError` naming the holder when the folder is held, here or elsewhere, and
    `UnavailableError` when the lock file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            reason = error.strerror or error
            raise UnavailableError(f"cannot lock the state folder {folder}: {reason}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 200, 0).decode(errors="replace").strip()
            self._discard()
            if not isinstance(error, BlockingIOError):
                reason = error.strerror or error
                raise UnavailableError(f"cannot lock {path}: {reason}") from error
            raise SettingsError(
                f"the state folder {folder} is held by {holder or 'another process'}, and a folder "
                "serves one worker: stop that one, or set state to s3://bucket/prefix for several"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def release(self) -> None:
        """Free the folder; releasing twice does nothing.

        The file stays: were it removed, a second worker could lock the old file and a third a
        new one.
        """
        if self._file is not None:
            os.ftruncate(self._file, 0)
            self._discard()

    def _discard(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
