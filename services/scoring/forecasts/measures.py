"""Closed forms of what is measured on forecast errors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm

from core.evidence import Floats


def crps_mm(error_mm: Floats, sd_mm: Floats) -> Floats:
    """Continuous ranked probability score of a normal forecast, any shape.

    sd (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)) with z = error / sd, and |error| where sd is 0.
    Source: Gneiting and Raftery, J. Am. Stat. Assoc. 102 (2007), section 4.2.
    """
    sharp = sd_mm <= 0
    z = error_mm / np.where(sharp, 1.0, sd_mm)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    score = sd_mm * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return np.asarray(np.where(sharp, np.abs(error_mm), score))


def correlation(predicted: Floats, realised: Floats) -> float:
    """Pearson's, over all pairs where both are numbers; NaN where either does not vary."""
    both = np.isfinite(predicted) & np.isfinite(realised)
    x, y = predicted[both].astype(float), realised[both].astype(float)
    if x.size < 3:
        return np.nan
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 1e-9 * x.size else np.nan


class DieboldMariano(NamedTuple):
    """A model's squared errors against another's, one test a site."""

    better: int
    """Sites at which the model is better, two-sided p < 0.05."""
    worse: int
    sites: int
    """Sites that could be tested."""


def diebold_mariano(loss: Floats, other: Floats, lags: int) -> DieboldMariano:
    """Test mean(loss - other) = 0 at each site; losses (I, sites) are one a forecast in order.

    The variance of the mean is that of Newey and West with Bartlett weights up to `lags`, which
    must reach past the overlap of forecasts. Source: Diebold and Mariano, J. Bus. Econ. Stat. 13
    (1995); Newey and West, Econometrica 55 (1987).
    """
    difference = loss - other
    usable = np.isfinite(difference).all(axis=0)
    d = difference[:, usable]
    if not len(d) or not d.size:
        return DieboldMariano(0, 0, 0)
    mean = d.mean(axis=0)
    around = d - mean
    spread = (around**2).mean(axis=0)
    for lag in range(1, min(lags, len(d) - 1) + 1):
        spread += 2 * (1 - lag / (lags + 1)) * (around[lag:] * around[:-lag]).sum(axis=0) / len(d)
    error = np.sqrt(np.maximum(spread, 0.0) / len(d))
    statistic = np.divide(mean, error, out=np.zeros_like(mean), where=error > 0)
    limit = norm.ppf(0.975)
    return DieboldMariano(
        int((statistic < -limit).sum()), int((statistic > limit).sum()), int(usable.sum())
    )
