"""The projection of what moves slopes and of who looked: rain, reservoir level, passes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

import msgspec

from core.errors import BadInputError
from core.events import (
    OBSERVATIONS,
    AcquisitionFound,
    LevelObserved,
    RainfallObserved,
    SiteConfigured,
)
from core.stage import Input
from services.projector.changes import Change, Projected, Put
from services.projector.looking_on import LooksOn
from services.projector.schema import PASSES, RAIN, RESERVOIR, tables_of

FIRST_DAY: Final = date(1900, 1, 1)
FURTHEST_AHEAD: Final = timedelta(days=1)


class Memory(msgspec.Struct, frozen=True):
    """Whether the site is configured: what lies before that inference does not take either."""

    configured: bool = False


class Drivers(LooksOn[Memory]):
    """Each day's newest vintage of rain and level, and every pass; a stage of `observations`."""

    name = "projection-drivers"
    inbox = OBSERVATIONS
    tables = tables_of("drivers")
    memory = Memory

    def project(self, state: Projected[Memory], given: Input) -> Projected[Memory]:
        """Rows of one observation.

        Raises BadInputError for what inference does not take: a datum of a day to come, or of a
        site that is not configured.
        """
        if isinstance(given.event.data, SiteConfigured):
            return state.then(Memory(configured=True))
        rows = tuple(_rows(given))
        if rows and not state.memory.configured:
            raise BadInputError("the site is not configured")
        return state.then(state.memory, rows)


def _rows(given: Input) -> Iterable[Change]:
    event = given.event
    row = {"site": event.site, "available_at": event.available_at}
    match event.data:
        case RainfallObserved() as rain:
            _check_day(rain.day, given)
            row |= {"day": rain.day, "station": rain.station, "feed": rain.feed}
            yield Put(RAIN, {**row, "rain_mm": rain.rain_mm})
        case LevelObserved() as level:
            _check_day(level.day, given)
            row |= {"day": level.day, "station": level.station, "feed": level.feed}
            yield Put(RESERVOIR, {**row, "level_m": level.level_m})
        case AcquisitionFound() as found:
            _check_day(found.stop_time.date(), given)
            names = ("scene", "path", "direction", "platform", "product", "feed")
            row |= {name: getattr(found, name) for name in names}
            yield Put(PASSES, {**row, "at": found.stop_time})


def _check_day(day: date, given: Input) -> None:
    today = given.now.date()
    if not FIRST_DAY <= day <= today + FURTHEST_AHEAD:
        raise BadInputError(f"{given.event.data.NAME} of {day} was known on {today}")
