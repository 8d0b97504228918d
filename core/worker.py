"""The only consume loop: read an inbox, let the stage think, commit, then emit.

What it promises is `docs/streams.md`. In short: a site's distinct inputs are taken in in one
order; state, position and outcomes are one commit; outcomes are emitted after it and again
whenever in doubt; the next commit of a site waits until all of the last are acknowledged; trouble
with one site parks that site alone.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import structlog

from core.artifacts import Artifacts
from core.clock import Clock
from core.errors import ForkError, NewerVersionError, SlopewatchError
from core.eventlog import (
    ClosedError,
    EventLog,
    FencedError,
    NotOwnerError,
    Record,
    partition_of,
)
from core.events import SiteConfigured, decode
from core.intake import Intake
from core.outlet import Outlet
from core.stage import Bookmark, Stage
from core.telemetry import Telemetry

S = TypeVar("S")
LONGEST_BACKOFF = timedelta(minutes=10)
LONGEST_GAP = timedelta(minutes=10)
"""How long a site may wait for a missing outcome before it counts as standing still."""


@dataclass(frozen=True)
class Parked:
    """Why a site stands still, from which offset it goes on, when it is tried again (or never)."""

    reason: str
    offset: int
    attempt: int
    retry_at: datetime | None


class Worker(Generic[S]):
    """Runs one stage over the partitions that the log gives it."""

    def __init__(
        self,
        log: EventLog,
        stage: Stage[S],
        artifacts: Artifacts,
        clock: Clock,
        telemetry: Telemetry,
        *,
        member: str = "0",
        batch: int = 500,
        send_timeout_s: float = 30.0,
        backoff: timedelta = timedelta(seconds=5),
    ) -> None:
        self._log = log
        self._stage = stage
        self._clock = clock
        self._telemetry = telemetry
        self._batch = batch
        self._backoff = backoff
        self._outlet = Outlet(log, stage.name, artifacts, clock, telemetry, send_timeout_s)
        self._sites: dict[str, Intake[S]] = {}
        self._parked: dict[str, Parked] = {}
        self._gaps: dict[str, datetime] = {}
        self._noted: dict[int, int] = {}
        self._next: dict[int, int] = {}
        self._partitions = log.topics()[stage.inbox].partitions
        self._member = member
        self._consumer = log.consumer(stage.inbox, stage.name, member, listener=self)
        self._logger = structlog.get_logger().bind(stage=stage.name)

    @property
    def parked(self) -> dict[str, Parked]:
        """Sites that stand still, by name: parked, or waiting too long for a missing outcome."""
        late = self._clock.now() - LONGEST_GAP
        gaps = {
            name: Parked(f"waits since {since:%Y-%m-%d %H:%M} UTC for a missing event", 0, 0, None)
            for name, since in self._gaps.items()
            if since <= late
        }
        return {**gaps, **self._parked}

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set, then hand the partitions over.

        A log out of reach is waited for; another worker under the same id ends this one.
        """
        try:
            while not stop.is_set():
                try:
                    self.step(timeout_s=0.5)
                except SlopewatchError as error:
                    if not error.retryable:
                        raise
                    self._start_over(error)
                    stop.wait(self._backoff.total_seconds())
        finally:
            self.close()

    def drain(self) -> int:
        """Consume until the inbox is empty; returns the number of records read."""
        total = 0
        while read := self.step(timeout_s=0.0):
            total += read
        return total

    def step(self, timeout_s: float) -> int:
        """One poll, all its commits, all its sends; returns the number of records read."""
        self._retry_parked()
        records = self._consumer.poll(self._batch, timeout_s)
        by_site: dict[str, list[Record]] = {}
        for record in records:
            by_site.setdefault(record.key, []).append(record)
            self._next[record.partition] = record.offset + 1
        for name, own in by_site.items():
            if name not in self._parked:
                self._take(name, own)
        for name in list(self._sites):
            self._settle(name)
        self._note_gaps()
        self._commit_group()
        self._report()
        return len(records)

    def close(self) -> None:
        """Let go of sites and partitions at once."""
        self._close_sites(list(self._sites))
        self._consumer.close()
        self._outlet.close()

    def _start_over(self, error: SlopewatchError) -> None:
        """Let go of everything and join the group anew: nothing is known of what was read."""
        self._logger.warning("worker starts over", reason=str(error))
        self._close_sites(list(self._sites))
        self._parked.clear()
        self._next.clear()
        self._consumer.close()
        self._consumer = self._log.consumer(
            self._stage.inbox, self._stage.name, self._member, listener=self
        )

    # Partitions

    def on_assigned(self, partitions: set[int]) -> None:
        """Open every site of the new partitions, say its last outcomes again, and seek.

        Reading starts at the earliest position that any of these sites needs: a state that was
        restored from a backup is behind what the group has committed.
        """
        committed = {p: self._consumer.committed(p) or 0 for p in partitions}
        self._next = dict(committed)
        for name in self._stage.sites():
            partition = self._partition(name)
            if partition not in partitions:
                continue
            try:
                stored = self._open(name).stored
            except (FencedError, ClosedError):
                raise
            except Exception as error:
                self._park(name, committed[partition], error)
            else:
                start = stored.offset + 1 if stored else 0
                self._next[partition] = min(start, self._next[partition])
        for partition, start in self._next.items():
            if start < committed[partition]:
                self._consumer.seek(partition, start)

    def on_revoked(self, partitions: set[int]) -> None:
        """Close the sites of the lost partitions."""
        self._noted = {}
        for partition in partitions:
            self._next.pop(partition, None)
        self._close_sites([s for s in self._sites if self._partition(s) in partitions])
        for name in [s for s in self._parked if self._partition(s) in partitions]:
            del self._parked[name]

    def _partition(self, name: str) -> int:
        return partition_of(name, self._partitions)

    def _open(self, name: str) -> Intake[S]:
        site = Intake(
            name, self._stage, self._inbox_id(), self._outlet, self._clock, self._telemetry
        )
        self._sites[name] = site
        if site.stored is not None:
            self._check_position(name, site.stored)
        site.emit_again()
        return site

    def _inbox_id(self) -> str:
        return self._log.topic_id(self._stage.inbox)

    def _check_position(self, name: str, stored: Bookmark) -> None:
        if stored.log_id != self._inbox_id():
            raise ForkError(
                f"site {name} was read from log {stored.log_id} and this one is "
                f"{self._inbox_id()}: give back its log, or begin a new data folder and take the "
                "history in again"
            )
        end = self._log.end(self._stage.inbox)[stored.partition]
        if stored.offset >= end:
            raise ForkError(
                f"site {name} has read up to {stored.offset} and the log ends at {end}: the log "
                "lost its end; restore it from a backup"
            )

    def _close_sites(self, names: Sequence[str]) -> None:
        for name in names:
            self._sites.pop(name).close()

    # Taking in

    def _take(self, name: str, records: Sequence[Record]) -> None:
        """Take a site's records in; trouble parks the site, at the first record not taken."""
        try:
            if name not in self._sites:
                records = self._from_configured(name, records)
                if not records:
                    return
                self._open(name)
            self._sites[name].take(records)
        except (FencedError, ClosedError):
            raise
        except Exception as error:
            self._park(name, records[0].offset, error)

    def _from_configured(self, name: str, records: Sequence[Record]) -> Sequence[Record]:
        """The records from the one on that makes the site known; those before are dead letters."""
        if name in self._stage.sites():
            return records
        for i, record in enumerate(records):
            code, reason = "D02", f"site {name!r} is not configured: add its file, then retry"
            try:
                if isinstance(decode(record.value).data, SiteConfigured):
                    return records[i:]
            except NewerVersionError:
                return records[i:]
            except SlopewatchError as error:
                code, reason = "D01", str(error)
            self._outlet.dead_letter(record, code, reason)
        return ()

    def _settle(self, name: str) -> None:
        site = self._sites[name]
        try:
            site.settle()
        except Exception as error:
            self._park(name, 0, error)

    # Parking

    def _park(self, name: str, offset: int, error: Exception) -> None:
        """Close the site and remember from where it goes on."""
        site = self._sites.pop(name, None)
        if site is not None:
            if site.stored is not None:
                offset = max(offset, site.stored.offset + 1)
            if site.earliest_waiting is not None:
                offset = min(offset, site.earliest_waiting)
            site.close()
        attempt = self._parked[name].attempt + 1 if name in self._parked else 1
        retry_at = None
        if not isinstance(error, NewerVersionError | ForkError):
            wait = min(self._backoff * 2 ** min(attempt - 1, 16), LONGEST_BACKOFF)
            asked = error.retry_after if isinstance(error, SlopewatchError) else None
            retry_at = self._clock.now() + max(wait, asked or wait)
        self._parked[name] = Parked(str(error), offset, attempt, retry_at)
        self._logger.warning(
            "site parked",
            site=name,
            reason=str(error),
            attempt=attempt,
            exc_info=None if isinstance(error, SlopewatchError) else error,
        )

    def _retry_parked(self) -> None:
        for name, parked in list(self._parked.items()):
            if parked.retry_at is not None and parked.retry_at <= self._clock.now():
                self._catch_up(name, parked)
                if self._parked[name] is parked:
                    del self._parked[name]

    def _catch_up(self, name: str, parked: Parked) -> None:
        """Take in what a parked site missed, as far as the others have read.

        Its store says from where: when it could not be opened before, nobody knew.
        """
        start = parked.offset
        if name in self._stage.sites():
            try:
                stored = self._open(name).stored
            except (FencedError, ClosedError):
                raise
            except Exception as error:
                self._park(name, parked.offset, error)
                return
            start = stored.offset + 1 if stored else 0
        partition = self._partition(name)
        missed: list[Record] = []
        for record in self._log.read(self._stage.inbox, partition, start, self._next[partition]):
            if record.key == name:
                missed.append(record)
            if len(missed) == self._batch:
                self._take(name, missed)
                missed = []
            if self._parked[name] is not parked:
                return
        if missed:
            self._take(name, missed)

    # Telling the log and the operator

    def _commit_group(self) -> None:
        """Note a lower bound of what need not be read again."""
        offsets = dict(self._next)
        held_back = [(name, parked.offset) for name, parked in self._parked.items()]
        held_back += [
            (name, waiting)
            for name, site in self._sites.items()
            if (waiting := site.earliest_waiting) is not None
        ]
        for name, offset in held_back:
            partition = self._partition(name)
            offsets[partition] = min(offsets.get(partition, offset), offset)
        if offsets != self._noted:
            try:
                self._consumer.commit(offsets)
                self._noted = offsets
            except NotOwnerError as error:
                # The group has moved on; the next poll says which partitions are whose now.
                self._logger.info("group offsets not noted", reason=str(error))

    def _note_gaps(self) -> None:
        """Since when each site holds an outcome whose predecessor has not come."""
        gaps = [name for name, site in self._sites.items() if site.earliest_waiting is not None]
        now = self._clock.now()
        self._gaps = {name: self._gaps.get(name, now) for name in gaps}

    def _report(self) -> None:
        end = self._log.end(self._stage.inbox)
        for partition, position in self._next.items():
            lag = self._telemetry.log_lag.labels(self._stage.name, str(partition))
            lag.set(end[partition] - position)
        self._telemetry.parked.labels(self._stage.name).set(len(self.parked))
