"""Intervals that resample sites and blocks of time together.

Errors of one site are alike, and so are errors of one season at all sites. Squared errors are
summed into cells of site and block; a resample draws sites and blocks with replacement and weighs
each cell with the product of both counts (Owen, Ann. Appl. Stat. 1, 2007: the pigeonhole
bootstrap, which never understates the variance of a mean over two crossed factors). All
models and all statistics of a table share the draws, so differences between models are paired.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from core.evidence import Floats
from services.inference.known import Ints
from services.scoring.score import Interval

RESAMPLES = 1000


class Draws(NamedTuple):
    """How often each site (R, sites) and each block (R, blocks) is drawn; row 0 is the sample."""

    site: Floats
    block: Floats


def draws(sites: int, blocks: int, resamples: int = RESAMPLES, seed: int = 5) -> Draws:
    """The draws of all intervals of a run."""
    rng = np.random.default_rng(seed)
    site = rng.multinomial(sites, np.full(sites, 1 / sites), resamples)
    block = rng.multinomial(blocks, np.full(blocks, 1 / blocks), resamples)
    return Draws(
        np.concatenate([np.ones((1, sites)), site]), np.concatenate([np.ones((1, blocks)), block])
    )


class Cells(NamedTuple):
    """Sums and counts by site and block, (sites, blocks) each."""

    total: Floats
    number: Floats

    def means(self, drawn: Draws) -> Floats:
        """The mean in each resample (R + 1,), that of the sample first; NaN of nothing."""
        total = np.einsum("rs,sb,rb->r", drawn.site, self.total, drawn.block, optimize=True)
        count = np.einsum("rs,sb,rb->r", drawn.site, self.number, drawn.block, optimize=True)
        return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))


def cells(values: Floats, block: Ints, sites: int, blocks: int) -> Cells:
    """Cells of values (I, S) of forecasts in `block` (I,); NaN is out.

    Series follow one another by site, as many at each.
    """
    good = np.isfinite(values)
    member = (block == np.arange(blocks)[:, None]).astype(np.float64)
    total, count = (
        (member @ part.reshape(len(values), sites, -1).sum(axis=2)).T
        for part in (np.where(good, values, 0.0), good.astype(np.float64))
    )
    return Cells(total, count)


def interval(values: Floats) -> Interval:
    """The sample's value (first) with the 95 % interval of its resamples; NaN resamples are out."""
    rest = values[1:][np.isfinite(values[1:])]
    if not rest.size:
        return Interval(float(values[0]), np.nan, np.nan)
    low, high = np.quantile(rest, (0.025, 0.975))
    return Interval(float(values[0]), float(low), float(high))


def of_two(
    one: Cells, other: Cells, drawn: Draws, statistic: Callable[[Floats, Floats], Floats]
) -> Interval:
    """Interval of a statistic of two mean squared errors that share the draws."""
    return interval(statistic(one.means(drawn), other.means(drawn)))


def root_ratio_percent(one: Floats, other: Floats) -> Floats:
    """How much larger the first root mean square is than the second, in percent."""
    return 100.0 * (np.sqrt(one / other) - 1.0)
