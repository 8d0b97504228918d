"""How one site's records become distinct inputs, one commit, and outcomes on their way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Generic, NamedTuple, TypeVar

import msgspec

from core.clock import Clock
from core.errors import BadInputError, ForkError, NewerVersionError, SlopewatchError
from core.eventlog import Record
from core.events import (
    ALERTS,
    SITE_NAME,
    Event,
    SiteConfigured,
    UnusableDataError,
    decode,
    identity,
)
from core.outlet import Outlet, Sending
from core.stage import Bookmark, Held, Input, Outcome, Stage
from core.telemetry import Telemetry

S = TypeVar("S")
LARGEST_COMMIT_BYTES = 512 << 10
FURTHEST_AHEAD = timedelta(days=1)
"""How far two clocks may disagree."""


class Numbered(NamedTuple):
    """An outcome of the stage before; without an event when it is no use, for this reason."""

    record: Record
    number: int
    id: str
    event: Event | None
    reason: str = ""


class Intake(Generic[S]):
    """An open site: its store, its state, what came too early, what is not acknowledged yet."""

    def __init__(
        self,
        name: str,
        stage: Stage[S],
        log_id: str,
        outlet: Outlet,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self.name = name
        self._stage = stage
        self._log_id = log_id
        self._outlet = outlet
        self._clock = clock
        self._telemetry = telemetry
        self._store = stage.store(name)
        self._early: dict[int, Numbered] = {}
        self._sendings: list[Sending] = []
        self._forget_batch()
        try:
            held: Held[S] = self._store.open()
        except BaseException:
            self._store.close()
            raise
        self._state = held.state
        self._mark = held.bookmark
        self.stored = held.bookmark
        self._last_outcomes = held.outcomes

    def check_position(self, partition: int, end: int) -> None:
        """ForkError unless the store was read from this partition, which ends at `end`."""
        stored = self.stored
        if stored is None:
            return
        if stored.log_id != self._log_id:
            raise ForkError(
                f"site {self.name} was read from log {stored.log_id} and this one is "
                f"{self._log_id}: give back its log, or begin a new data folder and take the "
                "history in again"
            )
        if stored.partition != partition:
            raise ForkError(
                f"site {self.name} was read from partition {stored.partition} and belongs to "
                f"partition {partition}: give back its log, or carry the site over with "
                "`slopewatch log copy`"
            )
        if stored.offset >= end:
            raise ForkError(
                f"site {self.name} has read up to {stored.offset} and the log ends at {end}: the "
                "log lost its end; restore it from a backup"
            )

    def emit_again(self) -> None:
        """Say the last commit's outcomes again: the reader drops what it has."""
        self._say(self._last_outcomes)

    def settle(self) -> None:
        """Wait until all that the last commit said is acknowledged."""
        self._outlet.settle(self._sendings)

    @property
    def earliest_waiting(self) -> int | None:
        """Offset of the first record that waits for an outcome with a lower number."""
        return min((early.record.offset for early in self._early.values()), default=None)

    def take(self, records: Sequence[Record]) -> None:
        """Think through `records` in order and commit once (more often when much is said).

        An error leaves everything before the record that raised it committed.
        """
        try:
            for record in records:
                if self._mark is None or record.offset > self._mark.offset:
                    self._take_one(record)
                if self._bytes > LARGEST_COMMIT_BYTES:
                    self._commit()
        except Exception:
            self._commit()
            raise
        self._commit()

    def close(self) -> None:
        """Let go of the site's store."""
        self._store.close()

    def _take_one(self, record: Record) -> None:
        try:
            event = decode(record.value)
            if event.site != self.name:
                raise BadInputError(f"event {event.id} speaks of another site: {event.site!r}")
        except UnusableDataError as error:
            if error.site == self.name and error.number is not None and self._mark:
                self._take_numbered(Numbered(record, error.number, error.id, None, str(error)))
            else:
                self._outlet.dead_letter(record, "D01", str(error))
        except BadInputError as error:
            self._outlet.dead_letter(record, "D01", str(error))
        else:
            if event.number is None:
                self._take_unnumbered(record, event)
            else:
                self._take_numbered(Numbered(record, event.number, event.id, event))

    def _take_numbered(self, new: Numbered) -> None:
        """Take the next outcome, and those that waited for it; keep a later one until then."""
        expected = (self._mark.taken if self._mark else 0) + 1
        if new.number > expected:
            if self._early.setdefault(new.number, new).id != new.id:
                raise self._fork(new)
        elif new.number < expected:
            if not self._seen(new.id):
                raise self._fork(new)
        else:
            self._handle_numbered(new)
            while self._mark and (early := self._early.get(self._mark.taken + 1)):
                self._handle_numbered(early)
                del self._early[early.number]

    def _fork(self, new: Numbered) -> ForkError:
        return ForkError(
            f"site {self.name}: outcome number {new.number} came again as another event "
            f"({new.id}): two stores wrote it; keep one and rebuild the other"
        )

    def _handle_numbered(self, new: Numbered) -> None:
        if new.event is not None:
            self._handle(new.record, new.event)
        elif self._mark is not None:
            self._outlet.dead_letter(new.record, "D01", new.reason)
            offset = max(new.record.offset, self._mark.offset)
            self._mark = msgspec.structs.replace(self._mark, offset=offset, taken=new.number)
            self._ids.append(new.id)

    def _take_unnumbered(self, record: Record, event: Event) -> None:
        """Take in what comes from outside, once, unless it says that it is from the future.

        `now` of a site never falls, so a single event from 2099 would freeze it until then. This
        is the one look at a clock on the way in, and it only turns away: what is taken in is
        decided without it. Outcomes of a stage are never turned away here, whose `now` was let
        in by the stage before.
        """
        if self._seen(event.id):
            return
        latest = min(self._clock.now(), event.processed_at) + FURTHEST_AHEAD
        if event.available_at > latest:
            reason = f"known from {event.available_at:%Y-%m-%d %H:%M} on, over a day from now"
            self._outlet.dead_letter(record, "D04", reason)
        else:
            self._handle(record, event)

    def _seen(self, event_id: str) -> bool:
        return event_id in self._ids or self._store.seen(event_id)

    def _handle(self, record: Record, event: Event) -> None:
        mark = self._next_mark(record, event)
        try:
            with self._telemetry.timed(self._stage.name, event.data.NAME):
                state, said = self._stage.handle(self._state, Input(event, mark.seq, mark.now))
        except BadInputError as error:
            self._outlet.dead_letter(record, "D03", str(error))
            if event.number is not None:
                self._mark = msgspec.structs.replace(mark, seq=mark.seq - 1)
                self._ids.append(event.id)
            return
        outcomes = [self._outcome(event, i, o, mark) for i, o in enumerate(said)]
        weight = self._outlet.weigh(outcomes) if outcomes else 0
        if self._bytes and self._bytes + weight > LARGEST_COMMIT_BYTES:
            # What was thought lies on a state that is not stored yet: think again on the stored.
            self._commit()
            self._handle(record, event)
            return
        given = mark.given + len(outcomes)
        self._mark = msgspec.structs.replace(mark, given=given) if outcomes else mark
        self._state = state
        self._ids.append(event.id)
        self._outcomes += outcomes
        self._bytes += weight

    def _next_mark(self, record: Record, event: Event) -> Bookmark:
        mark = self._mark
        return Bookmark(
            log_id=self._log_id,
            partition=record.partition,
            offset=max(record.offset, mark.offset) if mark else record.offset,
            seq=(mark.seq if mark else 0) + 1,
            taken=event.number or (mark.taken if mark else 0),
            given=mark.given if mark else 0,
            now=max(mark.now, event.available_at) if mark else event.available_at,
        )

    def _outcome(self, cause: Event, index: int, outcome: Outcome, mark: Bookmark) -> Event:
        return Event(
            id=identity(self._stage.name, self.name, cause.id, index),
            site=self.name,
            source=f"slopewatch/{self._stage.name}",
            valid_time=outcome.valid_time,
            available_at=mark.now,
            processed_at=mark.now,
            data=outcome.data,
            number=mark.given + 1 + index,
        )

    def _commit(self) -> None:
        if not self._ids or self._mark is None:
            return
        self.settle()
        waiting = self.earliest_waiting
        offset = self._mark.offset if waiting is None else min(self._mark.offset, waiting - 1)
        stored = msgspec.structs.replace(self._mark, offset=offset)
        ids, outcomes = self._ids, tuple(self._outcomes)
        self._forget_batch()
        with self._telemetry.committed(self._stage.name):
            self._state = self._store.commit(self._state, stored, ids, outcomes)
        self.stored = stored
        self._last_outcomes = outcomes
        self._say(outcomes)

    def _say(self, outcomes: Sequence[Event]) -> None:
        if self._stage.outbox is not None:
            self._sendings += self._outlet.send(self._stage.outbox, outcomes)

    def _forget_batch(self) -> None:
        self._ids: list[str] = []
        self._outcomes: list[Event] = []
        self._bytes = 0


def from_configured(
    name: str, records: Sequence[Record], outlet: Outlet, told: int
) -> Sequence[Record]:
    """The records from the one on that makes a new site known; those before are dead letters.

    Those below the offset `told` became dead letters when they were read first.
    """
    for i, record in enumerate(records):
        code, reason = "D02", f"site {name!r} is not configured: add its file, then retry"
        try:
            if not SITE_NAME.fullmatch(name):
                raise BadInputError(f"its key {name[:80]!r} names no site")
            if _makes_known(decode(record.value), record.topic):
                return records[i:]
        except NewerVersionError:
            return records[i:]
        except SlopewatchError as error:
            code, reason = "D01", str(error)
        if record.offset >= told:
            outlet.dead_letter(record, code, reason)
    return ()


def _makes_known(event: Event, topic: str) -> bool:
    """Whether a site is known from here on: it is configured, or alerting, which knew it, spoke."""
    return isinstance(event.data, SiteConfigured) or (topic == ALERTS and event.number is not None)
