"""The outbox: notifications wait here until a sender has claimed them and said what came of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, or_, select, update

from core.errors import ConflictError, SettingsError
from core.ledger.chain import from_utc_text, utc_text
from core.ledger.entries import Attempt, QueuedNotification
from core.ledger.schema import attempt, notification

FinalOutcome = Literal["sent", "failed", "suppressed"]


def claim(
    connection: Connection, now: datetime, limit: int, owner: str, lease_s: float
) -> list[QueuedNotification]:
    """Lend up to `limit` due notifications to `owner` until `now` + `lease_s` seconds.

    Urgent ones first, then those that wait longest.
    """
    if limit < 1 or lease_s <= 0:
        raise SettingsError(f"a claim of {limit} rows for {lease_s} s takes nothing")
    moment, until = utc_text(now), utc_text(now + timedelta(seconds=lease_s))
    row = notification.c
    free = or_(row.lease_until.is_(None), row.lease_until <= moment)
    due = (
        select(row.id)
        .where(row.outcome == "queued", row.not_before <= moment, free)
        .order_by(row.urgent.desc(), row.not_before, row.seq, row.id)
        .limit(limit)
        # Two senders at once: each skips the rows that the other is just claiming.
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.scalars(due))
    if not ids:
        return []
    connection.execute(
        update(notification)
        .where(row.id.in_(ids))
        .values(lease_owner=owner, lease_until=until, claims=row.claims + 1)
    )
    found = connection.execute(select(notification).where(row.id.in_(ids)))
    by_id = {one.id: _queued(one) for one in found}
    return [by_id[one] for one in ids]


def record(
    connection: Connection,
    notification_id: str,
    owner: str,
    at: datetime,
    outcome: FinalOutcome,
    detail: str,
    receipt: str,
    retry_at: datetime | None,
) -> None:
    """Write down an attempt; `failed` with `retry_at` queues the notification again.

    A lease that ran out is still good for this as long as nobody else claimed the row: the
    message is out, and to forget it would send it twice.
    """
    if retry_at is not None and outcome != "failed":
        raise SettingsError(f"notification {notification_id}: {outcome} is not tried again")
    row = notification.c
    values: dict[str, Any] = {"outcome": outcome, "lease_owner": None, "lease_until": None}
    if retry_at is not None:
        values |= {"outcome": "queued", "not_before": utc_text(retry_at)}
    mine = (row.id == notification_id) & (row.outcome == "queued") & (row.lease_owner == owner)
    done = update(notification).where(mine).values(**values, attempts=row.attempts + 1)
    if connection.execute(done).rowcount != 1:
        raise ConflictError(
            f"notification {notification_id} is not lent to {owner} any more: its lease ran out"
            " and another sender has it"
        )
    number = connection.scalar(select(row.attempts).where(row.id == notification_id))
    connection.execute(
        insert(attempt),
        {
            "notification_id": notification_id,
            "number": number,
            "at": utc_text(at),
            "outcome": outcome,
            "detail": _storable(detail),
            "receipt": _storable(receipt),
        },
    )


def _storable(text: str) -> str:
    """What a mail server or webhook said, without what is no text to PostgreSQL.

    An answer that cannot be written down would be asked for, and its message sent, again and again.
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def stored(connection: Connection, site: str | None) -> list[QueuedNotification]:
    """Every notification of one site, or of all, by site, seq and id."""
    row = notification.c
    rows = select(notification).order_by(row.site, row.seq, row.id)
    return [
        _queued(one)
        for one in connection.execute(rows if site is None else rows.where(row.site == site))
    ]


def attempts_of(connection: Connection, notification_id: str) -> list[Attempt]:
    """The attempts recorded for one notification, in order."""
    rows = select(attempt).where(attempt.c.notification_id == notification_id)
    return [
        Attempt(**{**one, "at": from_utc_text(one["at"])})
        for one in connection.execute(rows.order_by(attempt.c.number)).mappings()
    ]


def _queued(row: Row[Any]) -> QueuedNotification:
    until = row.lease_until
    return QueuedNotification(
        **{
            **row._mapping,
            "created_at": from_utc_text(row.created_at),
            "not_before": from_utc_text(row.not_before),
            "lease_until": until and from_utc_text(until),
        }
    )
