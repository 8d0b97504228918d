"""The batched numerics are the same function on torch: equal to NumPy to 1e-10 in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from services.inference.timeseries import motion
from services.inference.timeseries.links import Pair
from services.inference.timeseries.network import invert

torch = pytest.importorskip("torch", reason="the extra slopewatch[torch] is not installed")

POINTS, UNITS, EPOCHS = 40, 3, 30


def series() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    days = np.arange(EPOCHS) * 12.0
    moved = -0.2 * days[:, None] + random.normal(0, 3, (EPOCHS, POINTS))
    moved[random.random(moved.shape) < 0.1] = np.nan
    return days, moved


def folded(asarray: Callable[[Any], Any]) -> list[np.ndarray]:
    """Every array of the motion after all epochs."""
    _, moved = series()
    membership = np.arange(POINTS)[None, :] % UNITS == np.arange(UNITS)[:, None]
    layout = motion.Layout(asarray(membership.astype(float)), asarray(np.full(UNITS, 27.7)))
    state = motion.begin(asarray(np.zeros(POINTS)), asarray(np.zeros(UNITS)), 1.0)
    for k in range(EPOCHS):
        state, _ = motion.assimilate(
            state,
            layout,
            12.0 if k else 0.0,
            asarray(moved[k]),
            asarray(np.full(POINTS, 4.0)),
            asarray(np.full(POINTS, 9.0)),
            asarray(np.full(UNITS, 9.0)),
            1.5e-3,
            1.0,
        )
    parts = [*state.points, *state.units, state.offset_mm, state.seen_mm, state.calm]
    return [np.asarray(part) for part in parts]


def test_motion_on_torch_equals_numpy() -> None:
    for ours, theirs in zip(folded(np.asarray), folded(torch.asarray), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-10)


def test_inversion_on_torch_equals_numpy() -> None:
    from datetime import date

    random = np.random.default_rng(6)
    dates = [date(2020, 1, d) for d in (1, 13, 25, 30)]
    pairs = [Pair(a, b) for i, a in enumerate(dates) for b in dates[i + 1 :]]
    phase = random.normal(0, 1, (len(pairs), 50))
    variance = random.uniform(0.1, 1, phase.shape)
    ours = invert(phase, pairs, variance)
    theirs = invert(torch.asarray(phase), pairs, torch.asarray(variance))
    np.testing.assert_allclose(np.asarray(theirs.phase), ours.phase, atol=1e-10)
    np.testing.assert_allclose(np.asarray(theirs.sigma), ours.sigma, atol=1e-10)
