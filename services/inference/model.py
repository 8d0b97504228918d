"""What a forecast model is: one file under `models/`, with `Settings` and `open(settings)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from core.evidence import Floats
from core.kalman import TrendState

MODELS = "services.inference.models"
HORIZONS_D = (1, 3, 6, 12, 24, 30)


class UnitHistory(NamedTuple):
    """Filtered units of one track: `day` (E,), `displacement_mm` (E, U) after each epoch."""

    day: Floats
    displacement_mm: Floats


class Forecast(NamedTuple):
    """LOS displacement increments after the issue day, (H, U), with standard deviations."""

    increment_mm: Floats
    sd_mm: Floats


class Model(Protocol):
    """Forecasts the units of one track from what was known at the issue day."""

    name: str

    def forecast(
        self,
        history: UnitHistory,
        now: TrendState,
        horizons_d: Sequence[int],
        rate_walk_mm2_d3: float,
    ) -> Forecast:
        """Increments `horizons_d` days beyond the issue day, for which `now` (U,) is predicted."""
        ...
