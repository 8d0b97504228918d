"""Closure of triplets: does a - b plus b - c equal a - c, pixel by pixel?

With unwrapped phase it need not: a whole cycle is an unwrapping error, a fraction is a change of
the scatterers (soil moisture, vegetation) or noise. Bring all interferograms to one reference
(a point, or each one's scene median) first, or the closure is that of their constants.

Sources: Z. Yunjun, H. Fattahi and F. Amelung, Computers & Geosciences 133 (2019) 104331 (whole
cycles); F. De Zan, M. Zonno and P. Lopez-Dekker, IEEE TGRS 53 (2015) 6608-6616 (fractions).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from array_api_compat import array_namespace

from services.inference.timeseries.links import Array, Pair
from services.inference.timeseries.network import design_matrix, epochs_of


class Triplet(NamedTuple):
    """Places in the list of pairs of a - b, b - c and a - c, for dates a < b < c."""

    first: int
    second: int
    whole: int


class ClosureSummary(NamedTuple):
    """One entry a triplet, over the pixels valid in all its three pairs."""

    pixels: Array
    mean_rad: Array
    sd_rad: Array
    whole_cycle_share: Array
    """Share of pixels whose closure is off by at least one whole cycle (0 to 1)."""


def triplets(pairs: Sequence[Pair]) -> tuple[Triplet, ...]:
    """All closed triplets of a list of pairs (reference before secondary), by date."""
    place = {(pair.reference, pair.secondary): number for number, pair in enumerate(pairs)}
    found = [(a, b, c) for a, b in place for middle, c in place if middle == b and (a, c) in place]
    return tuple(Triplet(place[a, b], place[b, c], place[a, c]) for a, b, c in sorted(found))


def independent_loops(pairs: Sequence[Pair]) -> int:
    """Independent closed loops of any length: pairs - epochs + connected parts of the network.

    The degrees of freedom of the network inversion; triplets may span fewer of them.
    """
    design = design_matrix(pairs, epochs_of(pairs))
    return len(pairs) - int(np.linalg.matrix_rank(design)) if pairs else 0


def independent_triplets(closed: Sequence[Triplet]) -> int:
    """How many of the triplets are independent: the rank of their signs over the pairs."""
    if not closed:
        return 0
    signs = np.zeros((len(closed), 1 + max(max(triplet) for triplet in closed)))
    for row, triplet in enumerate(closed):
        signs[row, list(triplet)] = (1.0, 1.0, -1.0)
    return int(np.linalg.matrix_rank(signs))


def closure_phase(phase: Array, closed: Sequence[Triplet]) -> Array:
    """(triplets, pixels) closure phi_ab + phi_bc - phi_ac of `phase` (pairs, pixels), in rad.

    NaN where one of the three pairs has no data.
    """
    xp = array_namespace(phase)
    rows = [phase[t.first, :] + phase[t.second, :] - phase[t.whole, :] for t in closed]
    return xp.stack(rows) if rows else phase[:0, :]


def summarise(closure: Array) -> ClosureSummary:
    """Per triplet: mean, standard deviation (divisor N) and share off by a whole cycle.

    `closure` is (triplets, pixels) in rad; NaN entries do not count, and a triplet without any
    pixel has NaN in all but its count.
    """
    xp = array_namespace(closure)
    valid = ~xp.isnan(closure)
    count = xp.sum(xp.astype(valid, closure.dtype), axis=1)
    divisor = xp.where(count > 0, count, xp.full_like(count, math.nan))
    filled = xp.where(valid, closure, xp.zeros_like(closure))
    mean = xp.sum(filled, axis=1) / divisor
    deviation = xp.where(valid, closure - mean[:, None], xp.zeros_like(closure))
    off = xp.astype(xp.abs(filled) > math.pi, closure.dtype)
    return ClosureSummary(
        pixels=xp.astype(count, xp.int64),
        mean_rad=mean,
        sd_rad=xp.sqrt(xp.sum(deviation**2, axis=1) / divisor),
        whole_cycle_share=xp.sum(off, axis=1) / divisor,
    )
