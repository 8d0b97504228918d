"""True lags and true shares of the drivers on simulated slopes, and how near estimates come.

A share is true by counterfactual: the same slope run again with rain, level or both held at their
day-of-year mean. A lag is true by the slope's own daily rate and the rain that fell on it, which no
gauge read. Estimates see neither, only what a `History` knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from core.evidence import Floats
from core.lags import lag_days
from core.twin.simulation import simulate
from core.twin.truth import Kind, Truth
from services.inference.known import Flags, Ints
from services.understanding.basis import drawdown
from services.understanding.lagmap import DRIVERS, LONGEST_D, LagMap, Lags
from services.understanding.shares import Ablation, shapley_rain_share

BANDS_M = ((0.0, 150.0), (150.0, 400.0), (400.0, np.inf))
"""Distances from the bank within which sites are compared."""
TOE, RIDGE = 0, 5
_RESAMPLES = 500


class LagScore(NamedTuple):
    """Estimated lags beside true ones."""

    series: int
    median_error_d: float
    covered: float
    """Share of the 80 % intervals that hold the true lag."""
    median_width_d: float
    at_limit: float
    """Share of true lags at the longest lag looked for, which are easy to meet."""
    bias_d: float


class BandScore(NamedTuple):
    """Ranks of shares within one band of distances."""

    low_m: float
    high_m: float
    series: int
    sites: int
    each: float
    """Spearman of the true shares with each point's own estimate."""
    pooled: float
    """With estimates pooled along each slope."""
    distance: float
    """With the distance alone."""
    gain_low: float
    gain_high: float
    """90 % interval of `pooled` less `distance`, sites resampled."""


def rates_of(truth: Truth, days: int | None = None) -> Floats:
    """Daily downslope rates (S, P, T) of the first `days` days; the first day has the second's."""
    rate = np.diff(truth.displacement_mm[:, :days], axis=1)
    return np.moveaxis(np.concatenate([rate[:, :1], rate], axis=1), 1, 2)


def true_lags(truth: Truth, days: int | None = None) -> dict[str, Floats]:
    """Lags (S P,) behind rain, drawdown and level over the first `days` days."""
    rate = rates_of(truth, days)
    level = truth.level_m[:, :days]
    drivers = {"rain": truth.rain_mm[:, :days], "drawdown": drawdown(level.T).T, "level": level}
    sites = range(len(rate))
    return {
        name: np.concatenate([lag_days(drivers[name][s], rate[s]) for s in sites])
        for name in DRIVERS
    }


def true_rain_share(truth: Truth) -> Floats:
    """Rain's share (S, P) of quiet sites, by Shapley over runs with drivers held.

    Raises:
        ValueError: a site that is not quiet.
    """
    alive = {"both": set[str](), "rain": {"level"}, "level": {"rain"}, "none": {"rain", "level"}}
    runs = [rates_of(_held(truth, frozenset(hold))) for hold in alive.values()]
    return shapley_rain_share(Ablation(*runs))


def _held(truth: Truth, hold: frozenset[str]) -> Truth:
    if not hold:
        return truth
    return simulate(
        truth.seeds.tolist(),
        [Kind(kind) for kind in truth.kind],
        years=truth.displacement_mm.shape[1] // 365,
        hydrology_family=truth.hydrology_family.tolist(),
        drainage=truth.drainage.tolist(),
        hold=hold,
    )


def score_lags(lags: Lags, true: Floats, use: Flags) -> LagScore:
    """Score the lags of the series `use` (S,); those without an estimate are left out."""
    use = use & np.isfinite(lags.lag_d) & np.isfinite(true)
    off = (lags.lag_d - true)[use]
    inside = (true >= lags.low_d) & (true <= lags.high_d)
    return LagScore(
        int(use.sum()),
        float(np.median(np.abs(off))),
        float(inside[use].mean()),
        float(np.median((lags.high_d - lags.low_d)[use])),
        float((true[use] >= LONGEST_D).mean()),
        float(np.median(off)),
    )


def reservoir_lags(lags: LagMap, true: Mapping[str, Floats]) -> Floats:
    """True lags behind what the estimate takes each series to follow: the level, or its fall."""
    return np.where(lags.follows_level, true["level"], true["drawdown"])


def lag_margins(lags: LagMap, true: Mapping[str, Floats], use: Flags) -> dict[str, float]:
    """Days by which intervals without margin must grow to hold 80 % of the true lags.

    The 80 % quantile of how far a true lag lies outside, over the series `use`, at least 0
    (split-conformal: that of n + 1 values).
    """
    result = {}
    for name in DRIVERS:
        one: Lags = getattr(lags, name)
        outside = np.maximum(one.low_d - true[name], true[name] - one.high_d)
        outside = outside[use & np.isfinite(outside)]
        level = min(np.ceil(0.8 * (len(outside) + 1)) / len(outside), 1.0)
        result[name] = float(max(np.quantile(outside, level, method="higher"), 0.0))
    return result


def spearman(first: Floats, second: Floats) -> float:
    """Rank correlation of (N,) with (N,); NaN where either is constant."""
    one, other = rankdata(first), rankdata(second)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def score_bands(
    true: Floats, each: Floats, pooled: Floats, distance_m: Floats, seed: int = 0
) -> list[BandScore]:
    """Rank correlations of rain's shares within the bands and over all; all arguments (S, P)."""
    rng = np.random.default_rng(seed)
    return [
        _band(low, high, true, each, pooled, distance_m, rng)
        for low, high in (*BANDS_M, (0.0, np.inf))
    ]


def _band(
    low: float,
    high: float,
    true: Floats,
    each: Floats,
    pooled: Floats,
    distance_m: Floats,
    rng: np.random.Generator,
) -> BandScore:
    inside = (distance_m >= low) & (distance_m < high) & np.isfinite(each) & np.isfinite(true)
    site = np.nonzero(inside)[0]
    truth, *others = (part[inside] for part in (true, each, pooled, distance_m))
    drawn = rng.integers(len(true), size=(_RESAMPLES, len(true)))
    times = np.stack([np.bincount(row, minlength=len(true)) for row in drawn])[:, site]
    rank = _ranks(truth, times)
    gain = np.subtract(*(_correlation(rank, _ranks(part, times), times) for part in others[1:]))
    some = gain[np.isfinite(gain)]
    edges = np.quantile(some, [0.05, 0.95]) if some.size else (np.nan, np.nan)
    own, along, alone = (spearman(part, truth) for part in others)
    sites = len(np.unique(site))
    ends = float(edges[0]), float(edges[1])
    return BandScore(low, high, len(site), sites, own, along, alone, *ends)


def _ranks(values: Floats, times: Ints) -> Floats:
    """Ranks (R, N) of values (N,) without ties where value n is there `times` (R, N) times."""
    order = np.argsort(values, kind="stable")
    rank = np.empty(times.shape)
    rank[:, order] = np.cumsum(times[:, order], axis=1)
    return np.asarray(rank - 0.5 * times)


def _correlation(first: Floats, second: Floats, times: Ints) -> Floats:
    """Pearson correlation (R,) of (R, N) with (R, N), values counted `times` times."""
    weight = times / np.maximum(times.sum(axis=1, keepdims=True), 1)
    one, other = (part - (weight * part).sum(axis=1, keepdims=True) for part in (first, second))
    size = np.sqrt((weight * one**2).sum(axis=1) * (weight * other**2).sum(axis=1))
    shared = (weight * one * other).sum(axis=1)
    return np.asarray(np.divide(shared, size, out=np.full(len(size), np.nan), where=size > 0))
