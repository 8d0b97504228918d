"""Tangential angle: how steep is the motion against the slope's own uniform creep? No vote.

Displacement divided by the rate of uniform creep v_eq is a time, and its curve against time rises
at 45 degrees while the creep is uniform: angle = atan(v / v_eq). In the literature 45 to 80 degrees
call for caution, 80 to 85 for a warning, and from 85 on there is danger. All hangs on v_eq: at
Outang another window for it changed a fifth of the levels. So v_eq has a posterior here, from the
unit's earlier record, the angle has an interval, and the rule shows both and asks for no level.

v_eq is the weighted straight line through the record that ends `apart_days` before the epoch, with
an annual season beside it. Its sd counts how much the residuals scatter beyond the noise they came
with, that neighbours are alike, and that years differ: a record of n years has seen n of them.

Sources: Q. Xu, Y. Yuan, Y. Zeng and R. Hack, Science China Technological Sciences 54 (2011) 2148-
2157 for the improved tangential angle and its classes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from core.events import Vote
from core.evidence import Evidence, Floats
from core.kinematics import DAYS_PER_YEAR, mm_yr_from_mm_d
from core.settings import Tree
from services.alerting.displacement import stretches, with_displacement
from services.alerting.rule import LevelIndex, silent, with_data
from services.alerting.statistic import danger_signs
from services.alerting.thresholds import ThresholdTable

NAME = "tangential_angle"
CLASSES = ((85.0, "danger"), (80.0, "warning"), (45.0, "caution"))
"""Least angle in degrees of each class of the literature, and its name."""
NODES = 199
"""Quantiles that stand for each Gaussian."""


class Settings(Tree):
    """Which part of the record tells the uniform creep."""

    apart_days: int = Field(
        180, ge=60, description="the record that tells the uniform creep ends this long before"
    )
    least_days: int = Field(365, ge=180, description="it must be at least this long")
    least_epochs: int = Field(15, ge=8, description="and have this many epochs with data")
    year_share: float = Field(
        0.2, ge=0, description="sd of the creep of one year as a share of the mean of many"
    )
    surely: float = Field(
        2.0, gt=0, description="sds that the uniform creep must be above 0 for an angle to be told"
    )


class Creep(NamedTuple):
    """Rate of uniform creep and its standard deviation, mm/d along the line of sight."""

    rate_mm_d: float
    sd_mm_d: float


class Angle(NamedTuple):
    """Quantiles 10, 50 and 90 % of the tangential angle, degrees."""

    low: float
    median: float
    high: float


def uniform_creep(
    day: npt.NDArray[np.int64], observed_mm: Floats, sd_mm: Floats, stretch: npt.NDArray[np.int64]
) -> Creep | None:
    """Posterior of the rate, under a flat prior, of a record (N,) of epochs with data.

    One slope, an annual season and a zero for each stretch by weighted least squares; N is more
    than the stretches and three. The sd is multiplied by the root of the residuals' mean square
    over the noise where that is above 1, and by that of (1 + rho) / (1 - rho) for a lag-one
    correlation rho above 0. None where the stretches are too short to tell a slope.
    """
    since = (day - day[0]) / 1.0
    year = 2.0 * np.pi * since / DAYS_PER_YEAR
    zeros = stretch[:, None] == np.unique(stretch)
    design = np.concatenate([np.stack([since, np.sin(year), np.cos(year)], axis=-1), zeros], axis=1)
    weighted, seen = design / sd_mm[:, None], observed_mm / sd_mm
    fit, _, rank, _ = np.linalg.lstsq(weighted, seen)
    if rank < design.shape[1]:
        return None
    left = seen - weighted @ fit
    squares = float((left**2).sum())
    scatter = squares / (len(day) - design.shape[1])
    memory = float((left[1:] * left[:-1]).sum()) / squares if squares else 0.0
    memory = min(max(memory, 0.0), 0.9)
    variance = np.linalg.inv(weighted.T @ weighted)[0, 0]
    variance *= max(scatter, 1.0) * (1.0 + memory) / (1.0 - memory)
    return Creep(float(fit[0]), float(np.sqrt(variance)))


def tangential_angle(velocity_mm_d: float, sd_mm_d: float, creep: Creep) -> Angle:
    """Quantiles of atan(v / v_eq) for a Gaussian v and a Gaussian v_eq held above 0.

    Both are positive in one direction; the sign is kept, so that a standstill is 0 degrees and
    motion back is below. Errors of v and v_eq come from epochs apart and are taken as independent.
    """
    from scipy.special import ndtr, ndtri

    share = (np.arange(NODES) + 0.5) / NODES
    below = ndtr(-creep.rate_mm_d / creep.sd_mm_d)
    uniform = creep.rate_mm_d + creep.sd_mm_d * ndtri(below + (1.0 - below) * share)
    velocity = velocity_mm_d + sd_mm_d * ndtri(share)
    angles = np.degrees(np.arctan(velocity[:, None] / uniform))
    return Angle(*(float(q) for q in np.quantile(angles, (0.1, 0.5, 0.9))))


def class_of(angle_deg: float) -> str:
    """Name of the class of an angle in the literature."""
    return next((name for least, name in CLASSES if angle_deg >= least), "uniform or slower")


def statistic(evidence: Evidence, settings: Settings) -> Floats:
    """-inf (..., epoch, unit): the angle asks for no level, at any threshold."""
    return np.full(evidence.velocity_mm_d.shape, -np.inf)


class TangentialAngle:
    """The rule with its settings. Where downslope is not seen, it is where the creep goes."""

    daily = False

    daily = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def levels(self, evidence: Evidence) -> LevelIndex:
        """Blue (..., epoch, unit), always."""
        return np.zeros(evidence.velocity_mm_d.shape, dtype=np.int8)

    def vote(self, evidence: Evidence, track: str) -> list[Vote]:
        """The angle of each unit after its last epoch with data, never with a level."""
        return [self._vote(evidence, track, unit) for unit in range(len(evidence.units))]

    def _vote(self, evidence: Evidence, track: str, unit: int) -> Vote:
        data = with_data(evidence)[:, unit] & np.isfinite(evidence.velocity_sd_mm_d[:, unit])
        epochs = np.flatnonzero(data & np.isfinite(evidence.velocity_mm_d[:, unit]))
        if epochs.size == 0:
            return silent(NAME, track, "no angle: no epoch with data yet")
        creep = self._creep(evidence, unit, int(epochs[-1]))
        if isinstance(creep, str):
            return silent(NAME, track, creep)
        sign = int(danger_signs(evidence.los_factor[[unit]], "either")[0])
        way = float(sign or np.sign(creep.rate_mm_d))
        creep = creep._replace(rate_mm_d=way * creep.rate_mm_d)
        if creep.rate_mm_d < self._settings.surely * creep.sd_mm_d:
            few = f"no angle: the earlier record shows no sure creep downslope ({_told(creep)})"
            return silent(NAME, track, few, **_figures(creep))
        velocity = way * float(evidence.velocity_mm_d[epochs[-1], unit])
        sd = float(evidence.velocity_sd_mm_d[epochs[-1], unit])
        return _shown(track, tangential_angle(velocity, sd, creep), creep)

    def _creep(self, evidence: Evidence, unit: int, epoch: int) -> Creep | str:
        """The uniform creep before `epoch`, or why it is not known."""
        own, day = self._settings, evidence.epoch_day
        usable = with_displacement(evidence)[:, unit] & (day <= day[epoch] - own.apart_days)
        days, stretch = day[usable], stretches(evidence)[usable, unit]
        least_epochs = own.least_epochs + len(np.unique(stretch)) - 1
        if len(days) >= least_epochs and np.ptp(days) >= own.least_days:
            observed, sd = evidence.observed_mm[usable, unit], evidence.observed_sd_mm[usable, unit]
            if creep := uniform_creep(days, observed, sd, stretch):
                return _as_one_of_many_years(creep, np.ptp(days), own.year_share)
        return (
            f"no angle: uniform creep needs {own.least_days} days and {own.least_epochs} epochs of "
            f"record that end {own.apart_days} days before"
        )


def _as_one_of_many_years(creep: Creep, days: float, year_share: float) -> Creep:
    """The creep with what its years may differ from other years in its sd."""
    years = max(days / DAYS_PER_YEAR, 1.0)
    of_years = year_share * abs(creep.rate_mm_d) / np.sqrt(years)
    return creep._replace(sd_mm_d=float(np.hypot(creep.sd_mm_d, of_years)))


def _told(creep: Creep) -> str:
    rate, sd = (mm_yr_from_mm_d(value) for value in creep)
    return f"{rate:.0f} ± {sd:.0f} mm/yr"


def _figures(creep: Creep) -> dict[str, float]:
    return {
        "uniform_creep_mm_yr": round(mm_yr_from_mm_d(creep.rate_mm_d), 1),
        "uniform_creep_sd_mm_yr": round(mm_yr_from_mm_d(creep.sd_mm_d), 1),
    }


def _shown(track: str, angle: Angle, creep: Creep) -> Vote:
    low, high = class_of(angle.low), class_of(angle.high)
    return Vote(
        rule=NAME,
        track=track,
        level="blue",
        calibrated=True,
        reason=f"tangential angle {angle.median:.0f} degrees (8 of 10: {angle.low:.0f} to "
        f"{angle.high:.0f}; in the literature {low if low == high else f'{low} to {high}'}); it "
        f"depends on the uniform creep, {_told(creep)} along the line of sight, and asks for no "
        "level by itself",
        figures={
            "angle_low_deg": round(angle.low, 1),
            "angle_deg": round(angle.median, 1),
            "angle_high_deg": round(angle.high, 1),
            **_figures(creep),
        },
    )


def open(settings: Settings, table: ThresholdTable) -> TangentialAngle:
    """The rule; it has no thresholds."""
    return TangentialAngle(settings)
