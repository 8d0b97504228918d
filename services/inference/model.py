"""What a forecast model is: one file under `models/`, with `Settings` and `open(settings)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt

from core.evidence import Floats
from services.inference.known import History, Known

MODELS = "services.inference.models"
HORIZONS_D = (0, 1, 3, 6, 12, 24, 30)
"""Days ahead that are published and scored; 0 is the nowcast."""

Parameters = Mapping[str, npt.NDArray[Any]]
"""What a model learned of the series it was fitted to: named arrays, as `core.artifacts` packs."""


class Path(NamedTuple):
    """LOS displacement on every day from the issue day to 30 days later, (31, S) each.

    On the series' own zero, as `Known.los_mm`. The standard deviation is that of the displacement
    itself, without the noise of a future acquisition. NaN where the model cannot speak.
    """

    displacement_mm: Floats
    sd_mm: Floats


class Model(Protocol):
    """Forecasts S series from what was known."""

    name: str
    needs: frozenset[str]
    """Drivers without which the model does not speak: of 'rain', 'level'."""

    def fit(self, history: History, day: int) -> Parameters:
        """Learn from what was known at `day` and before; never asks `history` for a later day."""
        ...

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        """The days ahead of `known.day`, for the series (and their order) of the fit."""
        ...
