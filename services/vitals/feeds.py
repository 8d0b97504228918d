"""When each feed last answered, whoever asked it: ingest's memory knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from core.clock import midnight
from core.figures import Figure
from core.settings import Service, Site
from services.ingest.asking import feeds_of
from services.ingest.feed import stale_after
from services.ingest.memory import Memory
from services.vitals.look import Fault

if TYPE_CHECKING:
    from services.compose import Slopewatch
    from services.vitals.sites import Sites

NEVER: Final = 0.0


class FeedAge(NamedTuple):
    """When a feed answered last, and how long ago that may be; `newest`: its newest datum's day."""

    site: str
    label: str
    answered: datetime | None
    stale_after: timedelta
    newest: date | None


class FeedAges:
    """Of every feed and source that a watched site lists."""

    name = "feeds"
    every_s = 60.0
    lasting = True

    def __init__(self, app: Slopewatch, sites: Sites) -> None:
        self._app = app
        self._sites = sites

    def look(self) -> Iterator[Figure | Fault]:
        """See `Look.look`."""
        shown, memory = self._app.telemetry, self._app.ingest.memory
        for one in feed_ages(memory, self._app.service, self._sites.watched()):
            labels = (one.site, one.label)
            at = one.answered.timestamp() if one.answered else NEVER
            yield Figure(shown.feed_success, labels, at)
            yield Figure(shown.feed_stale_after, labels, one.stale_after.total_seconds())
            if one.newest is not None:
                yield Figure(shown.feed_newest, labels, midnight(one.newest).timestamp())


def feed_ages(memory: Memory, service: Service, sites: Sequence[Site]) -> Iterator[FeedAge]:
    """How it stands with each feed of `sites`. Raises `UnavailableError`: no memory in reach."""
    for site in sites:
        for asked in feeds_of(site):
            answer = memory.answer(site.name, asked.key)
            limit = stale_after(answer.brings if answer else (), service)
            newest = memory.feed(site.name, asked.key).newest
            at = answer.at if answer else None
            yield FeedAge(site.name, asked.label, at, limit, newest)
