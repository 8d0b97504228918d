"""Persistence: the slope stays where it was last seen; the yardstick every model must beat.

The standard deviation is that of its own past errors (`services.inference.numerics.past_errors`).
"""

from __future__ import annotations

import numpy as np

from core.evidence import Floats
from core.settings import Tree
from services.inference.known import FURTHEST_D, History, Known
from services.inference.model import Parameters, Path
from services.inference.numerics import past_errors, recent


class Settings(Tree):
    """Nothing to set."""


class Persistence:
    """The `persistence` model."""

    name = "persistence"
    needs: frozenset[str] = frozenset()

    def fit(self, history: History, day: int) -> Parameters:
        """See `services.inference.model.Model.fit`: `sd_mm` (31, S)."""
        return {"sd_mm": past_errors.spread(_mean, history, history.known(day))}

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        """See `services.inference.model.Model.forecast`; speaks from the first epoch on."""
        mean = _mean(known)
        return Path(mean, np.where(np.isnan(mean), np.nan, parameters["sd_mm"]))


def _mean(known: Known) -> Floats:
    _, value = recent.last(known)
    return np.repeat(value[None], FURTHEST_D + 1, axis=0)


def open(settings: Settings) -> Persistence:
    """The model of these settings."""
    return Persistence()
