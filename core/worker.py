"""The only consume loop: read an inbox, let the stage think, commit, then emit.

What it promises is `docs/streams.md`. In short: a site's distinct inputs are taken in in one
order; state, position and outcomes are one commit; outcomes are emitted after it and again
whenever in doubt; the next commit of a site waits until all of the last are acknowledged; trouble
with one site parks that site alone, and it catches up by itself afterwards.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import structlog

from core.artifacts import Artifacts
from core.clock import Clock
from core.errors import ConflictError, SlopewatchError, UnavailableError
from core.eventlog import (
    ClosedError,
    Consumer,
    EventLog,
    FencedError,
    Record,
    partition_of,
)
from core.intake import Intake, from_configured
from core.notes import Notes
from core.outlet import Outlet
from core.parking import Parked, Parking
from core.progress import Behind, Progress, ProgressNotes
from core.stage import Stage
from core.telemetry import Telemetry

S = TypeVar("S")
LONGEST_GAP = timedelta(minutes=10)
"""How long a site may wait for a missing outcome before it counts as standing still."""
CATCH_UP_RECORDS = 20_000
"""Most records of a partition that are looked through for one site in one step."""
LAG_EVERY_S = 1.0
NAP_S = 0.1


class Worker(Generic[S]):
    """Runs one stage over the partitions that the log gives it.

    `notes` keep how far it has read; without them each start reads the inbox from its beginning.
    """

    def __init__(
        self,
        log: EventLog,
        stage: Stage[S],
        artifacts: Artifacts,
        clock: Clock,
        telemetry: Telemetry,
        *,
        member: str = "0",
        notes: Notes | None = None,
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
        self._outlet = Outlet(
            log,
            stage.name,
            artifacts,
            clock,
            telemetry,
            send_timeout_s,
            looks_on=self.looks_on,
        )
        self._sites: dict[str, Intake[S]] = {}
        self._parked = Parking(clock, backoff)
        self._gaps: dict[str, datetime] = {}
        self._topic_id = ""
        self._notes = ProgressNotes(notes, stage.name)
        self._noted: dict[int, int] = {}
        self._asked_lag_at = 0.0
        self._shown: set[str] = set()
        self._next: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._told: dict[int, int] = {}
        self._joined = False
        self._broken = False
        self._partitions = log.topics()[stage.inbox].partitions
        self._member = member
        self._consumer = self._new_consumer()
        self._logger = structlog.get_logger().bind(stage=stage.name)

    @property
    def stage(self) -> str:
        """The name of its stage."""
        return self._stage.name

    @property
    def looks_on(self) -> bool:
        """Whether its stage says nothing: no other one depends on it."""
        return self._stage.outbox is None

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

        A log out of reach is waited for; another worker under the same id ends this one. One that
        ended with an error may be run anew: it joins the group again.
        """
        try:
            while not stop.is_set():
                try:
                    if self._broken:
                        self._consumer = self._new_consumer()
                        self._broken = False
                    self.step(timeout_s=0.5)
                except Exception as error:
                    self._let_go()
                    if not (isinstance(error, SlopewatchError) and error.retryable):
                        raise
                    self._logger.warning("worker starts over", reason=str(error))
                    stop.wait(self._backoff.total_seconds())
        finally:
            self.close()

    def drain(self, tell: Callable[[int], object] = lambda _: None) -> int:
        """Consume to the end of the inbox; returns the number of records read.

        It waits for its partitions, but for no parked site. `tell` hears of each step's records.
        """
        total, read = 0, self.step(timeout_s=0.0)
        while read or not self._at_end():
            tell(read)
            total += read
            read = self.step(timeout_s=0.0 if read else NAP_S)
        return total

    def step(self, timeout_s: float) -> int:
        """One poll, all its commits, all its sends; returns the number of records read."""
        self._outlet.allow_waiting()
        if self._catch_up():
            timeout_s = 0.0
        records = self._consumer.poll(self._batch, timeout_s)
        by_site: dict[str, list[Record]] = {}
        for record in records:
            if self._partition(record.key) == record.partition:
                by_site.setdefault(record.key, []).append(record)
            else:
                reason = "lies in a partition that its key does not belong to"
                self._outlet.dead_letter(record, "D01", reason)
        for name, own in by_site.items():
            if name not in self._parked:
                self._take(name, own)
        for record in records:
            self._next[record.partition] = record.offset + 1
        for name in list(self._sites):
            self._settle(name)
        self._note_gaps()
        self._commit_group()
        self._notes.put(self._topic_id, self._progress())
        self._report()
        return len(records)

    def close(self) -> None:
        """Let go of sites and partitions at once."""
        if self._joined:
            self._notes.put(self._topic_id, self._progress(), at_once=True)
        self._joined = False
        self._close_sites(list(self._sites))
        self._consumer.close()
        self._outlet.close()

    def _at_end(self) -> bool:
        """Whether all is read: no partition has more, and no site has something to catch up."""
        if not self._joined or self._parked.due() is not None:
            return False
        ends = self._log.end(self._stage.inbox)
        return all(reached >= ends[partition] for partition, reached in self._next.items())

    def _new_consumer(self) -> Consumer:
        return self._log.consumer(self._stage.inbox, self._stage.name, self._member, listener=self)

    def _let_go(self) -> None:
        """Let go of everything, to join the group anew: nothing is known of what was read."""
        self._broken = True
        self._joined = False
        self._close_sites(list(self._sites))
        self._parked.clear()
        self._forget_lag(self._next)
        self._next.clear()
        self._consumer.close()

    # Partitions

    def on_assigned(self, partitions: set[int]) -> None:
        """Open every site of the new partitions, say its last outcomes again, and seek.

        Reading goes on where this stage's store has read to. A site that is behind that catches up
        alone: what the group has committed says nothing of a store that is new or restored.
        """
        inbox = self._stage.inbox
        self._topic_id = self._log.topic_id(inbox)
        self._ends = self._log.end(inbox)
        begins = self._log.beginning(inbox)
        known = set(self._stage.sites())
        for partition in partitions:
            own = {name for name in known if self._partition(name) == partition}
            self._told[partition] = self._consumer.committed(partition) or 0
            noted = self._notes.get(self._topic_id, partition)
            if noted.sites and not own:
                self._logger.warning("the store lacks all sites: all is read", partition=partition)
                noted = Progress()
            self._next[partition] = max(noted.next, begins[partition])
            for name in sorted(own):
                self._reopen(name, noted)
            for name in sorted({*noted.sites, *noted.behind} - own):
                start = noted.behind[name].offset if name in noted.behind else 0
                self._parked.let_catch_up(name, start)
            self._consumer.seek(partition, self._next[partition])
        self._joined = True

    def _reopen(self, name: str, noted: Progress) -> None:
        try:
            stored = self._open(name).stored
        except (FencedError, ClosedError):
            raise
        except Exception as error:
            self._park(name, noted.sites.get(name, -1) + 1, error)
        else:
            bookmark = stored.offset if stored else -1
            if noted.missed(name, bookmark):
                self._parked.let_catch_up(name, bookmark + 1)

    def on_revoked(self, partitions: set[int]) -> None:
        """Close the sites of the lost partitions."""
        self._notes.put(self._topic_id, self._progress(), at_once=True)
        self._joined = False
        self._noted = {}
        for partition in partitions:
            self._next.pop(partition, None)
        self._forget_lag(partitions)
        self._close_sites([s for s in self._sites if self._partition(s) in partitions])
        for name in [s for s in self._parked if self._partition(s) in partitions]:
            del self._parked[name]

    def _partition(self, name: str) -> int:
        return partition_of(name, self._partitions)

    def _open(self, name: str) -> Intake[S]:
        site = Intake(name, self._stage, self._topic_id, self._outlet, self._clock, self._telemetry)
        self._sites[name] = site
        partition = self._partition(name)
        if site.stored is not None and site.stored.offset >= self._ends[partition]:
            self._ends = self._log.end(self._stage.inbox)
        site.check_position(partition, self._ends[partition])
        site.emit_again()
        return site

    def _close_sites(self, names: Sequence[str]) -> None:
        for name in names:
            self._sites.pop(name).close()

    # Taking in

    def _take(self, name: str, records: Sequence[Record]) -> None:
        """Take a site's records in; trouble parks the site, at the first record not taken."""
        try:
            if name not in self._sites:
                if name not in self._stage.sites():
                    records = from_configured(
                        name, records, self._outlet, self._told[self._partition(name)]
                    )
                if not records:
                    return
                self._open(name)
            self._sites[name].take(records)
        except (FencedError, ClosedError):
            raise
        except Exception as error:
            self._park(name, records[0].offset, error)

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
        parked = self._parked.park(name, offset, error)
        self._logger.warning(
            "site parked",
            site=name,
            reason=str(error),
            attempt=parked.attempt,
            exc_info=None if isinstance(error, SlopewatchError) else error,
        )

    def _catch_up(self) -> bool:
        """Let one parked site take in a batch of what it missed; whether there was such a site."""
        name = self._parked.due()
        if name is None:
            return False
        try:
            self._read_on(name)
        except (FencedError, ClosedError):
            raise
        except Exception as error:
            self._park(name, self._parked[name].offset, error)
        return True

    def _read_on(self, name: str) -> None:
        """Take in a batch; the site is parked no more when it has all that the others have read.

        Its store says from where: when it could not be opened before, nobody knew.
        """
        parked = self._parked[name]
        if name not in self._sites and name in self._stage.sites():
            stored = self._open(name).stored
            parked = replace(parked, offset=stored.offset + 1 if stored else 0)
            self._parked[name] = parked
        goal = self._next[self._partition(name)]
        reached, own = self._missed(name, parked.offset, goal)
        if own:
            self._take(name, own)
        if self._parked[name] is not parked:
            return
        if name in self._sites:
            self._sites[name].settle()
        if reached >= goal:
            del self._parked[name]
        else:
            self._parked[name] = replace(parked, offset=reached, retry_at=self._clock.now())

    def _missed(self, name: str, start: int, goal: int) -> tuple[int, list[Record]]:
        """A batch of the site's records from `start` on, and the offset up to which it goes."""
        stop = min(goal, start + CATCH_UP_RECORDS)
        own: list[Record] = []
        for record in self._log.read(self._stage.inbox, self._partition(name), start, stop):
            if record.key == name:
                own.append(record)
                if len(own) == self._batch:
                    return record.offset + 1, own
        return stop, own

    # Telling the log and the operator

    def _progress(self) -> dict[int, Progress]:
        """How far this worker is, by partition."""
        behind = self._behind()
        made = {p: Progress(reached, {}, {}) for p, reached in self._next.items()}
        for name, one in behind.items():
            made[self._partition(name)].behind[name] = one
        for name, site in self._sites.items():
            if name not in behind:
                stored = site.stored.offset if site.stored else -1
                made[self._partition(name)].sites[name] = stored
        return made

    def _behind(self) -> dict[str, Behind]:
        """Sites that have not taken in all that was read, and from where they go on."""
        waiting = {
            name: Behind(offset, "waits for a missing event")
            for name, site in self._sites.items()
            if (offset := site.earliest_waiting) is not None
        }
        parked = {name: Behind(one.offset, one.reason) for name, one in self._parked.items()}
        return {**waiting, **parked}

    def _commit_group(self) -> None:
        """Note a lower bound of what was read: for onlookers, and for what is told once only."""
        offsets = dict(self._next)
        for name, behind in self._behind().items():
            partition = self._partition(name)
            offsets[partition] = min(offsets[partition], behind.offset)
        if offsets != self._noted:
            try:
                self._consumer.commit(offsets)
                self._noted = offsets
            except (ConflictError, UnavailableError) as error:
                # Of a group that has moved on the next poll tells; else it is tried again.
                self._logger.info("group offsets not noted", reason=str(error))

    def _note_gaps(self) -> None:
        """Since when each site holds an outcome whose predecessor has not come."""
        gaps = [name for name, site in self._sites.items() if site.earliest_waiting is not None]
        now = self._clock.now()
        self._gaps = {name: self._gaps.get(name, now) for name in gaps}

    def _report(self) -> None:
        self._report_parked()
        if time.monotonic() < self._asked_lag_at + LAG_EVERY_S:
            return
        self._asked_lag_at = time.monotonic()
        try:
            end = self._log.end(self._stage.inbox)
        except UnavailableError as error:
            self._logger.info("lag not known", reason=str(error))
            return
        for partition, position in self._next.items():
            lag = self._telemetry.log_lag.labels(self._stage.name, str(partition))
            lag.set(end[partition] - position)

    def _forget_lag(self, partitions: Iterable[int]) -> None:
        """Show no lag of what is not read here any more: an old figure would look like trouble."""
        for partition in partitions:
            self._telemetry.log_lag.remove(self._stage.name, str(partition))

    def _report_parked(self) -> None:
        parked = set(self.parked)
        self._telemetry.parked.labels(self._stage.name).set(len(parked))
        for name in parked - self._shown:
            self._telemetry.site_parked.labels(self._stage.name, name).set(1)
        for name in self._shown - parked:
            self._telemetry.site_parked.remove(self._stage.name, name)
        self._shown = parked
