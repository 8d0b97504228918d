"""What the same days of last year brought, added to the last epoch.

Displacement of last year is taken linearly between its epochs. The standard deviation is that of
its own past errors (`services.inference.numerics.past_errors`).
"""

from __future__ import annotations

import numpy as np

from core.evidence import Floats
from core.settings import Tree
from services.inference.known import FURTHEST_D, History, Known
from services.inference.model import Parameters, Path
from services.inference.numerics import past_errors, recent

_YEAR_D = 365


class Settings(Tree):
    """Nothing to set."""


class LastYear:
    """The `last_year` model."""

    name = "last_year"
    needs: frozenset[str] = frozenset()

    def fit(self, history: History, day: int) -> Parameters:
        """See `services.inference.model.Model.fit`: `sd_mm` (31, S)."""
        return {"sd_mm": past_errors.spread(_mean, history, history.known(day))}

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        """See `services.inference.model.Model.forecast`; NaN where last year was not measured."""
        mean = _mean(known)
        return Path(mean, np.where(np.isnan(mean), np.nan, parameters["sd_mm"]))


def _mean(known: Known) -> Floats:
    day, value = recent.last(known)
    asked = np.empty((FURTHEST_D + 2, known.series))
    asked[0] = np.where(np.isnan(day), known.day, day)
    asked[1:] = known.day + np.arange(FURTHEST_D + 1)[:, None]
    before = recent.interpolated(known, asked - _YEAR_D)
    return np.asarray(value + before[1:] - before[0])


def open(settings: Settings) -> LastYear:
    """The model of these settings."""
    return LastYear()
