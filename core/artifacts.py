"""Large files by sha256: a value store. What has a name never changes, so handlers may read it."""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from core.errors import BadInputError, SettingsError, UnavailableError
from core.events import ArtifactRef
from core.objects import Objects, open_objects

Arrays = Mapping[str, npt.NDArray[Any]]
MAX_ARTIFACT_BYTES = 1 << 30
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNREADABLE = (
    *(ValueError, TypeError, KeyError, SyntaxError, EOFError, OSError, MemoryError),
    *(RuntimeError, struct.error, zipfile.BadZipFile),
)
"""What zipfile and NumPy raise on content that somebody else made."""


class Artifacts(Protocol):
    """Content-addressed files."""

    def put(self, content: bytes) -> ArtifactRef:
        """Keep `content`; the same content again is the same reference."""
        ...

    def get(self, ref: ArtifactRef) -> bytes:
        """The content; `UnavailableError` when it is out of reach, `BadInputError` when damaged."""
        ...


def reference(content: bytes) -> ArtifactRef:
    """The name that `content` has in every store."""
    return ArtifactRef(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


class MemoryArtifacts:
    """Artifacts in a dict: for tests and batch scoring."""

    def __init__(self) -> None:
        self._content: dict[str, bytes] = {}

    def put(self, content: bytes) -> ArtifactRef:
        """Keep `content`."""
        ref = reference(content)
        self._content[ref.sha256] = content
        return ref

    def get(self, ref: ArtifactRef) -> bytes:
        """Read it back."""
        try:
            return self._content[ref.sha256]
        except KeyError:
            raise UnavailableError(f"artifact {ref.sha256} is not in this store") from None


class FileArtifacts:
    """Artifacts as files `ab/cdef...` under one folder, written whole or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, content: bytes) -> ArtifactRef:
        """Keep `content`, durable when this returns; a damaged file is made whole."""
        ref = reference(content)
        path = self._path(ref)
        try:
            if not path.exists() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                _write_whole(path, content)
        except OSError as error:
            raise UnavailableError(f"cannot write artifact to {path}: {error}") from error
        return ref

    def get(self, ref: ArtifactRef) -> bytes:
        """Read it back and check its hash."""
        path = self._path(ref)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UnavailableError(f"artifact out of reach at {path}: {error}") from error
        if reference(content) != ref:
            raise BadInputError(f"artifact {path} is damaged: restore it from a backup")
        return content

    def _path(self, ref: ArtifactRef) -> Path:
        return self._root / _key(ref)


def _write_whole(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


class ObjectArtifacts:
    """Artifacts as objects `ab/cdef...` in a bucket. None is ever removed."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def put(self, content: bytes) -> ArtifactRef:
        """Keep `content`; what is there already is read, and made whole when it is damaged."""
        ref = reference(content)
        name = _key(ref)
        if self._objects.get(name, ref.bytes) != content:
            self._objects.put(name, content)
        return ref

    def get(self, ref: ArtifactRef) -> bytes:
        """Read it back and check its hash; no more is read than `ref` says it weighs."""
        name = _key(ref)
        content = self._objects.get(name, ref.bytes)
        where = f"{self._objects.where}/{name}"
        if content is None:
            raise UnavailableError(f"artifact out of reach at {where}: it is not there")
        if reference(content) != ref:
            raise BadInputError(f"artifact {where} is damaged: restore it from a backup")
        return content


def _key(ref: ArtifactRef) -> str:
    """Name of an artifact in its store. Raises `BadInputError` for what can be no artifact."""
    if not _SHA256.fullmatch(ref.sha256):
        raise BadInputError(f"{ref.sha256!r} is not a sha256")
    if ref.bytes > MAX_ARTIFACT_BYTES:
        raise BadInputError(f"artifact {ref.sha256} claims {ref.bytes} bytes, over 1 GiB")
    return f"{ref.sha256[:2]}/{ref.sha256[2:]}"


def open_artifacts(url: str) -> Artifacts:
    """Store at `file:///folder`, `s3://bucket/prefix?endpoint=...&region=...` or `memory://`.

    Nothing outside is asked yet. Raises `SettingsError` for another address.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        return MemoryArtifacts()
    if scheme == "file":
        return FileArtifacts(Path(rest))
    if scheme == "s3":
        return ObjectArtifacts(open_objects(url))
    raise SettingsError(f"artifacts {url!r}: use file:///folder, s3://bucket/prefix or memory://")


def pack(arrays: Arrays) -> bytes:
    """Arrays as one uncompressed .npz; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    named: dict[str, Any] = {name: np.asarray(arrays[name]) for name in sorted(arrays)}
    np.savez(buffer, **named)
    return buffer.getvalue()


def unpack(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Inverse of `pack`; object arrays, compressed or damaged content raise `BadInputError`."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if any(i.compress_type != zipfile.ZIP_STORED for i in archive.infolist()):
                raise BadInputError("artifact is compressed: only plain .npz is read")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except _UNREADABLE as error:
        raise BadInputError(f"artifact is not a readable .npz: {error}") from error


def numbers(arrays: Arrays, name: str) -> npt.NDArray[np.float64]:
    """One array as float64; `BadInputError` where it is missing or holds no real numbers."""
    values = arrays.get(name)
    if values is None:
        there = ", ".join(sorted(arrays)) or "nothing"
        raise BadInputError(f"artifact lacks {name!r}; it has {there}")
    if values.dtype.kind not in "fiub":
        raise BadInputError(f"artifact: {name} holds {values.dtype}, not numbers")
    return values.astype(np.float64)
