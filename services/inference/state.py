"""What inference knows of one site, in memory. Values are never changed, only replaced."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import NamedTuple

from core.events import ArtifactRef, ForecasterFitted, ForecastIssued, ReleaseActivated
from core.settings import Site
from services.inference.issuing.feedback import Feedback
from services.inference.track import Track

EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class InputRow(NamedTuple):
    """One distinct input as the archive lists it."""

    id: str
    type: str
    seq: int
    valid_ns: int
    available_ns: int
    processed_ns: int


class DriverRow(NamedTuple):
    """One day of rain (mm) or level (m) at one station; NaN = reported missing."""

    quantity: str
    station: str
    day: int
    value: float
    available_ns: int
    processed_ns: int
    seq: int
    vintage: int


@dataclass(frozen=True)
class SiteState:
    """The deformation state of one site.

    `vintages` counts what was had under each natural key; `inputs` and `drivers` are rows that
    fill no block of the stored lists yet; `past_drivers` are the driver rows before those.
    `settings` is the site file in force, `fitted` the forecast models in force, `issued` the last
    forecast and `feedback` what waits to be judged and was learned from it.
    """

    site: Site | None = None
    settings: ArtifactRef | None = None
    watched_from: date | None = None
    release: ReleaseActivated | None = None
    tracks: dict[str, Track] = field(default_factory=dict)
    passes: dict[str, date] = field(default_factory=dict)
    last_closed: date | None = None
    vintages: dict[str, int] = field(default_factory=dict)
    inputs: tuple[InputRow, ...] = ()
    drivers: tuple[DriverRow, ...] = ()
    past_drivers: tuple[DriverRow, ...] = ()
    fitted: ForecasterFitted | None = None
    issued: ForecastIssued | None = None
    feedback: Feedback = field(default_factory=Feedback)


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - EPOCH_ORDINAL


def day_of(number: int) -> date:
    """Inverse of `day_number`."""
    return date.fromordinal(int(number) + EPOCH_ORDINAL)


def nanoseconds(moment: datetime) -> int:
    """Nanoseconds since 1970-01-01 UTC, exact to the microsecond."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return ((delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1000
