"""What a simulated site is: its kinds, its daily truth, and a fingerprint of both."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Kind(StrEnum):
    """What a simulated site does."""

    QUIET = "quiet"
    FAILING = "failing"
    ABORTED = "aborted"
    STEP = "step"


@dataclass(frozen=True)
class Truth:
    """Daily truth of S sites over T days, P = 6 observed points from toe (0) to ridge (5).

    Day 0 is 1 January; every year has 365 days. Displacement is positive downslope.
    """

    seeds: Ints
    """(S,)"""
    kind: NDArray[np.str_]
    """(S,) a `Kind`."""
    hydrology_family: NDArray[np.str_]
    """(S,) 'diffusion' or 'buckets'."""
    runaway_family: NDArray[np.str_]
    """(S,) 'voight', 'weakening' or 'none'."""
    drainage: NDArray[np.str_]
    """(S,) 'drawdown' (moves as the reservoir falls) or 'buoyancy' (moves at high water)."""
    rain_mm: Floats
    """(S, T) rain on the slope, mm/d."""
    level_m: Floats
    """(S, T) reservoir level, m a.s.l."""
    displacement_mm: Floats
    """(S, T, P) cumulative downslope displacement, 0 on day 0, constant from the failure day."""
    los_factor: Floats
    """(S, P) LOS mm toward the satellite for a mm downslope."""
    distance_m: Floats
    """(S, P) distance from the bank."""
    height_m: Floats
    """(S, P) height above the bank."""
    onset_day: Ints
    """(S,) first day of the runaway, the aborted ramp or the storm; -1 for none."""
    failure_day: Ints
    """(S,) -1 for none."""


def fingerprint(record: object) -> str:
    """SHA-256 over the arrays of a `Truth` or an `Observed`: equal truths, equal fingerprints."""
    digest = hashlib.sha256()
    for name, array in sorted(vars(record).items()):
        values = np.ascontiguousarray(array)
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
