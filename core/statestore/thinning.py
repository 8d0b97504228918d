"""Dropping old snapshots. They are a cache of the past that no answer needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import icechunk


ALONE = timedelta(seconds=-1)
"""Nobody else is writing, so whatever cannot be reached is garbage, however young."""
AMONG_OTHERS = timedelta(days=1)
"""Another worker's commit may be about to reach what nothing reaches yet."""


async def drop_old_snapshots(
    repo: icechunk.Repository, branch: str, keep: int, spared: timedelta
) -> int:
    """Expire all but the newest `keep` snapshots of `branch` and collect what they alone held.

    What is younger than `spared` (`ALONE` or `AMONG_OTHERS`) stays for now; a session open
    elsewhere for longer than that loses its chunks. Chunks left by a process that died before its
    commit go as well. Returns the number of snapshots freed; the repository's first, empty
    snapshot is never one of them.
    """
    history = [snapshot async for snapshot in repo.async_ancestry(branch=branch)]
    kept = history[:keep]
    if any(snapshot.parent_id is not None for snapshot in history[keep:]):
        # The cutoff is a wall-clock time and clocks are set back: the earliest of the kept ones
        # errs towards keeping.
        oldest = min(snapshot.written_at for snapshot in kept)
        await repo.expire_snapshots_async(older_than=oldest)
    collected = await repo.garbage_collect_async(datetime.now(UTC) - spared)
    return int(collected.snapshots_deleted)
