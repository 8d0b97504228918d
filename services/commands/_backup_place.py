"""Where backups lie: pieces of content named by their SHA-256, and one manifest a backup.

A piece that is there is not written again, so a second backup costs what is new. The manifest is
written when all that it names is there: without one there is no backup. Its name ends with its own
hash, so that a manifest that was cut or changed is found out.

    pieces/ab/cdef...                          content
    manifests/20260305T031500Z-0123456789abcdef.json
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import msgspec

from core.errors import BadInputError, NewerVersionError, SettingsError, SlopewatchError
from core.objects import open_objects

Echo = Callable[[str], None]
FORMAT: Final = 1
PIECE_BYTES: Final = 16 << 20
MAX_MANIFEST_BYTES: Final = 256 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PIECE = re.compile(r"pieces/([0-9a-f]{2})/([0-9a-f]{62})")
_MANIFEST = re.compile(r"manifests/(\d{8}T\d{6}Z-[0-9a-f]{16})\.json")
_PART = re.compile(r"[^/\0]+")


class Piece(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content by its hash, and how many bytes it has."""

    sha256: str
    bytes: int


class Segment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Records of a partition from offset `first` up to `stop`; `plain` is their size unpacked."""

    first: int
    stop: int
    records: int
    plain: int
    piece: Piece


class Partition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A partition of a topic, from its earliest record to the end that it had."""

    begin: int
    stop: int
    segments: tuple[Segment, ...]


class Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A topic with the identity that bookmarks name."""

    id: str
    partitions: tuple[Partition, ...]

    def segments(self) -> Iterator[Segment]:
        """Those of all partitions."""
        for partition in self.partitions:
            yield from partition.segments

    @property
    def records(self) -> int:
        """How many records it holds."""
        return sum(segment.records for segment in self.segments())


class Artifacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All artifacts: how many, of how many bytes, and the pieces of the list that names them.

    `damaged` were found damaged, and are not among them.
    """

    count: int
    bytes: int
    names: tuple[Piece, ...]
    damaged: tuple[str, ...] = ()


class SiteCopy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup holds of one site: its decisions, the head of their chain, its state."""

    decisions: int
    head: str
    state: bool


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One backup, whole.

    `of` are the addresses that were backed up. `files` are ledger (an SQLite file), states, notes
    and site files by path; `export` is the SHA-256 of the ledger's export.
    """

    format: int
    begun: datetime
    ended: datetime
    by: str
    of: dict[str, str]
    sites: dict[str, SiteCopy]
    export: str
    files: dict[str, tuple[Piece, ...]]
    artifacts: Artifacts
    log: dict[str, Topic]

    @property
    def heads(self) -> dict[str, list[str]]:
        """By site the head of its chain, where it has one."""
        return {name: [site.head] for name, site in self.sites.items() if site.head}

    def pieces(self) -> Iterator[Piece]:
        """Everything that it names itself; the list of artifacts names more."""
        for parts in self.files.values():
            yield from parts
        yield from self.artifacts.names
        for topic in self.log.values():
            yield from (segment.piece for segment in topic.segments())


def address(place: str) -> str:
    """A place as an address: a folder may be given by its path."""
    return place if "://" in place else f"file://{quote(str(Path(place).resolve()))}"


class Vault:
    """The backups at one address, `file:///folder` or `s3://bucket/prefix?...`.

    With `makes` a missing folder is made; else it is a SettingsError.
    """

    def __init__(self, place: str, *, makes: bool = False) -> None:
        url = address(place)
        self._folder = url.startswith("file://")
        if self._folder and not makes and not Path(unquote(urlsplit(url).path)).is_dir():
            raise SettingsError(f"there is no folder {place}: name the one that holds the backups")
        self._objects = open_objects(url)
        self.where = self._objects.where
        self._there: set[str] | None = None

    def there(self) -> set[str]:
        """Hashes of all pieces that are there; listed once."""
        if self._there is None:
            found = map(_PIECE.fullmatch, self._objects.names("pieces/"))
            self._there = {m[1] + m[2] for m in found if m}
        return self._there

    def keep(self, content: bytes) -> Piece:
        """Keep content under its hash, unless it is there."""
        piece = Piece(hashlib.sha256(content).hexdigest(), len(content))
        if piece.sha256 not in self.there():
            self._objects.put(_name(piece.sha256), content)
            self.there().add(piece.sha256)
        return piece

    def fetch(self, piece: Piece) -> bytes:
        """The content of a piece; BadInputError when it is missing or another."""
        if not _SHA256.fullmatch(piece.sha256) or piece.bytes < 0:
            raise BadInputError(f"{piece.sha256[:80]!r} of {piece.bytes} bytes can be no piece")
        name = _name(piece.sha256)
        content = self._objects.get(name, piece.bytes)
        if content is None:
            raise BadInputError(f"{self.where}/{name} is missing")
        if len(content) != piece.bytes or hashlib.sha256(content).hexdigest() != piece.sha256:
            raise BadInputError(f"{self.where}/{name} is damaged: remove it, then back up again")
        return content

    def drop(self, hashes: Iterable[str]) -> int:
        """Remove pieces; returns how many."""
        count = 0
        for sha256 in hashes:
            self._objects.delete(_name(sha256))
            self.there().discard(sha256)
            count += 1
        return count

    def names(self) -> list[str]:
        """Names of all backups, the oldest first."""
        found = map(_MANIFEST.fullmatch, self._objects.names("manifests/"))
        return sorted(m[1] for m in found if m)

    def write(self, manifest: Manifest) -> str:
        """Make the backup one, by its manifest; returns its name."""
        content = msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"))
        moment = manifest.begun.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        name = f"{moment}-{hashlib.sha256(content).hexdigest()[:16]}"
        if self._folder:
            os.sync()  # On disk must be what it names, before it is.
        self._objects.put(f"manifests/{name}.json", content)
        if self._folder:
            os.sync()
        return name

    def read(self, name: str) -> Manifest:
        """The manifest of a backup.

        Raises BadInputError for a damaged one, NewerVersionError for one that a newer release made.
        """
        place = f"manifests/{name}.json"
        content = self._objects.get(place, MAX_MANIFEST_BYTES)
        if content is None:
            raise SettingsError(f"{self.where} holds no backup {name}: `slopewatch backup list`")
        if hashlib.sha256(content).hexdigest()[:16] != name.rpartition("-")[2]:
            raise BadInputError(f"{self.where}/{place} is damaged: use another backup")
        try:
            made = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
            version = msgspec.json.decode(made.get("format", b"0"), type=int)
            if version > FORMAT:
                raise NewerVersionError(
                    f"{self.where}/{place} was made by a newer release (format {version}, this one "
                    f"reads {FORMAT}): upgrade slopewatch"
                )
            return msgspec.json.decode(content, type=Manifest)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadInputError(f"{self.where}/{place} is no manifest: {error}") from error

    def forget(self, name: str) -> None:
        """Remove a manifest: from then on it is no backup."""
        self._objects.delete(f"manifests/{name}.json")

    def readable(self, echo: Echo) -> Iterator[tuple[str, Manifest]]:
        """Every backup that can be read, the newest first; damaged ones are told."""
        for name in reversed(self.names()):
            try:
                yield name, self.read(name)
            except BadInputError as error:
                echo(f"passed over: {error}")


def keep_folder(vault: Vault, folder: Path) -> dict[str, tuple[Piece, ...]]:
    """Keep every file below `folder`; their pieces by path."""
    kept = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        kept[path.relative_to(folder).as_posix()] = tuple(keep_file(vault, path))
    return kept


def keep_file(vault: Vault, path: Path) -> Iterator[Piece]:
    """Keep one file, cut into pieces that fit into memory."""
    with path.open("rb") as file:
        while content := file.read(PIECE_BYTES):
            yield vault.keep(content)


def fetch_folder(vault: Vault, files: dict[str, tuple[Piece, ...]], folder: Path) -> None:
    """Write files below `folder`. Raises BadInputError for a path that leads out of it."""
    for name, pieces in files.items():
        parts = name.split("/")
        if not all(_PART.fullmatch(part) and part not in {".", ".."} for part in parts):
            raise BadInputError(f"the backup holds a file {name[:80]!r}, which leads elsewhere")
        path = folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for piece in pieces:
                file.write(vault.fetch(piece))


def artifacts_of(vault: Vault, manifest: Manifest) -> list[Piece]:
    """Every artifact of a backup, sorted by hash."""
    text = b"".join(vault.fetch(piece) for piece in manifest.artifacts.names)
    try:
        return msgspec.json.decode(text, type=list[Piece]) if text else []
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInputError(f"the list of artifacts cannot be read: {error}") from error


def keep_artifacts_list(vault: Vault, pieces: list[Piece], damaged: list[str]) -> Artifacts:
    """Keep the list of all artifacts."""
    text = msgspec.json.encode(pieces)
    parts = [text[i : i + PIECE_BYTES] for i in range(0, len(text), PIECE_BYTES)]
    names = tuple(map(vault.keep, parts))
    size = sum(piece.bytes for piece in pieces)
    return Artifacts(len(pieces), size, names, tuple(damaged))


def chosen(vault: Vault, name: str | None) -> tuple[str, Manifest]:
    """The backup that `name` begins, or the newest; SlopewatchError when there is none."""
    names = vault.names()
    fitting = [one for one in names if one.startswith(name or "")]
    if not fitting:
        which = f" that begins with {name}" if name else ""
        raise SlopewatchError(f"{vault.where} holds no backup{which}")
    return fitting[-1], vault.read(fitting[-1])


def _name(sha256: str) -> str:
    return f"pieces/{sha256[:2]}/{sha256[2:]}"
