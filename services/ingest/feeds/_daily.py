"""What rain and level feeds share: from daily readings in any order to checked observations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Literal, NamedTuple

from core.artifacts import Artifacts
from core.clock import SystemClock, midnight
from core.events import EventData, LevelObserved, RainfallObserved, identity
from core.settings import Site
from services.ingest.feed import Observation, Rejection
from services.ingest.tables import bounded

FACTORS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "ft": 0.3048, "inch": 0.0254}
UNIT_NAMES = {
    "m": ("m", "meter", "meters", "metre", "metres"),
    "cm": ("cm", "centimeter", "centimeters", "centimetre", "centimetres"),
    "mm": ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    "ft": ("ft", "feet", "foot"),
    "inch": ("inch", "in", "inches"),
}
MAX_RAIN_MM = 2000.0
"""Above the wettest day on record, 1825 mm (Foc-Foc, La Reunion, 1966)."""


class Reading(NamedTuple):
    """One day as a feed reads it: `value` in mm (rain) or m (level), None where missing.

    `row` gives the row's text, which only a rejection needs.
    """

    day: date
    value: float | None
    place: str
    row: Callable[[], str]


class Kind(NamedTuple):
    """What is measured, by which feed and station, and what is possible (mm or m)."""

    feed: str
    station: str
    quantity: Literal["rain", "level"]
    lowest: float
    highest: float


class Station(ABC):
    """A `services.ingest.feed.GroupFeed` of one station: what it says does not depend on the site,
    so one answer serves every site that has the station.
    """

    @abstractmethod
    def poll(
        self, site: Site, since: date, until: date, artifacts: Artifacts
    ) -> Iterator[Observation | Rejection]:
        """See `services.ingest.feed.Feed.poll`."""
        ...

    def poll_group(
        self, sites: Sequence[Site], since: date, until: date, artifacts: Artifacts
    ) -> Mapping[str, Sequence[Observation | Rejection]]:
        """See `services.ingest.feed.GroupFeed.poll_group`; as many requests as for one site."""
        found = tuple(self.poll(sites[0], since, until, artifacts))
        return {site.name: found for site in sites}


def unit_named(text: str) -> str | None:
    """Our name (a key of `FACTORS`) of a unit of length written by somebody else."""
    plain = text.strip().strip(".").lower()
    return next((unit for unit, names in UNIT_NAMES.items() if plain in names), None)


def observations(
    kind: Kind, found: Iterable[Reading | Rejection], since: date, until: date
) -> Iterator[Observation | Rejection]:
    """Rejections first, then one observation a day within [since, until], in order.

    A day is in the future (R10) from two days past `until` and past the machine's own day: a
    backfill of an early window rightly meets later rows, and leaves them.
    """
    horizon = max(until, SystemClock().now().date()) + timedelta(days=1)
    kept: dict[date, Reading] = {}
    for item in found:
        if isinstance(item, Rejection):
            reason = bounded(item.reason)
            yield item._replace(natural_key=_rejection_key(kind, item.row), reason=reason)
            continue
        if item.day > horizon:
            yield _rejection(kind, item, "R10", f"{item.day} lies in the future")
        elif since <= item.day <= until:
            problem = _problem(kind, item, kept.get(item.day))
            if problem:
                yield _rejection(kind, item, *problem)
            else:
                kept.setdefault(item.day, item)
    for day in sorted(kept):
        data = _data(kind, kept[day])
        yield Observation(_key(kind, day.isoformat()), midnight(day), None, data)


def _problem(kind: Kind, reading: Reading, earlier: Reading | None) -> tuple[str, str] | None:
    value = reading.value
    if value is not None and not kind.lowest <= value <= kind.highest:
        unit = "mm" if kind.quantity == "rain" else "m"
        return "R04", f"{value:g} {unit} is not within {kind.lowest:g} to {kind.highest:g} {unit}"
    if earlier is not None and earlier.value != value:
        return "R06", f"{reading.day} came before, in {earlier.place}, with {earlier.value}"
    return None


def _rejection(kind: Kind, reading: Reading, code: str, reason: str) -> Rejection:
    row = bounded(reading.row())
    return Rejection(code, f"{reading.place}: {reason}", _rejection_key(kind, row), row)


def _data(kind: Kind, reading: Reading) -> EventData:
    if kind.quantity == "rain":
        return RainfallObserved(
            feed=kind.feed, station=kind.station, day=reading.day, rain_mm=reading.value
        )
    return LevelObserved(
        feed=kind.feed, station=kind.station, day=reading.day, level_m=reading.value
    )


def _rejection_key(kind: Kind, row: str) -> str:
    # By content, not by row number: the same bad row moves when the window of the poll moves.
    return _key(kind, f"rejected/{identity(row)}")


def _key(kind: Kind, rest: str) -> str:
    return f"{kind.feed}/{kind.station}/{rest}"
