"""Trend with a yearly and a half-yearly wave; what is left of the rate is filtered.

Generalised least squares with a forgetting rate as the error, so that a wave is not fitted to what
is persistence: the calendar's forecast, which knows no rain and no level. See
`numerics.structural`. Source: A. C. Harvey, Forecasting, Structural Time Series Models
and the Kalman Filter (1989), sections 2.4 and 7.3.
"""

from __future__ import annotations

from pydantic import Field

from core.settings import Tree
from services.inference.numerics import hydrology
from services.inference.numerics.cycles import CYCLE_MM, Slips
from services.inference.numerics.structural import Design, Structural


class Settings(Tree):
    """How the fit is made."""

    cycle_mm: float = Field(
        CYCLE_MM, ge=0, description="half the wavelength; 0 where the source loses no cycles"
    )
    reluctance: float = Field(4.0, ge=0, description="log odds against a lost cycle at an epoch")


class Harmonic(Structural):
    """The `harmonic` model."""

    name = "harmonic"
    needs: frozenset[str] = frozenset()


def open(settings: Settings) -> Harmonic:
    """The model of these settings."""
    columns = tuple(hydrology.FEATURES.index(name) for name in hydrology.SEASONAL)
    return Harmonic(Design(columns, Slips(settings.cycle_mm, settings.reluctance)))
