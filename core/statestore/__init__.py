"""The state store: per site one transactional repository of named groups of arrays.

It knows nothing of what the groups mean. One commit takes changes of groups, the root attributes
(they carry the reader's position, so that no commit is empty) and the outcomes of the step, all
or nothing: after a kill at any moment the last commit is what is read. A commit is safe from the
death of the process, not from a power cut before the file system has written its pages.

Backends by URL: `file:///folder` for one worker, which holds a lock on the folder from opening to
closing; `s3://bucket/prefix?endpoint=...&region=...` for several, of which one can commit on a
given state; `memory://` for tests. A site is an Icechunk repository of plain Zarr arrays. Every
wait has a limit: about 12 s, and more for what weighs more than a few megabytes.

Processes are spawned, never forked: neither the lock nor Icechunk's threads survive a fork, and
a repository refuses to be used in a process other than the one that opened it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from core.errors import SettingsError

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "MAX_OUTCOME_BYTES",
    "Change",
    "Drop",
    "Extend",
    "Put",
    "SiteRepository",
    "States",
    "equal",
    "open_states",
    "open_states_to_read",
]

MAX_OUTCOME_BYTES = 1_000_000
"""Most that the outcomes of one commit may weigh together; cut the step above it."""


class Put(NamedTuple):
    """Write `dataset` as `group`, in place of all the group held."""

    group: str
    dataset: xr.Dataset


class Extend(NamedTuple):
    """Along `dim`, cut everything from `start` on and write `dataset` there.

    `start` at the present length is a plain append; a missing group is created with `start` 0.
    The dataset holds every array of the group that has `dim`, with the same other sizes and the
    same kind of values. What has no `dim` is left as it is where it exists and written where not.
    """

    group: str
    dim: str
    start: int
    dataset: xr.Dataset


class Drop(NamedTuple):
    """Remove `group`; nothing happens where there is none."""

    group: str


Change = Put | Extend | Drop


class SiteRepository(Protocol):
    """One site's store, held from opening to closing, by one thread.

    A group is a path such as `tracks/A44`; a group never lies inside another. Arrays hold
    numbers, booleans, text, moments or durations and come back bit for bit (text as `<U`).
    Every method raises `UnavailableError` when the store is out of reach and `SlopewatchError`
    when it was closed.
    """

    def attrs(self) -> dict[str, Any]:
        """Root attributes (JSON) of the last commit, {} before the first."""
        ...

    def outcomes(self) -> tuple[bytes, ...]:
        """Encoded events stored in the last commit, in their order."""
        ...

    def groups(self) -> tuple[str, ...]:
        """Names of all groups, sorted."""
        ...

    def length(self, group: str, dim: str) -> int:
        """Size of `dim` in `group`, 0 where there is none; reads no data."""
        ...

    def read(
        self,
        group: str,
        dim: str | None = None,
        start: int = 0,
        stop: int | None = None,
        variables: Sequence[str] | None = None,
    ) -> xr.Dataset:
        """A group, or its part `start:stop` along `dim`, in memory.

        `variables` names the variables and coordinates wanted, None all of them. Raises
        `SlopewatchError` for a group, dimension or variable that is not there.
        """
        ...

    def commit(
        self, changes: Sequence[Change], attrs: Mapping[str, Any], outcomes: Sequence[bytes]
    ) -> None:
        """Store the changes in their order, the root attributes and the outcomes at once.

        `outcomes` are UTF-8, at most `MAX_OUTCOME_BYTES` together. After an error nothing is
        stored, except that an `UnavailableError` can hide a commit that arrived: the next commit
        on this handle then raises `ConflictError`, so open the site again. Raises
        `ConflictError` when another session committed since this one was opened, and
        `SlopewatchError` for a change that does not fit what is stored.
        """
        ...

    def thin(self, keep_snapshots: int) -> int:
        """Drop all but the newest `keep_snapshots` commits' snapshots; how many were freed.

        The present content, attributes and outcomes stay. Refused with `UnavailableError` while
        another handle of this site is open in this process: collecting under a session loses its
        chunks. On `s3://`, where other processes may have one, what is younger than a day stays.
        """
        ...

    def close(self) -> None:
        """Let go of the site; closing twice does nothing."""
        ...


class States(Protocol):
    """The repositories of all sites under one address."""

    def sites(self) -> tuple[str, ...]:
        """Names of all sites that were ever opened, sorted."""
        ...

    def open(self, site: str) -> SiteRepository:
        """Open a site; its repository is made where there is none.

        Of several workers that open a new site at once each gets the same repository. Raises
        `SettingsError` for a name other than 1 to 64 of A-Z a-z 0-9 _ -.
        """
        ...

    def close(self) -> None:
        """Close every site still open and give back the folder."""
        ...


def open_states(url: str) -> States:
    """Open the store at `url`: `file:///folder`, `s3://bucket/prefix?...` or `memory://`.

    Raises `SettingsError` for another scheme, for a folder that another worker holds and for a
    bucket without conditional writes, `UnavailableError` when the folder cannot be made or
    written or the bucket is out of reach.
    """
    parts = urlsplit(url)
    if parts.scheme == "memory":
        from core.statestore.states import MemoryStates

        return MemoryStates()
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.strip("/"):
        from core.statestore.states import FileStates

        return FileStates(unquote(parts.path))
    if parts.scheme == "s3":
        from core.statestore.states import S3States

        return S3States(url)
    raise SettingsError(
        f"state: {url!r} is neither file:///folder, s3://bucket/prefix nor memory://"
    )


def open_states_to_read(url: str) -> States:
    """Open the store at `url` (`file://` or `s3://`) beside its worker, to look and no more.

    No lock is taken, nothing is made, and what would change something raises `SlopewatchError`. A
    site shows what was committed last when it was opened. When its worker thins that away
    meanwhile, a read raises `UnavailableError`: open the site again. `open` of a site without a
    store raises `UnavailableError`; another scheme `SettingsError`.
    """
    from core.statestore.readers import FileReaders, S3Readers

    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.strip("/"):
        return FileReaders(unquote(parts.path))
    if parts.scheme == "s3":
        return S3Readers(url)
    raise SettingsError(f"state: {url!r} is read by its own worker alone")


def equal(a: SiteRepository, b: SiteRepository, ignoring_attrs: Collection[str]) -> list[str]:
    """What differs between two sites, sorted; empty when they are equal bit for bit (NaN = NaN).

    A difference reads `group` (only one site has it), `group/variable` (values, type, sizes,
    dimensions or attributes), `group@attribute`, or `@attribute` for the root. Root attributes
    in `ignoring_attrs` (the positions) are left out, and so are outcomes.
    """
    from core.statestore.compare import differences

    return differences(a, b, ignoring_attrs)
