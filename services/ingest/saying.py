"""From what a feed said to events, and from events to the log."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime

from core.artifacts import Artifacts
from core.errors import BadInputError, SlopewatchError
from core.eventlog import EventLog
from core.events import (
    OBSERVATIONS,
    DeadLettered,
    Event,
    EventData,
    encode,
    observation_id,
)
from services.ingest.feed import Feed, Observation, Rejection

SEND_TIMEOUT_S = 30.0


def said(site: str, feed: Feed, item: Observation, now: datetime, *, backfill: bool) -> Event:
    """An observation: available now, or in a backfill when it was published.

    Where its source does not say when, its feed's latency does, and it is marked assumed.
    """
    available, assumed = now, False
    if backfill:
        assumed = item.published_at is None
        available = min(item.published_at or item.valid_time + feed.latency, now)
    times = (item.valid_time, available, now)
    return event(site, item.natural_key, item.data, *times, assumed=assumed)


def rejected(site: str, feed: str, item: Rejection, now: datetime) -> Event:
    """A row that could not be used."""
    origin = f"{feed}/{item.natural_key}"
    data = DeadLettered(
        code=item.code,
        reason=item.reason,
        origin=origin,
        payload=base64.b64encode(item.row.encode()).decode(),
    )
    return event(site, origin, data, now, now, now)


def refused(site: str, feed: str, error: BadInputError, now: datetime) -> Event:
    """An answer that is none."""
    data = DeadLettered(code="R08", reason=str(error), origin=feed)
    return event(site, feed, data, now, now, now)


def too_large(big: Event, reason: str, artifacts: Artifacts, now: datetime) -> Event:
    """A datum that the log does not take; `dead-letters retry` sends it once the log does."""
    origin = f"{OBSERVATIONS}/{big.id}"
    data = DeadLettered(
        code="R12", reason=reason, origin=origin, artifact=artifacts.put(encode(big))
    )
    return event(big.site, origin, data, now, now, now)


def event(
    site: str,
    natural_key: str,
    data: EventData,
    valid: datetime,
    available: datetime,
    processed: datetime,
    *,
    assumed: bool = False,
) -> Event:
    """An event of ingest, with the id that its content gives it."""
    return Event(
        id=observation_id(site, natural_key, data),
        site=site,
        source="slopewatch/ingest",
        valid_time=valid,
        available_at=available,
        processed_at=processed,
        data=data,
        assumed=assumed,
    )


def append(log: EventLog, topic: str, events: Sequence[Event]) -> list[tuple[Event, str]]:
    """Append in order and return once the log has all but those returned, which it finds too
    large, each with the reason.
    """
    if not events:
        return []
    producer = log.producer()
    large, receipts = [], []
    try:
        for one in events:
            try:
                receipts.append(producer.send(topic, one.site, encode(one)))
            except BadInputError as error:
                large.append((one, str(error)))
        for receipt in receipts:
            receipt.wait(SEND_TIMEOUT_S)
    except SlopewatchError:
        producer.discard()
        raise
    producer.close()
    return large


def append_whole(log: EventLog, topic: str, events: Sequence[Event]) -> None:
    """Append in order; `BadInputError` where one of `events` is too large for the log."""
    for _, reason in append(log, topic, events):
        raise BadInputError(reason)
