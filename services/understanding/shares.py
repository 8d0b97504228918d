"""How much of a slope's unsteady motion is rain's doing, and how much the reservoir's.

A driver is taken away by holding it at its mean of each day of the year. What is explained with
some of the drivers alive is one minus the squared difference of the smoothed rate from that with
all alive, as a share of that with none alive; the two orders in which drivers can come alive are
averaged (L. S. Shapley, Contributions to the Theory of Games II (1953) 307-317), so that the shares
of rain and level sum to one. The same function takes the twin's true shares from its own
counterfactual runs.

A share is of what is *unusual for the season*: the part of the motion that comes back every year
belongs to both drivers, and no record can divide it. Rain and drawdown come in the same months;
`inflation` says how alike they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.evidence import Floats
from core.lags import smooth
from services.inference.known import Known
from services.inference.numerics.hydrology import YEAR_D
from services.understanding.basis import columns, drawdown, held, levels_of
from services.understanding.lagmap import Site, grounds, site_of
from services.understanding.response import Epochs, Ground, Response

WINDOW_D = 15
INFLATED = 5.0
"""Variance inflation beyond which effects of the drivers are hardly told apart."""
_MONTH_D = 30


class Ablation(NamedTuple):
    """Rates with drivers alive, (..., T) each, in any unit."""

    both: Floats
    rain_only: Floats
    level_only: Floats
    neither: Floats


class Shares(NamedTuple):
    """Shares of the drivers of S series, (S,) each; NaN where nothing can be said."""

    rain: Floats
    level: Floats
    low_rain: Floats
    high_rain: Floats
    """10 % and 90 % quantiles over the years left out, which are few: a spread, not a promise."""
    reason: tuple[str, ...]


def shapley_rain_share(rates: Ablation, *, window_days: int = WINDOW_D) -> Floats:
    """Rain's share of the unusual motion, (...,); the level has the rest.

    Shares lie within 0 and 1 unless the drivers work against each other. NaN where neither driver
    moves anything.
    """
    parts = [smooth(np.asarray(part, np.float64), window_days) for part in rates]
    squares = [((part - parts[0]) ** 2).sum(axis=-1) for part in parts[1:]]
    return rain_share_of(*squares)


def rain_share_of(rain_only: Floats, level_only: Floats, neither: Floats) -> Floats:
    """Rain's Shapley share from squared differences to the rate with both alive."""
    whole = np.asarray(neither, np.float64)
    some = whole > 0
    left = np.divide(rain_only, whole, out=np.full_like(whole, np.nan), where=some)
    other = np.divide(level_only, whole, out=np.full_like(whole, np.nan), where=some)
    return np.asarray(0.5 * ((1 - left) + other))


def driver_shares(known: Known) -> Shares:
    """Shares by ablation on years left out.

    The fit sees the epochs of all other years and gives the rates of the year left out with either,
    both or no driver held; squared differences are summed over the years. Widths of the prior are
    those of the whole record.

    Raises:
        BadInputError: drivers are missing or too short.
    """
    site = site_of(known)
    ablated = _ablated(site)
    year_of = _years(site)
    found = np.full((3, known.series), np.nan)
    reasons = []
    for series, prepared in enumerate(grounds(site)):
        reasons.append(prepared if isinstance(prepared, str) else "")
        if isinstance(prepared, str):
            continue
        place = int(known.place[series])
        squares = _left_out(*prepared, [part[:, place] for part in ablated], year_of)
        found[0, series] = rain_share_of(*squares.sum(axis=0))
        found[1:, series] = np.nanquantile(rain_share_of(*squares.T), [0.1, 0.9])
    return Shares(found[0], 1 - found[0], found[1], found[2], tuple(reasons))


def _ablated(site: Site) -> list[Floats]:
    """Centred columns (T, D, J) with both, rain only, level only and neither alive."""
    drivers = site.drivers
    rain, level = drivers.rain_mm, drivers.level_m
    still_rain, still_level = (held(part, drivers.first_day) for part in (rain, level))
    levels = levels_of(drivers)
    runs = ((rain, still_level), (still_rain, level), (still_rain, still_level))
    return [site.daily, *(site.standard(columns(*run, levels)) for run in runs)]


def _years(site: Site) -> np.ndarray:
    """Number of the year of each day, (T,); the last one takes what does not fill a year."""
    days = np.arange(len(site.daily))
    number = (days / YEAR_D).astype(np.int64)
    return np.asarray(np.minimum(number, max(round(len(days) / YEAR_D) - 1, 0)))


def _left_out(ground: Ground, epochs: Epochs, ablated: list[Floats], year_of: np.ndarray) -> Floats:
    """Squared differences (years, 3) of the ablated rates of each year from the whole ones."""
    widths = (Response(ground, epochs).fit().best,)
    rows = []
    for year in range(int(year_of.max()) + 1):
        keep = year_of[epochs.day] != year
        if keep.all() or keep.sum() < len(keep) // 2:
            continue
        weights = Response(ground, epochs, keep).fit(widths).weights()
        days = year_of == year
        rates = [smooth((part[days] @ weights), WINDOW_D) for part in ablated]
        rows.append([((rate - rates[0]) ** 2).sum() for rate in rates[1:]])
    return np.array(rows)


def inflation(rain_mm: Floats, level_m: Floats) -> Floats:
    """Variance-inflation factors of 30-day rain, drawdown and level of D places, (3, D).

    The factor of a driver is 1 / (1 - R²) of its regression on the other two (D. W. Marquardt,
    Technometrics 12 (1970) 591-612): by how much their likeness widens what is told of each.
    """
    parts = [smooth(part.T, _MONTH_D) for part in (rain_mm, drawdown(level_m), level_m)]
    result = np.full((3, rain_mm.shape[1]), np.nan)
    for place in range(rain_mm.shape[1]):
        rows = np.stack([part[place] for part in parts])
        if (np.ptp(rows, axis=1) > 0).all():
            result[:, place] = np.diag(np.linalg.inv(np.corrcoef(rows)))
    return result
