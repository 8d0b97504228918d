"""Integral likelihood: the sum of the daily rates must explain what later real epochs showed.

Between two real epochs the observed increment is Student-t with four degrees of freedom about the
sum of the daily rates (Lange, Little and Taylor 1989); the variance is that of both observations
and of the motion between them. The level at which each later epoch is expected is judged the same
way, so that the nowcast is trained too, and a share of its plain squared error asks for a small
root mean square error where slopes are fast. No label is interpolated.

Three penalties: rough corrections, rates that run uphill (allowed, but not for nothing), and an
answer to more rain that is less motion downslope.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from services.inference.musenet.correcting import (
    REPEAT_D,
    at_offsets,
    corrections_mm,
    variance_factors,
)
from services.inference.musenet.network import Correction

DEGREES = 4.0
SQUARED_MM2 = 16.0
"""Unit of squared errors."""
LARGEST_SQUARED = 40.0
"""A squared error counts for no more, or lost cycles would rule."""


class Targets(NamedTuple):
    """What N issues are judged by: float32, or int64 for days.

    Displacements are LOS mm relative to the last arrived epoch's observation.
    """

    scale_mm_d: Tensor
    """(N,) typical LOS rate, with the sign of downslope motion."""
    age_d: Tensor
    """(N,) days from the last arrived epoch to the issue day."""
    base_mm: Tensor
    """(N, 31) path of Kalman + transfer function on day 0 .. 30."""
    base_sd_mm: Tensor
    """(N, 31) its standard deviation."""
    base_last_mm: Tensor
    """(N,) its displacement at the last arrived epoch."""
    offset_d: Tensor
    """(N, J) days from issue to each later real epoch, ascending."""
    observed_mm: Tensor
    """(N, J) what it showed; NaN in padding."""
    sd_mm: Tensor
    """(N, J) standard deviation of that observation."""


class Weights(NamedTuple):
    """How much each part of the loss counts."""

    squared: float = 0.0
    """Of the squared error in mm, which asks for a small root mean square error outright."""
    level: float = 1.0
    increments: float = 1.0
    roughness: float = 0.01
    uphill: float = 0.01


def student_nll(error: Tensor, variance: Tensor) -> Tensor:
    """Negative log-likelihood of `error` under a Student-t4 with this variance, less a constant."""
    scale2 = variance * (DEGREES - 2.0) / DEGREES
    inside = torch.log1p(error**2 / (DEGREES * scale2))
    return 0.5 * (DEGREES + 1.0) * inside + 0.5 * torch.log(scale2)


def expected(correction: Correction, targets: Targets) -> tuple[Tensor, Tensor]:
    """Corrected path and its variance, (N, 31) each, mm and mm^2."""
    moved = corrections_mm(
        correction.displacement,
        correction.rate_since,
        correction.rates,
        targets.scale_mm_d,
        targets.age_d,
    )
    variance = targets.base_sd_mm**2 * variance_factors(correction.log_variance)
    return targets.base_mm + moved, variance


def integral_loss(correction: Correction, targets: Targets, weights: Weights) -> Tensor:
    """Mean loss of N issues, each later epoch counting once."""
    path, variance = expected(correction, targets)
    last = targets.base_last_mm + REPEAT_D * correction.displacement * targets.scale_mm_d
    here = at_offsets(path, targets.offset_d, last, targets.age_d)
    spread = at_offsets(variance, targets.offset_d, variance[:, 0], targets.age_d)
    seen = torch.isfinite(targets.observed_mm)
    error = torch.where(seen, targets.observed_mm, here.detach()) - here
    noise = torch.where(seen, targets.sd_mm, 1.0) ** 2
    count = seen.sum().clamp(min=1)
    total = here.new_zeros(())
    if weights.level:
        total = total + weights.level * _mean(student_nll(error, spread + noise), seen, count)
    if weights.squared:
        misfit = torch.clamp(error**2 / SQUARED_MM2, max=LARGEST_SQUARED)
        total = total + weights.squared * _mean(misfit, seen, count)
    if weights.increments:
        nll = _increments(error, spread, noise, seen, targets)
        total = total + weights.increments * nll
    if weights.roughness:
        total = total + weights.roughness * (correction.rates.diff(dim=1) ** 2).mean()
    if weights.uphill:
        downslope = path.diff(dim=1) / targets.scale_mm_d[:, None]
        total = total + weights.uphill * torch.relu(-downslope).mean()
    return total


def _mean(values: Tensor, seen: Tensor, count: Tensor) -> Tensor:
    return torch.where(seen, values, torch.zeros_like(values)).sum() / count


def _increments(
    error: Tensor, spread: Tensor, noise: Tensor, seen: Tensor, targets: Targets
) -> Tensor:
    """Consecutive later epochs against each other."""
    both = seen[:, 1:] & seen[:, :-1]
    moved = (spread[:, 1:] - spread[:, :-1]).clamp(min=0.0)
    variance = moved + noise[:, 1:] + noise[:, :-1] + 1e-6
    nll = student_nll(error[:, 1:] - error[:, :-1], variance)
    return _mean(nll, both, both.sum().clamp(min=1))


def downslope_path(correction: Correction, targets: Targets) -> Tensor:
    """Downslope motion from issue to day 0 .. 30, (N, 31), in 12 days at the typical rate."""
    path, _ = expected(correction, targets)
    return (path - path[:, :1]) / (REPEAT_D * targets.scale_mm_d[:, None])


def rain_penalty(more: Tensor, less: Tensor) -> Tensor:
    """Hinge on downslope paths (N, 31): what more rain took away from the motion."""
    return torch.relu(less - more).mean()
