"""Acceleration: is the slope both faster than explained and getting faster still?

p is a lower bound of the probability that the excess rate is positive *and* has grown over the last
36 days: P(excess > 0) + P(growth > 0) - 1, which holds however the two hang together (Fréchet). The
statistic is -log10(1 - p): 1 at 90 %, 2 at 99 %.

Sources: M. Fréchet, Ann. Univ. Lyon A 14 (1951) 53-77 for the bound; T. Fukuzono, Proc. 4th Int.
Conf. Landslides (1985) 145-150 for growth of the rate as what comes before failure.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from core.evidence import Evidence, Floats
from services.alerting.rule import with_data
from services.alerting.statistic import (
    Judge,
    Said,
    Settings,
    Signs,
    StatisticRule,
    danger_signs,
    held,
    toward_danger,
)
from services.alerting.thresholds import ThresholdTable

NAME = "acceleration"
_LEAST = 1e-12

__all__ = ["NAME", "Settings", "open", "statistic"]


def statistic(evidence: Evidence, settings: Settings) -> Floats:
    """-log10(1 - p) (..., epoch, unit); minus infinity before 36 days of record."""
    signs = danger_signs(evidence.los_factor, settings.direction)
    side: Signs = np.where(signs == 0, 1, signs).astype(np.int8)
    both = [_toward(evidence, side)]
    if (signs == 0).any():
        both.append(np.where((signs == 0)[..., np.newaxis, :], _toward(evidence, -side), -np.inf))
    surely = np.maximum.reduce(both)
    told = with_data(evidence) & np.isfinite(evidence.excess_change_mm_d2)
    return held(np.where(told, surely, -np.inf), told)


def _toward(evidence: Evidence, signs: Signs) -> Floats:
    faster, faster_sd = toward_danger(evidence.excess_mm_d, signs), evidence.excess_sd_mm_d
    grows = toward_danger(evidence.excess_change_mm_d2, signs)
    with np.errstate(invalid="ignore"):
        below = ndtr(-faster / faster_sd) + ndtr(-grows / evidence.excess_change_sd_mm_d2)
        return np.asarray(-np.log10(np.clip(below, _LEAST, 1.0)))


def _say(evidence: Evidence, unit: int, value: float) -> Said:
    probability = round(1.0 - 10.0**-value, 4)
    return Said(
        f"probability of at least {100 * probability:.4g} % that it is faster than explained and "
        f"has become so over 36 days ({round(value, 2):g} on the scale of this rule)",
        {"probability_accelerating": probability, "statistic": round(value, 2)},
    )


def _speechless(evidence: Evidence, unit: int) -> str:
    return "no vote: less than 36 days of record"


def open(settings: Settings, table: ThresholdTable) -> StatisticRule:
    """The rule; without limits in `settings` and `table` it votes `not calibrated`."""
    return StatisticRule(Judge(NAME, statistic, _say, _speechless), settings, table)
