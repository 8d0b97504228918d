"""CUSUM: does the slope keep running ahead of what the filter expects?

S = max(0, S + z - 0.5) over the standardised innovations z of a unit, signed so that downslope is
positive. Steady motion, however fast, is expected by the filter and leaves S near zero; a drift of
the innovations that lasts makes it climb. Persistence is in the statistic itself.

Sources: E. S. Page, Biometrika 41 (1954) 100-115; G. V. Moustakides, Annals of Statistics 14 (1986)
1379-1387 for its optimality. The reference value 0.5 is half of a drift of one standard deviation.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from core.events import Vote
from core.evidence import Evidence, Floats
from core.geometry import LEAST_LOS_FACTOR
from core.settings import Tree
from services.alerting.rule import (
    LevelIndex,
    highest,
    last,
    level_of,
    silent,
    uncalibrated,
    with_data,
)
from services.alerting.thresholds import Limits, Overrides, ThresholdTable

NAME = "cusum"
REFERENCE_VALUE = 0.5
EPOCHS_TO_CALIBRATE = 30

Signs = npt.NDArray[np.int8]


class Settings(Tree):
    """Thresholds of the statistic, and its direction where downslope is not seen."""

    direction: Literal["away", "toward", "either"] = Field(
        "either",
        description="of line-of-sight motion, where the downslope direction is not known or the "
        "line of sight sees less than a fifth of it; either: both sides are watched",
    )
    thresholds: Overrides = Field(
        Overrides(), description="a level left out is taken from the calibrated table"
    )


class Cusum(NamedTuple):
    """After each epoch (..., epoch, unit): level index, statistic S and usable epochs so far."""

    level: LevelIndex
    statistic: Floats
    usable: npt.NDArray[np.int64]


def danger_signs(los_factor: Floats, direction: str) -> Signs:
    """Sign (..., unit) that makes innovations positive toward danger; 0: both sides.

    Where |`los_factor`| is at least 0.2 its sign, elsewhere that of `direction`.
    """
    fallback = {"away": -1, "toward": 1, "either": 0}[direction]
    seen = np.abs(los_factor) >= LEAST_LOS_FACTOR
    signs: Signs = np.where(seen, np.where(los_factor > 0, 1, -1), fallback).astype(np.int8)
    return signs


def cusum_levels(innovation_z: Floats, signs: Signs, limits: Limits) -> Cusum:
    """CUSUM of `innovation_z` (..., epoch, unit) toward `signs` (..., unit).

    NaN epochs are skipped. With sign 0 the larger of both sides counts. Before 30 usable epochs
    the level is 0, whatever the statistic.
    """
    data = np.isfinite(innovation_z)
    z = np.where(data, innovation_z, 0.0)
    up = np.zeros((*z.shape[:-2], z.shape[-1]))
    down = np.zeros_like(up)
    statistic = np.zeros(z.shape)
    for epoch in range(z.shape[-2]):
        here, step = data[..., epoch, :], z[..., epoch, :]
        up = np.where(here, np.maximum(0.0, up + step - REFERENCE_VALUE), up)
        down = np.where(here, np.maximum(0.0, down - step - REFERENCE_VALUE), down)
        both = np.maximum(up, down)
        statistic[..., epoch, :] = np.where(signs > 0, up, np.where(signs < 0, down, both))
    usable = np.cumsum(data, axis=-2)
    calibrated = usable >= EPOCHS_TO_CALIBRATE
    level = highest([(statistic >= limit) & calibrated for limit in limits])
    return Cusum(level, statistic, usable)


class CusumRule:
    """The rule with its settings and thresholds."""

    def __init__(self, settings: Settings, table: ThresholdTable) -> None:
        self._settings = settings
        self._table = table
        self.limits = table.limits(NAME, settings.thresholds)

    def levels(self, evidence: Evidence) -> LevelIndex:
        """Level index (..., epoch, unit) after each epoch."""
        return self._run(evidence).level

    def vote(self, evidence: Evidence, track: str) -> list[Vote]:
        """One vote for each unit, with the statistic and the number of usable epochs."""
        run = self._run(evidence)
        return [self._vote(track, unit, run) for unit in range(len(evidence.units))]

    def _run(self, evidence: Evidence) -> Cusum:
        z = np.where(with_data(evidence), evidence.innovation_z, np.nan)
        signs = danger_signs(evidence.los_factor, self._settings.direction)
        return cusum_levels(z, signs, self.limits)

    def _vote(self, track: str, unit: int, run: Cusum) -> Vote:
        usable = int(run.usable[-1, unit]) if run.usable.shape[0] else 0
        if usable < EPOCHS_TO_CALIBRATE:
            few = f"not calibrated: {usable} of {EPOCHS_TO_CALIBRATE} epochs"
            return silent(NAME, track, few, usable_epochs=float(usable))
        if why := uncalibrated(self.limits, self._table):
            return silent(NAME, track, why, usable_epochs=float(usable))
        level, statistic = int(run.level[-1, unit]), round(last(run.statistic, unit), 2)
        state = f"not past {min(self.limits):g}"
        if level:
            state = f"past {self.limits[level - 1]:g}: motion keeps running ahead of expectation"
        return Vote(
            rule=NAME,
            track=track,
            level=level_of(level),
            calibrated=True,
            reason=f"CUSUM {statistic:g}, {state}",
            figures={"statistic": statistic, "usable_epochs": float(usable)},
        )


def open(settings: Settings, table: ThresholdTable) -> CusumRule:
    """The rule; without thresholds in `settings` and `table` it votes `not calibrated`."""
    return CusumRule(settings, table)
