"""How it stands with the routes: what was sent last, what failed since, what waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, case, distinct, func, select, true

from core.ledger.chain import from_utc_text
from core.ledger.schema import attempt, notification

Lane = tuple[str, str]
"""Site and recipient."""

_LANE: Final = (notification.c.site, notification.c.recipient)
_JOINED: Final = notification.join(attempt, attempt.c.notification_id == notification.c.id)


@dataclass(frozen=True, kw_only=True)
class Route:
    """The way to one recipient of a site, as senders wrote it down.

    `sent_at`, `receipt` and `refused` (what part of the recipient did not get it) are of the last
    sending that was taken; `failed_at` and `reason` of the last that was not. `failing_since`,
    `failures` and `given_up` (messages that are not tried any more) count what failed after
    `sent_at`; None and 0 when nothing did. `waiting` messages are queued, the oldest of them since
    `waiting_since`; `untried_since` is when the first of them that nobody tried was due.
    """

    site: str
    recipient: str
    channel: str
    sent_at: datetime | None = None
    receipt: str = ""
    refused: str = ""
    failed_at: datetime | None = None
    reason: str = ""
    failing_since: datetime | None = None
    failures: int = 0
    given_up: int = 0
    waiting: int = 0
    waiting_since: datetime | None = None
    untried_since: datetime | None = None


def found(connection: Connection, site: str | None) -> list[Route]:
    """The routes of one site, or of all, by site and recipient."""
    of = true() if site is None else notification.c.site == site
    sent = _last("sent", of, at="sent_at", detail="refused", receipt="receipt")
    failed = _last("failed", of, at="failed_at", detail="reason")
    facts: dict[Lane, dict[str, Any]] = {}
    for one in (_channels(of), sent, failed, _failing(of), _waiting(of)):
        for row in connection.execute(one).mappings():
            _add(facts.setdefault((row["site"], row["recipient"]), {}), row)
    return [Route(**facts[lane]) for lane in sorted(facts)]


def _add(facts: dict[str, Any], row: Mapping[Any, Any]) -> None:
    for name, value in row.items():
        is_time = str(name).endswith(("_at", "_since")) and value is not None
        facts[str(name)] = from_utc_text(value) if is_time else value


def _channels(of: ColumnElement[bool]) -> Select[Any]:
    """The channel of each lane's newest notification."""
    row = notification.c
    place = func.row_number().over(partition_by=_LANE, order_by=(row.seq.desc(), row.id))
    ranked = select(*_LANE, row.channel, place.label("place")).where(of).subquery().c
    return select(ranked.site, ranked.recipient, ranked.channel).where(ranked.place == 1)


def _last(outcome: str, of: ColumnElement[bool], **names: str) -> Select[Any]:
    """Each lane's last attempt that came out so; `names` of its columns in the answer."""
    row, one = notification.c, attempt.c
    order = (one.at.desc(), row.seq.desc(), one.number.desc(), row.id)
    place = func.row_number().over(partition_by=_LANE, order_by=order).label("place")
    ranked = (
        select(*_LANE, *(one[column].label(name) for column, name in names.items()), place)
        .select_from(_JOINED)
        .where(of, one.outcome == outcome)
        .subquery()
        .c
    )
    wanted = (ranked[name] for name in names.values())
    return select(ranked.site, ranked.recipient, *wanted).where(ranked.place == 1)


def _failing(of: ColumnElement[bool]) -> Select[Any]:
    """What failed in each lane after the last sending that was taken."""
    row, one = notification.c, attempt.c
    sent = (
        select(*_LANE, func.max(one.at).label("at"))
        .select_from(_JOINED)
        .where(of, one.outcome == "sent")
        .group_by(*_LANE)
        .subquery()
    )
    lane = and_(row.site == sent.c.site, row.recipient == sent.c.recipient)
    lost = case((row.outcome == "failed", row.id))
    return (
        select(
            *_LANE,
            func.min(one.at).label("failing_since"),
            func.count().label("failures"),
            func.count(distinct(lost)).label("given_up"),
        )
        .select_from(_JOINED.outerjoin(sent, lane))
        .where(of, one.outcome == "failed", sent.c.at.is_(None) | (one.at > sent.c.at))
        .group_by(*_LANE)
    )


def _waiting(of: ColumnElement[bool]) -> Select[Any]:
    row = notification.c
    untried = case((row.attempts == 0, row.not_before))
    return (
        select(
            *_LANE,
            func.count().label("waiting"),
            func.min(row.created_at).label("waiting_since"),
            func.min(untried).label("untried_since"),
        )
        .where(of, row.outcome == "queued")
        .group_by(*_LANE)
    )
