"""Closed days: which ones a site still lacks, and the one event for each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from core.clock import end_of
from core.events import DayClosed, Event, identity
from core.settings import Site
from services.ingest.window import first_day


def closed_day(site: str, day: date, available: datetime, *, catching_up: bool) -> Event:
    """The one event that closes `day` for `site`, whoever writes it."""
    return Event(
        id=identity("day-closed", site, day),
        site=site,
        source="slopewatch/ingest",
        valid_time=end_of(day),
        available_at=available,
        processed_at=available,
        data=DayClosed(day=day, catching_up=catching_up),
    )


def open_days(site: Site, closed: date | None, now: datetime) -> list[Event]:
    """Events that close all days after `closed` that are over at `now`, in their order."""
    last = now.date() - timedelta(days=1)
    first = closed + timedelta(days=1) if closed else min(first_day(site, last), last)
    return [closed_day(site.name, d, now, catching_up=d != last) for d in _days(first, last)]


def past_days(site: Site, since: date, until: date, today: date) -> list[Event]:
    """Events that close the days of a backfill, each available when the day was over."""
    watched = site.watched_from or today
    return [
        closed_day(site.name, day, end_of(day), catching_up=watched <= day < until)
        for day in _days(since, until)
    ]


def last_closed(events: Iterable[Event]) -> date:
    """The last day that `events` close."""
    return max(event.data.day for event in events if isinstance(event.data, DayClosed))


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
