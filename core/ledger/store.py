"""The alerting stage's store of one site: what it decided and where it stands, in one commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, exc, insert, select, update

from core.errors import ConflictError, NewerVersionError, SettingsError, SlopewatchError
from core.events import Event, decode, encode
from core.ledger.chain import chain_hash, fault_of_body, from_utc_text, utc_text
from core.ledger.database import Database
from core.ledger.entries import LedgerState, Notification
from core.ledger.schema import deadline, decision, input_taken, notification, site
from core.stage import Bookmark, Held

Lift = Callable[[str, int], str]
"""(state, its version) -> the same state as this release writes it."""

_OUTCOMES = msgspec.json.Decoder(list[msgspec.Raw])


class LedgerSite:
    """One site of the ledger: a `core.stage.SiteStore[LedgerState]`, used by one thread.

    `state_version` is the version of the state's JSON that the alerting stage writes; `lift`
    turns an older one into it.
    """

    def __init__(
        self, database: Database, name: str, state_version: int, lift: Lift | None = None
    ) -> None:
        self._database = database
        self._name = name
        self._state_version = state_version
        self._lift = lift
        self._read: tuple[int, int, str] | None = None

    def open(self) -> Held[LedgerState]:
        """Read state, bookmark and the last commit's outcomes.

        Raises NewerVersionError for a state or an outcome written by a newer release,
        SettingsError for an older state without a way to lift it, UnavailableError.
        """
        with self._database.read() as connection:
            row = connection.execute(select(site).where(site.c.name == self._name)).one_or_none()
        if row is None:
            self._read = (0, 0, "")
            return Held(LedgerState(None, ""), None, ())
        state = LedgerState(self._lifted(row.state, row.state_version), row.head)
        outcomes = tuple(decode(bytes(raw)) for raw in _OUTCOMES.decode(row.outcomes))
        self._read = (row.revision, row.seq, row.head)
        return Held(state, bookmark_of(row), outcomes)

    def seen(self, event_id: str) -> bool:
        """Whether an input with this id was taken in by a commit.

        Raises ConflictError when another holder committed since `open`: who took the input in may
        have died before it emitted the outcomes, and whoever opens the site again emits them.
        """
        read = self._opened()
        taken = (input_taken.c.site == site.c.name) & (input_taken.c.event_id == event_id)
        rows = select(site.c.revision, site.c.seq, site.c.head, input_taken.c.event_id)
        mine = rows.outerjoin(input_taken, taken).where(site.c.name == self._name)
        with self._database.read() as connection:
            found = connection.execute(mine).one_or_none()
        *place, known = found or (0, 0, "", None)
        if tuple(place) != read:
            raise self._conflict(read)
        return known is not None

    def commit(
        self,
        state: LedgerState,
        bookmark: Bookmark,
        ids: Sequence[str],
        outcomes: Sequence[Event],
    ) -> LedgerState:
        """Store state, bookmark, input ids, outcomes and all that is pending, or nothing of it.

        A deadline id in `done_deadlines` that the site does not have changes nothing. Raises
        ConflictError when another holder committed since `open` (open again, think again),
        UnavailableError when the database is locked or out of reach, SlopewatchError when the
        pending rows do not continue the chain or use an id twice.
        """
        read = self._opened()
        revision, read_seq, read_head = read
        self._check(state, read_seq, read_head, bookmark.seq)
        values = self._site_row(state, bookmark, outcomes, revision + 1)
        with self._database.write() as connection:
            self._write_site(connection, values, read)
            self._write_pending(connection, state, ids)
        self._read = (revision + 1, bookmark.seq, state.head)
        return state.settled()

    def close(self) -> None:
        """Let go of the site; the ledger keeps its connections."""
        self._read = None

    def _opened(self) -> tuple[int, int, str]:
        if self._read is None:
            raise ConflictError(f"site {self._name}: open it before asking or committing")
        return self._read

    def _conflict(self, read: tuple[int, int, str]) -> ConflictError:
        return ConflictError(
            f"site {self._name}: another worker committed after revision {read[0]} (seq {read[1]})"
        )

    def _lifted(self, state: str | None, version: int) -> str | None:
        if version > self._state_version:
            raise NewerVersionError(
                f"site {self._name}: the ledger holds its alert state in version {version}, this"
                f" release reads up to {self._state_version}: upgrade slopewatch"
            )
        if version == self._state_version or state is None:
            return state
        if self._lift is None:
            raise SettingsError(
                f"site {self._name}: its alert state is of version {version} and nothing lifts it"
                f" to {self._state_version}"
            )
        return self._lift(state, version)

    def _check(self, state: LedgerState, read_seq: int, read_head: str, seq: int) -> None:
        place, head = read_seq - 1, read_head
        for row in state.decisions:
            follows = row.previous == head and row.hash == chain_hash(head, row.body)
            if not (follows and place < row.seq <= seq) or fault_of_body(self._name, row):
                raise SlopewatchError(
                    f"site {self._name}: decision {row.seq} does not continue the chain at"
                    f" {place}, so it was not stored"
                )
            place, head = row.seq, row.hash
        for one in state.deadlines:
            if one.site != self._name:
                raise SlopewatchError(f"site {self._name}: deadline {one.id} is of site {one.site}")
        if head != state.head:
            raise SlopewatchError(
                f"site {self._name}: the state's head is not that of its last decision"
            )

    def _site_row(
        self, state: LedgerState, bookmark: Bookmark, outcomes: Sequence[Event], revision: int
    ) -> dict[str, Any]:
        return {
            "name": self._name,
            "state": state.state,
            "state_version": self._state_version,
            "head": state.head,
            "outcomes": "[" + ",".join(encode(event).decode() for event in outcomes) + "]",
            "revision": revision,
            **msgspec.structs.asdict(bookmark),
            "now": utc_text(bookmark.now),
        }

    def _write_site(
        self, connection: Connection, values: dict[str, Any], read: tuple[int, int, str]
    ) -> None:
        revision, seq, head = read
        conflict = self._conflict(read)
        if revision == 0:
            try:
                connection.execute(insert(site), values)
            except exc.IntegrityError as error:
                raise conflict from error
            return
        mine = (
            (site.c.name == self._name)
            & (site.c.revision == revision)
            & (site.c.seq == seq)
            & (site.c.head == head)
        )
        if connection.execute(update(site).where(mine).values(values)).rowcount != 1:
            raise conflict

    def _write_pending(
        self, connection: Connection, state: LedgerState, ids: Sequence[str]
    ) -> None:
        name = self._name
        pending = (
            (input_taken, [{"site": name, "event_id": one} for one in ids]),
            (decision, [{"site": name, **vars(row)} for row in state.decisions]),
            (notification, [_outbox_row(name, row) for row in state.notifications]),
            (
                deadline,
                [{**vars(row), "due": utc_text(row.due), "done": False} for row in state.deadlines],
            ),
        )
        for table, rows in pending:
            if rows:
                connection.execute(insert(table), rows)
        if state.done_deadlines:
            ended = (deadline.c.site == name) & deadline.c.id.in_(state.done_deadlines)
            connection.execute(update(deadline).where(ended).values(done=True))


def bookmark_of(row: Row[Any]) -> Bookmark:
    """The bookmark in a row of the site table."""
    return Bookmark(
        log_id=row.log_id,
        partition=row.partition,
        offset=row.offset,
        seq=row.seq,
        taken=row.taken,
        given=row.given,
        now=from_utc_text(row.now),
    )


def known_sites(connection: Connection) -> list[str]:
    """Names of all sites, in the order of their UTF-8 bytes."""
    return sorted(connection.scalars(select(site.c.name)), key=str.encode)


def _outbox_row(name: str, row: Notification) -> dict[str, Any]:
    return {
        **vars(row),
        "site": name,
        "created_at": utc_text(row.created_at),
        "not_before": utc_text(row.not_before),
        "claims": 0,
        "attempts": 0,
        "lease_owner": None,
        "lease_until": None,
    }
