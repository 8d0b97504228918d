"""Evidence that is about water: rain and level by day, and slopes of one steady rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.evidence import Evidence
from core.kinematics import mm_d_from_mm_yr

FIRST_DAY = 18_000


def water_evidence(
    *,
    rain_mm: Sequence[float] = (),
    level_m: Sequence[float] = (),
    epochs: Sequence[int] = (),
    rates_mm_yr: Sequence[float] = (0.0,),
    **changes: Any,
) -> Evidence:
    """One site whose units move downslope at `rates_mm_yr`; `epochs` are rows of the water."""
    rows = max(len(rain_mm), len(level_m))
    shape = (len(epochs), len(rates_mm_yr))
    nothing = np.full(shape, np.nan)
    rates = np.broadcast_to(mm_d_from_mm_yr(np.array(rates_mm_yr)), shape)
    fields = {field.name: nothing for field in dataclasses.fields(Evidence)} | {
        "units": tuple(f"u{i}" for i in range(len(rates_mm_yr))),
        "epoch_day": FIRST_DAY + np.array(epochs, dtype=np.int64),
        "innovation_z": np.zeros(shape),
        "velocity_mm_d": 0.6 * rates,
        "velocity_sd_mm_d": np.full(shape, 0.01),
        "out_of_range": np.zeros(shape, dtype=bool),
        "los_factor": np.full(len(rates_mm_yr), 0.6),
        "driver_day": FIRST_DAY + np.arange(rows),
        "rain_mm": _column(rain_mm, rows),
        "level_m": _column(level_m, rows),
    }
    return Evidence(**(fields | changes))


def _column(given: Sequence[float], rows: int) -> np.ndarray:
    return np.array(given, dtype=float) if len(given) else np.full(rows, np.nan)
