"""A unit's displacement as rules read it: what is usable and what hangs together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from core.evidence import Evidence
from services.alerting.rule import Flags


def with_displacement(evidence: Evidence) -> Flags:
    """Epochs (..., epoch, unit) with a displacement of the unit and its noise, in range."""
    observed, sd = evidence.observed_mm, evidence.observed_sd_mm
    return np.isfinite(observed) & (sd > 0) & np.isfinite(sd) & ~evidence.out_of_range


def stretches(evidence: Evidence) -> npt.NDArray[np.int64]:
    """Number (..., epoch, unit) of the stretch that an epoch belongs to, rising.

    A filter that begins, or begins anew, has no innovation; displacement before it and after it
    have no common zero.
    """
    begins = np.isfinite(evidence.observed_mm) & np.isnan(evidence.innovation_z)
    return np.cumsum(begins, axis=-2)
