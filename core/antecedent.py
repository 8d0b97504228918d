"""Sums of rain over the days before, and rates of change of a water level, with gaps counted.

Series are daily and end in the time axis (..., T), oldest first, NaN where a day is not known; any
batch axes may lead. Each value depends on the rows of its own window alone, added in one order, so
neither the batch nor the start of the record changes a bit of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Sum(NamedTuple):
    """Sum of the known days of a window (..., T), and how many of its days are not known."""

    total: Floats
    unknown: Ints


class Change(NamedTuple):
    """Level as last known and its change a day (..., T); positive as it rises, NaN not known."""

    level: Floats
    rate: Floats


def window_sum(daily: Floats, days: int, before: int = 0) -> Sum:
    """Sum of `daily` (..., T) over `days` days, of which the last is `before` days ago.

    What is not known adds nothing, so of something that is never negative the sum is a lower
    bound. Days before the first row are not known.
    """
    known = np.isfinite(daily)
    value = np.where(known, daily, 0.0)
    total, seen = np.zeros(value.shape), np.zeros(value.shape, dtype=np.int64)
    for lag in range(before, before + days):
        total[..., lag:] += value[..., : max(value.shape[-1] - lag, 0)]
        seen[..., lag:] += known[..., : max(value.shape[-1] - lag, 0)]
    return Sum(total, days - seen)


def change_rate(level: Floats, days: int, held: int) -> Change:
    """Change a day of `level` (..., T) over about `days` days.

    The level now and that of `days` days ago are each the last one known then, at most `held` days
    old; their difference is divided by the days that are really between them. `held` is less than
    `days`.
    """
    row = np.arange(level.shape[-1])
    newest = np.maximum.accumulate(np.where(np.isfinite(level), row, -1), axis=-1)
    oldest = np.full(newest.shape, -1)
    oldest[..., days:] = newest[..., : max(level.shape[-1] - days, 0)]
    current = (newest >= 0) & (row - newest <= held)
    both = current & (oldest >= 0) & (row - days - oldest <= held)
    now, then = (np.take_along_axis(level, np.maximum(at, 0), axis=-1) for at in (newest, oldest))
    rate = (now - then) / np.where(both, newest - oldest, 1)
    return Change(np.where(current, now, np.nan), np.where(both, rate, np.nan))
