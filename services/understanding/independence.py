"""Are a driver and the motion independent? A test that slow series fool, and one they do not.

The chi-square test of independence on binned values is in use for this question. It counts every
day as a new draw, but days of slow series repeat each other: unrelated series fail it far more
often than it says. Here the same statistic is judged twice: by the chi-square distribution, and by
surrogates of the driver that keep its slowness (`core.surrogates`) and know nothing of the motion.

How values were binned where the test was published is not known; equal counts in five bins are our
choice.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import chi2

from core.errors import BadInputError
from core.evidence import Floats
from core.surrogates import p_value, phase_randomised, year_blocks

BINS = 5
Null = Literal["phases", "years"]


class Independence(NamedTuple):
    """One pair of series judged twice."""

    statistic: float
    p_chi_square: float
    """As if every value were a new draw: wrong for slow series, shown for comparison."""
    p_surrogates: float


def independence(
    driver: Floats,
    motion: Floats,
    *,
    null: Null = "phases",
    surrogates: int = 500,
    bins: int = BINS,
    seed: int = 0,
) -> Independence:
    """Judge a driver (T,) against a motion (T,).

    Args:
        driver: evenly sampled, daily for `years`.
        motion: on the same days.
        null: 'phases' keeps the driver's spectrum, 'years' its season (the order of its years is
            drawn anew; what both owe to the season then counts for nothing).
        surrogates: number of surrogates.
        bins: bins of equal count for each series.
        seed: of the surrogates.

    Raises:
        BadInputError: series of different length, too short for the bins, or holding NaN.
    """
    x, y = np.asarray(driver, np.float64), np.asarray(motion, np.float64)
    if x.shape != y.shape or len(x) < 5 * bins * bins or not np.isfinite(x + y).all():
        raise BadInputError(
            f"two series of one length from {5 * bins * bins} values on without NaN are needed, "
            f"got {len(x)} and {len(y)}"
        )
    rng = np.random.default_rng(seed)
    if null == "years":
        drawn = year_blocks(x, surrogates, rng)
        x, y = x[: drawn.shape[1]], y[: drawn.shape[1]]
    else:
        drawn = phase_randomised(x, surrogates, rng)
    place = _bins(y[None], bins)[0]
    seen = _statistic(_bins(x[None], bins), place, bins)[0]
    chance = _statistic(_bins(drawn, bins), place, bins)
    return Independence(
        float(seen),
        float(chi2.sf(seen, (bins - 1) ** 2)),
        float(p_value(np.asarray(seen), chance)),
    )


def _bins(series: Floats, bins: int) -> np.ndarray:
    """Bin (N, T) of each value among those of its row; ties (dry days) share the lowest bin."""
    ordered = np.sort(series, axis=1)
    edges = ordered[:, np.arange(1, bins) * series.shape[1] // bins]
    place = np.zeros(series.shape, np.int64)
    for edge in edges.T:
        place += series > edge[:, None]
    return place


def _statistic(first: np.ndarray, second: np.ndarray, bins: int) -> Floats:
    """Pearson's chi-square of the bins (N, T) of N series against those of one (T,), (N,)."""
    count = len(first)
    cell = (np.arange(count)[:, None] * bins + first) * bins + second
    table = np.bincount(cell.ravel(), minlength=count * bins * bins)
    table = table.reshape(count, bins, bins).astype(float)
    rows, sides = table.sum(axis=2), table.sum(axis=1)
    expected = rows[:, :, None] * sides[:, None, :] / len(second)
    part = np.divide(
        (table - expected) ** 2, expected, out=np.zeros_like(table), where=expected > 0
    )
    return np.asarray(part.sum(axis=(1, 2)))
