"""Asking feeds and sources: which of a site's, as one question for several sites where that may
be, and what becomes of each answer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

import structlog

from core import plugins
from core.artifacts import Artifacts
from core.clock import Clock
from core.errors import BadInputError, SlopewatchError
from core.events import Event, identity
from core.settings import Plugin, Service, Site
from services.ingest import window
from services.ingest.feed import (
    FEEDS,
    SOURCES,
    Datum,
    Feed,
    GroupFeed,
    Observation,
    Rejection,
)
from services.ingest.memory import AnswerNote, FeedNote, Memory
from services.ingest.saying import refused, rejected, said

Items = Iterable[Observation | Rejection]


class Asked(NamedTuple):
    """One feed or source of a site. `label` tells it apart from others of its kind, for people.

    `key` is made of its settings: with others it is another feed, asked from the start.
    """

    label: str
    key: str
    package: str
    plugin: Plugin


class Question(NamedTuple):
    """What is asked of one feed for one site, and where its note stands."""

    site: Site
    asked: Asked
    note: FeedNote
    since: date
    until: date


@dataclass(frozen=True)
class Answer:
    """What one feed said for one site; `failed` is why it could not be asked."""

    question: Question
    events: list[Event] = field(default_factory=list)
    rejected: list[Event] = field(default_factory=list)
    failed: str | None = None


def feeds_of(site: Site, only: str | None = None) -> Iterator[Asked]:
    """The site's feeds and sources, or those whose plug-in is `only`; nothing is opened yet."""
    listed = [(FEEDS, p) for p in site.feeds] + [(SOURCES, p) for p in site.sources]
    if only is not None and only not in {p.kind for _, p in listed}:
        kinds = ", ".join(p.kind for _, p in listed) or "none"
        raise SlopewatchError(f"site {site.name} has no feed {only!r}; it has: {kinds}")
    count: Counter[str] = Counter()
    for package, plugin in listed:
        count[plugin.kind] += 1
        number = count[plugin.kind]
        label = plugin.kind if number == 1 else f"{plugin.kind}-{number}"
        key = identity(package, plugin.kind, plugin.model_dump_json())
        if only in {None, plugin.kind}:
            yield Asked(label, key, package, plugin)


class Asker:
    """Opens feeds, asks them and makes events of what they say; appends nothing."""

    def __init__(
        self,
        service: Service,
        artifacts: Artifacts,
        clock: Clock,
        memory: Memory,
    ) -> None:
        self._service = service
        self._artifacts = artifacts
        self._clock = clock
        self._memory = memory
        self._feeds: dict[str, Feed] = {}

    def news(self, sites: Sequence[Site], datum: Datum | None = None) -> dict[str, list[Answer]]:
        """Ask for what is new, by site: all feeds, or those that bring `datum`.

        Sites that have a feed with the same settings share its requests where it can do that. A
        request that fails, fails for each of them.
        """
        answers: dict[str, list[Answer]] = {site.name: [] for site in sites}
        groups: dict[tuple[str, int], list[Question]] = defaultdict(list)
        for question in self._questions(sites):
            try:
                feed = self._opened(question.site, question.asked)
            except Exception as error:
                # Nobody knows what it would bring: it is told whatever was asked for.
                answers[question.site.name].append(self._failed(question, error))
                continue
            if datum is None or datum in feed.brings:
                likeness = window.alike(question.since, question.until)
                groups[question.asked.key, likeness].append(question)
        for group in groups.values():
            for answer in self._group(group):
                answers[answer.question.site.name].append(answer)
        return answers

    def stretch(
        self, site: Site, asked: Asked, since: date, until: date, *, backfill: bool
    ) -> Answer:
        """Ask one feed for a stretch of days."""
        note = self._memory.feed(site.name, asked.key)
        return self._one(Question(site, asked, note, since, until), backfill=backfill)

    def _one(self, question: Question, *, backfill: bool) -> Answer:
        site, since, until = question.site, question.since, question.until
        try:
            feed = self._opened(site, question.asked)
            items = feed.poll(site, since, until, self._artifacts)
            return self._read(question, feed, items, backfill=backfill)
        except Exception as error:
            return self._failed(question, error)

    def _questions(self, sites: Sequence[Site]) -> Iterator[Question]:
        today = self._clock.now().date()
        for site in sites:
            for asked in feeds_of(site):
                note = self._memory.feed(site.name, asked.key)
                since = window.since(note, asked.package, site, today)
                yield Question(site, asked, note, since, today)

    def _group(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Ask one feed what is asked of it for several sites, at once or one by one."""
        first = questions[0]
        feed = self._feeds[first.asked.key]
        if len(questions) == 1 or not isinstance(feed, GroupFeed):
            for question in questions:
                yield self._one(question, backfill=False)
            return
        sites = list({q.site.name: q.site for q in questions}.values())
        since = min(question.since for question in questions)
        found: Mapping[str, Items]
        try:
            found = feed.poll_group(sites, since, first.until, self._artifacts)
        except Exception as error:
            for question in questions:
                yield self._failed(question, error)
            return
        for question in questions:
            try:
                items = [i for i in found[question.site.name] if _wanted(i, question.since)]
                yield self._read(question, feed, items, backfill=False)
            except Exception as error:
                yield self._failed(question, error)

    def _opened(self, site: Site, asked: Asked) -> Feed:
        """The feed itself, opened once for the same settings."""
        if asked.key not in self._feeds:
            given = asked.plugin.model_dump()
            settings = plugins.settings(asked.package, given, f"site {site.name}:")
            module = plugins.load(asked.package, asked.plugin.kind)
            self._feeds[asked.key] = module.open(settings, self._service)
        return self._feeds[asked.key]

    def _read(self, question: Question, feed: Feed, items: Items, *, backfill: bool) -> Answer:
        site = question.site.name
        answer = Answer(question)
        for item in items:
            now = self._clock.now()
            if isinstance(item, Rejection):
                answer.rejected.append(rejected(site, feed.name, item, now))
            else:
                answer.events.append(said(site, feed, item, now, backfill=backfill))
        note = AnswerNote(self._clock.now(), tuple(sorted(feed.brings)))
        self._memory.note_answer(site, question.asked.key, note)
        return answer

    def _failed(self, question: Question, error: Exception) -> Answer:
        """Why a feed could not be asked. A plug-in's bug must not keep the other feeds and sites
        from being asked; the feed's age grows until it is mended.
        """
        site, label = question.site.name, question.asked.label
        logger = structlog.get_logger().bind(site=site, feed=label)
        if not isinstance(error, SlopewatchError):
            logger.error("feed broken", exc_info=error)
            return Answer(question, failed=f"{type(error).__name__}: {error}")
        logger.warning("feed failed", reason=str(error))
        letters = (
            [refused(site, label, error, self._clock.now())]
            if isinstance(error, BadInputError)
            else []
        )
        return Answer(question, rejected=letters, failed=str(error))


def _wanted(item: Observation | Rejection, since: date) -> bool:
    """Whether an item of a shared answer is one that this site asked for."""
    return isinstance(item, Rejection) or item.valid_time.date() >= since
