"""A group's consumer on a SQLite log."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from core.errors import UnavailableError
from core.eventlog import AssignmentListener, ClosedError, FencedError, NotOwnerError, Record
from core.eventlog._sql_database import OFFSET_BITS, Database
from core.eventlog._sql_group import GroupView, Membership

_FIRST_NAP_S: Final = 0.005
_LONGEST_NAP_S: Final = 0.05
_POLL_BYTES: Final = 32 * 1024 * 1024


class _Extent(NamedTuple):
    partition: int
    id: int
    begin_offset: int
    end_offset: int


class SqliteConsumer:
    """See `core.eventlog.Consumer`; `partitions` gives the id of each partition of the topic."""

    def __init__(
        self,
        database: Database,
        *,
        topic: str,
        partitions: Mapping[int, int],
        group: str,
        member: str,
        lease_s: float,
        listener: AssignmentListener | None,
    ) -> None:
        self._database = database
        self._topic = topic
        self._ids = dict(partitions)
        self._group = group
        self._member = member
        self._listener = listener
        self._membership = Membership(database, group, member, topic, lease_s)
        self._generation: int | None = None
        self._positions: dict[int, int | None] = {}
        self._paused: set[int] = set()
        self._turn = 0
        self._closed = False

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """See `core.eventlog.Consumer.poll`; an idle poll looks every 5 to 50 ms."""
        deadline = time.monotonic() + timeout_s
        nap_s = _FIRST_NAP_S
        while True:
            self._refuse_if_closed()
            self._keep_membership()
            records = self._fetch(max_records)
            left_s = deadline - time.monotonic()
            if records or left_s <= 0:
                return records
            time.sleep(min(nap_s, left_s))
            nap_s = min(2 * nap_s, _LONGEST_NAP_S)

    def seek(self, partition: int, offset: int) -> None:
        """See `core.eventlog.Consumer.seek`."""
        self._refuse_if_not_mine([partition])
        self._positions[partition] = offset

    def pause(self, partitions: Collection[int]) -> None:
        """See `core.eventlog.Consumer.pause`."""
        self._refuse_if_not_mine(partitions)
        self._paused.update(partitions)

    def resume(self, partitions: Collection[int]) -> None:
        """See `core.eventlog.Consumer.resume`."""
        self._refuse_if_not_mine(partitions)
        self._paused.difference_update(partitions)

    def commit(self, offsets: Mapping[int, int]) -> None:
        """See `core.eventlog.Consumer.commit`."""
        self._refuse_if_closed()
        with self._database.write() as connection:
            self._membership.require_seat(connection)
            self._refuse_if_not_mine(offsets)
            connection.executemany(
                "INSERT OR REPLACE INTO commits VALUES (?, ?, ?)",
                [(self._group, self._ids[p], offset) for p, offset in offsets.items()],
            )

    def committed(self, partition: int) -> int | None:
        """See `core.eventlog.Consumer.committed`."""
        return self._committed().get(partition)

    def assignment(self) -> frozenset[int]:
        """See `core.eventlog.Consumer.assignment`."""
        return frozenset(self._positions)

    def close(self) -> None:
        """See `core.eventlog.Consumer.close`."""
        if self._closed:
            return
        self._closed = True
        self._drop()
        # Out of reach is no harm here: then the lease ends the membership.
        with contextlib.suppress(UnavailableError, ClosedError):
            self._membership.leave()

    def _keep_membership(self) -> None:
        try:
            view = self._membership.look()
            if self._membership.holds_seat(view) and self._membership.beat_is_due(view):
                view = self._membership.beat()
            if not self._in_step(view):
                self._revoke()
                view = self._membership.join()
        except FencedError:
            self._drop()
            raise
        if view.settled and view.generation != self._generation:
            self._assign(view)

    def _in_step(self, view: GroupView) -> bool:
        """Whether this member is in the group and has joined its present generation."""
        return (
            self._membership.holds_seat(view)
            and view.members[self._member].joined == view.generation
        )

    def _revoke(self) -> None:
        if self._positions and self._listener is not None:
            self._listener.on_revoked(set(self._positions))
        self._drop()

    def _drop(self) -> None:
        self._generation = None
        self._positions = {}
        self._paused = set()

    def _assign(self, view: GroupView) -> None:
        committed = self._committed()
        mine = view.partitions_of(self._member, len(self._ids))
        self._positions = {partition: committed.get(partition) for partition in sorted(mine)}
        self._paused = set()
        self._generation = view.generation
        if self._listener is not None:
            self._listener.on_assigned(set(mine))

    def _committed(self) -> dict[int, int]:
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT partition, next_offset FROM commits"
                " JOIN partitions ON partitions.id = partition_id"
                " WHERE group_name = ? AND topic = ?",
                (self._group, self._topic),
            )
            return dict(rows.fetchall())

    def _fetch(self, max_records: int) -> list[Record]:
        active = [p for p in self._positions if p not in self._paused]
        records: list[Record] = []
        if not active:
            return records
        # Another partition goes first each time, so that a busy one cannot starve the others.
        self._turn = (self._turn + 1) % len(active)
        extents = self._extents()
        room_bytes = _POLL_BYTES
        for partition in active[self._turn :] + active[: self._turn]:
            if len(records) >= max_records or room_bytes <= 0:
                break
            room_bytes -= self._take(
                extents[partition], max_records - len(records), room_bytes, records
            )
        return records

    def _extents(self) -> dict[int, _Extent]:
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT partition, id, begin_offset, end_offset FROM partitions WHERE topic = ?",
                (self._topic,),
            )
            return {row[0]: _Extent(*row) for row in rows}

    def _take(self, extent: _Extent, most: int, room_bytes: int, records: list[Record]) -> int:
        """Append the partition's next records to `records`; return their bytes."""
        position = self._positions[extent.partition]
        if position is None or not extent.begin_offset <= position <= extent.end_offset:
            position = extent.begin_offset
        taken_bytes = 0
        first = extent.id << OFFSET_BITS
        if position < extent.end_offset:
            with self._database.read() as connection:
                rows = connection.execute(
                    "SELECT id, key, value FROM records WHERE id >= ? AND id < ?"
                    " ORDER BY id LIMIT ?",
                    (first + position, first + extent.end_offset, most),
                )
                for record_id, key, value in rows:
                    offset = record_id - first
                    records.append(Record(self._topic, extent.partition, offset, key, value))
                    position = offset + 1
                    taken_bytes += len(value)
                    if taken_bytes >= room_bytes:
                        rows.close()
                        break
        self._positions[extent.partition] = position
        return taken_bytes

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ClosedError(f"the consumer {self._member!r} is closed")

    def _refuse_if_not_mine(self, partitions: Collection[int]) -> None:
        self._refuse_if_closed()
        foreign = sorted(set(partitions) - set(self._positions))
        if foreign:
            raise NotOwnerError(
                f"partitions {foreign} of topic {self._topic!r} are not assigned to member"
                f" {self._member!r} of group {self._group!r}"
            )
