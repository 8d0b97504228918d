"""Kalman + transfer function: rain, level and season explain the rate, a filter what is left.

The rate responds to gamma-filtered rain, to level and drainage of the level and to the season; the
residual rate is filtered and returns to zero. See `numerics.structural`, which says how
it is fitted, and `services.inference.numerics.hydrology` for the features.

The strongest forecast without a network or trees, and the service's default. Source: A. C. Harvey,
Forecasting, Structural Time Series Models and the Kalman Filter (1989), chapter 7; the choice of
features is this project's.
"""

from __future__ import annotations

from pydantic import Field

from core.settings import Tree
from services.inference.numerics import hydrology
from services.inference.numerics.cycles import CYCLE_MM, Slips
from services.inference.numerics.structural import Design, Structural


class Settings(Tree):
    """How the fit is made; the defaults were chosen on simulated development slopes."""

    rounds: int = Field(2, ge=1, le=10, description="passes of fitting and giving back cycles")
    series_per_place: int = Field(
        48, ge=1, description="series of a place that choose memory and freedom together"
    )
    cycle_mm: float = Field(
        CYCLE_MM, ge=0, description="half the wavelength; 0 where the source loses no cycles"
    )
    reluctance: float = Field(4.0, ge=0, description="log odds against a lost cycle at an epoch")


class KalmanTransfer(Structural):
    """The `kalman_transfer` model; see `Structural` for the expectation other models build on."""

    name = "kalman_transfer"
    needs = frozenset({"rain", "level"})


def open(settings: Settings) -> KalmanTransfer:
    """The model of these settings."""
    slips = Slips(settings.cycle_mm, settings.reluctance)
    columns = tuple(range(len(hydrology.FEATURES)))
    return KalmanTransfer(Design(columns, slips, settings.rounds, settings.series_per_place))
