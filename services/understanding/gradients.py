"""Shares of the drivers in a differentiable model's forecasts, by integrated gradients.

The gradient of the forecast is followed on the straight way from a baseline (drivers held at their
day-of-year mean) to the drivers as they were; what each day's rain and level contributed adds up to
the change of the forecast (M. Sundararajan, A. Taly and Q. Yan, ICML 2017). Torch is needed, and
loaded only here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from core.errors import SlopewatchError
from core.evidence import Floats

Predict = Callable[[Any, Any], Any]
"""From torch tensors of rain and level, (B, ...) each, to forecasts (B,), differentiable."""


class Contributions(NamedTuple):
    """What the drivers of B forecasts contributed beyond the baseline, in the forecast's unit."""

    rain: Floats
    level: Floats
    """(B, ...) as the drivers."""
    missing: Floats
    """(B,) change of the forecast that the steps did not account for."""


def integrated_gradients(
    predict: Predict,
    drivers: tuple[Floats, Floats],
    baseline: tuple[Floats, Floats],
    *,
    steps: int = 32,
) -> Contributions:
    """Contributions of rain and level to `predict` between `baseline` and `drivers`.

    Args:
        predict: the model; everything but the drivers is bound in it.
        drivers: rain and level, (B, ...) each.
        baseline: the same shapes.
        steps: points of the midpoint rule.

    Raises:
        SlopewatchError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise SlopewatchError(
            "integrated gradients need torch: install slopewatch[torch]"
        ) from error
    start = [torch.as_tensor(part, dtype=torch.float64) for part in baseline]
    end = [torch.as_tensor(part, dtype=torch.float64) for part in drivers]
    total = [torch.zeros_like(part) for part in end]
    for step in range(steps):
        at = (step + 0.5) / steps
        way = [(a + at * (b - a)).requires_grad_(True) for a, b in zip(start, end, strict=True)]
        slopes = torch.autograd.grad(predict(*way).sum(), way, allow_unused=True)
        for row, slope in enumerate(slopes):
            if slope is not None:
                total[row] += slope / steps
    given = [((b - a) * s).numpy() for a, b, s in zip(start, end, total, strict=True)]
    with torch.no_grad():
        change = (predict(*end) - predict(*start)).double().numpy()
    accounted = sum(part.reshape(len(part), -1).sum(axis=1) for part in given)
    return Contributions(given[0], given[1], np.asarray(change - accounted))


def rain_share_of_gradients(contributions: Contributions) -> float:
    """Rain's share over B forecasts: mean size of its contribution beside the level's.

    A contribution is summed over its days first, so that what cancels within a forecast does not
    count. NaN where neither contributes.
    """
    rain, level = (
        np.abs(part.reshape(len(part), -1).sum(axis=1)).mean()
        for part in (contributions.rain, contributions.level)
    )
    return float(rain / (rain + level)) if rain + level > 0 else float("nan")
