"""Rain: is the rain of the last days more than ground that is already wet can be trusted to take?

The rain of the last 3 days is held against a line that falls with that of the 15 days before them.
The rule's ratio is 1 on the line and grows with either sum:

    ratio = (short sum + slope x antecedent sum) / line,    line 88.9 mm, slope 0.67

A day that is not known counts as dry, so the ratio is a lower bound: when it passes a limit it does
so whatever fell on those days, and when it does not and too many are missing, the rule has no vote.
Rain is context: it says that slopes have reason to move, not that this one does.

The line is the one published for Seattle (3.5 - 0.67 P15 inches), from 91 landslides of 1933-1997;
it was not fitted here. It stands for several shallow landslides within days in that city. Another
place needs a line of its own.

Sources: A. F. Chleborad, USGS Open-File Report 00-469 (2000); A. F. Chleborad, R. L. Baum and
J. W. Godt, USGS Open-File Report 2006-1064 (2006) for line and performance. Their second threshold
(hourly intensity against duration) needs hourly rain, which evidence does not carry.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic import Field, model_validator

from core.antecedent import Ints, window_sum
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

NAME = "rain"
DAILY = True
"""Judged on every closed day, not at epochs only."""


class Settings(Tree):
    """The line that rain is held against, and when too little of it is known."""

    short_days: int = Field(3, ge=1, le=30, description="days of the short sum")
    antecedent_days: int = Field(15, ge=1, le=365, description="days before them that wet the soil")
    line_mm: float = Field(
        88.9, gt=0, description="short sum at which the ratio is 1 after a dry spell; Seattle's"
    )
    slope: float = Field(
        0.67, ge=0, description="what 1 mm of the antecedent sum counts for; Seattle's"
    )
    unknown_days: int = Field(
        2, ge=0, description="days of both sums that may be unknown for a vote of `not past`"
    )
    moving_mm_per_year: float | None = Field(
        None, gt=0, description="vote only where the unit moves downslope so fast; none: anywhere"
    )
    thresholds: Overrides = Field(
        Overrides(),
        description="of the ratio; a level left out is taken from the calibrated table",
    )

    @model_validator(mode="after")
    def _short_sum_known(self) -> Settings:
        if self.unknown_days >= self.short_days:
            raise ValueError("unknown_days must be less than short_days")
        return self


class Rain(NamedTuple):
    """On each day (..., T): ratio and both sums in mm, lower bounds all, and days not known."""

    ratio: Floats
    short_mm: Floats
    antecedent_mm: Floats
    unknown: Ints


def rain_ratio(rain_mm: Floats, settings: Settings) -> Rain:
    """Ratio of daily `rain_mm` (..., T) from each day and earlier; NaN where no day is known."""
    short = window_sum(rain_mm, settings.short_days)
    antecedent = window_sum(rain_mm, settings.antecedent_days, before=settings.short_days)
    unknown = short.unknown + antecedent.unknown
    ratio = (short.total + settings.slope * antecedent.total) / settings.line_mm
    nothing = unknown == settings.short_days + settings.antecedent_days
    return Rain(np.where(nothing, np.nan, ratio), short.total, antecedent.total, unknown)


def daily_statistic(evidence: Evidence, settings: Settings) -> Floats:
    """Ratio (..., T) by `driver_day`, whatever the slope does.

    Raises `BadInputError` where days are left out.
    """
    driver_rows(evidence)
    return rain_ratio(evidence.rain_mm, settings).ratio


def statistic(evidence: Evidence, settings: Settings) -> Floats:
    """Ratio (..., E, U) on the day of each epoch; 0 where the unit must move and does not."""
    value = at_epochs(evidence, daily_statistic(evidence, settings))[..., np.newaxis]
    return where_moving(value, downslope_mm_yr(evidence), settings.moving_mm_per_year)


class RainRule:
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
        """One vote for each unit after the newest day of rain, with the ratio and both sums."""
        driver_rows(evidence)
        bounds = Bounds(NAME, self.limits, self._table, self._settings.moving_mm_per_year)
        return votes(evidence, track, self._reading(evidence), bounds)

    def _reading(self, evidence: Evidence) -> Reading | None:
        rain, chosen = rain_ratio(evidence.rain_mm, self._settings), self._settings
        if not rain.ratio.size:
            return None
        ratio, short, before, unknown = (float(series[-1]) for series in rain)
        window = chosen.short_days + chosen.antecedent_days
        missing = f"rain is not known on {unknown:.0f} of the last {window} days"
        return Reading(
            ratio,
            f"rain to {day_of(evidence.driver_day[-1])}: {short:.0f} mm in "
            f"{days(chosen.short_days)} after {before:.0f} mm in {days(chosen.antecedent_days)}"
            f"{' at least, for ' + missing if unknown else ''}, {ratio:.2f} of the line",
            {
                "rain_ratio": round(ratio, 2),
                "rain_short_mm": round(short, 1),
                "rain_antecedent_mm": round(before, 1),
                "rain_unknown_days": unknown,
            },
            f"no vote: {missing}" if unknown > chosen.unknown_days else None,
        )


def open(settings: Settings, table: ThresholdTable) -> RainRule:
    """The rule; without thresholds in `settings` and `table` it votes `not calibrated`."""
    return RainRule(settings, table)
