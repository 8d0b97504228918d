"""Windows of a stack: what a model of the replica is given for one label.

Source: three blocks of 30 rows, each row (value, year, month, day), for deformation, rain and
level; the sequence is fed in reverse order.
Our reading: reverse order is newest first. The source gives the lags of deformation in two ways,
and both are run. R1: lags of 1 to 30 days; the label of yesterday is interpolated towards the next
acquisition, so the input contains it. R2: 30 lags of 12 days; nothing of today or later is in it
unless the epochs were smoothed.
Our choice: rain and level of the 30 days before the label; scaling, which the source leaves out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.evidence import Floats
from services.inference.known import Ints
from services.scoring.replica.stack import FIRST_LABEL_D, LABELS_END_D, STEP_D, TRAIN_D, Stack

LAGS = 30
LAGS_D: dict[str, Ints] = {
    "R1": np.arange(1, LAGS + 1),
    "R2": STEP_D * np.arange(1, LAGS + 1),
}
"""Reading -> days between a label and each deformation of its window, newest first."""
DRIVER_LAGS_D: Ints = np.arange(1, LAGS + 1)
FIRST_YEAR = 2016
YEAR_DAYS = 365
TRAIN = slice(0, TRAIN_D)
TEST = slice(TRAIN_D, None)
INNER_D = TRAIN_D // 5
INNER_TRAIN = slice(0, TRAIN_D - INNER_D)
INNER_TEST = slice(TRAIN_D - INNER_D, TRAIN_D)
"""Last fifth of the training part, where training stops and penalties are chosen (our choice)."""

_MONTH_STARTS = np.cumsum([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30])


class Windows(NamedTuple):
    """Windows of N label days, S series of G sites; the axis of 30 lags starts at the newest."""

    reading: str
    deformation_mm: Floats
    """(N, S, 30)"""
    rain_mm: Floats
    """(N, G, 30)"""
    level_m: Floats
    """(N, G, 30)"""
    deformation_date: Floats
    """(N, 30, 3) year, month, day of month."""
    driver_date: Floats
    """(N, 30, 3)"""
    label_mm: Floats
    """(N, S)"""
    truth_mm: Floats
    """(N, S)"""


class Scaled(NamedTuple):
    """Windows as a model takes them: rows (value, year, month, day) in float32, and the target.

    A forecast is `base_mm + centre_mm + spread_mm * output`.
    """

    deformation: Floats
    """(N, S, 30, 4)"""
    rain: Floats
    """(N, G, 30, 4)"""
    level: Floats
    """(N, G, 30, 4)"""
    target: Floats
    """(N, S)"""
    base_mm: Floats
    """(N, S)"""
    centre_mm: float
    spread_mm: float

    def forecast_mm(self, output: Floats, days: slice) -> Floats:
        """Displacement that `output` (n, S) stands for on `days`."""
        return np.asarray(self.base_mm[days] + self.centre_mm + self.spread_mm * output)


def calendar(day: Ints) -> Floats:
    """Year, month and day of month of days counted from a 1 January, (..., 3).

    The twin's years have 365 days.
    """
    of_year = day % YEAR_DAYS
    month = np.searchsorted(_MONTH_STARTS, of_year, side="right")
    columns = (FIRST_YEAR + day // YEAR_DAYS, month, of_year - _MONTH_STARTS[month - 1] + 1)
    return np.stack(columns, axis=-1).astype(float)


def windows(
    stack: Stack, reading: str, first_day: int = FIRST_LABEL_D, end_day: int = LABELS_END_D
) -> Windows:
    """Windows of the label days from `first_day` up to `end_day`, by reading 'R1' or 'R2'.

    Raises ValueError where the stack does not reach so far.
    """
    lags = LAGS_D[reading]
    if first_day < lags[-1] or end_day > len(stack.label_mm):
        raise ValueError(f"windows of days {first_day} to {end_day} need a longer stack")
    days = np.arange(first_day, end_day)
    past, before = days[:, None] - lags, days[:, None] - DRIVER_LAGS_D
    return Windows(
        reading=reading,
        deformation_mm=np.moveaxis(stack.label_mm[past], 1, 2),
        rain_mm=np.moveaxis(stack.rain_mm[before], 1, 2),
        level_m=np.moveaxis(stack.level_m[before], 1, 2),
        deformation_date=calendar(past),
        driver_date=calendar(before),
        label_mm=stack.label_mm[days],
        truth_mm=stack.truth_mm[days],
    )


def scaled(given: Windows, *, relative: bool, train: slice = TRAIN) -> Scaled:
    """Windows standardised on the training part, each lag by its own mean and deviation.

    With `relative`, deformations and label are counted from the window's newest deformation, so
    that a slope may go on moving beyond what was trained on. Otherwise they are as they are.
    """
    base = given.deformation_mm[..., 0] if relative else np.zeros_like(given.label_mm)
    target = given.label_mm - base
    centre, spread = float(target[train].mean()), float(target[train].std())
    dates = _standardised(given.deformation_date, train, (0,))
    driver_dates = _standardised(given.driver_date, train, (0,))
    return Scaled(
        deformation=_rows(given.deformation_mm - base[..., None], dates, train),
        rain=_rows(given.rain_mm, driver_dates, train),
        level=_rows(given.level_m, driver_dates, train),
        target=(target - centre) / spread,
        base_mm=base,
        centre_mm=centre,
        spread_mm=spread,
    )


def _rows(values: Floats, dates: Floats, train: slice) -> Floats:
    """(N, X, 30) and (N, 30, 3) -> (N, X, 30, 4), float32."""
    wide = np.broadcast_to(dates[:, None], (*values.shape, 3))
    value = _standardised(values, train, (0, 1))[..., None]
    return np.concatenate([value, wide], axis=-1, dtype=np.float32)


def _standardised(values: Floats, train: slice, axes: tuple[int, ...]) -> Floats:
    mean, sd = values[train].mean(axis=axes), values[train].std(axis=axes)
    return np.asarray((values - mean) / np.where(sd > 0, sd, 1.0))
