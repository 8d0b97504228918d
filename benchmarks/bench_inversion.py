"""Network inversion of 5,882 pixels x 30 interferograms against a loop over NumPy's `lstsq`.

Weighted least squares; every pixel has weights and gaps of its own, so nothing can be shared
between pixels. The peer solves the same equations pixel by pixel with `numpy.linalg.lstsq`; it
gives phases alone, ours give standard deviations, residuals and connectedness as well. The answers
are compared first. Then the same pairs one by one into the sequential window.

How to read it: *x time* is against our batch. *Sequential* is the time of one pair for all pixels.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from benchmarks.frame import Table, best, rate
from services.inference.timeseries.links import Pair
from services.inference.timeseries.network import design_matrix, epochs_of, invert
from services.inference.timeseries.sequential import WindowState, add_pairs, begin, estimate

EPOCHS = 13
GAPS = 0.03


def run(quick: bool) -> list[Table]:
    """Batch, peer and sequence over the same stack."""
    pixels = 200 if quick else 5882
    pairs = _pairs()
    phase, variance = _stack(pairs, pixels)
    ours_s, found = best(lambda: invert(phase, pairs, variance))
    peer_s, peer = best(lambda: _one_by_one(phase, pairs, variance), repeats=1)
    each_s, state = best(lambda: _sequence(phase, pairs, variance), repeats=1)
    np.testing.assert_allclose(found.phase, peer, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(estimate(state).phase[1:], found.phase[1:], rtol=1e-6, atol=1e-6)
    rows = tuple(
        (name, f"{seconds:.3f}", rate(pixels, seconds), f"{seconds / ours_s:.1f}")
        for name, seconds in (
            ("batch, all pixels at once", ours_s),
            ("numpy.linalg.lstsq, pixel by pixel", peer_s),
            (f"sequential, {len(pairs)} pairs one by one", each_s),
        )
    )
    title = f"Network inversion, {pixels:,} pixels, {len(pairs)} pairs, {EPOCHS} epochs"
    note = f"Sequential: {each_s / len(pairs) * 1e3:.1f} ms a pair."
    return [Table(title, ("method", "seconds", "pixels a second", "x time"), rows, (note,))]


def _pairs() -> list[Pair]:
    """Each epoch with the next two, then some of three steps, 30 in all."""
    days = [date(2020, 1, 1) + timedelta(days=12 * n) for n in range(EPOCHS)]
    steps = [(n, n + step) for step in (1, 2, 3) for n in range(EPOCHS - step)]
    return [Pair(days[first], days[second]) for first, second in steps[:30]]


def _stack(pairs: list[Pair], pixels: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    truth = np.cumsum(rng.normal(0, 0.5, (EPOCHS, pixels)), axis=0)
    variance = rng.uniform(0.05, 0.5, (len(pairs), pixels))
    exact = design_matrix(pairs, epochs_of(pairs)) @ truth
    phase = exact + rng.normal(size=exact.shape) * np.sqrt(variance)
    gaps = rng.random(phase.shape) < GAPS
    gaps[: EPOCHS - 1] = False  # the chain of next neighbours keeps every epoch reachable
    phase[gaps] = np.nan
    return phase, variance


def _one_by_one(phase: np.ndarray, pairs: list[Pair], variance: np.ndarray) -> np.ndarray:
    design = design_matrix(pairs, epochs_of(pairs))[:, 1:]
    found = np.zeros((EPOCHS, phase.shape[1]))
    for pixel in range(phase.shape[1]):
        seen = np.isfinite(phase[:, pixel])
        root = 1.0 / np.sqrt(variance[seen, pixel])
        weighted = design[seen] * root[:, None], phase[seen, pixel] * root
        found[1:, pixel] = np.linalg.lstsq(*weighted, rcond=None)[0]
    return found


def _sequence(phase: np.ndarray, pairs: list[Pair], variance: np.ndarray) -> WindowState:
    state = begin(pairs[0].reference, phase.shape[1])
    for row, pair in enumerate(pairs):
        one = slice(row, row + 1)
        state = add_pairs(state, phase[one], [pair], variance[one], window=EPOCHS)
    return state
