"""Persistence: the slope stays where it is; the yardstick every other model must beat.

The increment is 0 and its standard deviation the root mean square of what past increments over
the same horizon turned out to be (displacement interpolated between epochs).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.evidence import Floats
from core.kalman import TrendState
from core.settings import Tree
from services.inference.model import Forecast, UnitHistory

FEWEST_EPOCHS = 5


class Settings(Tree):
    """Nothing to set."""


class Persistence:
    """The `persistence` model."""

    name = "persistence"

    def forecast(
        self,
        history: UnitHistory,
        now: TrendState,
        horizons_d: Sequence[int],
        rate_walk_mm2_d3: float,
    ) -> Forecast:
        """See `services.inference.model.Model.forecast`; NaN sd below five epochs."""
        sd = np.stack([_past_increments(history, h) for h in horizons_d])
        return Forecast(np.where(np.isnan(sd), np.nan, 0.0), sd)


def _past_increments(history: UnitHistory, horizon_d: int) -> Floats:
    """Root mean square increment over `horizon_d` of each unit, (U,)."""
    units = history.displacement_mm.shape[1]
    result = np.full(units, np.nan)
    for unit in range(units):
        known = np.isfinite(history.displacement_mm[:, unit])
        day, moved = history.day[known], history.displacement_mm[known, unit]
        later = day + horizon_d
        inside = later <= (day[-1] if day.size else 0)
        if day.size >= FEWEST_EPOCHS and inside.any():
            increments = np.interp(later[inside], day, moved) - moved[inside]
            result[unit] = np.sqrt(np.mean(increments**2))
    return result


def open(settings: Settings) -> Persistence:
    """The model of these settings."""
    return Persistence()
