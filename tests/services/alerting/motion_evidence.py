"""Evidence about motion: displacement of units against what is expected of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from core.evidence import Evidence

FIRST_DAY = 18_000
FACTOR = -0.6


def motion_evidence(downslope_los_mm: Any, *, sd_mm: float = 2.0, **changes: Any) -> Evidence:
    """Units seen at -0.6 every 12 days, from displacement (..., E, U) positive downslope.

    0.2 mm/d of it is expected. The excess rate is its slope over the last 3 epochs beyond that.
    """
    moved = np.asarray(downslope_los_mm, dtype=float)
    epochs = moved.shape[-2]
    day = FIRST_DAY + 12 * np.arange(epochs)
    rate = np.zeros(moved.shape)
    rate[..., 2:, :] = (moved[..., 2:, :] - moved[..., :-2, :]) / 24.0
    z = np.zeros(moved.shape)
    z[..., :1, :] = np.nan
    fields = {f.name: np.full(moved.shape, np.nan) for f in dataclasses.fields(Evidence)} | {
        "units": tuple(f"u{i}" for i in range(moved.shape[-1])),
        "epoch_day": np.broadcast_to(day, moved.shape[:-1]).copy(),
        "innovation_z": z,
        "velocity_mm_d": np.sign(FACTOR) * rate,
        "velocity_sd_mm_d": np.full(moved.shape, 0.03),
        "out_of_range": np.zeros(moved.shape, dtype=bool),
        "los_factor": np.full((*moved.shape[:-2], moved.shape[-1]), FACTOR),
        "observed_mm": np.sign(FACTOR) * moved,
        "observed_sd_mm": np.full(moved.shape, sd_mm),
        "conditioned_z": z.copy(),
        "expected_mm_d": np.sign(FACTOR) * np.full(moved.shape, 0.2),
        "excess_mm_d": np.sign(FACTOR) * (rate - 0.2),
        "excess_sd_mm_d": np.full(moved.shape, 0.1),
        "driver_day": FIRST_DAY + np.arange(2),
        "rain_mm": np.zeros(2),
        "level_m": np.zeros(2),
    }
    return Evidence(**(fields | changes))


def series_names(given: Evidence) -> list[str]:
    """Names of the fields with axes (..., epoch, unit), and `epoch_day`."""
    shape = given.innovation_z.shape
    like = [n for n, v in vars(given).items() if isinstance(v, np.ndarray) and v.shape == shape]
    return [*like, "epoch_day"]


def until(given: Evidence, epochs: int) -> Evidence:
    """The evidence of one site as it was after its first `epochs`."""
    return dataclasses.replace(
        given, **{name: getattr(given, name)[:epochs] for name in series_names(given)}
    )


def site(given: Evidence, *index: int) -> Evidence:
    """One site of a batch."""
    return dataclasses.replace(
        given,
        **{n: getattr(given, n)[index] for n in (*series_names(given), "los_factor")},
    )
