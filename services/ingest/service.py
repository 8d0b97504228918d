"""Ingest: asks feeds and sources, turns what they say into events, closes days.

It has no memory that matters: a datum appended twice is dropped by its reader, and its notes only
save requests and repeats, so that any process may ask, any number of times. What a feed says now
is available now; in a backfill each datum gets the source's own publication time, or its valid time
plus the feed's declared latency, marked assumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from core.artifacts import Artifacts
from core.clock import Clock
from core.errors import SlopewatchError
from core.eventlog import EventLog
from core.events import DEAD_LETTERS, OBSERVATIONS, DeadLettered, Event
from core.notes import open_notes
from core.settings import Service, Site
from core.telemetry import Telemetry
from services.ingest import window
from services.ingest.announced import Announced
from services.ingest.asking import Answer, Asker, feeds_of
from services.ingest.days import last_closed, open_days, past_days
from services.ingest.feed import Datum
from services.ingest.memory import Memory
from services.ingest.saying import append, append_whole, too_large


@dataclass(frozen=True)
class Poll:
    """What one round of asking brought, by feed: observations, those of them that are appended,
    and rejections by code.
    """

    observations: Counter[str] = field(default_factory=Counter)
    appended: Counter[str] = field(default_factory=Counter)
    rejections: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    closed: int = 0


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
        self._log = log
        self._artifacts = artifacts
        self._clock = clock
        self._telemetry = telemetry
        self.memory = Memory(open_notes(str(service.memory)))
        self._asker = Asker(service, artifacts, clock, self.memory)
        self.announced = Announced(log, artifacts, clock, self.memory)

    def tick(self, site: Site) -> Poll:
        """Ask every feed for what is new and close the days that are over."""
        answers = self._asker.news([site])[site.name]
        return self._take_in(site, answers, self._open_days(site))

    def news(self, sites: Sequence[Site], datum: Datum) -> dict[str, Poll]:
        """Ask the feeds that bring `datum` for what is new, of many sites at once; by site."""
        answers = self._asker.news(sites, datum)
        polls = {}
        for site in sites:
            try:
                polls[site.name] = self._take_in(site, answers[site.name])
            except SlopewatchError as error:
                polls[site.name] = Poll(failed={"ingest": str(error)})
        return polls

    def close_days(self, site: Site) -> int:
        """Close every day that is over and not closed yet, in order; returns how many."""
        return self._take_in(site, (), self._open_days(site)).closed

    def poll(self, site: Site, only: str, since: date, until: date) -> Poll:
        """Ask the feeds of one kind for a stretch of days; what they say is available now.

        All of it is appended: this mends a log that lacks what the notes say was appended.
        """
        answers = [
            self._asker.stretch(site, asked, since, until, backfill=False)
            for asked in feeds_of(site, only)
        ]
        return self._take_in(site, answers, known_too=True, note=False)

    def ask_again(self, site: Site, since: date, until: date) -> Poll:
        """Ask all feeds and sources for a stretch of days, and append what is not known of it."""
        answers = [
            self._asker.stretch(site, asked, since, until, backfill=False)
            for asked in feeds_of(site)
        ]
        return self._take_in(site, answers, note=False)

    def begin(self, site: Site) -> Poll | None:
        """Take in the history of a new site, as it would have become known; None for others.

        Whoever asks for news or closes days does this first: days closed before their history is
        there would make all of it late. Feeds that fail are left out and come late.
        """
        today = self._clock.now().date()
        first = window.first_day(site, today)
        if self.memory.closed(site.name) is not None or first >= today:
            return None
        return self.backfill(site, first, today - timedelta(days=1), without_failed=True)

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
        answers = []
        for asked in feeds_of(site):
            progress(asked.label)
            answers.append(self._asker.stretch(site, asked, since, until, backfill=True))
        failed = {a.question.asked.label: a.failed for a in answers if a.failed is not None}
        if failed and not without_failed:
            for answer in answers:
                self._reject(answer, Poll())
            raise SlopewatchError(
                f"backfill of {site.name} stopped, nothing was taken in: {failed}"
            )
        closed = past_days(site, since, until, self._clock.now().date())
        return self._take_in(site, answers, closed, known_too=True)

    def closed_until(self, sites: Iterable[Site]) -> date | None:
        """The last day that is closed for all of `sites`; None where one has none yet."""
        days = [self.memory.closed(site.name) for site in sites]
        known = [day for day in days if day is not None]
        return min(known) if known and len(known) == len(days) else None

    def _open_days(self, site: Site) -> list[Event]:
        return open_days(site, self.memory.closed(site.name), self._clock.now())

    def _take_in(
        self,
        site: Site,
        answers: Sequence[Answer],
        closed: Sequence[Event] = (),
        *,
        known_too: bool = False,
        note: bool = True,
    ) -> Poll:
        """Append what the answers hold, without what is known if not asked for, and the closed
        days, in order; then note it: a note ahead of the log would lose what lies between.
        """
        poll = Poll(closed=len(closed))
        labels: dict[str, str] = {}
        events: list[Event] = []
        for answer in answers:
            label, known = answer.question.asked.label, answer.question.note.said
            self._reject(answer, poll)
            if answer.failed is not None:
                poll.failed[label] = answer.failed
                continue
            poll.observations[label] += len(answer.events)
            new = [e for e in answer.events if known_too or e.id not in known]
            labels |= {e.id: label for e in new}
            events += new
        events += closed
        # All news is available now: it goes by the time it speaks of. History goes as it came.
        events.sort(key=lambda e: e.available_at if known_too else e.valid_time)
        self._append(events, labels, poll)
        for answer in answers if note else ():
            self._note(answer)
        if closed:
            self.memory.note_closed(site.name, last_closed(closed))
        for label, count in poll.appended.items():
            self._telemetry.observations.labels(site.name, label).inc(count)
        return poll

    def _append(self, events: Sequence[Event], labels: Mapping[str, str], poll: Poll) -> None:
        """Append; what is too large for the log becomes a dead letter and stops nothing else."""
        large = append(self._log, OBSERVATIONS, events)
        poll.appended.update(labels[event.id] for event in events if event.id in labels)
        for event, reason in large:
            letter = too_large(event, reason, self._artifacts, self._clock.now())
            self._bury([letter], labels[event.id])
            poll.appended[labels[event.id]] -= 1
            poll.rejections[f"{labels[event.id]} R12"] += 1

    def _reject(self, answer: Answer, poll: Poll) -> None:
        """Keep and count what could not be used; the same in the next answer is no news."""
        label, known = answer.question.asked.label, answer.question.note.said
        self._bury([letter for letter in answer.rejected if letter.id not in known], label)
        if answer.failed is None:
            codes = [e.data.code for e in answer.rejected if isinstance(e.data, DeadLettered)]
            poll.rejections.update(f"{label} {code}" for code in codes)

    def _bury(self, letters: Sequence[Event], label: str) -> None:
        append_whole(self._log, DEAD_LETTERS, letters)
        for letter in letters:
            if isinstance(letter.data, DeadLettered):
                self._telemetry.rejections.labels(letter.site, label, letter.data.code).inc()

    def _note(self, answer: Answer) -> None:
        """Note what the log has by now, and where the feed stands if it answered."""
        question, note = answer.question, answer.question.note
        if answer.failed is None:
            days = [event.valid_time.date() for event in answer.events]
            note = window.answered(note, days, question.since, question.until)
        elif not answer.rejected:
            return
        ids = [event.id for event in (*answer.events, *answer.rejected)]
        note = window.remembering(note, ids, self._clock.now().date())
        self.memory.note_feed(question.site.name, question.asked.key, question.note, note)
