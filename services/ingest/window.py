"""Which days a feed is asked for, and where its note stands after the answer.

A feed's note stands at the newest datum it has given, never at the day of asking: what comes late
may come for days long before the newest one and must be found, whatever the note says.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from core.settings import Site
from services.ingest.feed import SOURCES
from services.ingest.memory import FeedNote

DEFAULT_HISTORY = timedelta(days=3 * 365)
OVERLAP = timedelta(days=14)
LOOK_BACK = timedelta(days=60)
"""How far before its newest datum a feed is asked now and then; a source is asked for all."""
LOOK_BACK_EVERY = timedelta(days=7)
REMEMBERED = 2 * LOOK_BACK_EVERY
"""What a feed has not said again for so long, no look back will bring again."""


def first_day(site: Site, today: date) -> date:
    """First day worth asking for."""
    return site.history_from or (site.watched_from or today) - DEFAULT_HISTORY


def since(note: FeedNote, package: str, site: Site, today: date) -> date:
    """First day to ask for: a little before the newest datum had, and weekly far before it."""
    start = first_day(site, today)
    if note.newest is None:
        return start
    if note.looked_back is not None and today < note.looked_back + LOOK_BACK_EVERY:
        return max(start, note.newest - OVERLAP)
    return start if package == SOURCES else max(start, note.newest - LOOK_BACK)


def answered(note: FeedNote, days: Iterable[date], first: date, last: date) -> FeedNote:
    """The note after an answer for the days from `first` to `last`, with data of `days`."""
    newest = max([*(min(day, last) for day in days), *_known(note.newest)], default=None)
    looked = _known(note.looked_back)
    if first < (newest or last) - OVERLAP:
        looked = [*looked, last]
    return FeedNote(newest, max(looked, default=None), note.said)


def remembering(note: FeedNote, ids: Iterable[str], today: date) -> FeedNote:
    """The note with `ids` as said today, and without what was not said for long."""
    kept = {id_: day for id_, day in note.said.items() if day > today - REMEMBERED}
    return FeedNote(note.newest, note.looked_back, kept | dict.fromkeys(ids, today))


def alike(first: date, until: date) -> int:
    """A number that questions share which may be asked as one, up to `until`.

    Their lengths in days lie between the same powers of two, so that nobody is asked for more than
    twice as many days as it needs: a new site forces no years on the others.
    """
    return (until - first).days.bit_length()


def _known(day: date | None) -> list[date]:
    return [] if day is None else [day]
