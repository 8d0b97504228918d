"""Change point: has the conditioned filter's innovation shifted downslope some epochs ago?

Over the last n usable epochs the sum of standardised innovations, divided by the root of n, is
standard normal while rain, level and creep explain the motion. The statistic is its largest value
over all n from 3 to 20: the generalised likelihood ratio (its signed root) against a lasting shift
of unknown size whose onset lies within the last 20 usable epochs. The n that gives it dates the
onset. Against CUSUM it needs no guess of the shift's size. Innovations with memory do not change
the statistic, only the threshold, which is measured.

Sources: T. L. Lai, J. R. Stat. Soc. B 57 (1995) 613-658 for the window-limited form; D. Siegmund
and E. S. Venkatraman, Annals of Statistics 23 (1995) 255-271; A. S. Willsky and H. L. Jones, IEEE
Trans. Automatic Control 21 (1976) 108-112 for its use on a filter's innovations.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from core.evidence import Evidence, Floats
from services.alerting import statistic as shared
from services.alerting.innovations import EPOCHS_TO_CALIBRATE, judged, too_few
from services.alerting.statistic import Judge, Said, Signs, StatisticRule, danger_signs
from services.alerting.thresholds import ThresholdTable

NAME = "change_point"

__all__ = ["NAME", "ChangePoint", "Settings", "change_point", "open", "statistic"]


class Settings(shared.Settings):
    """Limits of the statistic, its direction, and where an onset is looked for."""

    shortest: int = Field(3, ge=1, description="epochs that a shift has lasted, at least ...")
    longest: int = Field(20, ge=1, le=60, description="... and at most")

    @model_validator(mode="after")
    def _possible(self) -> Settings:
        if self.shortest > self.longest:
            raise ValueError("shortest cannot be more than longest")
        return self


class ChangePoint(NamedTuple):
    """After each epoch (..., epoch, unit): statistic, epochs of the shift, usable epochs so far.

    The statistic is -inf, and the shift 0 epochs long, before there are `shortest` usable epochs.
    """

    statistic: Floats
    lasted: npt.NDArray[np.int64]
    usable: npt.NDArray[np.int64]


def change_point(z: Floats, signs: Signs, shortest: int, longest: int) -> ChangePoint:
    """Largest standardised sum of the last `shortest` to `longest` innovations toward `signs`.

    `z` (..., epoch, unit), NaN epochs are skipped and change nothing; `signs` (..., unit), with
    sign 0 the larger of both sides counts.
    """
    data = np.isfinite(z)
    recent = np.full((longest, *z.shape[:-2], z.shape[-1]), np.nan)
    statistic = np.full(z.shape, -np.inf)
    lasted = np.zeros(z.shape, dtype=np.int64)
    root = np.sqrt(np.arange(1.0, longest + 1.0)).reshape(-1, *[1] * signs.ndim)
    for epoch in range(z.shape[-2]):
        pushed = np.concatenate([z[np.newaxis, ..., epoch, :], recent[:-1]])
        recent = np.where(data[..., epoch, :], pushed, recent)
        sums = np.cumsum(recent, axis=0) / root
        sided = np.where(signs == 0, np.abs(sums), sums * signs)
        sided[: shortest - 1] = np.nan
        sided = np.where(np.isnan(sided), -np.inf, sided)
        statistic[..., epoch, :] = sided.max(axis=0)
        found = np.isfinite(statistic[..., epoch, :])
        lasted[..., epoch, :] = np.where(found, sided.argmax(axis=0) + 1, 0)
    return ChangePoint(statistic, lasted, np.cumsum(data, axis=-2))


def statistic(evidence: Evidence, settings: Settings) -> Floats:
    """The statistic (..., epoch, unit) after each epoch; minus infinity before 30 usable ones."""
    found = _found(evidence, settings)
    return np.where(found.usable >= EPOCHS_TO_CALIBRATE, found.statistic, -np.inf)


def _found(evidence: Evidence, settings: Settings) -> ChangePoint:
    signs = danger_signs(evidence.los_factor, settings.direction)
    return change_point(judged(evidence), signs, settings.shortest, settings.longest)


def _say(evidence: Evidence, settings: Settings, unit: int, value: float) -> Said:
    found = _found(evidence, settings)
    days = evidence.epoch_day[np.isfinite(judged(evidence)[:, unit])]
    onset = int(days[-int(found.lasted[-1, unit])])
    began = date(1970, 1, 1) + timedelta(days=onset)
    return Said(
        f"innovations since {began} stand {value:.2f} sds of their sum from what creep, season, "
        "rain and level explain",
        {
            "statistic": round(value, 2),
            "onset_days": float(evidence.epoch_day[-1] - onset),
            "usable_epochs": float(found.usable[-1, unit]),
        },
    )


def open(settings: Settings, table: ThresholdTable) -> StatisticRule:
    """The rule; without limits in `settings` and `table` it votes `not calibrated`."""
    judge = Judge(
        NAME,
        lambda evidence, _: statistic(evidence, settings),
        lambda evidence, unit, value: _say(evidence, settings, unit, value),
        too_few,
    )
    return StatisticRule(judge, settings, table)
