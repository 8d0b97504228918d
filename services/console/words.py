"""What a page says in words: rates, ages, coverage and urgency."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from core.events import LEVELS
from core.kinematics import DAYS_PER_YEAR
from services.console.plots import Z90, date_of, day_of, number
from services.console.view import SiteView, TrackView, UnitView

COVERAGES = ("out of range", "blind", "stale", "watched")
"""Most worrying first."""

MEANINGS = {
    "watched": "fresh data, motion can be told",
    "stale": "no fresh data; the level is kept, never lowered",
    "blind": "cannot be seen; no alarm is not safety",
    "out of range": "motion past what the radar can tell",
}


@dataclass(frozen=True)
class Rate:
    """The newest filtered rate of the fastest track: mm/d along LOS, + toward the satellite."""

    track: str
    day: date
    mm_d: float
    sd_mm_d: float

    @property
    def moving(self) -> bool:
        """The 90 % interval does not hold zero."""
        return abs(self.mm_d) > Z90 * self.sd_mm_d

    @property
    def daily(self) -> str:
        """Signed rate with its 90 % half width, mm/d."""
        return f"{number(self.mm_d, 2, signed=True)}\u00a0±\u00a0{number(Z90 * self.sd_mm_d, 2)}"

    @property
    def yearly(self) -> str:
        """Signed rate, mm/yr."""
        return number(self.mm_d * DAYS_PER_YEAR, 0, signed=True)


def newest_rate(unit: UnitView, as_of: datetime) -> Rate | None:
    """The fastest track's rate at its newest day up to `as_of`; none where nothing is known."""
    rates = [r for track in unit.tracks if (r := _rate(track, day_of(as_of.date())))]
    return max(rates, key=lambda r: abs(r.mm_d), default=None)


def _rate(track: TrackView, until: int) -> Rate | None:
    known = np.isfinite(track.velocity_mm_d) & np.isfinite(track.velocity_sd_mm_d)
    good = np.flatnonzero(known & (track.day < until + 1))
    if not good.size:
        return None
    i = int(good[-1])
    velocity, sd = float(track.velocity_mm_d[i]), float(track.velocity_sd_mm_d[i])
    return Rate(track.track, date_of(track.day[i]), velocity, sd)


def last_epoch(unit: UnitView, as_of: datetime) -> date | None:
    """Newest measured date up to `as_of` over all tracks; none where nothing was ever measured."""
    until = day_of(as_of.date()) + 1
    newest = [
        float(t.epoch_day[seen].max())
        for t in unit.tracks
        if (seen := np.isfinite(t.epoch_mm) & (t.epoch_day < until)).any()
    ]
    return date_of(max(newest)) if newest else None


def age(day: date | None, as_of: datetime) -> str:
    """How long ago `day` is at `as_of`."""
    if day is None:
        return "never"
    days = (as_of.date() - day).days
    return "today" if days == 0 else f"{days} d ago" if days > 0 else f"in {-days} d"


def expected(day: date | None, as_of: datetime) -> str:
    """How far off the pass of `day` is at `as_of`."""
    if day is None:
        return "not known"
    late = (as_of.date() - day).days
    return f"{late} d overdue" if late > 0 else age(day, as_of)


def status(unit: UnitView, as_of: datetime) -> str:
    """One plain sentence: what is known of the motion, and how far it may be trusted."""
    rate = newest_rate(unit, as_of)
    last = last_epoch(unit, as_of)
    if unit.coverage == "blind":
        seen = "It was never measured." if last is None else f"Last measured {_on(last, as_of)}."
        return f"Whether this slope moves is not known: it cannot be seen now. {seen}"
    if rate is None:
        return "No rate is known yet. No alarm is not safety."
    if unit.coverage == "out of range":
        return (
            "The motion is past what the radar can tell: it may be faster than shown. "
            f"Last rate told: {_motion(rate)}."
        )
    if unit.coverage == "stale":
        since = "" if last is None else f", last measured {_on(last, as_of)}"
        return f"Out of date{since}. As far as then known: {_motion(rate)}. The level is kept."
    sentence = _motion(rate)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _on(day: date, as_of: datetime) -> str:
    return f"on {day.isoformat()} ({age(day, as_of)})"


def _motion(rate: Rate) -> str:
    half = number(Z90 * rate.sd_mm_d, 2)
    if not rate.moving:
        return f"no motion told apart from zero ({rate.daily} mm/d along line of sight)"
    side = "toward" if rate.mm_d > 0 else "away from"
    speed, year = abs(rate.mm_d), abs(rate.mm_d) * DAYS_PER_YEAR
    daily = f"{number(speed, 2)}\u00a0±\u00a0{half} mm/d"
    return f"moving {daily} {side} the satellite, {number(year, 0)} mm/yr"


def urgency(site: SiteView, unit: UnitView) -> tuple[int, int, float, str, str]:
    """Sort key, most urgent first: level, then how badly it is seen, then rate, then name."""
    rate = newest_rate(unit, site.as_of)
    return (
        -LEVELS.index(unit.level),
        COVERAGES.index(unit.coverage),
        -abs(rate.mm_d) if rate else 0.0,
        site.site,
        unit.unit,
    )


def moment(at: datetime) -> str:
    """Date and, where it says something, time in UTC."""
    if at.tzinfo is not None:
        at = at.astimezone(UTC)
    return f"{at:%Y-%m-%d}" if (at.hour, at.minute) == (0, 0) else f"{at:%Y-%m-%d %H:%M} UTC"
