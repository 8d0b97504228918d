"""Local linear trend: the slope goes on at its filtered velocity, ever less certainly.

Increment v h with variance P_vv h^2 + q h^3 / 3: the exact prediction of an integrated random
walk. Source: A. C. Harvey, Forecasting, Structural Time Series Models and the Kalman Filter
(1989), section 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.kalman import TrendState
from core.settings import Tree
from services.inference.model import Forecast, UnitHistory


class Settings(Tree):
    """Nothing to set: the filter's noise is the site's."""


class Kalman:
    """The `kalman` model."""

    name = "kalman"

    def forecast(
        self,
        history: UnitHistory,
        now: TrendState,
        horizons_d: Sequence[int],
        rate_walk_mm2_d3: float,
    ) -> Forecast:
        """See `services.inference.model.Model.forecast`."""
        h = np.asarray(horizons_d, float)[:, None]
        variance = now.var_velocity * h**2 + rate_walk_mm2_d3 * h**3 / 3.0
        return Forecast(now.velocity_mm_d * h, np.sqrt(variance))


def open(settings: Settings) -> Kalman:
    """The model of these settings."""
    return Kalman()
