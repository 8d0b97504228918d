"""From the last epoch on at the slope of a robust line through the last year of epochs.

Weighted least squares with Huber's weights in three passes (P. J. Huber, Robust Statistics, 1981,
chapter 7); the scale is the median absolute residual. The standard deviation is that of its own
past errors (`services.inference.numerics.past_errors`).
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from core.evidence import Floats
from core.settings import Tree
from services.inference.known import FURTHEST_D, Flags, History, Known
from services.inference.model import Parameters, Path
from services.inference.numerics import past_errors, recent, residual_filter

FEWEST_EPOCHS = 5
_HUBER = 1.345
_PASSES = 3


class Settings(Tree):
    """How far back the line reaches."""

    days: int = Field(
        365, ge=36, description="days behind the issue day that the line goes through"
    )


class Linear:
    """The `linear` model."""

    name = "linear"
    needs: frozenset[str] = frozenset()

    def __init__(self, days: int) -> None:
        self._days = days

    def fit(self, history: History, day: int) -> Parameters:
        """See `services.inference.model.Model.fit`: `sd_mm` (31, S)."""
        return {"sd_mm": past_errors.spread(self._mean, history, history.known(day))}

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        """See `services.inference.model.Model.forecast`; NaN below five epochs in the window."""
        mean = self._mean(known)
        return Path(mean, np.where(np.isnan(mean), np.nan, parameters["sd_mm"]))

    def _mean(self, known: Known) -> Floats:
        value, variance = residual_filter.observations(known)
        used = np.isfinite(value) & (known.epoch_day > known.day - self._days)
        slope = _slope(
            (known.epoch_day - known.day).astype(float),
            np.where(used, value, 0.0),
            np.where(used, 1.0 / variance, 0.0),
            used,
        )
        day, last = recent.last(known)
        line = last + slope * (known.day + np.arange(FURTHEST_D + 1.0)[:, None] - day)
        return np.where(used.sum(axis=0) >= FEWEST_EPOCHS, line, np.nan)


def _slope(days: Floats, value: Floats, weight: Floats, used: Flags) -> Floats:
    """Slope of a robust line through each column, (S,)."""
    robust = weight
    for _ in range(_PASSES):
        total = np.maximum(robust.sum(axis=0), np.finfo(float).tiny)
        day_mean, mean = (robust * days).sum(axis=0) / total, (robust * value).sum(axis=0) / total
        spread = (robust * (days - day_mean) ** 2).sum(axis=0)
        shared = (robust * (days - day_mean) * (value - mean)).sum(axis=0)
        slope = np.where(spread > 0, shared / np.where(spread > 0, spread, 1.0), 0.0)
        z = np.where(used, np.abs(value - mean - slope * (days - day_mean)), np.inf)
        scale = (
            1.4826 * np.sort(z, axis=0)[np.maximum(used.sum(axis=0) - 1, 0) // 2, range(len(mean))]
        )
        far = np.where(used, z, 0.0) > _HUBER * scale
        limit = np.where(far, _HUBER * scale / np.where(far, z, 1.0), 1.0)
        robust = weight * limit
    return np.asarray(slope)


def open(settings: Settings) -> Linear:
    """The model of these settings."""
    return Linear(settings.days)
