"""The rule on rain against landslides of one winter at Mukilteo, beside Seattle's published line.

Rain is that of Paine Field (KPAE), beside the slopes; reports of landslides within 3 days of one
another are one event. The rule is run day by day with the line it is shipped with, which is
Seattle's and was fitted to none of this; each day sees itself and earlier days. The peer is the
published line as it was published: 72 and 360 hours running from hour to hour. Nothing here is an
operational score: a value is known when its day is over, and one winter is no proof.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks import mukilteo
from benchmarks.frame import LeftOutError, Table
from core.antecedent import window_sum
from services.alerting.rules.rain import Settings, rain_ratio
from services.scoring.rain_roc import Counts, Slides, count, merged, roc

Floats = npt.NDArray[np.float64]

LIMITS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
WET_MONTHS = (11, 12, 1, 2, 3, 4)
SEATTLE_INCHES = (3.5, 0.67)
NO_PROOF = (
    "One winter is no proof: with so few events these figures can show neither that the line works "
    "at this place nor that it does not. No limit is chosen from them."
)


class Winter(NamedTuple):
    """Days, what is told at the close of each, and the events."""

    day: npt.NDArray[np.int64]
    statistics: dict[str, Floats]
    slides: Slides
    reports: int


RULE, PUBLISHED = "rule rain (3 d and 15 d, by day)", "published line (72 h and 360 h, by hour)"


def run(quick: bool) -> list[Table]:
    """Counts at limits, and curves; the same whether quick or not.

    Raises `LeftOutError` without the recordings.
    """
    folder = mukilteo.folder()
    if not folder.is_dir():
        raise LeftOutError(
            f"no record at {folder}: set SLOPEWATCH_RECORDED to the folder that holds "
            f"{mukilteo.FOLDER}"
        )
    winter = read(folder)
    return [_counts(winter), _events(winter), _curves(winter)]


def read(folder: Path) -> Winter:
    """The record in `folder` and its statistics."""
    hours = mukilteo.read_hours(folder / mukilteo.STATION)
    dates = mukilteo.read_dates(folder / mukilteo.DATES)
    chosen, rain = Settings(), mukilteo.daily_mm(hours)
    skipped = chosen.short_days + chosen.antecedent_days - 1
    found = rain_ratio(rain, chosen)
    statistics = {
        RULE: np.where(found.unknown > chosen.unknown_days, np.nan, found.ratio),
        PUBLISHED: published(hours),
        "3-day sum alone": rain_ratio(rain, Settings(slope=0.0)).ratio,
        "18-day sum alone": rain_ratio(rain, Settings(slope=1.0)).ratio,
    }
    day = hours.first_day + np.arange(len(rain))
    known = {name: series[skipped:] for name, series in statistics.items()}
    return Winter(day[skipped:], known, merged(dates), len(dates))


def published(hours: mukilteo.Hours) -> Floats:
    """Highest (P3 + 0.67 P15) / 3.5 of the hours of each day (T,), in inches, by running sums.

    The published line P3 = 3.5 - 0.67 P15 is reached at 1. Absent hours count as dry.
    """
    intercept, slope = SEATTLE_INCHES
    inches = hours.hundredths.ravel() / 100
    recent, before = window_sum(inches, 72).total, window_sum(inches, 360, before=72).total
    ratio: Floats = ((recent + slope * before) / intercept).reshape(-1, 24).max(axis=1)
    return ratio


def _counts(winter: Winter) -> Table:
    rows = [
        _count_row(f"{name.partition(' (')[0]}, {limit:g}", counted(winter, name, limit))
        for name, limits in ((RULE, LIMITS), (PUBLISHED, (1.0,)))
        for limit in limits
    ]
    first, last = (mukilteo.day_of(number) for number in winter.day[[0, -1]])
    return Table(
        f"Rain and landslides at Mukilteo, {first} to {last}: {winter.reports} reports, "
        f"{len(winter.slides.first)} events",
        (
            "statistic and limit", "hits, told before", "or on its first day",
            "or by its last", "misses", "episodes", "false alarms", "alarm days",
        ),
        tuple(rows),
        (
            "1 is the line P3 = 3.5 - 0.67 P15 (inches; 88.9 mm). Told before: at the close of one "
            "of the 3 days before an event's first slide; misses are events that were not. The "
            "hour of a slide is not known: rain of its own day may have come after it. False "
            "alarm: an episode (alarm days at most 3 days apart) with no event in it or in the 3 "
            "days after.",
            NO_PROOF,
        ),
    )  # fmt: skip


def counted(winter: Winter, name: str, limit: float) -> Counts:
    """Counts of one statistic at one limit."""
    return count(winter.day, winter.statistics[name], winter.slides, limit)


def _count_row(name: str, found: Counts) -> tuple[str, ...]:
    return (
        name,
        f"{found.before} of {found.events}",
        str(found.first_day),
        str(found.last_day),
        str(found.events - found.before),
        str(found.episodes),
        str(found.false_alarms),
        f"{found.alarm_days} of {found.days}",
    )


def _events(winter: Winter) -> Table:
    rows = []
    for first, last in zip(*winter.slides, strict=True):
        at = int(first - winter.day[0])
        end = int(last - winter.day[0])
        cells = []
        for name in (RULE, PUBLISHED):
            series = winter.statistics[name]
            cells += [f"{np.nanmax(series[at - 3 : at]):.2f}", f"{series[at]:.2f}"]
            cells.append(f"{np.nanmax(series[at : end + 1]):.2f}")
        rows.append((f"{mukilteo.day_of(first)} to {mukilteo.day_of(last)}", *cells))
    return Table(
        "How near each event came to the line",
        ("event", "rule: 3 days before", "first day", "highest to last day",
         "published: 3 days before", "first day", "highest to last day"),
        tuple(rows),
    )  # fmt: skip


def _curves(winter: Winter) -> Table:
    months = np.array([mukilteo.day_of(number).month for number in winter.day])
    rows = []
    for season, among in (("all days", None), ("November to April", np.isin(months, WET_MONTHS))):
        for name, series in winter.statistics.items():
            cells = []
            for lead in (1, 0):
                curve = roc(winter.day, series, winter.slides, least_lead_d=lead, among=among)
                value, low, high = curve.area
                cells += [
                    f"{value:.2f} ({low:.2f}-{high:.2f})",
                    f"{curve.positives} and {curve.quiet}",
                ]
            rows.append((f"{name}, {season}", *cells))
    return Table(
        "Area under the ROC: days before a landslide told from quiet days",
        ("statistic", "1 to 3 days before", "days", "0 to 3 days before", "days"),
        tuple(rows),
        (
            "0.5 is no skill. In brackets 95 % intervals, blocks of 30 days resampled. Days: "
            "before a landslide, and quiet. Dry summers make it easy to be right: the wet months "
            "are the harder test.",
            NO_PROOF,
        ),
    )
