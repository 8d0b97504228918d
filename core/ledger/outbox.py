"""The outbox: notifications wait here until a sender has claimed them and said what came of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, Select, func, insert, select, tuple_, update

from core.errors import ConflictError, SettingsError
from core.ledger.chain import from_utc_text, utc_text
from core.ledger.entries import Attempt, QueuedNotification
from core.ledger.schema import attempt, notification

FinalOutcome = Literal["sent", "failed", "suppressed"]

_LANE: Final = (notification.c.site, notification.c.recipient)


def claim(
    connection: Connection, now: datetime, limit: int, owner: str, lease_s: float
) -> list[QueuedNotification]:
    """Lend up to `limit` due notifications to `owner` until `now` + `lease_s` seconds.

    One of a lane (site and recipient) at most, and none of a lane of which one is lent: what
    follows depends on what becomes of that. Urgent ones first, then those that wait longest.
    """
    if limit < 1 or lease_s <= 0:
        raise SettingsError(f"a claim of {limit} rows for {lease_s} s takes nothing")
    lanes = _locked_lanes(connection)
    ids = list(connection.scalars(_first_due(lanes, utc_text(now)).limit(limit))) if lanes else []
    if not ids:
        return []
    row = notification.c
    connection.execute(
        update(notification)
        .where(row.id.in_(ids))
        .values(lease_owner=owner, lease_until=_until(now, lease_s), claims=row.claims + 1)
    )
    found = connection.execute(select(notification).where(row.id.in_(ids)))
    by_id = {one.id: _queued(one) for one in found}
    return [by_id[one] for one in ids]


def _locked_lanes(connection: Connection) -> list[Row[Any]]:
    """Lanes with queued rows, each locked by its oldest: another claim at once skips the lane.

    Not by the row that is due first: that may be another a moment later.
    """
    row = notification.c
    place = func.row_number().over(partition_by=_LANE, order_by=(row.seq, row.id)).label("place")
    ranked = select(row.id, place).where(row.outcome == "queued").subquery()
    oldest = row.id.in_(select(ranked.c.id).where(ranked.c.place == 1))
    # Looked at again after waiting for the lock: it may have been sent meanwhile.
    lanes = select(*_LANE).where(oldest, row.outcome == "queued")
    return list(connection.execute(lanes.with_for_update(skip_locked=True)))


def _first_due(lanes: Sequence[Row[Any]], moment: str) -> Select[tuple[str]]:
    """Ids of what is due first in each of the `lanes` of which nothing is lent."""
    row = notification.c
    order = (row.urgent.desc(), row.not_before, row.seq, row.id)
    lent = select(*_LANE).where(row.outcome == "queued", row.lease_until > moment)
    place = func.row_number().over(partition_by=_LANE, order_by=order).label("place")
    lane = tuple_(*_LANE)
    due = (
        select(row.id, place)
        .where(row.outcome == "queued", row.not_before <= moment)
        .where(lane.in_([tuple(one) for one in lanes]), lane.not_in(lent))
        .subquery()
    )
    first = select(due.c.id).where(due.c.place == 1)
    return select(row.id).where(row.id.in_(first)).order_by(*order)


def renew(
    connection: Connection, claims: Collection[tuple[str, str]], now: datetime, lease_s: float
) -> int:
    """Lend (id, owner) for `lease_s` seconds from `now`; how many are still lent to the owner.

    A lease that ran out is renewed as well, as long as nobody else claimed the row.
    """
    row = notification.c
    mine = tuple_(row.id, row.lease_owner).in_(list(claims))
    longer = update(notification).where(mine, row.outcome == "queued")
    return connection.execute(longer.values(lease_until=_until(now, lease_s))).rowcount


def claim_too(
    connection: Connection, ids: Collection[str], owner: str, now: datetime, lease_s: float
) -> list[QueuedNotification]:
    """Lend those of `ids` that are queued and not lent to `owner`, who holds a row of their lane.

    Due or not: whoever asks has seen why. In the order of the decisions.
    """
    row = notification.c
    free = row.lease_until.is_(None) | (row.lease_until <= utc_text(now))
    mine = row.id.in_(list(ids)) & (row.outcome == "queued")
    connection.execute(
        update(notification)
        .where(mine, free)
        .values(lease_owner=owner, lease_until=_until(now, lease_s), claims=row.claims + 1)
    )
    found = select(notification).where(mine, row.lease_owner == owner)
    return [_queued(one) for one in connection.execute(found.order_by(row.seq, row.id))]


def give_back(
    connection: Connection, notification_id: str, owner: str, not_before: datetime | None
) -> None:
    """Take back a claim as if it had not been; nothing when another sender has claimed since.

    With `not_before` it is not due earlier than that.
    """
    row = notification.c
    mine = (row.id == notification_id) & (row.outcome == "queued") & (row.lease_owner == owner)
    values: dict[str, Any] = {"lease_owner": None, "lease_until": None, "claims": row.claims - 1}
    if not_before is not None:
        values["not_before"] = utc_text(not_before)
    connection.execute(update(notification).where(mine).values(**values))


def queued_beside(connection: Connection, one: QueuedNotification) -> list[QueuedNotification]:
    """What else is queued for the recipient of `one`, in the order of the decisions."""
    row = notification.c
    lane = (row.site == one.site) & (row.recipient == one.recipient) & (row.id != one.id)
    rows = select(notification).where(lane, row.outcome == "queued")
    return [_queued(other) for other in connection.execute(rows.order_by(row.seq, row.id))]


def later_than(connection: Connection, one: QueuedNotification) -> list[QueuedNotification]:
    """What was decided after `one` for its recipient and is sent or queued, in order."""
    row = notification.c
    lane = (row.site == one.site) & (row.recipient == one.recipient)
    rows = select(notification).where(lane, row.seq > one.seq, row.outcome.in_(("queued", "sent")))
    return [_queued(later) for later in connection.execute(rows.order_by(row.seq, row.id))]


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


def _until(now: datetime, lease_s: float) -> str:
    return utc_text(now + timedelta(seconds=lease_s))


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


def waiting(connection: Connection) -> dict[str, tuple[int, datetime]]:
    """By site how many notifications are queued, and when the oldest of them was decided."""
    row = notification.c
    queued = (
        select(row.site, func.count(), func.min(row.created_at))
        .where(row.outcome == "queued")
        .group_by(row.site)
    )
    return {
        site: (count, from_utc_text(oldest)) for site, count, oldest in connection.execute(queued)
    }


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
