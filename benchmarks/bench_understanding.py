"""Lags, driver shares, coherence and independence, judged on simulated slopes and beside pycwt.

Lags and shares are estimated from 12-day epochs and a gauge, as a service knows them, and compared
with those of the slope's own daily motion and of its counterfactual runs, on sites of the frozen
test pool. Shares must rank slopes better than their distance from the bank does; those of the
network are of its forecasts, expectation and correction together. The chi-square
test and its replacement meet series that share nothing. Wavelets meet pycwt on the same series in
the same run. `--quick` uses development sites and too few of everything.
"""

from __future__ import annotations

import warnings
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from benchmarks.frame import Table, best
from core.surrogates import autoregressive, discoveries, lag_one
from core.twin.pools import SimulatedPool, forecast_pool
from core.wavelet import (
    PERIOD_PER_SCALE,
    coherence,
    phase_lag,
    resample_rates,
    significance,
    step_means,
    transform,
)
from services.scoring.attribution import (
    RIDGE,
    TOE,
    BandScore,
    LagScore,
    rates_of,
    reservoir_lags,
    score_bands,
    score_lags,
    true_lags,
    true_rain_share,
)
from services.scoring.forecasts.series import PoolHistory
from services.understanding.along_slope import along_slope
from services.understanding.basis import drawdown
from services.understanding.independence import Null, independence
from services.understanding.lagmap import lag_map
from services.understanding.network_shares import network_shares
from services.understanding.shares import driver_shares, inflation

Floats = np.ndarray[Any, np.dtype[np.float64]]
STEP_D = 12


class Scale(NamedTuple):
    """How much is measured."""

    role: str
    sites: int | None
    noises: tuple[str, ...]
    pairs: int
    surrogates: int
    every_d: int
    """Days between the forecasts of which the network's shares are taken."""


FULL = Scale("test", None, ("radar", "white-3", "white-5"), 400, 1000, 24)
SHORT = Scale("test", 20, ("radar",), 100, 400, 60)
QUICK = Scale("development", 2, ("radar",), 6, 100, 120)


def run(quick: bool, short: bool = False) -> list[Table]:
    """All tables."""
    scale = QUICK if quick else SHORT if short else FULL
    lag_rows: list[tuple[str, ...]] = []
    share_rows: list[tuple[str, ...]] = []
    wave_rows: list[tuple[str, ...]] = []
    for noise in scale.noises:
        pool = forecast_pool(scale.role, noise, scale.sites)
        lag_rows += _lags(pool)
        share_rows += _shares(pool, scale)
        wave_rows += _twin_coherence(pool)
    return [
        Table("Lags from 12-day epochs against the slope's own", _LAG_HEAD, tuple(lag_rows), _LAG),
        Table(
            "Rain's share of the unusual motion: rank correlation with the true one, by distance",
            _SHARE_HEAD,
            tuple(share_rows),
            _SHARE,
        ),
        _false_positives(scale),
        Table("Phase lags of coherence against those of the true rates", _WAVE_HEAD,
              tuple(wave_rows), _WAVE),
        _beside_pycwt(scale),
    ]  # fmt: skip


_LAG_HEAD = ("what", "series", "median error", "bias", "covered", "width", "at the limit")
_LAG = (
    "Days; covered = share of the 80 % intervals that hold the true lag; at the limit = share of "
    "true lags of 60 d or more, which are easy to meet.",
)


def _lags(pool: SimulatedPool) -> list[tuple[str, ...]]:
    history = PoolHistory(pool)
    day = history.days - 31
    found = lag_map(history.known(day))
    true = true_lags(pool.truth, day + 1)
    point = np.tile(np.arange(history.points), history.sites)
    family = np.repeat(pool.truth.hydrology_family, history.points)
    followed = reservoir_lags(found, true)
    rows = [
        ("rain to ridge", found.rain, true["rain"], point == RIDGE),
        ("rain to upper half", found.rain, true["rain"], point >= history.points // 2),
        ("drawdown to toe", found.drawdown, true["drawdown"], point == TOE),
        ("what the toe follows", found.reservoir(), followed, point == TOE),
    ]
    rows += [
        (f"{what}, {one}", lags, expected, use & (family == one))
        for (what, lags, expected, use), one in product((rows[0], rows[2]), np.unique(family))
    ]
    return [
        (f"{pool.noise}: {what}", *_lag_cells(score_lags(lags, expected, use)))
        for what, lags, expected, use in rows
    ]


def _lag_cells(score: LagScore) -> tuple[str, ...]:
    return (
        str(score.series),
        f"{score.median_error_d:.1f}",
        f"{score.bias_d:+.1f}",
        f"{score.covered:.2f}",
        f"{score.median_width_d:.0f}",
        f"{score.at_limit:.2f}",
    )


_SHARE_HEAD = ("band", "points", "sites", "along slope", "by itself", "distance", "gain (90 %)")
_SHARE = (
    "Spearman over points; gain = along the slope less distance alone, interval over sites. The "
    "curve along the slope uses the distance as well as the epochs.",
    "Ablation and gradients: what 30-day forecasts of MUSEnetC answer to, issued operationally on "
    "days later than the fit; the network never saw these slopes, but others of the twin.",
)


def _shares(pool: SimulatedPool, scale: Scale) -> list[tuple[str, ...]]:
    history = PoolHistory(pool)
    day = history.days - 31
    known = history.known(day)
    true = true_rain_share(pool.truth)
    rows = []
    for name, own in _estimates(history, day, scale).items():
        pooled = along_slope(own, known.setting.bank_distance_m, known.place)
        bands = score_bands(
            true, own.reshape(true.shape), pooled.reshape(true.shape), pool.truth.distance_m
        )
        start = f"{pool.noise}: {name}"
        rows += [(f"{start}, {_band_name(band)}", *_band_cells(band)) for band in bands]
    factors = np.median(inflation(pool.seen.gauge_mm.T, pool.seen.level_m.T), axis=1)
    named = zip(("rain", "drawdown", "level"), factors, strict=True)
    said = ", ".join(f"{name} {value:.1f}" for name, value in named)
    if find_spec("torch") is None:
        rows.append((f"{pool.noise}: network left out: torch is not installed", *[""] * 6))
    return [*rows, (f"{pool.noise}: variance inflation, median: {said}", *[""] * 6)]


def _estimates(history: PoolHistory, day: int, scale: Scale) -> dict[str, Floats]:
    """Rain's shares (S,) by where they are from; without torch, of the epochs alone."""
    found = {"epochs": driver_shares(history.known(day)).rain}
    if find_spec("torch") is not None:
        asked = network_shares(history, day, every_d=scale.every_d)
        found |= {"network by ablation": asked.ablation, "by gradients": asked.gradients}
    return found


def _band_name(band: BandScore) -> str:
    if np.isinf(band.high_m):
        return "all distances" if band.low_m == 0 else f"> {band.low_m:.0f} m"
    return f"{band.low_m:.0f}-{band.high_m:.0f} m"


def _band_cells(band: BandScore) -> tuple[str, ...]:
    return (
        str(band.series),
        str(band.sites),
        *(f"{value:.2f}" for value in (band.pooled, band.each, band.distance)),
        f"{band.pooled - band.distance:+.2f} ({band.gain_low:+.2f} to {band.gain_high:+.2f})",
    )


def _false_positives(scale: Scale) -> Table:
    """Both tests on pairs that share nothing, or nothing but the season."""
    rng = np.random.default_rng(5)
    rows = []
    for name, count, memory in (
        ("white, 1648 days", 1648, 0.0),
        ("AR(1) 0.9, 1648 days", 1648, 0.9),
        ("AR(1) 0.98, 1648 days", 1648, 0.98),
        ("AR(1) 0.7, 200 steps", 200, 0.7),
    ):
        drawn = _memories(rng, 2 * scale.pairs, count, memory)
        pairs = list(zip(drawn[::2], drawn[1::2], strict=True))
        rows.append((name, *_rejected(pairs, "phases", scale)))
    pool = forecast_pool("development", "radar", min(max(scale.pairs // 10, 2), 30))
    rates = rates_of(pool.truth)[:, RIDGE]
    strangers = [
        (pool.truth.rain_mm[a], rates[b]) for a in range(len(rates)) for b in range(len(rates))
        if a != b
    ][: scale.pairs]  # fmt: skip
    name = "rain of one simulated valley, ridge of another"
    rows.append((name, *_rejected(strangers, "years", scale)))
    notes = (
        "Share of pairs called dependent at 5 %. The last row shares the season, which the year "
        "surrogates keep; pairs of one pool are not independent of each other.",
    )
    head = ("series", "pairs", "chi-square", "surrogates", "kept by surrogates")
    return Table("Independence test on series that share nothing", head, tuple(rows), notes)


def _memories(rng: np.random.Generator, count: int, length: int, memory: float) -> Floats:
    from scipy.signal import lfilter

    noise = rng.standard_normal((count, length + 500))
    return np.asarray(lfilter([1.0], [1.0, -memory], noise, axis=1)[:, 500:])


def _rejected(pairs: list[tuple[Floats, Floats]], null: Null, scale: Scale) -> tuple[str, ...]:
    surrogates = max(scale.surrogates // 5, 50)
    results = [
        independence(driver, motion, null=null, surrogates=surrogates, seed=seed)
        for seed, (driver, motion) in enumerate(pairs)
    ]
    usual = np.mean([one.p_chi_square < 0.05 for one in results])
    held = np.mean([one.p_surrogates < 0.05 for one in results])
    kept = {"phases": "spectrum", "years": "season"}[null]
    return (str(len(pairs)), f"{100 * usual:.0f} %", f"{100 * held:.0f} %", kept)


_WAVE_HEAD = ("what", "true lag", "median error", "relative", "within", "covered")
_WAVE = (
    "Days; at a year: error of each slope and share within 4 d. At 60 to 120 d: the median lag of "
    "all slopes against the true median, and its relative error; within: share of these periods "
    "inside 20 %. True = the same coherence from the slope's daily rate.",
)
_SHORT_PERIODS_D = (60.0, 80.0, 100.0, 120.0)


def _twin_coherence(pool: SimulatedPool) -> list[tuple[str, ...]]:
    truth, seen = pool.truth, pool.seen
    rate = rates_of(truth)
    found = np.empty((2, 2, len(rate), 5))
    covered = np.empty((2, len(rate), 5))
    for site in range(len(rate)):
        use = seen.epoch_day[site] >= 0
        downslope = seen.los_mm[site, use] / truth.los_factor[site]
        steps = resample_rates(seen.epoch_day[site, use], downslope)
        water = drawdown(seen.level_m[site][:, None])[:, 0]
        for row, (driver, point) in enumerate(((seen.gauge_mm[site], RIDGE), (water, TOE))):
            cause = step_means(driver, 0, steps)
            for kind, motion in enumerate(
                (steps.rate_mm_d[point], step_means(rate[site, point], 0, steps))
            ):
                lag = phase_lag(coherence(cause, motion, STEP_D), STEP_D)
                near = [np.abs(lag.period_d - p).argmin() for p in (365.0, *_SHORT_PERIODS_D)]
                found[row, kind, site] = lag.lag_d[near]
                if kind == 0:
                    low, high = lag.low_d[near], lag.high_d[near]
                else:
                    covered[row, site] = (low <= lag.lag_d[near]) & (lag.lag_d[near] <= high)
    rows = []
    for row, name in enumerate(("rain to ridge", "drawdown to toe")):
        seen_lag, true_lag = found[row]
        off = np.abs(seen_lag[:, 0] - true_lag[:, 0])
        rows.append(
            (
                f"{pool.noise}: {name}, a year",
                f"{np.median(true_lag[:, 0]):.1f}",
                f"{np.median(off):.1f}",
                "",
                f"{np.mean(off <= 4):.2f}",
                f"{covered[row, :, 0].mean():.2f}",
            )
        )
        middle, expected = (np.median(part[:, 1:], axis=0) for part in (seen_lag, true_lag))
        relative = np.abs(middle - expected) / np.abs(expected)
        rows.append(
            (
                f"{pool.noise}: {name}, 60-120 d",
                f"{expected.min():.0f} to {expected.max():.0f}",
                f"{np.median(np.abs(middle - expected)):.1f}",
                f"{np.median(relative):.2f}",
                f"{np.mean(relative <= 0.2):.2f}",
                f"{covered[row, :, 1:].mean():.2f}",
            )
        )
    return rows


def _pycwt() -> Any:
    """The peer; Python warns of escapes in its docstrings when it is compiled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pycwt
    return pycwt


def _beside_pycwt(scale: Scale) -> Table:
    pycwt = _pycwt()

    rng = np.random.default_rng(11)
    length, octave_step = 200, 0.08
    first, second = _memories(rng, 2, length, 0.6)
    period = 36.0 * 2 ** (np.arange(54) * octave_step)
    mother = pycwt.Morlet(6)
    asked = {"dt": STEP_D, "dj": octave_step, "s0": period[0] / PERIOD_PER_SCALE, "J": 53}
    one = (first - first.mean()) / first.std()
    ours_s, ours = best(lambda: transform(one, period, STEP_D))
    peer_s, peer = best(lambda: pycwt.cwt(one, asked["dt"], asked["dj"], asked["s0"], asked["J"]))
    off = np.abs(ours - peer[0]).max() / np.abs(ours).max()
    rows = [("transform", f"{off:.1e}", *_times(ours_s, peer_s))]
    # pycwt's window over scales is 1.2 octaves wide.
    ours_s, seen = best(lambda: coherence(first, second, STEP_D, period, window_octaves=1.2))
    peer_s, wct = best(lambda: pycwt.wct(first, second, sig=False, wavelet=mother, **asked))
    off = np.abs(seen.coherence - wct[0]).max()
    rows.append(("coherence", f"{off:.1e}", *_times(ours_s, peer_s)))
    rows.append(_significance_row(first, second, seen, scale, asked))
    rows.append(_chance_row(rng, scale))
    notes = ("Milliseconds, best of three; ratio = pycwt's time over ours.",)
    head = ("200 steps, 54 periods", "largest difference", "ours", "pycwt", "ratio")
    return Table("Wavelets beside pycwt", head, tuple(rows), notes)


def _times(ours_s: float, peer_s: float) -> tuple[str, ...]:
    return f"{1e3 * ours_s:.2f}", f"{1e3 * peer_s:.2f}", f"{peer_s / ours_s:.1f}"


def _significance_row(
    first: Floats, second: Floats, seen: Any, scale: Scale, asked: dict[str, Any]
) -> tuple[str, ...]:
    pycwt = _pycwt()

    ours, theirs = scale.surrogates, max(scale.surrogates // 10, 10)
    ours_s, told = best(
        lambda: significance(first, second, seen, STEP_D, surrogates=ours, window_octaves=1.2), 1
    )
    memory = [float(lag_one(part)) for part in (first, second)]
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        peer_s, threshold = best(
            lambda: pycwt.wct_significance(
                *memory, significance_level=0.95, wavelet=pycwt.Morlet(6), mc_count=theirs,
                progress=False, cache=False, **asked,
            ),
            1,
        )  # fmt: skip
    both = np.isfinite(told.threshold) & np.isfinite(threshold) & (threshold > 0)
    off = np.median(np.abs(told.threshold - threshold)[both])
    return (
        f"5 % threshold, a surrogate ({ours}; pycwt {theirs})",
        f"{off:.2f} (median)",
        *_times(ours_s / ours, peer_s / theirs),
    )


def _chance_row(rng: np.random.Generator, scale: Scale) -> tuple[str, ...]:
    """Unrelated AR(1) pairs in which any period stands, and area of theirs beyond the threshold."""
    pairs = max(scale.pairs // 5, 3)
    stands, area = 0, []
    for seed in range(pairs):
        first, second = (autoregressive(one, 1, rng)[0] for one in _memories(rng, 2, 200, 0.6))
        seen = coherence(first, second, STEP_D)
        told = significance(
            first, second, seen, STEP_D, surrogates=scale.surrogates // 2, seed=seed
        )
        stands += bool(discoveries(told.p, dependent=False).any())
        area.append((seen.coherence > told.threshold[:, None])[seen.safe].mean())
    name = f"false positives: {pairs} unrelated AR(1) pairs"
    return (name, f"area {100 * np.mean(area):.1f} %, any period {100 * stands / pairs:.0f} %",
            "", "", "")  # fmt: skip
