"""Failure time: does the motion run away after Voight's law, and when would it end?

Where a unit's excess over what rain and level explain points toward danger at two epochs with data,
its recent displacement is compared under three models (`core.voight`): explained motion, explained
motion and an excess that does not accelerate, and explained motion and a runaway. The statistic is
log10 of the Bayes factor of the runaway against the better of the others; the rule asks for a level
where it reaches the level's limit. Why the Bayes factor and not the probability of failure within
30 days: the latter holds if the unit runs away and says nothing of whether it does, and on
simulated slopes it detected no more at any lead.

A time of failure is told only with a Bayes factor of 10 or more and 4 epochs in the acceleration,
whatever level is asked for; without, the reason is told. 12-day revisits give intervals of tens of
days.

Sources: B. Voight, Science 243 (1989) 200-203; T. Fukuzono, Proc. 4th Int. Conf. Landslides (1985)
145-150; R. E. Kass and A. E. Raftery, J. Am. Stat. Assoc. 90 (1995) 773-795 for Bayes factors.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
from pydantic import Field

from core import voight
from core.evidence import Evidence, Floats
from core.geometry import LEAST_LOS_FACTOR
from core.voight import FailureTime, Priors, Windows
from services.alerting import statistic as shared
from services.alerting.displacement import stretches, with_displacement
from services.alerting.rule import Flags
from services.alerting.rules.velocity import persistent
from services.alerting.statistic import (
    Judge,
    Said,
    StatisticRule,
    danger_signs,
    held,
    toward_danger,
)
from services.alerting.thresholds import ThresholdTable

NAME = "failure_time"
EPOCHS_OF_EXCESS = 2
MOST_SHOWN = 6.0
"""log10 of a Bayes factor beyond which its figure is told as this."""

__all__ = ["NAME", "Settings", "compared", "in_excess", "open", "statistic"]


class Settings(shared.Settings):
    """Limits in log10 of the Bayes factor, the record, and what is possible before it is seen."""

    epochs: int = Field(25, ge=12, le=60, description="epochs with data that are compared")
    surely: float = Field(
        0.5, ge=0, description="models are compared where the excess is this many sds above 0"
    )
    onset_mm_d: float = Field(
        1.0, gt=0, description="half-normal scale of the downslope rate at the onset, mm/d"
    )
    hydrology_share: float = Field(
        0.3, gt=0, description="sd of the share by which the expected motion may be wrong"
    )
    season_mm: float = Field(
        3.0, gt=0, description="sd of an unexplained season along the line of sight, mm"
    )
    extra_sd_mm: float = Field(
        0.0, ge=0, description="noise of an epoch beyond the one it came with, mm"
    )


def in_excess(evidence: Evidence, settings: Settings) -> Flags:
    """Whether the excess was surely toward danger at the last two epochs with data (..., E, U)."""
    signs = danger_signs(evidence.los_factor, settings.direction)
    excess = toward_danger(evidence.excess_mm_d, signs)
    data = with_displacement(evidence)
    hit = data & (excess > settings.surely * evidence.excess_sd_mm_d)
    return persistent(hit, data, EPOCHS_OF_EXCESS, EPOCHS_OF_EXCESS)


def compared(evidence: Evidence, settings: Settings, at: Flags) -> FailureTime:
    """The models' comparison where `at` (..., epoch, unit) says so, in its order, one row each.

    `at` may hold only where `in_excess` does, at epochs with data.
    """
    priors = Priors(
        settings.onset_mm_d, settings.hydrology_share, settings.season_mm, settings.extra_sd_mm
    )
    return voight.failure_time(_windows(evidence, at, settings), priors)


def statistic(evidence: Evidence, settings: Settings) -> Floats:
    """log10 of the Bayes factor of a runaway (..., epoch, unit) after each epoch.

    0 where the excess is not surely toward danger, so that models are not compared; minus infinity
    where it is not known, or there are too few epochs. An epoch without data changes nothing.
    """
    data = with_displacement(evidence) & np.isfinite(evidence.excess_mm_d)
    at = data & in_excess(evidence, settings)
    found = np.where(data, 0.0, -np.inf)
    found[at] = compared(evidence, settings, at).log10_bayes_factor
    return held(found, data)


def _windows(evidence: Evidence, at: Flags, settings: Settings) -> Windows:
    """The last epochs with data up to each place in `at`, of one stretch, positive to danger.

    Where both sides are watched, danger is where the excess points.
    """
    place = np.nonzero(at)
    site, unit = place[:-2], place[-1]
    data = with_displacement(evidence)
    with_data_first = np.argsort(~data, axis=-2, kind="stable")
    nth = np.cumsum(data, axis=-2)[place][:, None] - np.arange(settings.epochs, 0, -1)
    row, column = tuple(axis[:, None] for axis in site), unit[:, None]
    epoch = with_data_first[(*row, np.maximum(nth, 0), column)]
    pick = (*row, epoch, column)
    stretch = stretches(evidence)[pick]
    there = (nth >= 0) & (stretch == stretch[:, -1:])
    day = evidence.epoch_day[(*row, epoch)]
    factor = evidence.los_factor[(*site, unit)]
    signs = danger_signs(factor, settings.direction)
    sign = np.where(signs == 0, np.sign(evidence.excess_mm_d[place]), signs)[:, None]
    return Windows(
        days_ago=day[:, -1:] - day,
        observed_mm=np.where(there, evidence.observed_mm[pick] * sign, np.nan),
        sd_mm=np.where(there, evidence.observed_sd_mm[pick], np.nan),
        expected_mm=_cumulated(evidence.expected_mm_d[pick] * sign, day),
        size=np.where(np.abs(factor) >= LEAST_LOS_FACTOR, np.abs(factor), 1.0),
    )


def _cumulated(rate_mm_d: Floats, day: npt.NDArray[np.int64]) -> Floats:
    """Displacement (B, N) from 0 on by the trapezoid rule; an unknown rate is the window's mean.

    A steady rate more or less is taken up by the creep of every model, so the mean adds nothing.
    """
    known = np.isfinite(rate_mm_d)
    total = np.where(known, rate_mm_d, 0.0).sum(axis=-1, keepdims=True)
    mean = total / np.maximum(known.sum(axis=-1, keepdims=True), 1)
    rate = np.where(known, rate_mm_d, mean)
    steps = 0.5 * (rate[:, 1:] + rate[:, :-1]) * np.diff(day, axis=-1)
    return np.concatenate([np.zeros((len(rate), 1)), np.cumsum(steps, axis=-1)], axis=-1)


def _say(evidence: Evidence, settings: Settings, unit: int) -> Said:
    newest = _newest(evidence, unit)
    at = np.zeros(evidence.observed_mm.shape, dtype=bool)
    at[newest, unit] = in_excess(evidence, settings)[newest, unit]
    if not at.any():
        return Said(f"not surely faster than explained at {EPOCHS_OF_EXCESS} epochs", {})
    found = FailureTime._make(field[0] for field in compared(evidence, settings, at))
    day = date(1970, 1, 1) + timedelta(days=int(evidence.epoch_day[newest]))
    return Said(
        f"{_told(found, day)}; log10 Bayes factor {found.log10_bayes_factor:.2f} for a runaway",
        _figures(found),
    )


def _newest(evidence: Evidence, unit: int) -> int:
    """The newest epoch of a unit that the statistic is of; -1 for none."""
    known = with_displacement(evidence) & np.isfinite(evidence.excess_mm_d)
    return int(max(np.flatnonzero(known[:, unit]), default=-1))


def _speechless(evidence: Evidence, unit: int) -> str:
    if not with_displacement(evidence)[:, unit].any():
        return "no vote: no epoch with a displacement of the unit yet"
    if _newest(evidence, unit) < 0:
        return "no vote: what rain and level explain is not known yet"
    return f"no vote: {voight.REFUSALS[1]}"


def _figures(found: FailureTime) -> dict[str, float]:
    """Figures of a vote; the times only where they may be told."""
    figures = {
        "bayes_factor": float(f"{10 ** min(float(found.log10_bayes_factor), MOST_SHOWN):.3g}"),
        "epochs_in_acceleration": float(found.epochs_in_acceleration),
    }
    if found.refused:
        return figures
    return figures | {
        "probability_30d": round(float(found.probability_30d), 3),
        "failure_low_days": round(float(found.low_days), 1),
        "failure_median_days": round(float(found.median_days), 1),
        "failure_high_days": round(float(found.high_days), 1),
    }


def _told(found: FailureTime, day: date) -> str:
    """The time of failure in words, counted from the unit's last epoch, or why there is none."""
    if found.refused:
        return f"no time of failure is given: {voight.REFUSALS[int(found.refused)]}"
    return (
        f"if it goes on after Voight's law, failure {found.low_days:.0f} to "
        f"{found.high_days:.0f} days after {day} (8 of 10; median {found.median_days:.0f})"
    )


def open(settings: Settings, table: ThresholdTable) -> StatisticRule:
    """The rule; without limits in `settings` and `table` it votes `not calibrated`."""
    judge = Judge(
        NAME,
        lambda evidence, _: statistic(evidence, settings),
        lambda evidence, unit, _: _say(evidence, settings, unit),
        _speechless,
        on_water=False,
    )
    return StatisticRule(judge, settings, table)
