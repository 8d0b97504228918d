"""How wide the law that made the data is, given what had been issued: nothing honest is narrower
on average and covers as much."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from core.evidence import Floats
from core.twin.continuation import continuations
from services.inference.known import Ints
from services.inference.model import HORIZONS_D
from services.scoring.forecasts.series import PoolHistory

_H: Final = list(HORIZONS_D)


class Sample(NamedTuple):
    """How many pairs of a site and an issue day are continued, and how often each."""

    pairs: int
    members: int


class Widths(NamedTuple):
    """Widths of the central 90 % at the horizons, for N pairs of an issue day and a site."""

    row: Ints
    """(N,) of the issue days."""
    site: Ints
    width_mm: Floats
    """(N, 7, 6) LOS."""
    members: int


def oracle_widths(history: PoolHistory, day: Ints, sample: Sample) -> Widths:
    """Continue the twin from its true state on days and at sites spread over the run."""
    truth = history.pool.truth
    row = np.linspace(0, day.size - 1, sample.pairs).round().astype(np.int64)
    site = np.arange(sample.pairs) % history.sites
    found = []
    for one, at in zip(row, site, strict=True):
        issued = history.pool.prospects.rain_mm(int(day[one]))[at]
        moved = continuations(
            int(truth.seeds[at]),
            str(truth.hydrology_family[at]),
            str(truth.drainage[at]),
            int(day[one]),
            sample.members,
            issued,
        )
        low, high = np.quantile(moved[:, _H], (0.05, 0.95), axis=0)
        found.append((high - low) * np.abs(truth.los_factor[at]))
    return Widths(row, site, np.stack(found), sample.members)
