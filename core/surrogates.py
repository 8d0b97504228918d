"""Series that look like a given one and know nothing of any other: the null of a dependence test.

Slow series pass most textbook tests of dependence by chance, because their neighbours in time are
no independent draws. A surrogate keeps what makes a series slow and breaks what could link it to
another: autoregressive ones keep variance and lag-one correlation, phase-randomised ones the whole
spectrum, year blocks the season.

Sources: J. Theiler et al., Physica D 58 (1992) 77-94 (phase randomisation); A. C. Davison and
D. V. Hinkley, Bootstrap Methods and their Application (1997) section 4.2 (the count of a
Monte Carlo test includes the observation); Y. Benjamini and Y. Hochberg, J. R. Stat. Soc. B 57
(1995) 289-300; Y. Benjamini and D. Yekutieli, Ann. Statist. 29 (2001) 1165-1188.
"""

from __future__ import annotations

import numpy as np
from numpy import fft
from numpy.typing import NDArray

from core.errors import BadInputError

Floats = NDArray[np.float64]

LARGEST_MEMORY = 0.995
"""Lag-one correlation that a fitted AR(1) is held to: a random walk has no spectrum to keep."""
YEAR_DAYS = 365


def lag_one(series: Floats) -> Floats:
    """Lag-one correlation of (..., N), its small-sample bias taken out (Kendall 1954), (...,).

    Held within 0 .. 0.995. A constant series has 0.
    """
    x = np.asarray(series, dtype=np.float64)
    x = x - x.mean(axis=-1, keepdims=True)
    length = x.shape[-1]
    total = (x * x).sum(axis=-1)
    product = (x[..., 1:] * x[..., :-1]).sum(axis=-1)
    plain = np.divide(product, total, out=np.zeros_like(total), where=total > 0)
    unbiased = np.where(total > 0, (length * plain + 1) / (length - 4), 0.0)
    return np.asarray(np.clip(unbiased, 0.0, LARGEST_MEMORY))


def autoregressive(series: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Gaussian AR(1) series with the lag-one correlation and variance of `series` (N,).

    Returns:
        Stationary surrogates without mean, (count, N).
    """
    memory, spread = float(lag_one(series)), float(np.std(series))
    noise = rng.standard_normal((count, series.shape[-1]))
    noise[:, 1:] *= np.sqrt(1 - memory**2)
    from scipy.signal import lfilter

    return np.asarray(lfilter([1.0], [1.0, -memory], noise, axis=-1) * spread)


def phase_randomised(series: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Series with the spectrum of `series` (N,) and random phases, (count, N).

    Mean and variance are kept; the distribution of values becomes nearly Gaussian. The transform
    takes the series as a circle, so a trend should be taken out before.
    """
    length = series.shape[-1]
    spectrum = fft.rfft(np.asarray(series, dtype=np.float64))
    turn = np.exp(2j * np.pi * rng.random((count, spectrum.size)))
    turn[:, 0] = 1.0
    if length % 2 == 0:
        turn[:, -1] = np.sign(turn[:, -1].real)
    return np.asarray(fft.irfft(spectrum * turn, n=length))


def year_blocks(series: Floats, count: int, rng: np.random.Generator) -> Floats:
    """The years of a daily `series` (T,) in another order, (count, T').

    Season and everything within a year stay; which year saw it changes. Days beyond the last whole
    year of 365 days are cut: T' = 365 (T // 365). The order as it was may occur.

    Raises:
        BadInputError: fewer than four years, which have too few orders to tell anything.
    """
    years = series.shape[-1] // YEAR_DAYS
    if years < 4:
        raise BadInputError(
            f"{years} whole years are too few to permute: give four or more, or use "
            "phase-randomised surrogates"
        )
    blocks = np.asarray(series, dtype=np.float64)[: years * YEAR_DAYS].reshape(years, YEAR_DAYS)
    order = rng.permuted(np.tile(np.arange(years), (count, 1)), axis=1)
    return np.asarray(blocks[order].reshape(count, -1))


def p_value(observed: Floats, null: Floats) -> Floats:
    """Share of statistics at least as large as the observed one, which counts itself.

    `observed` (...,), `null` (count, ...): p (...,) is at least 1 / (count + 1).
    """
    larger = (np.asarray(null) >= np.asarray(observed)[None]).sum(axis=0)
    return np.asarray((larger + 1) / (len(null) + 1))


def discoveries(p: Floats, rate: float = 0.05, *, dependent: bool = True) -> NDArray[np.bool_]:
    """Which of many tests stand when the expected share of false ones is held at `rate`.

    Args:
        p: p-values, shape (M,); NaN is no test.
        rate: the false discovery rate, 0 .. 1.
        dependent: any dependence between the tests (Benjamini and Yekutieli); else independent or
            positively dependent ones (Benjamini and Hochberg).
    """
    p = np.asarray(p, dtype=np.float64)
    tested = np.flatnonzero(np.isfinite(p))
    stands = np.zeros(p.shape, dtype=np.bool_)
    if not tested.size:
        return stands
    rank = np.arange(1, tested.size + 1)
    penalty = (1.0 / rank).sum() if dependent else 1.0
    order = tested[np.argsort(p[tested], kind="stable")]
    below = np.flatnonzero(p[order] <= rank * rate / (tested.size * penalty))
    if below.size:
        stands[order[: below[-1] + 1]] = True
    return stands
