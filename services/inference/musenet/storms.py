"""What if it had rained more: the counterfactual by which the network learns to be monotone.

A storm is added to the rain of a place. It changes the rain that the network is told, the filtered
rain, and the path that the transfer function expects, whose answer to rain is linear. What epochs
before the issue have shown stays as it was, also where the storm lies before them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from core.evidence import Floats
from services.inference.known import FURTHEST_D
from services.inference.musenet.inputs import (
    BACK_D,
    EXPECTED,
    KNOTS_D,
    PATCH_D,
    WET_DAYS_D,
    WETNESS,
)
from services.inference.musenet.network import Batch
from services.inference.numerics import hydrology

TODAY = BACK_D - 1
"""Index of the issue day among the days of the R-block."""
_DRIVEN = 9
_RAINS = len(hydrology.RAIN_MEANS_D)


@lru_cache(maxsize=1)
def kernels() -> Floats:
    """Filtered rain on each day from a storm of 1 mm on day 0, (150, 4), as in the features."""
    pulse = np.zeros((BACK_D + FURTHEST_D, 1))
    pulse[0] = 1.0 / hydrology.RAIN_SCALE_MM
    start = np.zeros(1)
    filtered = [hydrology.gamma_filter(pulse, mean, start) for mean in hydrology.RAIN_MEANS_D]
    return np.concatenate(filtered, axis=1)


def expected_gain(response_mm: Tensor, index: int, storm_mm: float) -> Tensor:
    """LOS mm that the transfer function adds by day 0 .. 30 after issue, (N, 31).

    `response_mm` (N, 4) are its rates for a unit of each filtered rain; the storm of `storm_mm`
    falls on day `index` of the R-block. What it moved up to the issue day is not counted.
    """
    lag = TODAY + np.arange(1, FURTHEST_D + 1) - index
    unit = np.where((lag >= 0)[:, None], kernels()[np.maximum(lag, 0)], 0.0)
    path = np.concatenate([np.zeros((1, _RAINS)), np.cumsum(unit, axis=0)]) * storm_mm
    return response_mm @ torch.as_tensor(path.T, dtype=response_mm.dtype, device=response_mm.device)


def with_storm(
    batch: Batch, gain_mm: Tensor, scale_mm_d: Tensor, index: int, storm_mm: float
) -> Batch:
    """The batch as it would have been told with the storm; `gain_mm` from `expected_gain`."""
    rain = batch.rain.clone()
    patch, column = index // PATCH_D, 2 * (index % PATCH_D)
    rain[:, patch, column] = torch.log1p(torch.expm1(rain[:, patch, column]) + storm_mm)
    statics = batch.statics.clone()
    days = torch.tensor(KNOTS_D, device=gain_mm.device)
    statics[:, EXPECTED] += gain_mm[:, days] / scale_mm_d[:, None] / days
    for place, ahead in enumerate(WET_DAYS_D):
        lag = TODAY + ahead - index
        if lag >= 0:
            first = WETNESS + _DRIVEN * place
            more = torch.as_tensor(kernels()[lag] * storm_mm, dtype=statics.dtype)
            statics[:, first : first + _RAINS] += more.to(statics.device)
    return batch._replace(rain=rain, statics=statics)
