"""What a feed or a source is: something outside that is asked for news about one site.

Feeds (`feeds/*.py`) bring passes, rain and level; sources (`sources/*.py`) bring displacement.
Both are one file each with a `Settings` class and `open(settings, service)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple, Protocol, get_args, runtime_checkable

from core.artifacts import Artifacts
from core.events import EventData
from core.settings import Service, Site

FEEDS = "services.ingest.feeds"
SOURCES = "services.ingest.sources"

Datum = Literal["acquisitions", "rainfall", "level"]
"""What may be asked for by itself; acquisitions are passes and the displacement made of them."""
DATA: tuple[Datum, ...] = get_args(Datum)


ASKED_EVERY: Mapping[Datum, timedelta] = {
    "acquisitions": timedelta(minutes=15),
    "rainfall": timedelta(days=1),
    "level": timedelta(days=1),
}
"""How often `dags/` ask; the embedded scheduler asks for all every `poll_minutes`."""
LATE_AFTER = timedelta(hours=6)


def stale_after(brings: Iterable[Datum], service: Service) -> timedelta:
    """How old the last answer of a feed may be: 6 hours more than it takes to be asked again."""
    waits = [ASKED_EVERY[datum] for datum in brings]
    return max([*waits, timedelta(minutes=service.poll_minutes)]) + LATE_AFTER


class Observation(NamedTuple):
    """One datum. The same `natural_key` with other content later is a new vintage.

    `published_at`: when the outside service made it known, where it says so.
    """

    natural_key: str
    valid_time: datetime
    published_at: datetime | None
    data: EventData


class Rejection(NamedTuple):
    """One row or item that could not be used: numbered reason, sentence, and the row itself."""

    code: str
    reason: str
    natural_key: str
    row: str


class Feed(Protocol):
    """Something that can be asked.

    `latency`: how long after `valid_time` a datum is usually known; used, and marked as assumed,
    where a backfill meets data without a publication time. `brings`: what it can be asked for.
    """

    name: str
    latency: timedelta
    brings: frozenset[Datum]

    def poll(
        self, site: Site, since: date, until: date, artifacts: Artifacts
    ) -> Iterator[Observation | Rejection]:
        """All data with a valid day in [since, until], ordered by valid time.

        Bad rows come as `Rejection`s, one by one; a service that does not answer raises
        `UnavailableError`, an answer that is no answer of that service `BadInputError`.
        """
        ...


@runtime_checkable
class GroupFeed(Feed, Protocol):
    """A feed that asks for many sites at once."""

    def poll_group(
        self, sites: Sequence[Site], since: date, until: date, artifacts: Artifacts
    ) -> Mapping[str, Iterable[Observation | Rejection]]:
        """By the name of each of `sites` what `poll` says of it; raises what `poll` raises."""
        ...


REJECTION_CODES = {
    "R01": "row or item cannot be parsed",
    "R02": "missing or unknown column",
    "R03": "value is not a number",
    "R04": "value out of physical range",
    "R05": "date cannot be read or is outside the plausible range",
    "R06": "duplicate of an earlier row with another value in the same answer",
    "R07": "unit is not the one the settings name",
    "R08": "file is corrupt or not of the expected format",
    "R09": "lies outside the site's area",
    "R10": "date lies in the future",
    "R11": "geometry or metadata missing",
    "R12": "larger than a record of the log may be",
}
