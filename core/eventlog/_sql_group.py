"""Membership of a consumer group: leases, generations and the barrier between two of them.

Every join, leave or death begins a new generation. Members notice at their next poll, give up
what they hold and join the new generation; only when all living members have joined it is it
settled, and each works out the same assignment from the same table. So nobody is given a
partition that another still holds, unless that other fell silent for longer than its lease.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from core.eventlog import FencedError, NotOwnerError, range_assignment
from core.eventlog._sql_database import Database


class Member(NamedTuple):
    """A row of the members table; times are seconds of the machine's monotonic clock."""

    member: str
    topic: str
    instance: str
    joined: int
    beat_s: float
    lease_s: float

    def alive(self, now_s: float) -> bool:
        """Whether the lease still runs; a beat in the future is from before a reboot."""
        return 0 <= now_s - self.beat_s < self.lease_s


@dataclass(frozen=True)
class GroupView:
    """A group at one moment."""

    generation: int
    members: dict[str, Member]

    @property
    def settled(self) -> bool:
        """Whether every member has joined the present generation."""
        return all(member.joined == self.generation for member in self.members.values())

    def partitions_of(self, member: str, partitions: int) -> frozenset[int]:
        """Return the member's range among all members that read the same topic."""
        topic = self.members[member].topic
        peers = [name for name, other in self.members.items() if other.topic == topic]
        return range_assignment(peers, partitions)[member]


class Membership:
    """One consumer's seat in its group: `member` is the static id, `instance` this very one."""

    def __init__(
        self, database: Database, group: str, member: str, topic: str, lease_s: float
    ) -> None:
        self._database = database
        self._group = group
        self._member = member
        self._topic = topic
        self._lease_s = lease_s
        self._instance = uuid.uuid4().hex
        self._seated = False
        self._fenced = False
        self._beat_s = 0.0

    def look(self) -> GroupView:
        """Return the group as it is now; FencedError when another instance has the seat."""
        with self._database.read() as connection:
            view = self._view(connection)
        self._refuse_if_fenced(view)
        return view

    def holds_seat(self, view: GroupView) -> bool:
        """Whether this instance is in the group: not before `join`, nor once it was dropped."""
        return self._seated and self._member in view.members

    def beat_is_due(self, view: GroupView) -> bool:
        """Whether to call `beat`: a third of the lease has gone, or another's has run out."""
        now_s = time.monotonic()
        return now_s - self._beat_s > self._lease_s / 3 or bool(self._dead(view, now_s))

    def join(self) -> GroupView:
        """Take the seat, or the present generation when a new one has begun.

        A first join under a living static id takes the seat over and begins no generation.
        """
        with self._database.write() as connection:
            now_s = time.monotonic()
            connection.execute("INSERT OR IGNORE INTO groups VALUES (?, 0)", (self._group,))
            view = self._view(connection)
            self._refuse_if_fenced(view)
            dead = self._dead(view, now_s)
            self._delete(connection, dead)
            former = view.members.get(self._member)
            known = former is not None and former.topic == self._topic and former not in dead
            generation = view.generation if known and not dead else self._begin(connection)
            me = Member(self._member, self._topic, self._instance, generation, now_s, self._lease_s)
            connection.execute(
                "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self._group, *me),
            )
            view = self._view(connection)
        self._seated, self._beat_s = True, now_s
        return view

    def beat(self) -> GroupView:
        """Renew the lease and drop the members whose lease has run out."""
        with self._database.write() as connection:
            now_s = time.monotonic()
            view = self._view(connection)
            self._refuse_if_fenced(view)
            connection.execute(
                "UPDATE members SET beat_s = ? WHERE group_name = ? AND instance = ?",
                (now_s, self._group, self._instance),
            )
            dead = self._dead(view, now_s)
            self._delete(connection, dead)
            if dead:
                self._begin(connection)
            view = self._view(connection)
        self._beat_s = now_s
        return view

    def leave(self) -> None:
        """Give the seat up, if this instance has it; the others begin a new generation."""
        if not self._seated or self._fenced:
            return
        with self._database.write() as connection:
            mine = self._view(connection).members.get(self._member)
            if mine is not None and mine.instance == self._instance:
                self._delete(connection, [mine])
                self._begin(connection)
        self._seated = False

    def require_seat(self, connection: sqlite3.Connection) -> None:
        """Refuse, inside a transaction, what only a member may do: FencedError, NotOwnerError."""
        view = self._view(connection)
        self._refuse_if_fenced(view)
        if not self.holds_seat(view):
            raise NotOwnerError(
                f"member {self._member!r} was silent for longer than its lease of"
                f" {self._lease_s:g} s: group {self._group!r} has moved on to generation"
                f" {view.generation} without it"
            )

    def _view(self, connection: sqlite3.Connection) -> GroupView:
        rows = connection.execute(
            "SELECT generation, member, topic, instance, joined, beat_s, lease_s FROM groups"
            " LEFT JOIN members ON group_name = name WHERE name = ?",
            (self._group,),
        ).fetchall()
        members = {row[1]: Member(*row[1:]) for row in rows if row[1] is not None}
        return GroupView(generation=rows[0][0] if rows else 0, members=members)

    def _refuse_if_fenced(self, view: GroupView) -> None:
        mine = view.members.get(self._member)
        if self._seated and mine is not None and mine.instance != self._instance:
            self._fenced = True
        if self._fenced:
            raise FencedError(
                f"another process joined group {self._group!r} as member {self._member!r}:"
                " give each process its own id"
            )

    def _dead(self, view: GroupView, now_s: float) -> list[Member]:
        return [
            other
            for other in view.members.values()
            if not other.alive(now_s) and other.instance != self._instance
        ]

    def _delete(self, connection: sqlite3.Connection, members: Iterable[Member]) -> None:
        connection.executemany(
            "DELETE FROM members WHERE group_name = ? AND member = ?",
            [(self._group, member.member) for member in members],
        )

    def _begin(self, connection: sqlite3.Connection) -> int:
        generation: int = connection.execute(
            "UPDATE groups SET generation = generation + 1 WHERE name = ? RETURNING generation",
            (self._group,),
        ).fetchone()[0]
        return generation
