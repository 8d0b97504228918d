"""When is fitted, when is issued, and into which blocks the days fall.

Rolling origin: fitted on what had arrived by the origin, then parameters stand still for a year
while the state is carried from arrival to arrival. Nothing is cut by valid time, so no window
reaches over the split.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.twin.forcing import YEAR_DAYS
from services.inference.known import Ints

FOLDS = 3
FIRST_YEAR = 3
ORIGIN_DAY_OF_YEAR = 304
"""1 November (1 January is 0): the hydrological year of a reservoir that fills in autumn."""
ISSUE_EVERY_D = 6
BLOCK_D = 60
"""Errors closer in time than this are resampled together."""


class Fold(NamedTuple):
    """One origin and the year after it."""

    number: int
    origin: int

    def issue_days(self, every: int = ISSUE_EVERY_D) -> Ints:
        """Days on which forecasts are issued, the origin the first."""
        return np.arange(self.origin, self.origin + YEAR_DAYS, every)


def folds(first: int = 0) -> tuple[Fold, ...]:
    """The three folds of a seven-year record; from -1 on with the year before them, in which the
    first choice between models is made."""
    days = ((FIRST_YEAR + f) * YEAR_DAYS + ORIGIN_DAY_OF_YEAR for f in range(first, FOLDS))
    return tuple(Fold(f, day) for f, day in enumerate(days, start=first))


def block_of(day: Ints) -> Ints:
    """Number of the block of at least 60 days of each issue day; six a fold, none across folds."""
    since = day - folds()[0].origin
    in_year = np.minimum(since % YEAR_DAYS // BLOCK_D, YEAR_DAYS // BLOCK_D - 1)
    return np.asarray(since // YEAR_DAYS * (YEAR_DAYS // BLOCK_D) + in_year)
