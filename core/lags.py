"""The one definition of the lag between a driver and a slope's rate.

The twin's acceptance test and the lag maps use this function, so both speak of the same lag. It
stands outside the twin because what is judged on the twin may not import it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def smooth(series: Floats, window_days: int) -> Floats:
    """Centred moving mean over the last axis; (..., T) gives (..., T - window_days + 1)."""
    total = np.cumsum(series, axis=-1, dtype=np.float64)
    total = np.concatenate([np.zeros_like(total[..., :1]), total], axis=-1)
    return np.asarray((total[..., window_days:] - total[..., :-window_days]) / window_days)


def lag_days(
    driver: Floats, rate: Floats, *, window_days: int = 15, max_lag_days: int = 60
) -> Floats:
    """Lag at which a smoothed driver best explains the smoothed rate.

    Both series pass the same centred moving mean, which shifts neither; the lag is that of the
    largest Pearson correlation over 0..max_lag_days, every lag judged on the same days of `rate`.

    Args:
        driver: daily driver, shape (..., T): rain in mm/d, or drawdown (minus the change of level)
            in m/d. Larger must mean faster motion.
        rate: daily downslope rate in mm/d, shape (..., T).
        window_days: length of the moving mean.
        max_lag_days: largest lag looked at.

    Returns:
        Lag in days, positive when the rate follows the driver, shape (...); NaN where either
        series is constant.

    Raises:
        ValueError: the series are shorter than a year beyond smoothing and the largest lag.
    """
    past = smooth(np.asarray(driver, dtype=np.float64), window_days)
    answer = smooth(np.asarray(rate, dtype=np.float64), window_days)
    length = answer.shape[-1] - max_lag_days
    if length < 365 - window_days - max_lag_days:
        raise ValueError(f"a lag needs at least a year of days, got {rate.shape[-1]}")
    answer = answer[..., max_lag_days:]
    answer = answer - answer.mean(axis=-1, keepdims=True)
    scores = np.empty((max_lag_days + 1, *np.broadcast_shapes(past.shape[:-1], answer.shape[:-1])))
    for lag in range(max_lag_days + 1):
        start = max_lag_days - lag
        then = past[..., start : start + length]
        then = then - then.mean(axis=-1, keepdims=True)
        spread = np.sqrt((then * then).sum(axis=-1))
        scores[lag] = (then * answer).sum(axis=-1) / np.where(spread > 0, spread, np.nan)
    flat = np.isnan(scores).any(axis=0) | ~(np.abs(answer).max(axis=-1) > 0)
    best = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=0).astype(np.float64)
    return np.asarray(np.where(flat, np.nan, best))
