"""Local linear trend: the slope goes on at its filtered velocity, ever less certainly.

Velocity is a random walk and displacement its integral; the walk's strength is chosen for each
place by the likelihood of the innovations up to the fit, stated variances are scaled by how large
those innovations were. Lost cycles are given back as in `kalman_transfer`. Source: A. C. Harvey,
Forecasting, Structural Time Series Models and the Kalman Filter (1989), sections 2.3 and 3.4.
"""

from __future__ import annotations

from pydantic import Field

from core.settings import Tree
from services.inference.numerics.cycles import CYCLE_MM, Slips
from services.inference.numerics.structural import Design, Structural
from services.inference.numerics.transfer_regression import Candidates

_INTENSITIES = (1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)


class Settings(Tree):
    """How the fit is made."""

    cycle_mm: float = Field(
        CYCLE_MM, ge=0, description="half the wavelength; 0 where the source loses no cycles"
    )
    reluctance: float = Field(4.0, ge=0, description="log odds against a lost cycle at an epoch")


class Kalman(Structural):
    """The `kalman` model."""

    name = "kalman"
    needs: frozenset[str] = frozenset()


def open(settings: Settings) -> Kalman:
    """The model of these settings."""
    slips = Slips(settings.cycle_mm, settings.reluctance)
    return Kalman(Design((), slips, 2, candidates=Candidates((0.0,), _INTENSITIES, (1.0,))))
