"""CUSUM: does the slope keep running ahead of what creep, season, rain and level explain?

S = max(0, S + z - 0.5) over the conditioned filter's standardised innovations z of a unit, signed
so that downslope is positive. Steady motion, however fast, and the usual answer to water are
expected by the filter and leave S near zero; a drift of the innovations that lasts makes it climb.
Persistence is in the statistic itself.

Sources: E. S. Page, Biometrika 41 (1954) 100-115; G. V. Moustakides, Annals of Statistics 14 (1986)
1379-1387 for its optimality. The reference value 0.5 is half of a drift of one standard deviation.
"""

from __future__ import annotations

import numpy as np

from core.evidence import Evidence, Floats
from services.alerting.innovations import EPOCHS_TO_CALIBRATE, judged, too_few, usable_epochs
from services.alerting.statistic import Judge, Said, Settings, Signs, StatisticRule, danger_signs
from services.alerting.thresholds import ThresholdTable

NAME = "cusum"
REFERENCE_VALUE = 0.5

__all__ = ["EPOCHS_TO_CALIBRATE", "NAME", "Settings", "cusum", "open", "statistic"]


def cusum(innovation_z: Floats, signs: Signs) -> Floats:
    """S (..., epoch, unit) of `innovation_z` toward `signs` (..., unit); NaN epochs are skipped.

    With sign 0 the larger of both sides counts.
    """
    data = np.isfinite(innovation_z)
    z = np.where(data, innovation_z, 0.0)
    up = np.zeros((*z.shape[:-2], z.shape[-1]))
    down = np.zeros_like(up)
    result = np.zeros(z.shape)
    for epoch in range(z.shape[-2]):
        here, step = data[..., epoch, :], z[..., epoch, :]
        up = np.where(here, np.maximum(0.0, up + step - REFERENCE_VALUE), up)
        down = np.where(here, np.maximum(0.0, down - step - REFERENCE_VALUE), down)
        both = np.maximum(up, down)
        result[..., epoch, :] = np.where(signs > 0, up, np.where(signs < 0, down, both))
    return result


def statistic(evidence: Evidence, settings: Settings) -> Floats:
    """S (..., epoch, unit); minus infinity before 30 usable epochs."""
    signs = danger_signs(evidence.los_factor, settings.direction)
    enough = usable_epochs(evidence) >= EPOCHS_TO_CALIBRATE
    return np.asarray(np.where(enough, cusum(judged(evidence), signs), -np.inf))


def _say(evidence: Evidence, unit: int, value: float) -> Said:
    value, usable = round(value, 2), float(usable_epochs(evidence)[-1, unit])
    sentence = f"CUSUM {value:g} of how far motion runs ahead of what is explained"
    return Said(sentence, {"statistic": value, "usable_epochs": usable})


def open(settings: Settings, table: ThresholdTable) -> StatisticRule:
    """The rule; without limits in `settings` and `table` it votes `not calibrated`."""
    return StatisticRule(Judge(NAME, statistic, _say, too_few), settings, table)
