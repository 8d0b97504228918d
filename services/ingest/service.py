"""Ingest: asks feeds and sources, turns what they say into events, closes days.

It has no memory that matters: a datum appended twice is dropped by its reader, and the cursor
only saves requests. What a feed says now is available now; in a backfill each datum gets the
source's own publication time, or its valid time plus the feed's declared latency, marked assumed.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from core import plugins
from core.artifacts import Artifacts
from core.clock import Clock, end_of, midnight
from core.errors import BadInputError, SlopewatchError
from core.eventlog import EventLog
from core.events import (
    DEAD_LETTERS,
    OBSERVATIONS,
    DayClosed,
    DeadLettered,
    Event,
    EventData,
    ReleaseActivated,
    SiteConfigured,
    encode,
    identity,
    observation_id,
)
from core.settings import Plugin, Service, Site, site_bytes
from core.telemetry import Telemetry
from services.ingest.feed import FEEDS, SOURCES, Feed, Observation, Rejection

DEFAULT_HISTORY = timedelta(days=3 * 365)
OVERLAP = timedelta(days=14)
SEND_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Poll:
    """What one round of asking brought, by feed: observations, and rejections by code."""

    observations: Counter[str] = field(default_factory=Counter)
    rejections: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    closed: int = 0


class Cursor:
    """Until when each feed of each site was asked; losing it costs requests, nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._days: dict[str, date] = {}
        if path.exists():
            try:
                self._days = msgspec.json.decode(path.read_bytes(), type=dict[str, date])
            except (msgspec.MsgspecError, UnicodeDecodeError):
                structlog.get_logger().warning("cursor file is damaged, asking from the start")

    def get(self, site: str, feed: str) -> date | None:
        """Day up to which the feed was asked."""
        return self._days.get(f"{site}/{feed}")

    def set(self, site: str, feed: str, day: date) -> None:
        """Remember, whole or not at all."""
        self._days[f"{site}/{feed}"] = day
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(self._days, order="sorted"))
        temporary.replace(self._path)


class Ingest:
    """Appends observations, settings and closed days to the log."""

    def __init__(
        self,
        service: Service,
        log: EventLog,
        artifacts: Artifacts,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._service = service
        self._log = log
        self._artifacts = artifacts
        self._clock = clock
        self._telemetry = telemetry
        self._cursor = Cursor(service.data / "cursor.json")
        self._feeds: dict[str, Feed] = {}

    def configure(self, site: Site, previous: Site | None = None, retired: bool = False) -> None:
        """Put the site's settings on the log.

        A new site's settings are in force from its first day on, so that history can be taken in
        after them; a change is in force from now on.
        """
        now = self._clock.now()
        since = now if previous else self._start(site)
        data = SiteConfigured(
            settings=self._artifacts.put(site_bytes(site)),
            watched_from=site.watched_from or now.date(),
            retired=retired,
            difference=difference(previous, site) if previous else (),
        )
        key = f"settings/{now.isoformat()}"
        self._append(OBSERVATIONS, [self._event(site.name, key, since, since, data)])

    def activate(self, sites: Iterable[Site], release: ReleaseActivated, *, first: bool) -> None:
        """Put a release on the log of `sites`; their `first` one is in force from the start."""
        now = self._clock.now()
        events = []
        for site in sites:
            since = self._start(site) if first else now
            key = f"release/{now.isoformat()}"
            events.append(self._event(site.name, key, since, since, release))
        self._append(OBSERVATIONS, events)

    def _start(self, site: Site) -> datetime:
        """When a site begins: its first day, or now if that lies ahead."""
        now = self._clock.now()
        return min(now, midnight(first_day(site, now.date())))

    def tick(self, site: Site, *, only: str | None = None) -> Poll:
        """Ask every feed for what is new and close the days that are over."""
        today = self._clock.now().date()
        poll = Poll()
        events = []
        done: dict[str, date] = {}
        for plugin, feed in self.feeds(site, only):
            cursor = self._cursor.get(site.name, feed.name)
            since = cursor - OVERLAP if cursor else first_day(site, today)
            found = self._ask(site, plugin, feed, since, today, poll, backfill=False)
            if found is not None:
                events += found
                done[feed.name] = today
        if only is None:
            closed = self._closed_days(site, today - timedelta(days=1))
            events = sorted([*events, *closed], key=lambda e: e.valid_time)
            if closed:
                done["day closed"] = today - timedelta(days=1)
        self._append(OBSERVATIONS, events)
        # Only now: a cursor that was ahead of the log would lose what lies between.
        for name, day in done.items():
            self._cursor.set(site.name, name, day)
        return poll

    def poll(self, site: Site, only: str, since: date, until: date) -> Poll:
        """Ask one feed for a stretch of days; what it says is available now."""
        poll = Poll()
        for plugin, feed in self.feeds(site, only):
            found = self._ask(site, plugin, feed, since, until, poll, backfill=False)
            self._append(OBSERVATIONS, found or [])
        return poll

    def backfill(
        self,
        site: Site,
        since: date,
        until: date,
        progress: Callable[[str], None] = lambda _: None,
        *,
        without_failed: bool = False,
    ) -> Poll:
        """Take history in as it would have become known: all feeds and closed days, merged.

        A feed that fails stops it before anything is taken in; with `without_failed` it is left
        out, and what it has comes late, when it answers again.
        """
        poll = Poll()
        events: list[Event] = []
        for plugin, feed in self.feeds(site):
            progress(feed.name)
            found = self._ask(site, plugin, feed, since, until, poll, backfill=True)
            if found is None and not without_failed:
                raise SlopewatchError(
                    f"backfill of {site.name} stopped, nothing was taken in: {poll.failed}"
                )
            events += found or []
        days = [since + timedelta(days=n) for n in range((until - since).days + 1)]
        events += [closed_day(site.name, day, end_of(day), catching_up=False) for day in days]
        events.sort(key=lambda e: e.available_at)
        self._append(OBSERVATIONS, events)
        self._cursor.set(site.name, "day closed", until)
        for _, feed in self.feeds(site):
            if feed.name not in poll.failed:
                self._cursor.set(site.name, feed.name, until)
        return Poll(poll.observations, poll.rejections, poll.failed, len(days))

    def closed_until(self, sites: Iterable[Site]) -> date | None:
        """The last day that is closed for all of `sites`; None where one has none yet."""
        days = [self._cursor.get(site.name, "day closed") for site in sites]
        known = [day for day in days if day is not None]
        return min(known) if known and len(known) == len(days) else None

    def feeds(self, site: Site, only: str | None = None) -> Iterator[tuple[Plugin, Feed]]:
        """The site's feeds and sources, opened once."""
        listed = [(FEEDS, p) for p in site.feeds] + [(SOURCES, p) for p in site.sources]
        chosen = [(package, p) for package, p in listed if only in {None, p.kind}]
        if only is not None and not chosen:
            kinds = ", ".join(p.kind for _, p in listed) or "none"
            raise SlopewatchError(f"site {site.name} has no feed {only!r}; it has: {kinds}")
        for package, plugin in chosen:
            key = f"{package}/{plugin.model_dump_json()}"
            if key not in self._feeds:
                settings = plugins.settings(package, plugin.model_dump(), f"site {site.name}:")
                module = plugins.load(package, plugin.kind)
                self._feeds[key] = module.open(settings, self._service)
            yield plugin, self._feeds[key]

    def _ask(
        self,
        site: Site,
        plugin: Plugin,
        feed: Feed,
        since: date,
        until: date,
        poll: Poll,
        *,
        backfill: bool,
    ) -> list[Event] | None:
        """Events of one feed; None, with the reason in `poll`, when it could not be asked."""
        events: list[Event] = []
        rejected: list[Event] = []
        labels = (site.name, feed.name)
        try:
            for item in feed.poll(site, since, until, self._artifacts):
                if isinstance(item, Rejection):
                    rejected.append(self._rejection(site.name, feed.name, item))
                    poll.rejections[f"{feed.name} {item.code}"] += 1
                    self._telemetry.rejections.labels(*labels, item.code).inc()
                else:
                    events.append(self._observation(site.name, feed, item, backfill=backfill))
        except SlopewatchError as error:
            poll.failed[feed.name] = str(error)
            structlog.get_logger().warning(
                "feed failed", site=site.name, feed=feed.name, reason=str(error)
            )
            if isinstance(error, BadInputError):
                self._append(DEAD_LETTERS, [self._refused(site.name, feed.name, error)])
            return None
        except Exception as error:
            # A plug-in's bug must not keep the other feeds and sites from being asked; the feed's
            # age grows until it is mended.
            poll.failed[feed.name] = f"{type(error).__name__}: {error}"
            structlog.get_logger().exception("feed broken", site=site.name, feed=feed.name)
            return None
        self._append(DEAD_LETTERS, rejected)
        poll.observations[feed.name] += len(events)
        self._telemetry.observations.labels(*labels).inc(len(events))
        self._telemetry.feed_success.labels(*labels).set(self._clock.now().timestamp())
        return events

    def _observation(self, site: str, feed: Feed, item: Observation, *, backfill: bool) -> Event:
        now = self._clock.now()
        available, assumed = now, False
        if backfill:
            assumed = item.published_at is None
            available = min(item.published_at or item.valid_time + feed.latency, now)
        return self._event(
            site, item.natural_key, item.valid_time, available, item.data, assumed=assumed
        )

    def _event(
        self,
        site: str,
        natural_key: str,
        valid: datetime,
        available: datetime,
        data: EventData,
        *,
        assumed: bool = False,
    ) -> Event:
        return Event(
            id=observation_id(site, natural_key, data),
            site=site,
            source="slopewatch/ingest",
            valid_time=valid,
            available_at=available,
            processed_at=self._clock.now(),
            data=data,
            assumed=assumed,
        )

    def _rejection(self, site: str, feed: str, item: Rejection) -> Event:
        data = DeadLettered(
            code=item.code,
            reason=item.reason,
            origin=f"{feed}/{item.natural_key}",
            payload=base64.b64encode(item.row.encode()).decode(),
        )
        now = self._clock.now()
        event = self._event(site, f"{feed}/{item.natural_key}", now, now, data)
        return event

    def _refused(self, site: str, feed: str, error: BadInputError) -> Event:
        now = self._clock.now()
        data = DeadLettered(code="R08", reason=str(error), origin=feed)
        return self._event(site, feed, now, now, data)

    def _closed_days(self, site: Site, last: date) -> list[Event]:
        """The events that close all days still open up to `last`, in their order."""
        done = self._cursor.get(site.name, "day closed")
        first = done + timedelta(days=1) if done else min(first_day(site, last), last)
        now = self._clock.now()
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        return [closed_day(site.name, d, now, catching_up=d != last) for d in days]

    def _append(self, topic: str, events: Sequence[Event]) -> None:
        """Append in order; returns once the log has all of them."""
        producer = self._log.producer()
        try:
            receipts = [producer.send(topic, e.site, encode(e)) for e in events]
            for receipt in receipts:
                receipt.wait(SEND_TIMEOUT_S)
        except SlopewatchError:
            producer.discard()
            raise
        producer.close()


def first_day(site: Site, today: date) -> date:
    """First day worth asking for."""
    return site.history_from or (site.watched_from or today) - DEFAULT_HISTORY


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


def difference(previous: Site, site: Site) -> tuple[str, ...]:
    """What changed between two site files, one line a field."""
    old, new = previous.model_dump(mode="json"), site.model_dump(mode="json")
    return tuple(f"{k}: {old[k]} -> {new[k]}" for k in new if old[k] != new[k])
