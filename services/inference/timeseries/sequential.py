"""Sequential network inversion: pairs as they arrive, over a sliding window of epochs.

The state is the information of all pairs so far about the phases of the epochs in the window,
relative to the origin. Epochs that leave the window are marginalised, so for those still in it
the estimate equals the batch inversion of every pair ever added. A pair must lie inside the
window, which therefore has to hold the longest pair; within it pairs and epochs may come in any
order. All functions are pure.

The state needs (pixels x epochs x (epochs + 1)) numbers, and saves as two arrays and its dates.

Source: information-form filtering with marginalisation by the Schur complement, S. Thrun, Y. Liu
et al., Int. J. Robotics Research 23 (2004) 693-716; the batch it equals is that of
`services.inference.timeseries.network`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from core.errors import BadInputError
from services.inference.timeseries.links import Array, Pair, eliminate_first, information, solve
from services.inference.timeseries.network import check_pairs, weights_of


class WindowState(NamedTuple):
    """What the pairs so far say about the epochs in the window."""

    origin: date
    """The epoch whose phase is zero; it need not be in the window any more."""
    dates: tuple[date, ...]
    """Epochs in the window, sorted."""
    links: Array
    """(pixels, epochs, epochs): weight between two epochs; the diagonal holds that to the origin.

    The information matrix without its cancelling sums; `information_matrix` gives it in full.
    """
    vector: Array
    """(pixels, epochs) information vector: weights times phases."""


class Estimate(NamedTuple):
    """Phases of the epochs in the window relative to the origin."""

    epochs: tuple[date, ...]
    phase: Array
    """(epochs, pixels); NaN where no chain of valid pairs leads to the origin."""
    sigma: Array
    """(epochs, pixels) standard deviation that follows from the pairs' variances."""
    connected: Array
    """(pixels,) bool: every epoch in the window is joined to the origin."""


def begin(origin: date, pixels: int, like: Array | None = None) -> WindowState:
    """A window that holds only its origin, for so many pixels.

    `like` is any array whose namespace, dtype and device the state shall have; float64 NumPy
    without it.
    """
    pattern = np.zeros(0) if like is None else like
    xp = array_namespace(pattern)
    kind = {"dtype": pattern.dtype, "device": device(pattern)}
    return WindowState(
        origin, (origin,), xp.zeros((pixels, 1, 1), **kind), xp.zeros((pixels, 1), **kind)
    )


def add_pairs(
    state: WindowState,
    phase: Array,
    pairs: Sequence[Pair],
    variance: Array | float | None = None,
    *,
    window: int,
) -> WindowState:
    """Take in one or several pairs, then let the oldest epochs beyond `window` leave.

    `phase` is (pairs, pixels), NaN for nodata; `variance` broadcasts to it and is 1 if not given.
    A date not yet in the window is inserted at its place. Adding a pair that was added before
    counts it twice; the caller keeps the list.

    Raises BadInputError for a pair that reaches before the window's first date, a pair of one
    date, shapes that do not fit, or a variance that is not positive; the state is untouched.
    """
    check_pairs(pairs)
    pixels = state.vector.shape[0]
    if tuple(phase.shape) != (len(pairs), pixels):
        raise BadInputError(
            f"The phase has shape {tuple(phase.shape)}, not ({len(pairs)} pairs, {pixels} pixels)."
        )
    if window < 2:
        raise BadInputError(f"A window of {window} epochs cannot hold a pair.")
    _check_reach(state, pairs)
    weights = weights_of(phase, variance)
    xp = array_namespace(phase, state.vector)
    observed = xp.where(weights > 0, phase, xp.zeros_like(phase))
    opened = insert_epochs(state, {epoch for pair in pairs for epoch in pair})
    filled = _accumulate(opened, observed, pairs, weights)
    while len(filled.dates) > window:
        filled = drop_oldest(filled)
    return filled


def insert_epochs(state: WindowState, epochs: set[date]) -> WindowState:
    """The same information with rows, still empty, for `epochs` that the window lacks."""
    added = sorted(epochs - set(state.dates))
    if not added:
        return state
    xp = array_namespace(state.links, state.vector)
    dates = (*state.dates, *added)
    order = sorted(range(len(dates)), key=lambda number: dates[number])
    pixels, old = state.vector.shape
    new = len(added)
    kind = {"dtype": state.links.dtype, "device": device(state.links)}
    links = xp.concat([state.links, xp.zeros((pixels, old, new), **kind)], axis=2)
    links = xp.concat([links, xp.zeros((pixels, new, old + new), **kind)], axis=1)
    vector = xp.concat([state.vector, xp.zeros((pixels, new), **kind)], axis=1)
    index = xp.asarray(order, device=kind["device"])
    links = xp.take(xp.take(links, index, axis=1), index, axis=2)
    return WindowState(state.origin, tuple(sorted(dates)), links, xp.take(vector, index, axis=1))


def drop_oldest(state: WindowState) -> WindowState:
    """Marginalise the window's first epoch; what it told about the others stays."""
    if len(state.dates) < 2:
        raise BadInputError(f"The window's only epoch, {state.dates[0]}, cannot leave it.")
    links, vector = eliminate_first(state.links, state.vector)
    return WindowState(state.origin, state.dates[1:], links, vector)


def estimate(state: WindowState) -> Estimate:
    """Solve the window: phase and its standard deviation for each epoch in it."""
    xp = array_namespace(state.links, state.vector)
    found = solve(state.links, state.vector[:, :, None])
    phase = xp.permute_dims(found.phase[:, :, 0], (1, 0))
    sigma = xp.sqrt(xp.permute_dims(found.variance, (1, 0)))
    known = found.reached
    if state.dates[0] == state.origin:
        zero = xp.zeros_like(phase[:1, :])
        phase = xp.concat([zero, phase[1:, :]], axis=0)
        sigma = xp.concat([zero, sigma[1:, :]], axis=0)
        known = known[:, 1:]
    return Estimate(state.dates, phase, sigma, xp.all(known, axis=1))


def information_matrix(state: WindowState) -> Array:
    """(pixels, epochs, epochs) information matrix; the origin's row and column are zero."""
    return information(state.links)


def _check_reach(state: WindowState, pairs: Sequence[Pair]) -> None:
    first = state.dates[0]
    for pair in pairs:
        if min(pair) < first:
            raise BadInputError(
                f"The pair {pair.reference} - {pair.secondary} reaches outside the window, whose "
                f"first date is {first}; widen the window or leave the pair out."
            )


def _accumulate(
    state: WindowState, observed: Array, pairs: Sequence[Pair], weights: Array
) -> WindowState:
    """Add each pair's weight to its link or anchor, and weight times phase to the vector."""
    xp = array_namespace(state.links, observed)
    links = xp.asarray(state.links, copy=True)
    vector = xp.asarray(state.vector, copy=True)
    place = {epoch: number for number, epoch in enumerate(state.dates)}
    for row, pair in enumerate(pairs):
        i, j = place[pair.reference], place[pair.secondary]
        weight, moment = weights[row, :], weights[row, :] * observed[row, :]
        if state.origin in pair:
            other = j if pair.reference == state.origin else i
            links[:, other, other] += weight
        else:
            links[:, i, j] += weight
            links[:, j, i] += weight
        if pair.reference != state.origin:
            vector[:, i] -= moment
        if pair.secondary != state.origin:
            vector[:, j] += moment
    return WindowState(state.origin, state.dates, links, vector)
