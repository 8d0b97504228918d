"""The normal equations of an interferogram network, kept as a graph of links between epochs.

A pair of weight w that joins epochs i and j adds w to their **link** L[i, j] = L[j, i]; a pair that
joins epoch i to the origin, whose phase is zero by definition, adds w to the **anchor** L[i, i].
The information matrix is then diag(sum over j of L[i, j]) minus the off-diagonal links. Every entry
is a sum of products of weights, never a difference, so an absent connection is exactly zero even
after epochs were eliminated, and connectivity is read from the numbers themselves.

Arrays are (batch, epochs, epochs) and belong to any Python array API namespace.

Source: the star-mesh form of Gaussian elimination, F. Doerfler and F. Bullo, IEEE Trans. Circuits
and Systems I 60 (2013) 150-163 (Kron reduction); for the network itself P. Berardino et al., IEEE
TGRS 40 (2002) 2375-2383.
"""

from __future__ import annotations

import math
from datetime import date
from typing import Any, NamedTuple, TypeAlias

from array_api_compat import array_namespace, device

Array: TypeAlias = Any
"""An array of any namespace that follows the Python array API."""


class Pair(NamedTuple):
    """Two acquisitions; its phase is the secondary's minus the reference's."""

    reference: date
    secondary: date


class Solution(NamedTuple):
    """Phases of the epochs relative to the origin; NaN where no chain of pairs reaches it."""

    phase: Array
    """(batch, epochs, columns)"""
    variance: Array
    """(batch, epochs), in the unit of one over the weights."""
    reached: Array
    """(batch, epochs), bool: a chain of pairs joins the epoch to the origin."""


def reached(links: Array) -> Array:
    """(batch, epochs) bool: whether links join the epoch to an anchored one."""
    xp = array_namespace(links)
    joined = links > 0
    size = links.shape[-1]
    now = xp.any(joined & (_eye(links) > 0), axis=-1)
    for _ in range(size):
        grown = now | xp.any(joined & now[:, None, :], axis=-1)
        if bool(xp.all(grown == now)):
            break
        now = grown
    return now


def information(links: Array) -> Array:
    """(batch, epochs, epochs) information (inverse covariance) matrix of the links."""
    xp = array_namespace(links)
    eye = _eye(links)
    return eye * xp.sum(links, axis=-1)[:, :, None] - links * (1.0 - eye)


def solve(links: Array, vector: Array) -> Solution:
    """Phases and their variances from links (batch, n, n) and vector (batch, n, columns).

    `vector` holds, for each epoch, the sum of weight times phase of the pairs that end in it minus
    that of the pairs that begin in it. Only the part of the graph that reaches the origin counts.
    """
    xp = array_namespace(links, vector)
    known = reached(links)
    both = known[:, :, None] & known[:, None, :]
    kept = xp.where(both, links, xp.zeros_like(links))
    eye = _eye(links)
    loose = eye * xp.astype(~known, links.dtype)[:, :, None]
    inverse = xp.linalg.inv(information(kept) + loose)
    right = xp.where(known[:, :, None], vector, xp.zeros_like(vector))
    phase = xp.matmul(inverse, right)
    variance = xp.sum(inverse * eye, axis=-1)
    return Solution(
        phase=xp.where(known[:, :, None], phase, xp.full_like(phase, math.nan)),
        variance=xp.where(known, variance, xp.full_like(variance, math.nan)),
        reached=known,
    )


def eliminate_first(links: Array, vector: Array) -> tuple[Array, Array]:
    """Marginalise the first epoch: links (batch, n, n) and vector (batch, n) become n - 1.

    With s = sum over j of L[0, j] (the anchor included), every other link and anchor grows by
    L[i, 0] L[0, j] / s, and the vector by L[i, 0] vector[0] / s: the Schur complement of the
    information matrix, without its subtraction.
    """
    xp = array_namespace(links, vector)
    anchor = links[:, 0, 0]
    arms = links[:, 0, 1:]
    total = anchor + xp.sum(arms, axis=-1)
    share = arms / xp.where(total > 0, total, xp.ones_like(total))[:, None]
    rest = links[:, 1:, 1:]
    eye = _eye(rest)
    mesh = share[:, :, None] * arms[:, None, :] * (1.0 - eye)
    anchors = eye * (share * anchor[:, None])[:, :, None]
    return rest + mesh + anchors, vector[:, 1:] + share * vector[:, :1]


def _eye(links: Array) -> Array:
    """(1, n, n) identity of the same kind as `links`."""
    xp = array_namespace(links)
    return xp.eye(links.shape[-1], dtype=links.dtype, device=device(links))[None, :, :]
