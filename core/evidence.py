"""The small artifact that inference writes at each epoch: all that a rule may look at.

Rules see events and this, never the state store. Unit series end in the axes (epoch, unit) and
may carry batch axes before them (sites), so that the same rule functions score one site or
hundreds at once. Rates are along the line of sight, positive toward the satellite.
"""

from __future__ import annotations

from collections.abc import Mapping
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

    Epochs and units:

    - `epoch_day` (..., E) int64 days since 1970-01-01.
    - `observed_mm`, `observed_sd_mm` (..., E, U): mean displacement of the unit as its filter was
      given it, and the sd of that value as an observation; NaN where nothing was.
    - `innovation_z` (..., E, U): standardised innovations of the unit filter, NaN where none is.
    - `velocity_mm_d`, `acceleration_mm_d2` and their sds (..., E, U): after each epoch; the
      acceleration is the change of velocity over 36 days divided by 36 days, NaN before that.
    - `out_of_range` (..., E, U): motion between this epoch and the one before is past what C-band
      can tell; such an epoch was not assimilated.
    - `forecast_z` (..., E, U): standardised miss of what the unit filter forecast of the epoch some
      24 days before it, NaN where there was none.
    - `los_factor` (..., U): mean signed LOS mm per mm downslope, NaN unknown.

    What the filter that knows rain and level makes of the same epochs, NaN where it cannot speak:

    - `conditioned_z` (..., E, U): its standardised innovations.
    - `expected_mm_d` (..., E, U): rate that creep, season, rain and level explain at the epoch.
    - `excess_mm_d`, `excess_sd_mm_d` (..., E, U): rate beyond that.
    - `excess_change_mm_d2` and sd (..., E, U): its change over 36 days divided by 36 days.

    Water, one row a day of `driver_day` (..., T) int64: `rain_mm`, `level_m` (..., T) as known when
    the evidence was made, NaN unknown. Points: `point_unit` (P,) index into `units`, -1 for none;
    `point_lon`, `point_lat` (P,) degrees; `point_velocity_mm_d` and sd (3, P): after the last three
    epochs, oldest first, NaN before.
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
    observed_mm: Floats
    observed_sd_mm: Floats
    forecast_z: Floats
    conditioned_z: Floats
    expected_mm_d: Floats
    excess_mm_d: Floats
    excess_sd_mm_d: Floats
    excess_change_mm_d2: Floats
    excess_change_sd_mm_d2: Floats
    driver_day: npt.NDArray[np.int64]
    rain_mm: Floats
    level_m: Floats
    point_lon: Floats
    point_lat: Floats


_LIKE_VELOCITY = (
    "observed_mm",
    "observed_sd_mm",
    "forecast_z",
    "conditioned_z",
    "expected_mm_d",
    "excess_mm_d",
    "excess_sd_mm_d",
    "excess_change_mm_d2",
    "excess_change_sd_mm_d2",
)


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
        return Evidence(units=units, **{**not_said(arrays), **arrays})
    except (KeyError, TypeError) as error:
        raise BadInputError(f"artifact is not evidence of this version: {error}") from error


def not_said(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """What evidence of before the conditioned filter lacks, as nothing known."""
    nothing = np.full(arrays["velocity_mm_d"].shape, np.nan)
    points = np.full(arrays["point_unit"].shape, np.nan)
    return {
        **dict.fromkeys(_LIKE_VELOCITY, nothing),
        "driver_day": np.zeros(0, np.int64),
        "rain_mm": np.zeros(0),
        "level_m": np.zeros(0),
        "point_lon": points,
        "point_lat": points,
    }
