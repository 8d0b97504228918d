"""Whole cycles that a displacement series has lost, told by what was expected of it.

Between two acquisitions C-band tells motion only up to a quarter wave; faster motion comes back
with a whole number of half wavelengths missing, and every later epoch carries the loss. To a
filter such a step looks like a surprise of nearly that size. It is taken for lost cycles where
that is likelier than the surprise as it stands:

    (v - n C)^2 / S + 2 a |n|  <  v^2 / S,

with v the innovation, S its variance, C half the wavelength, n the number of cycles and a the
reluctance: minus the logarithm of how probable a slip is beforehand. (Integer ambiguities by
prediction: temporal unwrapping as in B. M. Kampes, Radar Interferometry: Persistent Scatterer
Technique, 2006, chapter 3; the decision is our choice.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.evidence import Floats

CYCLE_MM = 27.733
"""Half the wavelength of Sentinel-1."""
_MOST = 2


class Slips(NamedTuple):
    """How lost cycles are told."""

    cycle_mm: float = CYCLE_MM
    """Half the wavelength; 0 where none is ever lost."""
    reluctance: float = 4.0


NEVER = Slips(cycle_mm=0.0)


def slipped(innovation_mm: Floats, variance_mm2: Floats, slips: Slips) -> Floats:
    """Displacement (mm) of the whole cycles behind each innovation: mostly 0; at most two cycles.

    Arrays of one shape; NaN (nothing measured) gives 0.
    """
    cycle = slips.cycle_mm
    lost = np.zeros_like(innovation_mm)
    if cycle <= 0:
        return lost
    large = np.nonzero(np.abs(innovation_mm) > cycle / 2)
    if large[0].size:
        value, variance = innovation_mm[large], variance_mm2[large]
        number = np.sign(value) * np.minimum(np.rint(np.abs(value) / cycle), _MOST)
        saved = value**2 - (value - number * cycle) ** 2
        lost[large] = np.where(saved > 2 * slips.reluctance * np.abs(number) * variance, number, 0)
        lost[large] *= cycle
    return lost
