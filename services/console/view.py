"""All that a page shows of one site, as plain values: the page itself reads no store."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from core.events import Coverage, Level
from core.evidence import Floats


@dataclass(frozen=True)
class ForecastView:
    """What is expected of a slope unit on one track, mm along LOS, + toward the satellite.

    `day`, `mm`, `low_mm` and `high_mm` (H,): the days ahead, from the issue day on, and the bounds
    that hold 90 %. `model` spoke, for `reason`, in place of the chosen one where `stepped_down`.
    """

    day: Floats
    mm: Floats
    low_mm: Floats
    high_mm: Floats
    model: str
    reason: str
    stepped_down: bool = False


@dataclass(frozen=True)
class TrackView:
    """One slope unit seen on one track. Displacement in mm, LOS, positive toward the satellite.

    `epoch_*` (E,): the measured unit mean and its sd. `day_*` (T,): the filter every day, between
    acquisitions too, with the sd of its band; NaN breaks the lines. Days count from 1970-01-01.
    `epoch_out_of_range` (E,): above zero where the epoch was past what the radar can tell.
    """

    track: str
    epoch_day: Floats
    epoch_mm: Floats
    epoch_sd_mm: Floats
    epoch_out_of_range: Floats
    day: Floats
    day_mm: Floats
    day_sd_mm: Floats
    velocity_mm_d: Floats
    velocity_sd_mm_d: Floats
    forecast: ForecastView | None = None


@dataclass(frozen=True)
class Span:
    """A stretch of days [first, last] with one level or coverage, and its reason."""

    first: date
    last: date
    value: str
    reason: str = ""


@dataclass(frozen=True)
class TimelineEntry:
    """One thing that happened, for the timeline beside the plot.

    `level`: what was notified then; such entries are marked in the plots. None for all else.
    """

    at: datetime
    text: str
    level: Level | None = None


@dataclass(frozen=True)
class UnitView:
    """One slope unit: its state now and its history.

    `truth_*`: simulated motion along the line of sight of the first track, mm. `onset` and
    `failure` are simulated truth too. `lead_days`: days from the first notification of a level to
    the failure, by level.
    """

    unit: str
    name: str
    level: Level
    coverage: Coverage
    coverage_reason: str
    next_pass: date | None
    tracks: tuple[TrackView, ...]
    levels: tuple[Span, ...] = ()
    coverages: tuple[Span, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()
    truth_day: Floats | None = None
    truth_mm: Floats | None = None
    onset: date | None = None
    failure: date | None = None
    lead_days: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SiteView:
    """One site: its units, what drives them, and where they are.

    `rain_*`, `level_*`: daily rain in mm and reservoir level in m, empty where there is none.
    `polygons`: (longitude, latitude) rings by unit id. `points` (P, 2) or (P, 3): longitude,
    latitude and, where known, LOS velocity in mm/d, positive toward the satellite. `parked`: why
    the site stands still, as a sentence; empty while it runs.
    """

    site: str
    title: str
    simulated: bool
    as_of: datetime
    watched_from: date | None
    units: tuple[UnitView, ...]
    rain_day: Floats
    rain_mm: Floats
    level_day: Floats
    level_m: Floats
    polygons: dict[str, tuple[tuple[float, float], ...]]
    points: Floats
    parked: str = ""


@dataclass(frozen=True)
class ScoreTable:
    """Rows of (what, figures by column): the same rules on pools of simulated sites."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str
