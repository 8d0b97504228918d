"""What Kalman + transfer function expected and learned up to an issue day, for the network."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from core.evidence import Floats
from services.inference.known import Known
from services.inference.model import Parameters, Path
from services.inference.numerics import hydrology
from services.inference.numerics.structural import Filtered

YEAR_DAYS = 365


class Expectation(NamedTuple):
    """S series, K epochs, T days, D places, F features of `numerics.hydrology`."""

    path: Path
    """Its forecast."""
    features: Floats
    """(T, D, F) features of the days from `drivers.first_day` on."""
    coefficients: Floats
    """(F, S) LOS rate, mm/d, for a unit of each feature."""
    at_epochs_mm: Floats
    """(K, S) displacement that rain, level and season explain, at each epoch."""
    innovation_mm: Floats
    """(K, S) what each epoch showed beyond the prediction, NaN where nothing was measured."""
    innovation_variance: Floats
    """(K, S) mm^2"""
    residual_mm: Floats
    """(S,) filtered displacement beyond the explained one at the last epoch."""
    residual_rate_mm_d: Floats
    """(S,) its rate."""
    residual_rate_sd_mm_d: Floats
    """(S,)"""
    last_mm: Floats
    """(S,) filtered displacement at the last epoch."""
    typical_mm_d: Floats
    """(S,) root mean square of the expected LOS rate over the last year."""
    measured: Floats
    """(S,) epochs measured so far."""


class Base(Protocol):
    """What the network builds on: Kalman + transfer function."""

    def issue(self, parameters: Parameters, known: Known) -> tuple[Path, Filtered]:
        """Its forecast, and the residual filter over all epochs behind it."""
        ...


def expect(base: Base, parameters: Parameters, known: Known) -> Expectation:
    """Ask the base; cycles that it gave back count as explained."""
    path, said = base.issue(parameters, known)
    run, state = said.run, said.run.state
    features = hydrology.daily(known.drivers)
    coefficients = parameters["coefficients"].T
    at_epochs = said.explained_mm + run.lost_mm
    return Expectation(
        path=path,
        features=features,
        coefficients=coefficients,
        at_epochs_mm=at_epochs,
        innovation_mm=run.innovation_mm,
        innovation_variance=run.variance_mm2,
        residual_mm=state.displacement_mm,
        residual_rate_mm_d=state.velocity_mm_d,
        residual_rate_sd_mm_d=np.sqrt(state.var_velocity),
        last_mm=state.displacement_mm + at_epochs[-1],
        typical_mm_d=typical_rate(features, coefficients, known),
        measured=said.measured.astype(float),
    )


def typical_rate(features: Floats, coefficients: Floats, known: Known) -> Floats:
    """Root mean square (S,) of the expected LOS rate, mm/d, over the year up to the issue day."""
    end = known.day - known.drivers.first_day + 1
    year = features[max(0, end - YEAR_DAYS) : end]
    moments = np.einsum("tdf,tdg->dfg", year, year) / len(year)
    mine = np.einsum("sfg,gs->fs", moments[known.place], coefficients)
    return np.asarray(np.sqrt(np.maximum((mine * coefficients).sum(axis=0), 0.0)))
