"""Tallies of scores by horizon and group, and quantiles from them that lean on the parent group.

A tally is (H, G, B): weights of scores in bins even in the logarithm, for the G innermost groups
of `trust.groups`. A weight of 1 is one epoch of one site, however many points it has.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from core.evidence import Floats
from services.inference.known import Ints
from services.inference.model import HORIZONS_D
from services.inference.trust.groups import BRANCHES, LEAVES

LEAST: Final = 60
"""Epochs times sites below which a group takes the word of its parent."""

_LOG_EDGES: Final = np.linspace(np.log(0.02), np.log(20.0), 48)
_STEP: Final = float(_LOG_EDGES[1] - _LOG_EDGES[0])
BINS: Final = len(_LOG_EDGES) + 1


class Pull(NamedTuple):
    """Where quantiles lie between a prior's and the tally's: log q = own + trust_prior log prior.

    Both (L, H, G); `own` is the tally's part, `trust_prior` from 0 to 1.
    """

    own: Floats
    trust_prior: Floats


def empty() -> Floats:
    """A tally of nothing, (H, G, B)."""
    return np.zeros((len(HORIZONS_D), LEAVES, BINS))


def added(tally: Floats, group: Ints, score: Floats, weight: Floats, forget: float) -> Floats:
    """The tally with scores of N epochs and series more.

    `score`, `weight` and `group` (H, N); what has no finite score is left out. A group forgets the
    share `forget` of what it knew for each unit of weight that it learns.
    """
    horizon = np.broadcast_to(np.arange(len(score))[:, None], score.shape)
    good = np.isfinite(score)
    at, of = horizon[good], group[good]
    learnt = np.zeros(tally.shape[:2])
    np.add.at(learnt, (at, of), weight[good])
    result = tally * (1.0 - forget) ** learnt[:, :, None]
    with np.errstate(divide="ignore"):
        bin_ = np.searchsorted(_LOG_EDGES, np.log(score[good]), side="right")
    np.add.at(result, (at, of, bin_), weight[good])
    return np.asarray(result)


def weights(group: Ints, place: Ints, there: Floats) -> Floats:
    """Weights (H, S) that make all series of a place, horizon and group count as one together.

    `group` and `place` (S,) or (H, S); a series counts where `there` (H, S) is finite.
    """
    good = np.isfinite(there)
    horizon = np.arange(len(there))[:, None]
    key = (horizon * (int(place.max(initial=0)) + 1) + place) * LEAVES + group
    count = np.bincount(key[good], minlength=int(key.max(initial=0)) + 1)
    return np.asarray(np.where(good, 1.0 / np.maximum(count[key], 1), 0.0))


def pull(tally: Floats, levels: tuple[float, ...]) -> Pull:
    """Quantiles of a tally at `levels`, leaning on the parent where a group knows little.

    From the root to the leaves: log q = w log q_own + (1 - w) log q_parent with w = n / (n + 60)
    of n epochs times sites, and w = 0 where n < 60. The parent of the root is the prior.
    """
    horizons = len(tally)
    own = np.zeros((len(levels), horizons, 1))
    trust = np.ones((len(levels), horizons, 1))
    groups = 1
    for branch in (1, *BRANCHES):
        groups *= branch
        part = tally.reshape(horizons, groups, -1, BINS).sum(axis=2)
        n = part.sum(axis=2)
        least = LEAST if groups > 1 else 0
        w = np.where((n > 0) & (n >= least), n / (n + LEAST), 0.0)[None]
        mine = _log_quantiles(part, levels)
        own = w * mine + (1 - w) * np.repeat(own, branch, axis=2)
        trust = (1 - w) * np.repeat(trust, branch, axis=2)
    return Pull(own, trust)


def quantiles(tally: Floats, levels: tuple[float, ...], prior: Floats) -> Floats:
    """Quantiles (L, H, G) of a tally at `levels`; `prior` is shaped to fit them."""
    way = pull(tally, levels)
    return np.asarray(np.exp(way.own + way.trust_prior * np.log(prior)))


def _log_quantiles(tally: Floats, levels: tuple[float, ...]) -> Floats:
    """Log of the quantiles (L, ...) along the bins, linear within each; 0 where there is nothing.

    The rank is that of split conformal prediction, (n + 1) level.
    """
    upto = np.cumsum(tally, axis=-1)
    total = upto[..., -1]
    found = []
    for level in levels:
        rank = np.minimum((total + 1.0) * level, total)
        bin_ = np.minimum((upto < rank[..., None] - 1e-9).sum(axis=-1), BINS - 1)[..., None]
        here = np.take_along_axis(tally, bin_, -1)[..., 0]
        before = np.take_along_axis(upto, bin_, -1)[..., 0] - here
        share = np.where(here > 0, (rank - before) / np.where(here > 0, here, 1.0), 0.0)
        value = _LOG_EDGES[0] + (bin_[..., 0] - 1 + np.clip(share, 0.0, 1.0)) * _STEP
        found.append(np.where(total > 0, value, 0.0))
    return np.stack(found)
