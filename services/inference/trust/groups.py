"""Groups of forecasts by what is known at issue: predicted rate, season, zone, noise of the series.

Intervals are calibrated and coverage is judged by these groups. They form a tree, and a group with
too little data takes the word of its parent: all forecasts; by predicted rate; by season besides;
by zone besides; by noise besides.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import numpy as np

from core.evidence import Floats
from services.inference.known import Ints, Known
from services.inference.model import Path

RATES: Final = ("slow", "middling", "fast")
SEASONS: Final = ("quiescent", "drawdown", "flood", "impoundment")
ZONES: Final = ("lower", "upper")
NOISES: Final = ("clear", "noisy")
BRANCHES: Final = (3, 4, 2, 2)
"""Children of a group at each step down the tree: rate, season, zone, noise."""
LEAVES: Final = 48

RATE_SHARES: Final = (0.5, 0.9)
"""Shares of forecasts below the edges of the rate classes: the last class is the fastest tenth."""
NOISY_SD_MM: Final = 4.0
"""Standard deviation of an observation from which a series counts as noisy: coherence of about 0.3
at 20 looks, with 3 mm of atmosphere."""
USUAL_EPOCHS: Final = 10
RATE_AHEAD_D: Final = 12

_STARTS: Final = ((5, 1), (6, 21), (9, 11), (11, 1))
_EPOCH: Final = date(1970, 1, 1)


def season_of(day: int) -> int:
    """Index into `SEASONS` of a day since 1970-01-01, by the calendar of the Three Gorges level.

    Drawdown from 1 May, flood from 21 June, impoundment from 11 September, quiescent from
    1 November. Days of a pool count from a 1 January and are off by two days at most.
    """
    then = _EPOCH + timedelta(days=int(day))
    return sum((then.month, then.day) >= start for start in _STARTS) % len(SEASONS)


def usual_sd_mm(known: Known) -> Floats:
    """Root mean square sd of the last ten observations of each series, (S,) mm; NaN without any.

    What the next observation is taken to have: the noise of a future acquisition is not known.
    """
    measured = np.isfinite(known.los_mm) & np.isfinite(known.sd_mm)
    place = measured[::-1].cumsum(axis=0)[::-1]
    last = measured & (place <= USUAL_EPOCHS)
    count = last.sum(axis=0)
    total = np.where(last, known.sd_mm, 0.0) ** 2
    return np.asarray(np.where(count, np.sqrt(total.sum(axis=0) / np.maximum(count, 1)), np.nan))


def predicted_rate_mm_d(path: Path) -> Floats:
    """Size of the mean LOS rate over the next 12 days, (S,)."""
    ahead = path.displacement_mm[RATE_AHEAD_D] - path.displacement_mm[0]
    return np.asarray(np.abs(ahead) / RATE_AHEAD_D)


def rate_edges_mm_d(rate_mm_d: Floats) -> Floats:
    """Edges (2,) of the rate classes for forecasts of these rates; infinite where there are none.

    Without edges every forecast is slow, so the tree starts with the season.
    """
    finite = rate_mm_d[np.isfinite(rate_mm_d)]
    if not finite.size:
        return np.full(len(RATE_SHARES), np.inf)
    return np.asarray(np.quantile(finite, RATE_SHARES))


def standing(known: Known) -> Ints:
    """Innermost group (S,) of forecasts issued at `known.day`, were they all slow.

    A series of unknown position counts as lower, one of unknown noise as noisy.
    """
    zone = (known.setting.position >= 0.5).astype(np.int64)
    noise = (~(usual_sd_mm(known) < NOISY_SD_MM)).astype(np.int64)
    return np.asarray((season_of(known.day) * 2 + zone) * 2 + noise)


def with_rate(standing: Ints, rate_mm_d: Floats, edges_mm_d: Floats) -> Ints:
    """Innermost group of forecasts with these predicted rates; an unknown rate is slow.

    The ancestors of a group are its index divided by 2, 4, 16 and 48.
    """
    rate = np.searchsorted(edges_mm_d, np.nan_to_num(rate_mm_d, nan=0.0), side="right")
    return np.asarray(standing + LEAVES // BRANCHES[0] * rate, np.int64)


def name_of(group: int) -> str:
    """An innermost group in words."""
    rest, noise = divmod(group, 2)
    rest, zone = divmod(rest, 2)
    rate, season = divmod(rest, 4)
    return f"{RATES[rate]}, {SEASONS[season]}, {ZONES[zone]}, {NOISES[noise]}"
