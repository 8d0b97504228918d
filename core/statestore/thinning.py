"""Dropping old snapshots. They are a cache of the past that no answer needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import icechunk


def drop_old_snapshots(repo: icechunk.Repository, branch: str, keep: int) -> int:
    """Expire all but the newest `keep` snapshots of `branch` and collect what they alone held.

    No session may be open on the repository. Chunks left by a process that died before its
    commit go as well. Returns the number of snapshots freed; the repository's first, empty
    snapshot is never one of them.
    """
    history = repo.ancestry(branch=branch)
    kept = list(islice(history, keep))
    older = [snapshot for snapshot in history if snapshot.parent_id is not None]
    if older:
        # The cutoff is a wall-clock time and clocks are set back: the earliest of the kept ones
        # errs towards keeping.
        repo.expire_snapshots(older_than=min(snapshot.written_at for snapshot in kept))
    # Nobody else is writing, so whatever cannot be reached is garbage, however young.
    collected = repo.garbage_collect(datetime.now(UTC) + timedelta(seconds=1))
    return int(collected.snapshots_deleted)
