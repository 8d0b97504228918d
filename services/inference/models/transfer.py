"""Transfer function from the last epoch on: increments answer to rain, level and season.

Increments between consecutive epochs are regressed on the features summed over the same days
(ridge; the tightness is chosen for each place by the marginal likelihood, see
`numerics.transfer_regression`), and the response to the days since the last epoch and
ahead is added to that epoch as it was measured. The standard deviation is that of its own past
errors (`numerics.past_errors`). Source: A. E. Hoerl and R. W. Kennard, Ridge Regression,
Technometrics 12, 1970.
"""

from __future__ import annotations

import numpy as np

from core.evidence import Floats
from core.settings import Tree
from services.inference.known import History, Known
from services.inference.model import Parameters, Path
from services.inference.numerics import (
    hydrology,
    past_errors,
    recent,
    residual_filter,
    transfer_regression,
)

FEWEST_EPOCHS = 5


class Settings(Tree):
    """Nothing to set."""


class Transfer:
    """The `transfer` model."""

    name = "transfer"
    needs = frozenset({"rain", "level"})

    def fit(self, history: History, day: int) -> Parameters:
        """See `services.inference.model.Model.fit`: `coefficients` (S, F), `sd_mm` (31, S)."""
        known = history.known(day)
        coefficients = transfer_regression.of_increments(known, _cumulative(known))
        sd = past_errors.spread(lambda then: _mean(coefficients, then), history, known)
        return {"coefficients": coefficients, "sd_mm": sd}

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        """See `services.inference.model.Model.forecast`; NaN below five epochs."""
        mean = _mean(parameters["coefficients"], known)
        return Path(mean, np.where(np.isnan(mean), np.nan, parameters["sd_mm"]))


def _cumulative(known: Known) -> Floats:
    return np.asarray(np.cumsum(hydrology.daily(known.drivers), axis=0))


def _mean(coefficients: Floats, known: Known) -> Floats:
    value, _ = residual_filter.observations(known)
    rows = recent.newest(value, 0)
    at_epochs, ahead = hydrology.explained(_cumulative(known), coefficients, known)
    mean = recent.at(value, rows) + ahead[1:] - recent.at(at_epochs, rows)
    return np.where(np.isfinite(value).sum(axis=0) >= FEWEST_EPOCHS, mean, np.nan)


def open(settings: Settings) -> Transfer:
    """The model of these settings."""
    return Transfer()
