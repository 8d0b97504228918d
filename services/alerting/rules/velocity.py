"""Velocity: is the slope surely faster than a threshold, and not at one epoch only?

The filtered rate of a unit is Gaussian with its standard deviation; the rule asks for a level when
the probability that the rate passes the level's threshold is at least `probability` at 2 of the
last 3 epochs with data. One epoch alone may be atmosphere.

Sources: D. M. Cruden and D. J. Varnes, Landslide Types and Processes, TRB Special Report 247 (1996)
for classes of velocity as measures of danger; F. Raspini et al., Scientific Reports 8 (2018) 7253
for continuous Sentinel-1 monitoring that acts on changes that last over acquisitions.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator
from scipy.special import ndtri

from core.events import LEVELS, Vote
from core.evidence import Evidence, Floats
from core.geometry import LEAST_LOS_FACTOR
from core.kinematics import mm_yr_from_mm_d, probability_above
from core.settings import Tree
from services.alerting.rule import (
    Flags,
    LevelIndex,
    highest,
    last,
    level_of,
    silent,
    uncalibrated,
    with_data,
)
from services.alerting.thresholds import Limits, Overrides, ThresholdTable

NAME = "velocity"


class Settings(Tree):
    """Which rate is judged, and how sure one must be."""

    component: Literal["los", "downslope"] = Field(
        "downslope", description="downslope: line-of-sight rate divided by the unit's factor"
    )
    direction: Literal["away", "toward", "either"] = Field(
        "either", description="of line-of-sight motion; not used for downslope"
    )
    thresholds_mm_per_year: Overrides = Field(
        Overrides(), description="a level left out is taken from the calibrated table"
    )
    probability: float = Field(
        0.95, gt=0.5, lt=1, description="how sure one must be that the rate passes the threshold"
    )
    hits: int = Field(2, ge=1, description="epochs that must pass the threshold ...")
    of: int = Field(3, ge=1, description="... of this many with data")

    @model_validator(mode="after")
    def _possible(self) -> Settings:
        if self.hits > self.of:
            raise ValueError("hits cannot be more than of")
        return self


class Rate(NamedTuple):
    """Rate of the judged component and its standard deviation, mm/yr, NaN where not seen."""

    value_mm_yr: Floats
    sd_mm_yr: Floats


def judged_rate(
    velocity_mm_d: Floats, sd_mm_d: Floats, los_factor: Floats, settings: Settings
) -> Rate:
    """Rate (..., epoch, unit) that is compared with the thresholds.

    Downslope motion is positive; the line of sight is positive toward the satellite. `los_factor`
    (..., unit) is LOS mm per mm downslope; below 0.2 in size the downslope rate is NaN.
    """
    value, sd = mm_yr_from_mm_d(velocity_mm_d), mm_yr_from_mm_d(sd_mm_d)
    if settings.component == "los":
        return Rate(value, sd)
    seen = np.abs(los_factor) >= LEAST_LOS_FACTOR
    factor = np.where(seen, los_factor, np.nan)[..., np.newaxis, :]
    return Rate(value / factor, sd / np.abs(factor))


def probability_past(rate: Rate, threshold_mm_yr: float, settings: Settings) -> Floats:
    """Probability (..., epoch, unit) that the rate passes the threshold in the asked direction."""
    value, sd = rate
    positive = probability_above(value, sd, threshold_mm_yr)
    if settings.component == "downslope" or settings.direction == "toward":
        return np.asarray(positive)
    negative = probability_above(-value, sd, threshold_mm_yr)
    return np.asarray(negative if settings.direction == "away" else positive + negative)


def persistent(hit: Flags, data: Flags, hits: int, of: int) -> Flags:
    """Whether `hit` held at `hits` of the last `of` epochs with `data`, after each epoch.

    Both (..., epoch, unit). An epoch without data changes nothing.
    """
    recent = np.zeros((of, *hit.shape[:-2], hit.shape[-1]), dtype=bool)
    result = np.zeros(hit.shape, dtype=bool)
    for epoch in range(hit.shape[-2]):
        pushed = np.concatenate([hit[np.newaxis, ..., epoch, :], recent[:-1]])
        recent = np.where(data[..., epoch, :], pushed, recent)
        result[..., epoch, :] = recent.sum(axis=0) >= hits
    return result


def velocity_levels(
    velocity_mm_d: Floats,
    sd_mm_d: Floats,
    los_factor: Floats,
    data: Flags,
    limits: Limits,
    settings: Settings,
) -> LevelIndex:
    """Level index (..., epoch, unit) asked for after each epoch.

    `velocity_mm_d`, `sd_mm_d` and `data` (..., epoch, unit): the filtered line-of-sight rate after
    each epoch, positive toward the satellite, and whether the epoch told anything. `los_factor`
    (..., unit). `limits` in mm/yr.
    """
    rate = judged_rate(velocity_mm_d, sd_mm_d, los_factor, settings)
    data = data & np.isfinite(rate.value_mm_yr) & np.isfinite(rate.sd_mm_yr)
    return highest(
        [
            persistent(
                probability_past(rate, limit, settings) >= settings.probability,
                data,
                settings.hits,
                settings.of,
            )
            if np.isfinite(limit)
            else np.zeros(data.shape, dtype=bool)
            for limit in limits
        ]
    )


def statistic(evidence: Evidence, settings: Settings) -> Floats:
    """The rate (..., epoch, unit), mm/yr, whose passing the rule takes for sure after each epoch.

    A level is asked for exactly where this is at least its limit (but for rounding): the rate less
    its sd times the quantile of `probability`, the `hits`-th largest of the last `of` epochs with
    data. For downslope motion, or one direction: with `either`, the larger side.
    """
    rate = judged_rate(
        evidence.velocity_mm_d, evidence.velocity_sd_mm_d, evidence.los_factor, settings
    )
    sides = [1.0, -1.0] if settings.component == "los" and settings.direction == "either" else [1.0]
    if settings.component == "los" and settings.direction == "away":
        sides = [-1.0]
    surely = np.maximum.reduce([side * rate.value_mm_yr for side in sides])
    surely = surely - float(ndtri(settings.probability)) * rate.sd_mm_yr
    data = with_data(evidence) & np.isfinite(surely)
    recent = np.full((settings.of, *surely.shape[:-2], surely.shape[-1]), -np.inf)
    result = np.empty(surely.shape)
    for epoch in range(surely.shape[-2]):
        pushed = np.concatenate([surely[np.newaxis, ..., epoch, :], recent[:-1]])
        recent = np.where(data[..., epoch, :], pushed, recent)
        result[..., epoch, :] = np.sort(recent, axis=0)[-settings.hits]
    return result


class Velocity:
    """The rule with its settings and thresholds."""

    daily = False

    def __init__(self, settings: Settings, table: ThresholdTable) -> None:
        self._settings = settings
        self._table = table
        self.limits = table.limits(NAME, settings.thresholds_mm_per_year)

    def levels(self, evidence: Evidence) -> LevelIndex:
        """Level index (..., epoch, unit) after each epoch."""
        return velocity_levels(
            evidence.velocity_mm_d,
            evidence.velocity_sd_mm_d,
            evidence.los_factor,
            with_data(evidence),
            self.limits,
            self._settings,
        )

    def vote(self, evidence: Evidence, track: str) -> list[Vote]:
        """One vote for each unit, with rate, its sd and the probability of each level."""
        levels = self.levels(evidence)
        rate = judged_rate(
            evidence.velocity_mm_d, evidence.velocity_sd_mm_d, evidence.los_factor, self._settings
        )
        data = with_data(evidence) & np.isfinite(rate.value_mm_yr) & np.isfinite(rate.sd_mm_yr)
        return [
            self._vote(track, unit, levels, rate, data, float(evidence.los_factor[unit]))
            for unit in range(len(evidence.units))
        ]

    def _vote(
        self, track: str, unit: int, levels: LevelIndex, rate: Rate, data: Flags, factor: float
    ) -> Vote:
        reason = self._no_vote(factor) or uncalibrated(self.limits, self._table)
        epochs = np.flatnonzero(data[:, unit])
        if reason is None and epochs.size == 0:
            reason = "no vote: no epoch with data yet"
        if reason is not None:
            return silent(NAME, track, reason)
        epoch = int(epochs[-1])
        figures = {
            "velocity_mm_yr": round(last(rate.value_mm_yr, unit, epoch), 1),
            "velocity_sd_mm_yr": round(last(rate.sd_mm_yr, unit, epoch), 1),
        }
        one = Rate(rate.value_mm_yr[epoch, [unit]], rate.sd_mm_yr[epoch, [unit]])
        for level, limit in zip(LEVELS[1:], self.limits, strict=True):
            if np.isfinite(limit):
                past = float(probability_past(one, limit, self._settings)[0])
                figures[f"probability_{level}"] = round(past, 4)
        return Vote(
            rule=NAME,
            track=track,
            level=level_of(levels[-1, unit]),
            calibrated=True,
            reason=self._reason(int(levels[-1, unit]), figures),
            figures=figures,
        )

    def _no_vote(self, factor: float) -> str | None:
        if self._settings.component == "los":
            return None
        if not np.isfinite(factor):
            return "no vote: the downslope direction is not known"
        if abs(factor) < LEAST_LOS_FACTOR:
            return "no vote: line of sight sees less than a fifth of downslope motion"
        return None

    def _reason(self, level: int, figures: dict[str, float]) -> str:
        value, where = figures["velocity_mm_yr"], "downslope"
        if self._settings.component == "los":
            where = "toward the satellite" if value > 0 else "away from the satellite"
            value = abs(value)
        rate = f"{value:g} ± {figures['velocity_sd_mm_yr']:g} mm/yr {where}"
        if level == 0:
            return f"{rate}: not surely past {min(self.limits):g} mm/yr"
        return (
            f"{rate}: past {self.limits[level - 1]:g} mm/yr at {self._settings.hits} of the last "
            f"{self._settings.of} epochs"
        )


def open(settings: Settings, table: ThresholdTable) -> Velocity:
    """The rule; without thresholds in `settings` and `table` it votes `not calibrated`."""
    return Velocity(settings, table)
