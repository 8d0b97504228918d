"""The newest epochs of series and values between epochs, for models that look at little else."""

from __future__ import annotations

import numpy as np

from core.evidence import Floats
from services.inference.known import Ints, Known
from services.inference.numerics import residual_filter


def newest(value_mm: Floats, back: int) -> Ints:
    """Row of the measured epoch `back` measured epochs before the newest, (S,); -1 where none."""
    measured = np.isfinite(value_mm)
    after = np.cumsum(measured[::-1], axis=0)[::-1]
    wanted = measured & (after == back + 1)
    return np.where(wanted.any(axis=0), wanted.argmax(axis=0), -1)


def at(values: Floats | Ints, rows: Ints) -> Floats:
    """Values (K, S) at one row a series, (S,); NaN where the row is -1."""
    taken = np.take_along_axis(values, np.maximum(rows, 0)[None], axis=0)[0]
    return np.where(rows >= 0, taken, np.nan)


def last(known: Known) -> tuple[Floats, Floats]:
    """Day and value of each series' newest measured epoch, (S,) each; NaN where none."""
    value, _ = residual_filter.observations(known)
    rows = newest(value, 0)
    return at(known.epoch_day, rows), at(value, rows)


def interpolated(known: Known, days: Floats) -> Floats:
    """Displacement (mm) on `days` (M, S), linear between measured epochs; NaN outside of them."""
    value, _ = residual_filter.observations(known)
    series, rows = np.nonzero(np.isfinite(value).T)
    result = np.full(days.shape, np.nan)
    if not series.size:
        return result
    day, shown = known.epoch_day[rows, series].astype(float), value[rows, series]
    # One sorted key for all series: their number first, then the day.
    low, high = min(day.min(), np.nanmin(days)), max(day.max(), np.nanmax(days))
    span = high - low + 2.0
    mine = np.broadcast_to(np.arange(days.shape[1]), days.shape)
    asked = mine * span + (days - low)
    after = np.searchsorted(series * span + (day - low), asked, side="left")
    right, left = np.minimum(after, series.size - 1), np.maximum(after - 1, 0)
    exact = (series[right] == mine) & (day[right] == days)
    between = (
        (left < right) & (series[left] == mine) & (series[right] == mine) & (day[right] > days)
    )
    gap = np.where(between, day[right] - day[left], 1.0)
    share = np.where(between, (days - day[left]) / np.where(gap > 0, gap, 1.0), 0.0)
    line = shown[left] + share * (shown[right] - shown[left])
    return np.where(exact, shown[right], np.where(between, line, np.nan))
