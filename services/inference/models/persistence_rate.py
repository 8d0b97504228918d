"""Persistence of the rate: from the last epoch on at the mean rate of the last pairs.

The standard deviation is that of its own past errors (`services.inference.numerics.past_errors`).
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from core.evidence import Floats
from core.settings import Tree
from services.inference.known import FURTHEST_D, History, Known
from services.inference.model import Parameters, Path
from services.inference.numerics import past_errors, recent, residual_filter


class Settings(Tree):
    """Over how much the rate is taken."""

    pairs: int = Field(3, ge=1, le=30, description="consecutive pairs behind the rate")


class PersistenceRate:
    """The `persistence_rate` model."""

    name = "persistence_rate"
    needs: frozenset[str] = frozenset()

    def __init__(self, pairs: int) -> None:
        self._pairs = pairs

    def fit(self, history: History, day: int) -> Parameters:
        """See `services.inference.model.Model.fit`: `sd_mm` (31, S)."""
        return {"sd_mm": past_errors.spread(self._mean, history, history.known(day))}

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        """See `services.inference.model.Model.forecast`; NaN with too few epochs for the rate."""
        mean = self._mean(known)
        return Path(mean, np.where(np.isnan(mean), np.nan, parameters["sd_mm"]))

    def _mean(self, known: Known) -> Floats:
        value, _ = residual_filter.observations(known)
        last, first = recent.newest(value, 0), recent.newest(value, self._pairs)
        day, before = recent.at(known.epoch_day, last), recent.at(known.epoch_day, first)
        lasted = np.where(day > before, day - before, np.nan)
        now = recent.at(value, last)
        rate = (now - recent.at(value, first)) / lasted
        ahead = np.arange(FURTHEST_D + 1.0)[:, None]
        return np.asarray(now + rate * (known.day + ahead - day))


def open(settings: Settings) -> PersistenceRate:
    """The model of these settings."""
    return PersistenceRate(settings.pairs)
