"""Ingest: asks feeds and sources, turns what they say into events, closes days.

It has no memory that matters: a datum appended twice is dropped by its reader, and the cursor
only saves requests. What a feed says now is available now; in a backfill each datum gets the
source's own publication time, or its valid time plus the feed's declared latency, marked assumed.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

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
LOOK_BACK = timedelta(days=60)
"""How far before its newest datum a feed is asked now and then; a source is asked for all."""
LOOK_BACK_EVERY = timedelta(days=7)
SEND_TIMEOUT_S = 30.0


class Asked(NamedTuple):
    """One feed or source of a site. `label` tells it apart from others of its kind, for people.

    `key` is its place in the cursor: other settings are another feed, asked from the start.
    """

    label: str
    key: str
    package: str
    plugin: Plugin


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

    def set(self, site: str, days: Mapping[str, date]) -> None:
        """Remember the days of a site's feeds, all or none."""
        known = {**self._days, **{f"{site}/{feed}": day for feed, day in days.items()}}
        if known == self._days:
            return
        self._days = known
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
        self._said: dict[str, frozenset[str]] = {}

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
        events: list[Event] = []
        done: dict[str, date] = {}
        said: dict[str, list[Event]] = {}
        for asked in self.feeds(site, only):
            since = self._since(site, asked, today)
            found = self._ask(site, asked, since, today, poll, backfill=False)
            if found is not None:
                place = f"{site.name}/{asked.key}"
                said[place] = found
                new = self._unsaid(place, found)
                self._telemetry.observations.labels(site.name, asked.label).inc(len(new))
                events += new
                done |= self._looked(site, asked, found, today)
        if only is None:
            closed = self._closed_days(site, today - timedelta(days=1))
            events = sorted([*events, *closed], key=lambda e: e.valid_time)
            if closed:
                done["day closed"] = today - timedelta(days=1)
        self._append(OBSERVATIONS, events)
        # Only now: a cursor that was ahead of the log would lose what lies between.
        self._cursor.set(site.name, done)
        for place, found in said.items():
            self._remember(place, found)
        return poll

    def _since(self, site: Site, asked: Asked, today: date) -> date:
        """First day to ask for: a little before the newest datum had, and weekly far before it.

        What comes late may come for days long before the newest one and must be found, whatever
        the cursor says.
        """
        newest = self._cursor.get(site.name, asked.key)
        start = first_day(site, today)
        if newest is None:
            return start
        looked = self._cursor.get(site.name, f"{asked.key}/looked back")
        if looked is not None and today < looked + LOOK_BACK_EVERY:
            return max(start, newest - OVERLAP)
        return start if asked.package == SOURCES else max(start, newest - LOOK_BACK)

    def _looked(
        self, site: Site, asked: Asked, found: Sequence[Event], today: date
    ) -> dict[str, date]:
        """Where the cursor stands after an answer: at the newest datum, never at the asking."""
        days = [event.valid_time.date() for event in found]
        known = self._cursor.get(site.name, asked.key)
        newest = max([min(day, today) for day in days] + ([known] if known else []), default=None)
        done = {} if newest is None else {asked.key: newest}
        if self._since(site, asked, today) < (newest or today) - OVERLAP:
            done[f"{asked.key}/looked back"] = today
        return done

    def poll(self, site: Site, only: str, since: date, until: date) -> Poll:
        """Ask one feed for a stretch of days; what it says is available now."""
        poll = Poll()
        for asked in self.feeds(site, only):
            found = self._ask(site, asked, since, until, poll, backfill=False) or []
            self._append(OBSERVATIONS, found)
            self._telemetry.observations.labels(site.name, asked.label).inc(len(found))
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
        done: dict[str, date] = {"day closed": until}
        for asked in self.feeds(site):
            progress(asked.label)
            found = self._ask(site, asked, since, until, poll, backfill=True)
            if found is None and not without_failed:
                raise SlopewatchError(
                    f"backfill of {site.name} stopped, nothing was taken in: {poll.failed}"
                )
            events += found or []
            if found is not None:
                done |= self._looked(site, asked, found, until)
            self._telemetry.observations.labels(site.name, asked.label).inc(len(found or []))
        days = [since + timedelta(days=n) for n in range((until - since).days + 1)]
        watched = site.watched_from or self._clock.now().date()
        for day in days:
            late = watched <= day < until
            events.append(closed_day(site.name, day, end_of(day), catching_up=late))
        events.sort(key=lambda e: e.available_at)
        self._append(OBSERVATIONS, events)
        self._cursor.set(site.name, done)
        return Poll(poll.observations, poll.rejections, poll.failed, len(days))

    def closed_until(self, sites: Iterable[Site]) -> date | None:
        """The last day that is closed for all of `sites`; None where one has none yet."""
        days = [self._cursor.get(site.name, "day closed") for site in sites]
        known = [day for day in days if day is not None]
        return min(known) if known and len(known) == len(days) else None

    def feeds(self, site: Site, only: str | None = None) -> Iterator[Asked]:
        """The site's feeds and sources, or those of one kind; nothing is opened yet."""
        listed = [(FEEDS, p) for p in site.feeds] + [(SOURCES, p) for p in site.sources]
        if only is not None and only not in {p.kind for _, p in listed}:
            kinds = ", ".join(p.kind for _, p in listed) or "none"
            raise SlopewatchError(f"site {site.name} has no feed {only!r}; it has: {kinds}")
        count: Counter[str] = Counter()
        for package, plugin in listed:
            count[plugin.kind] += 1
            number = count[plugin.kind]
            label = plugin.kind if number == 1 else f"{plugin.kind}-{number}"
            key = f"{plugin.kind}/{identity(package, plugin.model_dump_json())[:16]}"
            if only in {None, plugin.kind}:
                yield Asked(label, key, package, plugin)

    def _opened(self, site: Site, asked: Asked) -> Feed:
        """The feed itself, opened once for the same settings."""
        if asked.key not in self._feeds:
            given = asked.plugin.model_dump()
            settings = plugins.settings(asked.package, given, f"site {site.name}:")
            module = plugins.load(asked.package, asked.plugin.kind)
            self._feeds[asked.key] = module.open(settings, self._service)
        return self._feeds[asked.key]

    def _unsaid(self, place: str, events: Sequence[Event]) -> list[Event]:
        """Those of `events` that no answer of the same feed held since this process began.

        A reader would drop the others, but the log keeps all it is given for ever.
        """
        known = self._said.get(place, frozenset())
        return [event for event in events if event.id not in known]

    def _remember(self, place: str, events: Sequence[Event]) -> None:
        """Note what the log has by now: never before it has it."""
        self._said[place] = self._said.get(place, frozenset()) | {event.id for event in events}

    def _ask(
        self,
        site: Site,
        asked: Asked,
        since: date,
        until: date,
        poll: Poll,
        *,
        backfill: bool,
    ) -> list[Event] | None:
        """Events of one feed; None, with the reason in `poll`, when it could not be asked."""
        events: list[Event] = []
        rejected: list[Event] = []
        label = asked.label
        try:
            feed = self._opened(site, asked)
            for item in feed.poll(site, since, until, self._artifacts):
                if isinstance(item, Rejection):
                    rejected.append(self._rejection(site.name, feed.name, item))
                    poll.rejections[f"{label} {item.code}"] += 1
                else:
                    events.append(self._observation(site.name, feed, item, backfill=backfill))
        except SlopewatchError as error:
            poll.failed[label] = str(error)
            structlog.get_logger().warning(
                "feed failed", site=site.name, feed=label, reason=str(error)
            )
            if isinstance(error, BadInputError):
                self._reject(site.name, asked, [self._refused(site.name, label, error)])
            return None
        except Exception as error:
            # A plug-in's bug must not keep the other feeds and sites from being asked; the feed's
            # age grows until it is mended.
            poll.failed[label] = f"{type(error).__name__}: {error}"
            structlog.get_logger().exception("feed broken", site=site.name, feed=label)
            return None
        self._reject(site.name, asked, rejected)
        poll.observations[label] += len(events)
        self._telemetry.feed_success.labels(site.name, label).set(self._clock.now().timestamp())
        return events

    def _reject(self, site: str, asked: Asked, rejected: Sequence[Event]) -> None:
        """Keep and count what could not be used; the same again in the next answer is no news."""
        place = f"{site}/{asked.key}/rejected"
        new = self._unsaid(place, rejected)
        self._append(DEAD_LETTERS, new)
        self._remember(place, rejected)
        for event in new:
            if isinstance(event.data, DeadLettered):
                self._telemetry.rejections.labels(site, asked.label, event.data.code).inc()

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
