"""Kalman tick against statsmodels: the same points, the same numbers, the same run.

One point-epoch is one prediction and one update. The peer is statsmodels' compiled filter of
`UnobservedComponents`, local linear trend with fixed parameters, point by point: once with its
models built beforehand (the filter alone), once with building them, as a caller has to. Each side
runs three times and the best counts. The answers are compared before any rate is given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from statsmodels.tsa.statespace.structural import UnobservedComponents

from benchmarks.frame import Table, best, rate
from core.kalman import TrendState, predict, start, update

STEP_DAYS = 1.0
LEVEL_WALK = 0.5
NOISE = 4.0
GAPS = 0.06


def simulate(points: int, epochs: int) -> np.ndarray[Any, Any]:
    """(epochs, points) observed displacement in mm: trend, level walk, noise, missing epochs."""
    rng = np.random.default_rng(20180106)
    trend = rng.normal(size=points) * np.arange(epochs)[:, None]
    level = np.cumsum(rng.normal(size=(epochs, points)) * LEVEL_WALK**0.5, axis=0)
    observed: np.ndarray[Any, Any] = trend + level + rng.normal(size=(epochs, points)) * NOISE**0.5
    observed[1:][rng.random((epochs - 1, points)) < GAPS] = np.nan
    return observed


def batched(observed: np.ndarray[Any, Any]) -> TrendState:
    """Every point at once with `core.kalman`; the state after the last epoch."""
    state = start(observed[0], NOISE)
    for row in observed[1:]:
        state, _ = update(predict(state, STEP_DAYS, 0.0, LEVEL_WALK), row, NOISE)
    return state


def peer_models(observed: np.ndarray[Any, Any]) -> list[Any]:
    """Statsmodels' local linear trend of each point: same noises, same first prediction."""
    first = predict(start(observed[0], NOISE), STEP_DAYS, 0.0, LEVEL_WALK)
    models = []
    for point in range(observed.shape[1]):
        model = UnobservedComponents(observed[1:, point], "lltrend")
        model.update([NOISE, LEVEL_WALK * STEP_DAYS, 0.0])
        d, v, pdd, pdv, pvv = (float(field[point]) for field in first)
        model.ssm.initialize_known(np.asarray([d, v]), np.asarray([[pdd, pdv], [pdv, pvv]]))
        models.append(model)
    return models


def one_by_one(models: list[Any]) -> np.ndarray[Any, Any]:
    """(points, 2) last filtered displacement and velocity of each model."""
    return np.stack([model.ssm.filter().filtered_state[:, -1] for model in models])


def run(quick: bool) -> list[Table]:
    """Measure and compare."""
    points, epochs = (50, 12) if quick else (2000, 60)
    observed = simulate(points, epochs)
    models = peer_models(observed)
    ours_s, state = best(lambda: batched(observed))
    filter_s, answers = best(lambda: one_by_one(models))
    whole_s, again = best(lambda: one_by_one(peer_models(observed)))
    ours = np.stack([state.displacement_mm, state.velocity_mm_d], axis=1)
    np.testing.assert_allclose(ours, answers, rtol=1e-8, atol=1e-8)
    np.testing.assert_array_equal(again, answers)
    work = points * (epochs - 1)
    rows = tuple(
        (name, rate(work, seconds), f"{seconds / ours_s:,.1f}")
        for name, seconds in (
            ("core.kalman, all points at once", ours_s),
            ("statsmodels, filter alone", filter_s),
            ("statsmodels, with building models", whole_s),
        )
    )
    largest = np.max(np.abs(ours - answers))
    return [
        Table(
            f"Kalman tick, {points:,} points x {epochs} epochs, {GAPS:.0%} missing, float64",
            ("filter", "point-epochs a second", "x time"),
            rows,
            (f"Largest difference of the answers: {largest:.1e} (mm, mm/d).",),
        )
    ]
