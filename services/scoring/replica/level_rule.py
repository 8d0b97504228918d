"""The two-parameter reservoir model: a slope moves in proportion to how low the water stands.

Source: Criss, Yao and others, Journal of Earth Science (2020): the rate is proportional to
(L_crit - L)+ and the displacement is its integral over time.
Our choice: least squares on the training labels with a free zero, one pair of numbers a series,
and each forecast set out from the window's newest deformation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from core.evidence import Floats
from services.scoring.replica.stack import FIRST_LABEL_D, TRAIN_D, Stack
from services.scoring.replica.windows import LAGS_D, Windows

_ABOVE_M = 20.0
"""How far above the highest level the critical one is looked for."""
_GRID = 80


class LevelRule(NamedTuple):
    """Parameters of S series, (S,) each."""

    rate_mm_d_m: Floats
    """LOS mm a day for each metre that the level stands below the critical one."""
    critical_level_m: Floats


def fit_level_rule(stack: Stack, first_day: int = FIRST_LABEL_D, days: int = TRAIN_D) -> LevelRule:
    """The rule of each series that fits its labels on `days` days from `first_day` best."""
    part = slice(first_day, first_day + days)
    fits = [
        _fit_series(stack.level_m[part, series // stack.points], stack.label_mm[part, series])
        for series in range(stack.label_mm.shape[1])
    ]
    rate, critical = np.array(fits).T
    return LevelRule(rate, critical)


def forecast_level_rule(rule: LevelRule, given: Windows) -> Floats:
    """The newest deformation plus the rule's motion since, (N, S)."""
    since = int(LAGS_D[given.reading][0])
    points = given.label_mm.shape[1] // given.level_m.shape[1]
    level = np.repeat(given.level_m[..., :since], points, axis=1)
    below = np.clip(rule.critical_level_m[:, None] - level, 0.0, None).sum(axis=-1)
    return np.asarray(given.deformation_mm[..., 0] + rule.rate_mm_d_m * below)


def _fit_series(level_m: Floats, label_mm: Floats) -> tuple[float, float]:
    """Rate and critical level; at any critical level the rate has a closed form."""
    tries = np.linspace(level_m.min(), level_m.max() + _ABOVE_M, _GRID + 1)[1:]
    losses = [_profile(level_m, label_mm, float(critical))[1] for critical in tries]
    best, width = tries[int(np.argmin(losses))], tries[1] - tries[0]
    found = minimize_scalar(
        lambda critical: _profile(level_m, label_mm, float(critical))[1],
        bounds=(best - width, best + width),
        method="bounded",
        options={"xatol": 1e-6},
    )
    critical = float(found.x)
    return _profile(level_m, label_mm, critical)[0], critical


def _profile(level_m: Floats, label_mm: Floats, critical_m: float) -> tuple[float, float]:
    """Best rate at a critical level, and the squares that it leaves."""
    moved = np.concatenate([[0.0], np.cumsum(np.clip(critical_m - level_m, 0.0, None))[:-1]])
    moved = moved - moved.mean()
    label = label_mm - label_mm.mean()
    power = float(moved @ moved)
    rate = float(moved @ label) / power if power > 0 else 0.0
    return rate, float(((label - rate * moved) ** 2).sum())
