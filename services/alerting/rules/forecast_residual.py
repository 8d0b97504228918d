"""Forecast residual: did the slope miss what was forecast of it, upward, and more than once?

The statistic is how far epochs lay beyond the unit filter's forecast of some 24 days before, in
standard deviations, downslope positive: the second largest of the last three epochs with one. One
epoch alone may be atmosphere.

Sources: M. Basseville and I. V. Nikiforov, Detection of Abrupt Changes (1993), section 2.4, for
tests of residuals.
"""

from __future__ import annotations

import numpy as np

from core.evidence import Evidence, Floats
from services.alerting.rule import with_data
from services.alerting.statistic import (
    Judge,
    Said,
    Settings,
    StatisticRule,
    danger_signs,
    toward_danger,
)
from services.alerting.thresholds import ThresholdTable

NAME = "forecast_residual"
HITS, OF = 2, 3

__all__ = ["NAME", "Settings", "open", "statistic"]


def statistic(evidence: Evidence, settings: Settings) -> Floats:
    """Second largest of the last three misses (..., epoch, unit), in standard deviations."""
    signs = danger_signs(evidence.los_factor, settings.direction)
    miss = toward_danger(evidence.forecast_z, signs)
    told = with_data(evidence) & np.isfinite(miss)
    recent = np.full((OF, *miss.shape[:-2], miss.shape[-1]), -np.inf)
    result = np.empty(miss.shape)
    for epoch in range(miss.shape[-2]):
        pushed = np.concatenate([miss[np.newaxis, ..., epoch, :], recent[:-1]])
        recent = np.where(told[..., epoch, :], pushed, recent)
        result[..., epoch, :] = np.sort(recent, axis=0)[-HITS]
    return result


def _say(evidence: Evidence, unit: int, value: float) -> Said:
    value = round(value, 2)
    sentence = (
        f"{HITS} of the last {OF} epochs lay at least {value:g} standard deviations beyond the "
        "forecast of 24 days before"
    )
    return Said(sentence, {"statistic": value})


def _speechless(evidence: Evidence, unit: int) -> str:
    return "no vote: too few epochs with a forecast of 24 days before"


def open(settings: Settings, table: ThresholdTable) -> StatisticRule:
    """The rule; without limits in `settings` and `table` it votes `not calibrated`."""
    return StatisticRule(Judge(NAME, statistic, _say, _speechless, on_water=False), settings, table)
