"""How many alerts there were lately, and how many of them were false, as the topic of alerts says.

False is what a person cancelled: no other review is on the record, so an alert that nobody
cancelled counts as true. History, exercises and tests are not counted.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import structlog

from core.errors import SlopewatchError
from core.eventlog import EventLog
from core.events import ALERTS, LEVELS, AlertChanged, AlertHandled, Event, Level, decode
from core.settings import rank

WINDOW: Final = timedelta(days=365)
PAGE: Final = 2000
RAISED: Final[tuple[Level, ...]] = LEVELS[1:]
"""Levels that an alert reaches."""

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


class Count(NamedTuple):
    """Alerts of the last `WINDOW` that reached a level, and those of them that were false."""

    raised: int
    false: int


class Tally:
    """Reads the topic on from where it stopped; what is read twice counts once."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._next: dict[int, int] = {}
        self._reached: dict[str, dict[str, dict[Level, datetime]]] = defaultdict(dict)
        self._cancelled: dict[str, set[str]] = defaultdict(set)

    def read_on(self) -> bool:
        """Read a page of each partition; whether all is read that was there.

        Raises `UnavailableError` when the log is out of reach.
        """
        begins, ends = self._log.beginning(ALERTS), self._log.end(ALERTS)
        for partition, end in ends.items():
            start = max(self._next.get(partition, 0), begins[partition])
            stop = min(end, start + PAGE)
            for record in self._log.read(ALERTS, partition, start, stop) if start < stop else ():
                try:
                    self._take(decode(record.value))
                except SlopewatchError as error:
                    place = f"{ALERTS}/{partition}/{record.offset}"
                    logger = structlog.get_logger()
                    logger.warning("alert not counted", at=place, reason=str(error))
            self._next[partition] = max(start, stop)
        return all(self._next[partition] >= end for partition, end in ends.items())

    def counts(self, site: str, now: datetime) -> dict[Level, Count]:
        """By level, of one site, in the `WINDOW` before `now`; what is older is forgotten."""
        cases = self._reached[site]
        since = now - WINDOW
        for alert, reached in list(cases.items()):
            cases[alert] = {level: at for level, at in reached.items() if at > since}
            if not cases[alert]:
                del cases[alert]
        cancelled = self._cancelled[site] & cases.keys()
        self._cancelled[site] = cancelled
        of_level = {lvl: {a for a, reached in cases.items() if lvl in reached} for lvl in RAISED}
        return {lvl: Count(len(a), len(a & cancelled)) for lvl, a in of_level.items()}

    def _take(self, event: Event) -> None:
        match event.data:
            case AlertChanged(alert=str(alert), historical=False, status="actual") as data if alert:
                reached = self._reached[event.site].setdefault(alert, {})
                for level in RAISED[: rank(data.level)]:
                    reached[level] = max(event.available_at, reached.get(level, _LONG_AGO))
            case AlertHandled(action="cancelled", status="actual") as data:
                self._cancelled[event.site].add(data.alert)
