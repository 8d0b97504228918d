"""One site as one Icechunk repository with a single branch."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import icechunk
import msgspec
import xarray as xr
from zarr.core.sync import sync

from core.errors import ConflictError, SlopewatchError, UnavailableError
from core.statestore import MAX_OUTCOME_BYTES, Change, Drop, arrays, groups
from core.statestore.files import Files
from core.statestore.groups import Group, Tree
from core.statestore.thinning import drop_old_snapshots

T = TypeVar("T")

BRANCH = "main"
OUTCOMES = "outcomes"
CHUNKS_A_MANIFEST = 64
INLINE_BYTES = 1024
PATIENCE_S = 12.0
SLOWEST_BYTES_PER_S = 2_000_000
THINNING_S = 120.0
_CAUSE = re.compile(r"(?:\|->|`->) (.+)")


class IcechunkSite:
    """A `SiteRepository`.

    `peers` are all open handles of the same site in this process, this one included while it is
    open. `spared` is the age below which thinning leaves what nothing names: another process may
    be about to name it. The session is the one opened at the start, or just after the last
    commit, and never rebased: a commit that came between makes ours fail.
    """

    def __init__(
        self, site: str, storage: icechunk.Storage, peers: list[IcechunkSite], spared: timedelta
    ) -> None:
        self._site = site
        self._storage = storage
        self._peers = peers
        self._spared = spared
        self._pid = os.getpid()
        self._closed = False
        self._kept: dict[str, bytes] = {}
        self._repo = self._opened()
        self._session: icechunk.Session | None = self._begun()
        self._base: str = self._session.snapshot_id
        info = self._run(self._repo.lookup_snapshot_async(self._base))
        self._attrs, self._tree = self._run(groups.load(Files(self._session.store, {})))
        said = info.metadata.get(OUTCOMES, "[]")
        self._outcomes = tuple(text.encode() for text in msgspec.json.decode(said, type=list[str]))
        peers.append(self)

    def attrs(self) -> dict[str, Any]:
        """See `SiteRepository.attrs`."""
        self._live()
        return arrays.jsonable(self._attrs)

    def outcomes(self) -> tuple[bytes, ...]:
        """See `SiteRepository.outcomes`."""
        self._live()
        return self._outcomes

    def groups(self) -> tuple[str, ...]:
        """See `SiteRepository.groups`."""
        self._live()
        return tuple(sorted(self._tree))

    def length(self, group: str, dim: str) -> int:
        """See `SiteRepository.length`."""
        self._live()
        return self._tree[group].sizes().get(dim, 0) if group in self._tree else 0

    def read(
        self,
        group: str,
        dim: str | None = None,
        start: int = 0,
        stop: int | None = None,
        variables: Sequence[str] | None = None,
    ) -> xr.Dataset:
        """See `SiteRepository.read`."""
        session = self._live()
        held = self._group(group)
        names = tuple(held.arrays) if variables is None else tuple(variables)
        if unknown := [name for name in names if name not in held.arrays]:
            raise SlopewatchError(f"site {self._site}: {group} has no {', '.join(unknown)}")
        sizes = held.sizes()
        if dim is not None and dim not in sizes:
            raise SlopewatchError(f"site {self._site}: {group} has no dimension {dim}")
        first, last, _ = slice(start, stop).indices(sizes[dim] if dim else 0)
        part = slice(first, max(first, last))
        files = Files(session.store, {})
        found = {
            name: self._run(
                groups.read_variable(files, f"{group}/{name}", held.arrays[name], dim, part),
                held.arrays[name].nbytes(),
            )
            for name in names
        }
        coords = {name: found.pop(name) for name in names if name in held.coords}
        return xr.Dataset(found, coords, dict(held.attrs))

    def commit(
        self, changes: Sequence[Change], attrs: Mapping[str, Any], outcomes: Sequence[bytes]
    ) -> None:
        """See `SiteRepository.commit`."""
        said = self._said(outcomes)
        root = arrays.jsonable(attrs)
        session = self._live()
        tree = dict(self._tree)
        # Until the commit is known to have worked there is no session: whatever goes wrong, a
        # half-made change is never carried into the next commit.
        self._session, kept, self._kept = None, self._kept, {}
        weight = sum(change.dataset.nbytes for change in changes if not isinstance(change, Drop))
        self._run(_write(Files(session.store, kept), tree, changes, root, self._base), weight)
        base = self._run(session.commit_async("step", metadata={OUTCOMES: said}))
        self._base, self._tree, self._attrs, self._kept = base, tree, root, kept
        self._outcomes = tuple(outcomes)

    def thin(self, keep_snapshots: int) -> int:
        """See `SiteRepository.thin`."""
        if keep_snapshots < 1:
            raise SlopewatchError("at least one snapshot must be kept")
        self._live()
        if len(self._peers) > 1:
            raise UnavailableError(
                f"site {self._site} is open more than once: thin it when the others are closed"
            )
        self._session = None
        work = drop_old_snapshots(self._repo, BRANCH, keep_snapshots, self._spared)
        with self._trouble():
            freed = within(THINNING_S, work)
        # The repository remembers snapshots that are gone now.
        self._repo = self._opened()
        return freed

    def close(self) -> None:
        """See `SiteRepository.close`."""
        self._closed = True
        self._session = None
        if self in self._peers:
            self._peers.remove(self)

    def _live(self) -> icechunk.Session:
        """The session on what this handle read or committed last, or an error."""
        if self._closed:
            raise SlopewatchError(f"site {self._site} was closed")
        if os.getpid() != self._pid:
            raise SlopewatchError(
                f"site {self._site} was opened in process {self._pid}: spawn processes, never fork"
            )
        if self._session is None:
            session = self._begun()
            if session.snapshot_id != self._base:
                raise self._conflict()
            self._session = session
        return self._session

    def _opened(self) -> icechunk.Repository:
        return self._run(icechunk.Repository.open_async(self._storage, config=_config()))

    def _begun(self) -> icechunk.Session:
        return self._run(self._repo.writable_session_async(BRANCH))

    def _group(self, name: str) -> Group:
        try:
            return self._tree[name]
        except KeyError:
            raise SlopewatchError(f"site {self._site} has no group {name}") from None

    def _said(self, outcomes: Sequence[bytes]) -> str:
        weight = sum(map(len, outcomes))
        if weight > MAX_OUTCOME_BYTES:
            raise SlopewatchError(
                f"site {self._site}: the outcomes of one step weigh {weight} bytes, more than "
                f"{MAX_OUTCOME_BYTES}: cut the step"
            )
        try:
            return msgspec.json.encode([outcome.decode() for outcome in outcomes]).decode()
        except UnicodeDecodeError as error:
            raise SlopewatchError(f"site {self._site}: an outcome is not UTF-8") from error

    def _run(self, work: Coroutine[Any, Any, T], nbytes: int = 0) -> T:
        """Do `work`, which moves about `nbytes`, within the time that it may take."""
        with self._trouble():
            return within(PATIENCE_S + nbytes / SLOWEST_BYTES_PER_S, work)

    def _conflict(self) -> ConflictError:
        return ConflictError(f"site {self._site}: another session committed first; open it again")

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            with trouble(self._site):
                yield
        except icechunk.ConflictError as error:
            raise self._conflict() from error


class SiteReader(IcechunkSite):
    """A `SiteRepository` that only looks, beside whoever commits."""

    def __init__(self, site: str, storage: icechunk.Storage) -> None:
        super().__init__(site, storage, [], timedelta.max)

    @property
    def is_open(self) -> bool:
        """Whether it was not closed yet."""
        return not self._closed

    def commit(
        self, changes: Sequence[Change], attrs: Mapping[str, Any], outcomes: Sequence[bytes]
    ) -> None:
        """Refused."""
        raise self._refused()

    def thin(self, keep_snapshots: int) -> int:
        """Refused."""
        raise self._refused()

    def _begun(self) -> icechunk.Session:
        return self._run(self._repo.readonly_session_async(BRANCH))

    def _refused(self) -> SlopewatchError:
        return SlopewatchError(f"site {self._site} was opened to be read alone")


def create(site: str, storage: icechunk.Storage) -> None:
    """Make an empty repository; a kill meanwhile can leave one that Icechunk will not open."""
    with trouble(site):
        within(PATIENCE_S, icechunk.Repository.create_async(storage, config=_config()))


def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Do `work` or raise `TimeoutError`: Icechunk itself waits for ever on a silent server.

    What was asked for is dropped then, but may have been done.
    """
    try:
        return sync(asyncio.wait_for(work, seconds))
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {seconds:.0f} s") from error


@contextmanager
def trouble(site: str) -> Iterator[None]:
    """Errors of Icechunk and of the file system as ours."""
    try:
        yield
    except (icechunk.IcechunkError, OSError) as error:
        raise UnavailableError(f"the store of site {site}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Icechunk's chain of causes without the places in its source."""
    text = str(error)
    causes = list(dict.fromkeys(cause.strip() for cause in _CAUSE.findall(text)))
    return ": ".join(causes or [" ".join(text.split())])[:300]


async def _write(
    files: Files, tree: Tree, changes: Sequence[Change], root: Mapping[str, Any], after: str
) -> None:
    await groups.set_root(files, root, after)
    for change in changes:
        await groups.apply(files, tree, change)


@cache
def _config() -> icechunk.RepositoryConfig:
    """Manifests cut every few chunks: a commit rewrites the last piece, not the whole archive.

    Conditional writes stay as Icechunk has them, on: they are what lets one of two writers win.
    """
    every = icechunk.ManifestSplittingConfig.from_dict(
        {
            icechunk.ManifestSplitCondition.AnyArray(): {
                icechunk.ManifestSplitDimCondition.Any(): CHUNKS_A_MANIFEST
            }
        }
    )
    retries = icechunk.StorageRetriesSettings(
        max_tries=3, initial_backoff_ms=100, max_backoff_ms=1000
    )
    return icechunk.RepositoryConfig(
        inline_chunk_threshold_bytes=INLINE_BYTES,
        manifest=icechunk.ManifestConfig(splitting=every),
        storage=icechunk.StorageSettings(retries=retries),
    )
