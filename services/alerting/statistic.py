"""Rules that compare one figure of each slope unit with their limits, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from core.events import Vote
from core.evidence import Evidence, Floats
from core.geometry import LEAST_LOS_FACTOR
from core.kinematics import DAYS_PER_YEAR
from core.settings import Tree
from services.alerting.rule import (
    Flags,
    LevelIndex,
    highest,
    last,
    level_of,
    silent,
    uncalibrated,
)
from services.alerting.thresholds import Limits, Overrides, ThresholdTable

WATER_DAYS = 120
"""Days back from the newest epoch over which rain and level must be known for the most part."""
WITHOUT_WATER = "{rule} without water"
"""Name in the threshold table of a rule's limits where rain or level is not known."""

TOLD_WITHOUT_WATER = ", told without rain and level"
"""End of the reason of a vote at those limits."""

Signs = npt.NDArray[np.int8]
Direction = Literal["away", "toward", "either"]


class Settings(Tree):
    """Limits of the statistic, and its direction where downslope is not seen."""

    direction: Direction = Field(
        "either",
        description="of line-of-sight motion, where the downslope direction is not known or the "
        "line of sight sees less than a fifth of it; either: both sides are watched",
    )
    thresholds: Overrides = Field(
        Overrides(), description="a level left out is taken from the calibrated table"
    )


class Said(NamedTuple):
    """What a rule says of one unit whose statistic is `value`: a sentence, and figures."""

    sentence: str
    figures: Mapping[str, float]


class Judge(NamedTuple):
    """What makes one rule of this kind.

    `statistic` gives (..., epoch, unit), minus infinity where it cannot speak; a level is asked for
    exactly where it is at least the limit. `say` puts the newest epoch of a unit into words;
    `speechless` is why there is no statistic there.
    """

    name: str
    statistic: Callable[[Evidence, Settings], Floats]
    say: Callable[[Evidence, int, float], Said]
    speechless: Callable[[Evidence, int], str]
    on_water: bool = True
    """Whether it judges what the conditioned filter says: other limits without rain and level."""


class StatisticRule:
    """A `services.alerting.rule.Rule` of one statistic."""

    daily = False

    def __init__(self, judge: Judge, settings: Settings, table: ThresholdTable) -> None:
        self._judge = judge
        self._settings = settings
        self._table = table
        self.limits = table.limits(judge.name, settings.thresholds)
        self.without_water = table.limits(
            WITHOUT_WATER.format(rule=judge.name), settings.thresholds
        )

    def levels(self, evidence: Evidence) -> LevelIndex:
        """Level index (..., epoch, unit) after each epoch."""
        return self._levels(evidence, self._judge.statistic(evidence, self._settings))

    def vote(self, evidence: Evidence, track: str) -> list[Vote]:
        """One vote for each unit, from the newest epoch."""
        statistic = self._judge.statistic(evidence, self._settings)
        levels = self._levels(evidence, statistic)
        limits = self._in_force(evidence)
        return [
            self._vote(evidence, track, unit, statistic, levels, limits)
            for unit in range(len(evidence.units))
        ]

    def _levels(self, evidence: Evidence, statistic: Floats) -> LevelIndex:
        return highest([statistic >= limit for limit in self._in_force(evidence)])

    def _in_force(self, evidence: Evidence) -> Limits:
        told = not self._judge.on_water or water_is_known(evidence)
        return self.limits if told else self.without_water

    def _vote(
        self,
        evidence: Evidence,
        track: str,
        unit: int,
        statistic: Floats,
        levels: LevelIndex,
        limits: Limits,
    ) -> Vote:
        name = self._judge.name
        if not len(statistic) or not np.isfinite(last(statistic, unit)):
            return silent(name, track, self._judge.speechless(evidence, unit))
        said = self._judge.say(evidence, unit, last(statistic, unit))
        if why := uncalibrated(limits, self._table):
            return silent(name, track, f"{said.sentence}; {why}", **said.figures)
        level = int(levels[-1, unit])
        past = f"past {limits[level - 1]:g}" if level else f"not past {min(limits):g}"
        basis = "" if limits is self.limits else TOLD_WITHOUT_WATER
        return Vote(
            rule=name,
            track=track,
            level=level_of(level),
            calibrated=True,
            reason=f"{said.sentence}: {past}{basis}",
            figures=dict(said.figures),
        )


def water_is_known(evidence: Evidence) -> bool:
    """Whether rain and level are known on most of the 120 days up to the last of them."""
    recent = (evidence.rain_mm[..., -WATER_DAYS:], evidence.level_m[..., -WATER_DAYS:])
    return all(bool(series.size) and np.isfinite(series).mean() >= 0.5 for series in recent)


def danger_signs(los_factor: Floats, direction: str) -> Signs:
    """Sign (..., unit) that makes LOS motion positive toward danger; 0: both sides.

    Where |`los_factor`| is at least 0.2 its sign, elsewhere that of `direction`.
    """
    fallback = {"away": -1, "toward": 1, "either": 0}[direction]
    seen = np.abs(los_factor) >= LEAST_LOS_FACTOR
    signs: Signs = np.where(seen, np.where(los_factor > 0, 1, -1), fallback).astype(np.int8)
    return signs


def toward_danger(series: Floats, signs: Signs) -> Floats:
    """A LOS series (..., epoch, unit) signed by `signs` (..., unit); its size where they are 0."""
    side = signs[..., np.newaxis, :]
    return np.asarray(np.where(side == 0, np.abs(series), series * side))


def mm_yr_downslope(series_mm_d: Floats, los_factor: Floats) -> Floats:
    """A LOS rate (..., epoch, unit) as mm/yr downslope; along LOS where that is not seen."""
    seen = np.abs(los_factor) >= LEAST_LOS_FACTOR
    factor = np.where(seen, np.abs(los_factor), 1.0)[..., np.newaxis, :]
    return np.asarray(series_mm_d * DAYS_PER_YEAR / factor)


def component_of(los_factor: float) -> str:
    """How the component is called in which `mm_yr_downslope` gives a rate."""
    return "downslope" if abs(los_factor) >= LEAST_LOS_FACTOR else "along the line of sight"


def held(statistic: Floats, told: Flags) -> Floats:
    """A statistic (..., epoch, unit) that keeps its last value at epochs that told nothing.

    Minus infinity before the first that did.
    """
    rows = np.arange(statistic.shape[-2])[:, np.newaxis]
    newest = np.maximum.accumulate(np.where(told, rows, -1), axis=-2)
    kept = np.take_along_axis(statistic, np.maximum(newest, 0), axis=-2)
    return np.asarray(np.where(newest >= 0, kept, -np.inf))
