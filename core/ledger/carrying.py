"""Carrying a ledger over: its rows into another database, its sites onto another log.

While a ledger is carried over, what its outbox holds is `moved`, which no sender takes: in the
old ledger for good, in the new one until that one is in force. So no message can be sent twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import Connection, Table, case, delete, insert, select, update

from core.errors import ConflictError, SettingsError
from core.ledger.schema import decision, metadata, notification, site

Outbox = Literal["stays", "held", "released"]

_PAGE_ROWS: Final = 500
_POSITION: Final = frozenset({"log_id", "partition", "offset", "revision"})


class Place(NamedTuple):
    """A reader's place: the last `offset` taken in, of `partition` of the inbox `log_id`."""

    log_id: str
    partition: int
    offset: int


def copy_rows(source: Connection, target: Connection, name: str) -> int:
    """Put every row of `source` in place of all rows of `target`; returns how many were written.

    0 when the same rows are there already, positions left out. What is queued becomes `moved`.
    Raises SettingsError when `target`, called `name` in it, holds anything but an earlier copy.
    """
    if _digest(source) == _digest(target):
        return 0
    _refuse_other(source, target, name)
    for table in reversed(metadata.sorted_tables):
        target.execute(delete(table))
    count = 0
    for table in metadata.sorted_tables:
        rows = source.execute(_rows(table, "moved"))
        for page in rows.mappings().partitions():
            target.execute(insert(table), [dict(row) for row in page])
            count += len(page)
    return count


def set_places(connection: Connection, places: Mapping[str, Place], outbox: Outbox) -> None:
    """Give every site in `places` its place on a log.

    `outbox`: `held` makes what is queued `moved`, `released` the other way round.
    """
    for name, place in places.items():
        values: dict[str, Any] = {**place._asdict(), "revision": site.c.revision + 1}
        if connection.execute(update(site).where(site.c.name == name).values(values)).rowcount != 1:
            raise ConflictError(f"site {name} is not in the ledger any more; look again")
    before, after = {
        "stays": ("", ""),
        "held": ("queued", "moved"),
        "released": ("moved", "queued"),
    }[outbox]
    if before:
        waiting = notification.c.outcome == before
        connection.execute(update(notification).where(waiting).values(outcome=after))


def _refuse_other(source: Connection, target: Connection, name: str) -> None:
    """An earlier copy has only what `source` has: every site's head is in its chain there."""
    seqs = {row.name: row.seq for row in source.execute(select(site.c.name, site.c.seq))}
    for row in target.execute(select(site.c.name, site.c.seq, site.c.head)):
        chained = (decision.c.site == row.name) & (decision.c.hash == row.head)
        known = not row.head or source.execute(select(decision.c.seq).where(chained)).first()
        if row.seq > seqs.get(row.name, -1) or not known:
            raise SettingsError(
                f"the ledger {name} holds decisions of site {row.name} that the one to be copied"
                " does not: name an empty database"
            )


def _rows(table: Table, waiting: str, left_out: frozenset[str] = frozenset()) -> Any:
    """All rows by primary key, without the columns `left_out`; what waits reads `waiting`."""
    columns: list[Any] = [column for column in table.c if column.name not in left_out]
    if table is notification:
        waits = table.c.outcome.in_(("queued", "moved"))
        outcome = case((waits, waiting), else_=table.c.outcome).label("outcome")
        columns = [outcome if c is table.c.outcome else c for c in columns]
    rows = select(*columns).order_by(*table.primary_key)
    return rows.execution_options(yield_per=_PAGE_ROWS)


def _digest(connection: Connection) -> bytes:
    """One hash over all rows, the same in every database; positions are left out."""
    found = hashlib.sha256()
    for table in metadata.sorted_tables:
        left_out = _POSITION if table is site else frozenset()
        for row in connection.execute(_rows(table, "queued", left_out)):
            found.update(msgspec.json.encode([str(table.name), list(row)]))
    return found.digest()
