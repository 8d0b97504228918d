"""A recipient's own limits: quiet hours and messages a day. What they hold back waits for a row.

Both are functions of the input's moment and of what the site sent, so a replay finds them again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from core.events import identity
from core.ledger import Deadline, canonical
from core.settings import QuietHours, Recipient
from services.alerting.state import Mailbox, UnitAlert

DAY = timedelta(hours=24)
"""In which `most_a_day` messages are counted."""


def is_within(moment: time, start: time, end: time) -> bool:
    """Whether a time of day lies in [start, end), which may pass midnight, or is empty."""
    if start <= end:
        return start <= moment < end
    return moment >= start or moment < end


def quiet_until(quiet: QuietHours | None, now: datetime) -> datetime | None:
    """When the quiet hours of `now` end; None outside them."""
    if quiet is None:
        return None
    zone = ZoneInfo(quiet.timezone)
    local = now.astimezone(zone)
    if not is_within(local.time(), quiet.start, quiet.end):
        return None
    on = local.date() if local.time() < quiet.end else local.date() + timedelta(days=1)
    end = datetime.combine(on, quiet.end, zone)
    if end.astimezone(UTC) <= now:
        # The clocks were put back since: the same time of day comes a second time.
        end = end.replace(fold=1)
    return end.astimezone(UTC)


def lately(sent: Sequence[datetime], now: datetime) -> tuple[datetime, ...]:
    """Moments of messages that still count."""
    return tuple(moment for moment in sent if moment > now - DAY)


def slot_free_at(recipient: Recipient, sent: Sequence[datetime], now: datetime) -> datetime | None:
    """When one more message may go; None when one may go now."""
    most, counted = recipient.most_a_day, sorted(lately(sent, now))
    if most is None or len(counted) < most:
        return None
    return counted[-most] + DAY


class Post(NamedTuple):
    """The mailboxes after an input, and the rows that wait for them."""

    mailboxes: dict[str, Mailbox]
    deadlines: tuple[Deadline, ...]


def posted(
    mailboxes: Mapping[str, Mailbox],
    units: Mapping[str, UnitAlert],
    recipients: Sequence[Recipient],
    sent: Mapping[str, int],
    due: Sequence[str],
    place: tuple[str, int, datetime],
) -> Post:
    """The mailboxes after `sent` messages by recipient at `place` (site, input, now).

    A recipient for whom something is held has one row, at the first moment at which it may go.
    """
    site, seq, now = place
    after, rows = {}, []
    for recipient in recipients:
        box = mailboxes.get(recipient.id, Mailbox())
        if recipient.id in due:
            box = replace(box, deadline=None, due=None)
        counts = recipient.most_a_day is not None
        moments = (*lately(box.sent, now), *[now] * sent.get(recipient.id, 0)) if counts else ()
        kept_by = {by for unit in units.values() for by in unit.held.get(recipient.id, {}).values()}
        box = Mailbox(
            deadline=box.deadline if kept_by else None,
            due=box.due if kept_by else None,
            sent=moments,
        )
        at = _free_at(recipient, moments, now, kept_by) if kept_by else now
        if kept_by and (box.deadline is None or (box.due is not None and at < box.due)):
            row = _row(site, seq, recipient, at)
            box = replace(box, deadline=row.id, due=at)
            rows.append(row)
        if box != Mailbox():
            after[recipient.id] = box
    return Post(after, tuple(rows))


def _free_at(
    recipient: Recipient, sent: Sequence[datetime], now: datetime, kept_by: Collection[str]
) -> datetime:
    """When the first of what is held may go: what quiet hours keep does not wait for a slot."""
    quiet, slot = quiet_until(recipient.quiet, now), slot_free_at(recipient, sent, now)
    if "quiet" in kept_by:
        return quiet or now
    return max(moment for moment in (quiet, slot, now) if moment is not None)


def _row(site: str, seq: int, recipient: Recipient, at: datetime) -> Deadline:
    return Deadline(
        id=identity(site, seq, "held", recipient.id),
        site=site,
        due=at,
        kind="held",
        body=canonical({"recipient": recipient.id}),
    )
