"""Network inversion: a stack of unwrapped interferograms to one phase per epoch and pixel.

Weighted least squares per pixel on the pairs that are valid there, all pixels at once. Works in
whatever unit it is given (rad, or mm along the line of sight); the pair's value is the secondary's
minus the reference's.

Source: P. Berardino, G. Fornaro, R. Lanari and E. Sansosti, IEEE TGRS 40 (2002) 2375-2383, with
epoch phases instead of rates as unknowns; weights as in Y. Zhang et al., Computers & Geosciences
133 (2019) 104331 (inverse phase variance).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from core.errors import BadInputError
from services.inference.timeseries.links import Array, Pair, Solution, solve

_ELEMENTS_AT_ONCE = 2**23
"""Matrix entries solved together; bounds the memory of one block to a few hundred megabytes."""
_SMALLEST_GROUP = 32
"""Pixels with the same equations from which on they are factored once for all."""


class Inversion(NamedTuple):
    """What the network says about each epoch; everything relative to the first epoch."""

    epochs: tuple[date, ...]
    phase: Array
    """(epochs, pixels); 0 at the first epoch, NaN where no chain of valid pairs leads to it."""
    sigma: Array
    """(epochs, pixels) standard deviation in the unit of the phase; 0 at the first epoch."""
    residual_rms: Array
    """(pixels,) root mean square of observed minus modelled, divisor the number of pairs used."""
    pairs_used: Array
    """(pixels,) number of pairs that the pixel's solution rests on."""
    connected: Array
    """(pixels,) bool: every epoch of the pixel is joined to the first one."""


def epochs_of(pairs: Sequence[Pair]) -> tuple[date, ...]:
    """All dates of the pairs, sorted."""
    return tuple(sorted({epoch for pair in pairs for epoch in pair}))


def design_matrix(pairs: Sequence[Pair], epochs: Sequence[date]) -> np.ndarray[Any, Any]:
    """(pairs, epochs) matrix with -1 at the reference and +1 at the secondary."""
    place = {epoch: column for column, epoch in enumerate(epochs)}
    design = np.zeros((len(pairs), len(epochs)))
    for row, pair in enumerate(pairs):
        design[row, place[pair.reference]] = -1.0
        design[row, place[pair.secondary]] = 1.0
    return design


def invert(
    phase: Array,
    pairs: Sequence[Pair],
    variance: Array | None = None,
    *,
    scale_by_residual: bool = False,
) -> Inversion:
    """Invert `phase` (pairs, pixels), NaN for nodata, to one phase per epoch and pixel.

    `variance` (pairs, pixels) or (pairs, 1) in the squared unit of the phase gives the weights
    1 / variance; a pair whose phase or variance is not finite is left out of that pixel.
    `sigma` follows from the variances; with `scale_by_residual`, and always without variances,
    it is multiplied by the weighted residual's standard deviation (degrees of freedom: pairs
    minus unknowns; NaN where there are none left). Errors of pairs count as independent.

    Raises BadInputError where shapes and pairs do not fit, a pair joins a date with itself, or a
    variance is not positive.
    """
    xp = array_namespace(phase)
    weights = _weights(phase, pairs, variance)
    epochs = epochs_of(pairs)
    kind = {"dtype": phase.dtype, "device": device(phase)}
    design = xp.asarray(design_matrix(pairs, epochs)[:, 1:], **kind)
    observed = xp.where(weights > 0, phase, xp.zeros_like(phase))
    shared = variance is None or variance.shape[1] == 1
    found = _solve_all(design, weights, observed, shared=shared)
    known = xp.permute_dims(found.reached, (1, 0))
    solution = xp.permute_dims(found.phase[:, :, 0], (1, 0))
    filled = xp.where(known, solution, xp.zeros_like(solution))
    endpoints = xp.matmul(xp.abs(design), xp.astype(~known, phase.dtype))
    used = (weights > 0) & (endpoints == 0)
    residual = xp.where(used, observed - xp.matmul(design, filled), xp.zeros_like(observed))
    count = xp.sum(xp.astype(used, phase.dtype), axis=0)
    sigma = xp.sqrt(xp.permute_dims(found.variance, (1, 0)))
    if variance is None or scale_by_residual:
        unknowns = xp.sum(xp.astype(known, phase.dtype), axis=0)
        sigma = sigma * _scale(xp.sum(weights * residual**2, axis=0), count - unknowns)[None, :]
    nothing = xp.full_like(count, math.nan)
    mean_square = xp.sum(residual**2, axis=0) / xp.where(count > 0, count, nothing)
    origin = xp.zeros_like(phase[:1, :])
    return Inversion(
        epochs=epochs,
        phase=xp.concat([origin, solution], axis=0),
        sigma=xp.concat([origin, sigma], axis=0),
        residual_rms=xp.sqrt(mean_square),
        pairs_used=xp.astype(count, xp.int64),
        connected=xp.all(known, axis=0),
    )


def check_pairs(pairs: Sequence[Pair]) -> None:
    """Raise BadInputError for an empty list or a pair that joins a date with itself."""
    if not pairs:
        raise BadInputError("There is no pair to invert.")
    for pair in pairs:
        if pair.reference == pair.secondary:
            raise BadInputError(f"The pair {pair.reference} - {pair.secondary} is one date.")


def weights_of(phase: Array, variance: Array | float | None) -> Array:
    """1 / variance shaped like `phase`; 0 where phase or variance is not finite; 1 for None.

    Raises BadInputError for a variance that is zero or negative.
    """
    xp = array_namespace(phase)
    full = xp.ones_like(phase) if variance is None else xp.zeros_like(phase) + variance
    if bool(xp.any(full <= 0)):
        raise BadInputError("A pair has a phase variance that is not positive.")
    usable = xp.isfinite(phase) & xp.isfinite(full)
    return xp.where(usable, 1.0 / full, xp.zeros_like(full))


def _weights(phase: Array, pairs: Sequence[Pair], variance: Array | None) -> Array:
    check_pairs(pairs)
    if phase.ndim != 2 or phase.shape[0] != len(pairs):
        raise BadInputError(
            f"The phase has shape {tuple(phase.shape)}, not ({len(pairs)} pairs, pixels)."
        )
    return weights_of(phase, variance)


def _scale(weighted_square: Array, freedom: Array) -> Array:
    """Standard deviation of unit weight; NaN where no degree of freedom is left."""
    xp = array_namespace(weighted_square)
    over = freedom > 0
    quotient = weighted_square / xp.where(over, freedom, xp.ones_like(freedom))
    return xp.where(over, xp.sqrt(quotient), xp.full_like(quotient, math.nan))


def _solve_all(design: Array, weights: Array, observed: Array, *, shared: bool) -> Solution:
    """Solve every pixel, in blocks; the batch of the solution is the pixels, in their order."""
    xp = array_namespace(design)
    every = xp.arange(observed.shape[1], device=device(observed))
    groups, rest = _groups(weights) if shared else ([], every)
    block = max(1, _ELEMENTS_AT_ONCE // max(1, design.shape[1] ** 2))
    count = rest.shape[0]
    blocks = [rest[low : min(low + block, count)] for low in range(0, count, block)]
    parts = [
        _solve_block(design, xp.take(weights, index[:1], axis=1), xp.take(observed, index, axis=1))
        for index in groups
    ] + [
        _solve_block(design, xp.take(weights, index, axis=1), xp.take(observed, index, axis=1))
        for index in blocks
    ]
    if not parts:
        return _solve_block(design, weights, observed)
    back = xp.argsort(xp.concat([*groups, *blocks]))
    return Solution(
        *(xp.take(xp.concat(list(field)), back, axis=0) for field in zip(*parts, strict=True))
    )


def _groups(weights: Array) -> tuple[list[Array], Array]:
    """Pixel numbers by identical set of valid pairs: the large sets, and all pixels in small ones.

    Only meaningful where a pair's weight is the same in every pixel that has it.
    """
    xp = array_namespace(weights)
    valid = xp.astype(weights > 0, xp.int64)
    pattern = xp.zeros_like(valid[0, :])
    for low in range(0, valid.shape[0], 31):
        for row in range(low, min(low + 31, valid.shape[0])):
            pattern = pattern * 2 + valid[row, :]
        pattern = xp.astype(xp.unique_inverse(pattern).inverse_indices, xp.int64)
    counts = xp.unique_counts(pattern).counts
    size = xp.take(counts, pattern)
    large = xp.nonzero(counts >= _SMALLEST_GROUP)[0]
    groups = [xp.nonzero(pattern == large[i])[0] for i in range(large.shape[0])]
    return groups, xp.nonzero(size < _SMALLEST_GROUP)[0]


def _solve_block(design: Array, weights: Array, observed: Array) -> Solution:
    """Solve `observed` (pairs, pixels) with one column of `weights` a pixel, or one for all."""
    xp = array_namespace(design)
    pairs, unknowns = design.shape
    pixels, systems = observed.shape[1], weights.shape[1]
    ends = xp.abs(design)
    touch = ends[:, :, None] * ends[:, None, :]
    inside = xp.astype(xp.sum(ends, axis=1) > 1.5, design.dtype)
    eye = xp.eye(unknowns, dtype=design.dtype, device=device(design))
    touch = touch * (1.0 - eye[None, :, :] * inside[:, None, None])
    links = xp.matmul(xp.permute_dims(weights, (1, 0)), xp.reshape(touch, (pairs, -1)))
    links = xp.reshape(links, (systems, unknowns, unknowns))
    vector = xp.matmul(xp.permute_dims(design, (1, 0)), weights * observed)
    if systems == 1:
        found = solve(links, vector[None, :, :])
        return Solution(
            phase=xp.permute_dims(found.phase, (2, 1, 0)),
            variance=xp.broadcast_to(found.variance, (pixels, unknowns)),
            reached=xp.broadcast_to(found.reached, (pixels, unknowns)),
        )
    return solve(links, xp.permute_dims(vector, (1, 0))[:, :, None])
