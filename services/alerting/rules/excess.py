"""Excess: is the slope faster than creep, season, rain and level explain?

The rate beyond what the conditioned filter expects has a normal distribution. The statistic is the
excess in its own standard deviations, downslope positive: 2 and above is rare where only noise is
left over.

Sources: T. Carlà et al., Landslides 14 (2017) 517-534 for velocities judged against the usual
response; A. C. Harvey, Forecasting, Structural Time Series Models and the Kalman Filter (1989),
section 5.4, for tests of what a filter leaves over. What the filter is: docs/rules.md.
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
    component_of,
    danger_signs,
    held,
    mm_yr_downslope,
    toward_danger,
)
from services.alerting.thresholds import ThresholdTable

NAME = "excess"
__all__ = ["NAME", "Settings", "open", "statistic"]


def statistic(evidence: Evidence, settings: Settings) -> Floats:
    """Excess rate (..., epoch, unit) in its own standard deviations."""
    signs = danger_signs(evidence.los_factor, settings.direction)
    excess = toward_danger(evidence.excess_mm_d, signs) / evidence.excess_sd_mm_d
    told = with_data(evidence) & np.isfinite(excess)
    return held(excess, told)


def _say(evidence: Evidence, unit: int, value: float) -> Said:
    factor = evidence.los_factor[[unit]]
    told = with_data(evidence) & np.isfinite(evidence.excess_mm_d)
    epoch = int(np.flatnonzero(told[:, unit])[-1])
    series = (evidence.excess_mm_d, evidence.expected_mm_d, evidence.excess_sd_mm_d)
    sign = -1.0 if factor[0] < 0 else 1.0
    excess, expected, sd = (
        round(float(mm_yr_downslope(one[epoch, [unit]][np.newaxis], factor)[0, 0]) * s, 1)
        for one, s in zip(series, (sign, sign, 1.0), strict=True)
    )
    sds = round(value, 2)
    return Said(
        f"{excess:g} ± {sd:g} mm/yr {component_of(float(factor[0]))} beyond the {expected:g} that "
        f"creep, season, rain and level explain: {sds:g} standard deviations",
        {
            "excess_mm_yr": excess,
            "excess_sd_mm_yr": sd,
            "expected_mm_yr": expected,
            "excess_sds": sds,
        },
    )


def _speechless(evidence: Evidence, unit: int) -> str:
    return "no vote: no epoch yet from which an expectation could be made"


def open(settings: Settings, table: ThresholdTable) -> StatisticRule:
    """The rule; without limits in `settings` and `table` it votes `not calibrated`."""
    return StatisticRule(Judge(NAME, statistic, _say, _speechless), settings, table)
