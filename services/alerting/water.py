"""What the rules on rain and level share: days, epochs, votes, and whether the slope itself moves.

Water is context: it says that a slope has reason to move, not that it does. A rule on water can be
held to slopes that move as well, the dual threshold of the Gapa landslide.

Source: S. Wu et al., Remote Sensing 13 (2021) 4977: a warning at Gapa, on the Jinping reservoir,
needs a velocity past one threshold and a water level past another, for the velocity alone raised
too many.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from core.errors import BadInputError
from core.events import Vote
from core.evidence import Evidence, Floats
from services.alerting.rule import highest, level_of, silent, uncalibrated, with_data
from services.alerting.rules.velocity import Settings as Downslope
from services.alerting.rules.velocity import judged_rate
from services.alerting.thresholds import Limits, ThresholdTable

_EPOCH = date(1970, 1, 1)


class Reading(NamedTuple):
    """Water on the newest day."""

    ratio: float
    """What is held against the limits; NaN: not known."""
    said: str
    """The ratio and what it comes from, as the beginning of a sentence."""
    figures: Mapping[str, float]
    """NaN among them is left out of the vote."""
    doubt: str | None
    """Why a ratio that passes no limit, or is not known, is no verdict; None: it is one."""


class Bounds(NamedTuple):
    """What a reading is held against."""

    rule: str
    limits: Limits
    table: ThresholdTable
    moving_mm_yr: float | None
    """Downslope rate that a unit must have as well; None: none."""


def driver_rows(evidence: Evidence) -> None:
    """Raise `BadInputError` unless rain and level have one row for each day, none left out."""
    days = evidence.driver_day
    if np.any(np.diff(days, axis=-1) != 1):
        raise BadInputError("evidence: driver_day does not go on day by day")
    for name in ("rain_mm", "level_m"):
        if getattr(evidence, name).shape != days.shape:
            raise BadInputError(f"evidence: {name} has not one row for each driver_day")


def at_epochs(evidence: Evidence, daily: Floats) -> Floats:
    """Value (..., E) on the day of each epoch of a series by `driver_day`; NaN outside of it."""
    rows, epochs = evidence.driver_day, evidence.epoch_day
    if not rows.shape[-1]:
        return np.full(epochs.shape, np.nan)
    row = epochs - rows[..., :1]
    inside = (row >= 0) & (row < rows.shape[-1])
    series = np.broadcast_to(daily, (*epochs.shape[:-1], daily.shape[-1]))
    found = np.take_along_axis(series, np.where(inside, row, 0), axis=-1)
    return np.asarray(np.where(inside, found, np.nan))


def downslope_mm_yr(evidence: Evidence) -> Floats:
    """Filtered downslope rate (..., E, U) after each epoch, held over epochs without data.

    NaN before the first one with data, and where the line of sight hardly sees downslope motion.
    """
    rate = judged_rate(
        evidence.velocity_mm_d, evidence.velocity_sd_mm_d, evidence.los_factor, Downslope()
    ).value_mm_yr
    if not rate.shape[-2]:
        return rate
    data = with_data(evidence) & np.isfinite(rate)
    row = np.arange(rate.shape[-2])[:, np.newaxis]
    newest = np.maximum.accumulate(np.where(data, row, -1), axis=-2)
    held = np.take_along_axis(rate, np.maximum(newest, 0), axis=-2)
    return np.asarray(np.where(newest >= 0, held, np.nan))


def where_moving(value: Floats, rate_mm_yr: Floats, least_mm_yr: float | None) -> Floats:
    """`value` (..., 1) where a unit moves at least so fast, else 0; NaN where that is not known.

    `rate_mm_yr` (..., U). Without `least_mm_yr` motion does not matter.
    """
    if least_mm_yr is None:
        return np.broadcast_to(value, np.broadcast_shapes(value.shape, rate_mm_yr.shape)).copy()
    gated = np.where(rate_mm_yr >= least_mm_yr, value, 0.0)
    return np.asarray(np.where(np.isnan(rate_mm_yr), np.nan, gated))


def votes(evidence: Evidence, track: str, reading: Reading | None, bounds: Bounds) -> list[Vote]:
    """One vote for each unit of one site; `reading` None: no day of this water."""
    if why := uncalibrated(bounds.limits, bounds.table):
        return [silent(bounds.rule, track, why) for _ in evidence.units]
    if reading is None:
        reason = f"no vote: {bounds.rule} is not known"
        return [silent(bounds.rule, track, reason) for _ in evidence.units]
    rates = downslope_mm_yr(evidence)
    newest = rates[-1] if len(rates) else np.full(len(evidence.units), np.nan)
    asked = where_moving(np.array([reading.ratio]), newest, bounds.moving_mm_yr)
    return [_vote(track, float(value), reading, bounds) for value in asked]


def _vote(track: str, asked: float, reading: Reading, bounds: Bounds) -> Vote:
    least = min(bounds.limits)
    past = reading.ratio >= least
    figures = {name: value for name, value in reading.figures.items() if np.isfinite(value)}
    reason = reading.doubt if not past else None
    if past and np.isnan(asked):
        reason = f"{reading.said}; no vote: how fast the unit moves is not known"
    if reason is not None:
        return silent(bounds.rule, track, reason, **figures)
    level = int(highest([np.array(asked >= limit) for limit in bounds.limits]))
    state = f"past {bounds.limits[level - 1]:g}" if level else f"not past {least:g}"
    if past and not level:
        state = f"past {least:g}, but the unit is slower than {bounds.moving_mm_yr:g} mm/yr"
    return Vote(
        rule=bounds.rule,
        track=track,
        level=level_of(level),
        calibrated=True,
        reason=f"{reading.said}: {state}",
        figures=figures,
    )


def day_of(number: int) -> date:
    """Date of a count of days since 1970-01-01."""
    return _EPOCH + timedelta(days=int(number))


def days(count: int) -> str:
    """A count of days in words."""
    return "1 day" if count == 1 else f"{count} days"
