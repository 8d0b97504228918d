"""e-detector: how long would an unchanged slope take to look like this?

A restarting e-detector of Shiryaev-Roberts kind over the conditioned filter's standardised
innovations z, signed so that downslope is positive: R = (1 + R) exp(d z - d^2 / 2) for each drift d
of a few, then the mean over them. While nothing has changed and the z are standard normal, the mean
number of epochs until R first reaches a limit is at least that limit, whatever the time since the
start. The statistic is log10 of R.

Sources: J. Shin, A. Ramdas and A. Rinaldo, E-detectors: a nonparametric framework for sequential
change detection, The New England Journal of Statistics in Data Science 2 (2024); M. Pollak, Annals
of Statistics 13 (1985) 206-227 for the mixture over drifts. Limits come from simulation, since real
z are not quite normal and hang together.
"""

from __future__ import annotations

import numpy as np

from core.evidence import Evidence, Floats
from services.alerting.innovations import EPOCHS_TO_CALIBRATE, judged, too_few, usable_epochs
from services.alerting.statistic import Judge, Said, Settings, StatisticRule, danger_signs
from services.alerting.thresholds import ThresholdTable

NAME = "edetector"
DRIFTS = (0.25, 0.5, 1.0, 1.5, 2.0)
LARGEST = 1e12
"""R is cut off here: a detector that went further would not come back within the record."""

__all__ = ["NAME", "Settings", "detector", "open", "statistic"]


def detector(innovation_z: Floats) -> Floats:
    """R (..., epoch, unit) of `innovation_z`, large when they drift upward; NaN are skipped."""
    data = np.isfinite(innovation_z)
    z = np.where(data, innovation_z, 0.0)
    drift = np.array(DRIFTS).reshape(-1, *([1] * (z.ndim - 1)))
    level = np.zeros((len(DRIFTS), *z.shape[:-2], z.shape[-1]))
    result = np.zeros(z.shape)
    for epoch in range(z.shape[-2]):
        factor = np.exp(np.minimum(drift * z[..., epoch, :] - drift**2 / 2, 50.0))
        grown = np.minimum((1.0 + level) * factor, LARGEST)
        level = np.where(data[..., epoch, :], grown, level)
        result[..., epoch, :] = sum(level) / len(DRIFTS)
    return result


def statistic(evidence: Evidence, settings: Settings) -> Floats:
    """log10 R (..., epoch, unit); minus infinity before 30 usable epochs."""
    z = judged(evidence)
    signs = danger_signs(evidence.los_factor, settings.direction)[..., np.newaxis, :]
    signed = detector(z * np.where(signs == 0, 1, signs))
    both = np.where(signs == 0, np.maximum(signed, detector(-z)), signed)
    enough = usable_epochs(evidence) >= EPOCHS_TO_CALIBRATE
    with np.errstate(divide="ignore"):
        return np.asarray(np.where(enough, np.log10(both), -np.inf))


def _say(evidence: Evidence, unit: int, value: float) -> Said:
    value, usable = round(value, 2), float(usable_epochs(evidence)[-1, unit])
    sentence = f"run length 10^{value:g} epochs: an unchanged slope looks like this that rarely"
    return Said(sentence, {"log10_run_length_epochs": value, "usable_epochs": usable})


def open(settings: Settings, table: ThresholdTable) -> StatisticRule:
    """The rule; without limits in `settings` and `table` it votes `not calibrated`."""
    return StatisticRule(Judge(NAME, statistic, _say, too_few), settings, table)
