"""The conditioned innovations as rules take them, and how many there must be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from core.evidence import Evidence, Floats
from services.alerting.rule import with_data

EPOCHS_TO_CALIBRATE = 30


def judged(evidence: Evidence) -> Floats:
    """Conditioned innovations (..., epoch, unit), NaN where the epoch was not assimilated."""
    return np.where(with_data(evidence), evidence.conditioned_z, np.nan)


def usable_epochs(evidence: Evidence) -> npt.NDArray[np.int64]:
    """Epochs (..., epoch, unit) so far with an innovation."""
    return np.cumsum(np.isfinite(judged(evidence)), axis=-2)


def too_few(evidence: Evidence, unit: int) -> str:
    """Why a rule on innovations does not judge a unit yet."""
    count = usable_epochs(evidence)
    have = int(count[-1, unit]) if len(count) else 0
    return f"not calibrated: {have} of {EPOCHS_TO_CALIBRATE} epochs"
