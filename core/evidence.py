"""The small artifact that inference writes at each epoch: all that a rule may look at.

Rules see events and this, never the state store. Unit series end in the axes (epoch, unit) and
may carry batch axes before them (sites), so that the same rule functions score one site or
hundreds at once. Rates are along the line of sight, positive toward the satellite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.artifacts import pack, unpack
from core.errors import BadInputError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """One track of one site after one epoch.

    `epoch_day` (..., E) int64 days since 1970-01-01. `innovation_z` (..., E, U): standardised
    innovations of the unit filters, NaN where there is none. `velocity_mm_d` and
    `velocity_sd_mm_d`, `acceleration_mm_d2` and its sd (..., E, U): after each epoch; the
    acceleration is the change of velocity over 36 days divided by 36 days, NaN before that.
    `out_of_range` (..., E, U): motion between this epoch and the one before is past what C-band
    can tell; such an epoch was not assimilated. `los_factor` (..., U): mean signed LOS mm per mm
    downslope, NaN unknown. `point_unit` (P,): index into `units`, -1 for none.
    `point_velocity_mm_d`, `point_velocity_sd_mm_d` (3, P): after the last three epochs, oldest
    first, NaN before.
    """

    units: tuple[str, ...]
    epoch_day: npt.NDArray[np.int64]
    innovation_z: Floats
    velocity_mm_d: Floats
    velocity_sd_mm_d: Floats
    acceleration_mm_d2: Floats
    acceleration_sd_mm_d2: Floats
    out_of_range: npt.NDArray[np.bool_]
    los_factor: Floats
    point_unit: npt.NDArray[np.int64]
    point_velocity_mm_d: Floats
    point_velocity_sd_mm_d: Floats


def pack_evidence(evidence: Evidence) -> bytes:
    """Evidence as artifact content; the same evidence gives the same bytes."""
    arrays: dict[str, npt.NDArray[Any]] = {
        name: np.asarray(value) for name, value in vars(evidence).items()
    }
    return pack(arrays)


def unpack_evidence(content: bytes) -> Evidence:
    """Inverse of `pack_evidence`; `BadInputError` for anything else."""
    arrays = unpack(content)
    try:
        units = tuple(str(u) for u in arrays.pop("units"))
        return Evidence(units=units, **arrays)
    except (KeyError, TypeError) as error:
        raise BadInputError(f"artifact is not evidence of this version: {error}") from error
