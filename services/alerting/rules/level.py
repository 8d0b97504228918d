"""Level: does the water at the foot of the slope change, or stand, as slopes like it cannot bear?

As a reservoir falls, water in the slope lags behind and presses outward; as it rises, the foot
loses weight. Which of the two moves a slope is a property of the slope, so a site names it. The
rule's ratio is 1 at a limit, the larger of two:

- how fast the level changed over 7 days in the direction asked for, divided by `rate_m_d`;
- with `high_water_m` or `low_water_m`: 1 at that level and 1 more for each `water_step_m` past it.

The level is context: it says that slopes have reason to move, not that this one does. The Gapa
landslide was warned of below 1820 m and at 4 mm/d (1461 mm/yr) together: `direction: none`,
`low_water_m: 1820`, `moving_mm_per_year: 1461`, yellow at 1. Where the day now or that of 7 days
ago is not known, one at most 2 days older stands for it; else the rate is not known.

`rate_m_d` 0.6 is what the Three Gorges reservoir is held to as it is drawn down in ordinary years:
a place to start from, fitted to no slope.

Sources: S. Wu et al., Remote Sensing 13 (2021) 4977 for Gapa; R. E. Criss et al., Journal of Earth
Science 31 (2020) 1051-1057 for a critical level of each slope; Z. Zou et al., NHESS 21 (2021)
517-532 for drawdown and buoyancy.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from core.antecedent import change_rate
from core.events import Vote
from core.evidence import Evidence, Floats
from core.settings import Tree
from services.alerting.rule import LevelIndex, highest
from services.alerting.thresholds import Overrides, ThresholdTable
from services.alerting.water import (
    Bounds,
    Reading,
    at_epochs,
    day_of,
    days,
    downslope_mm_yr,
    driver_rows,
    votes,
    where_moving,
)

NAME = "level"
DAILY = True
"""Judged on every closed day, not at epochs only."""


class Settings(Tree):
    """Which change of level, and which levels, give the slope reason to move."""

    direction: Literal["drawdown", "rise", "either", "none"] = Field(
        "drawdown", description="change that is judged; none: only where the level stands"
    )
    days: int = Field(7, ge=1, le=60, description="over which the change is taken")
    held_days: int = Field(2, ge=0, description="how old a level may be to stand for a day")
    rate_m_d: float = Field(0.6, gt=0, description="change a day at which the ratio is 1")
    high_water_m: float | None = Field(
        None, description="level in m at which the ratio is 1, growing above; none: not judged"
    )
    low_water_m: float | None = Field(
        None, description="level in m at which the ratio is 1, growing below; none: not judged"
    )
    water_step_m: float = Field(
        5.0, gt=0, description="metres past high or low water for 1 more of the ratio"
    )
    moving_mm_per_year: float | None = Field(
        None, gt=0, description="vote only where the unit moves downslope so fast; none: anywhere"
    )
    thresholds: Overrides = Field(
        Overrides(),
        description="of the ratio; a level left out is taken from the calibrated table",
    )

    @model_validator(mode="after")
    def _possible(self) -> Settings:
        if self.held_days >= self.days:
            raise ValueError("held_days must be less than days")
        waters = [m for m in (self.low_water_m, self.high_water_m) if m is not None]
        if self.direction == "none" and not waters:
            raise ValueError("direction none needs high_water_m or low_water_m")
        if len(waters) == 2 and not waters[0] < waters[1]:
            raise ValueError("low_water_m must be below high_water_m")
        return self


class Water(NamedTuple):
    """On each day (..., T), NaN not known: ratio, level in m, and its change in m/d, rise > 0."""

    ratio: Floats
    level_m: Floats
    change_m_d: Floats


def level_ratio(level_m: Floats, settings: Settings) -> Water:
    """Ratio of daily `level_m` (..., T) from each day and earlier.

    Of what the settings ask for, the part that is known counts; NaN where none is.
    """
    change = change_rate(level_m, settings.days, settings.held_days)
    signed = {"drawdown": -change.rate, "rise": change.rate, "either": np.abs(change.rate)}
    parts = []
    if settings.direction != "none":
        parts.append(np.maximum(signed[settings.direction], 0.0) / settings.rate_m_d)
    if settings.high_water_m is not None:
        parts.append(1.0 + (change.level - settings.high_water_m) / settings.water_step_m)
    if settings.low_water_m is not None:
        parts.append(1.0 + (settings.low_water_m - change.level) / settings.water_step_m)
    ratio = parts[0]
    for part in parts[1:]:
        ratio = np.fmax(ratio, part)
    return Water(ratio, change.level, change.rate)


def daily_statistic(evidence: Evidence, settings: Settings) -> Floats:
    """Ratio (..., T) by `driver_day`, whatever the slope does.

    Raises `BadInputError` where days are left out.
    """
    driver_rows(evidence)
    return level_ratio(evidence.level_m, settings).ratio


def statistic(evidence: Evidence, settings: Settings) -> Floats:
    """Ratio (..., E, U) on the day of each epoch; 0 where the unit must move and does not."""
    value = at_epochs(evidence, daily_statistic(evidence, settings))[..., np.newaxis]
    return where_moving(value, downslope_mm_yr(evidence), settings.moving_mm_per_year)


class LevelRule:
    """The rule with its settings and thresholds."""

    daily = DAILY

    def __init__(self, settings: Settings, table: ThresholdTable) -> None:
        self._settings = settings
        self._table = table
        self.limits = table.limits(NAME, settings.thresholds)

    def levels(self, evidence: Evidence) -> LevelIndex:
        """Level index (..., epoch, unit) after each epoch."""
        value = statistic(evidence, self._settings)
        return highest([value >= limit for limit in self.limits])

    def vote(self, evidence: Evidence, track: str) -> list[Vote]:
        """One vote for each unit after the newest day, with the ratio, the level and its change."""
        driver_rows(evidence)
        bounds = Bounds(NAME, self.limits, self._table, self._settings.moving_mm_per_year)
        return votes(evidence, track, self._reading(evidence), bounds)

    def _reading(self, evidence: Evidence) -> Reading | None:
        water, chosen = level_ratio(evidence.level_m, self._settings), self._settings
        if not water.ratio.size:
            return None
        ratio, level, change = (float(series[-1]) for series in water)
        day, span = day_of(evidence.driver_day[-1]), days(chosen.days)
        doubt = None
        if np.isnan(level):
            doubt = f"no vote: the level is not known on {day}"
        elif chosen.direction != "none" and np.isnan(change):
            doubt = f"no vote: how the level changed over {span} to {day} is not known"
        moved = "" if np.isnan(change) else f" after {_moved(change)} over {span}"
        return Reading(
            ratio,
            f"water at {level:.1f} m on {day}{moved}, {ratio:.2f} of the limit",
            {
                "level_ratio": round(ratio, 2),
                "level_m": round(level, 2),
                "level_change_m_d": round(change, 3),
            },
            doubt,
        )


def _moved(change_m_d: float) -> str:
    return f"{'falling' if change_m_d < 0 else 'rising'} {abs(change_m_d):.2f} m a day"


def open(settings: Settings, table: ThresholdTable) -> LevelRule:
    """The rule; without thresholds in `settings` and `table` it votes `not calibrated`."""
    return LevelRule(settings, table)
