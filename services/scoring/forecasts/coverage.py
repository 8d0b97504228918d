"""Coverage of the service's intervals, by what is known at issue.

Every site carries its own intervals through the record, as a service that watches it would: each
forecast gets its band before anything of its days is known, and epochs teach the intervals when
they arrive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.evidence import Floats
from services.inference.known import Flags, Ints
from services.inference.model import HORIZONS_D, Path
from services.inference.trust import conformal
from services.inference.trust.conformal import LEVELS, NORMAL, Arrived
from services.inference.trust.groups import NOISY_SD_MM, SEASONS, usual_sd_mm
from services.scoring.forecasts.detail import Later
from services.scoring.forecasts.issue import Issued
from services.scoring.forecasts.oracle import Widths
from services.scoring.forecasts.replay import site_known
from services.scoring.forecasts.resample import Cells, interval
from services.scoring.forecasts.ruler import AHEAD, ZONES, Ruler, Table, predicted_rate, shown
from services.scoring.forecasts.series import PoolHistory
from services.scoring.score import Interval

LEAST: Final = 60
"""Epochs times sites below which a group says nothing of its own."""
NOMINAL: Final = 0.9
COHERENCE: Final = ("clear", "noisy")
_AT: Final = LEVELS.index(NOMINAL)
_H: Final = np.array(HORIZONS_D)


class Bands(NamedTuple):
    """90 % half-widths (I, H, S) of forecasts, mm, of an observation and of the displacement."""

    observed_mm: Floats
    latent_mm: Floats
    noise_mm: Floats
    """(I, S) the usual sd of an observation, by which a series counts as clear or noisy."""


def carry(
    history: PoolHistory,
    issued: Issued,
    start: Sequence[conformal.State],
    speaker: NDArray[np.str_],
) -> Bands:
    """Bands of forecasts, each site's carried from its `start`; feedback as epochs arrive.

    `speaker` (I, sites): the model whose forecast each is.

    Epochs of a site are taken in the order of arrival, at the first issue day on which they are
    known; a forecast is judged after it was issued and never before.
    """
    count, points = issued.day.size, history.points
    shape = (count, len(HORIZONS_D), history.place.size)
    observed, latent = np.full((2, *shape), np.nan)
    noise = np.zeros((count, history.place.size))
    states = list(start)
    pending: list[deque[conformal.Issued]] = [
        deque(maxlen=conformal.MEMORY_D) for _ in range(history.sites)
    ]
    arrived = _Arrivals(history, int(issued.day[0]))
    for row, day in enumerate(issued.day):
        known = history.known(int(day))
        noise[row] = usual_sd_mm(known)
        path = (issued.displacement_mm[row].astype(float), issued.sd_mm[row].astype(float))
        for site in range(history.sites):
            own = slice(site * points, (site + 1) * points)
            for epoch in arrived.of(site, int(day)):
                states[site] = conformal.learn(states[site], epoch, tuple(pending[site]))
            recent = [one for one in pending[site] if one.day > day - conformal.MEMORY_D]
            one = conformal.issue(
                states[site],
                site_known(known, site, points),
                Path(*(values[:, own] for values in path)),
                [str(speaker[row, site])] * points,
            )
            pending[site] = deque([*recent, one])
            observed[row, :, own] = one.half_mm[_AT]
            latent[row, :, own] = one.latent_half_mm[_AT]
    return Bands(observed, latent, noise)


class _Arrivals:
    """Epochs of each site in the order in which they arrive, each handed out once."""

    def __init__(self, history: PoolHistory, after: int) -> None:
        epoch, arrival, los, _ = history.epochs_until(history.days)
        self._epoch, self._arrival, self._los = epoch, arrival, los
        self._points = history.points
        self._done = [after] * history.sites

    def of(self, site: int, day: int) -> list[Arrived]:
        """Those that arrived since the last call and by the end of `day`."""
        arrival = self._arrival[:, site]
        rows = np.flatnonzero((arrival > self._done[site]) & (arrival <= day))
        self._done[site] = day
        own = slice(site * self._points, (site + 1) * self._points)
        place = np.zeros(self._points, np.int64)
        return [
            Arrived(np.full(self._points, self._epoch[row, site]), self._los[row, own], place)
            for row in rows[np.argsort(arrival[rows], kind="stable")]
        ]


class Covered(NamedTuple):
    """Pairs of a forecast and a later epoch: whether the band held, (N, P); NaN where none."""

    held: Floats
    issue: Ints
    site: Ints
    epoch: Ints
    """(N,) number of the epoch and site, for counting."""


def covered(issued: Issued, bands: Bands, later: Later) -> Covered:
    """Judge bands by epochs that arrived after issue, means as issued, widths between horizons
    interpolated."""
    points = later.los_mm.shape[1]
    series = later.site[:, None] * points + np.arange(points)
    issue, lead = later.issue[:, None], later.lead_d
    low = np.clip(np.searchsorted(_H, lead, side="right") - 1, 0, len(_H) - 2)
    share = ((lead - _H[low]) / (_H[low + 1] - _H[low]))[:, None]
    half = bands.observed_mm[issue, low[:, None], series] * (1 - share)
    half += bands.observed_mm[issue, low[:, None] + 1, series] * share
    error = np.abs(issued.displacement_mm[issue, lead[:, None], series] - later.los_mm)
    held = np.where(np.isfinite(half + error), error <= half, np.nan)
    day = issued.day[later.issue] + lead
    return Covered(held, later.issue, later.site, day * (int(later.site.max()) + 1) + later.site)


def _share(ruler: Ruler, pairs: Covered, inside: Flags) -> tuple[Interval, int]:
    """Coverage where `inside` (I, S), with its interval, and how many epochs times sites."""
    points = pairs.held.shape[1]
    series = pairs.site[:, None] * points + np.arange(points)
    good = np.isfinite(pairs.held) & inside[pairs.issue[:, None], series]
    total, count = np.zeros((2, ruler.sites, ruler.blocks))
    at = pairs.site, ruler.block[pairs.issue]
    np.add.at(total, at, np.where(good, pairs.held, 0.0).sum(axis=1))
    np.add.at(count, at, good.sum(axis=1).astype(float))
    judged = np.unique(pairs.epoch[good.any(axis=1)]).size
    return interval(Cells(total, count).means(ruler.draws)), judged


def _latent(ruler: Ruler, issued: Issued, bands: Bands, inside: Flags) -> Interval:
    """Coverage of the displacement itself over all horizons and days."""
    held = np.stack(
        [
            np.where(
                np.isfinite(bands.latent_mm[:, h]),
                np.abs(ruler.error_mm(issued, day)) <= bands.latent_mm[:, h],
                np.nan,
            )
            for h, day in enumerate(HORIZONS_D)
        ]
    ).mean(axis=0)
    return interval(ruler.cells(held, inside).means(ruler.draws))


def known_groups(ruler: Ruler, issued: Issued, bands: Bands) -> Mapping[str, Mapping[str, Flags]]:
    """Divisions by what is known at issue: season, zone, coherence class, predicted-rate tenth."""
    everywhere = np.ones((ruler.day.size, ruler.series), np.bool_)
    tenth = _tenths(predicted_rate(issued))
    return {
        "season": {
            name: everywhere & (ruler.season == s)[:, None] for s, name in enumerate(SEASONS)
        },
        "zone": {name: everywhere & (ruler.zone == z) for z, name in enumerate(ZONES)},
        "coherence": {
            name: (bands.noise_mm >= NOISY_SD_MM) == bool(noisy)
            for noisy, name in enumerate(COHERENCE)
        },
        "predicted rate": {f"tenth {t + 1}": tenth == t for t in range(10)},
    }


def _tenths(rate: Floats) -> Ints:
    edges = np.nanquantile(rate, np.arange(1, 10) / 10)
    return np.where(np.isfinite(rate), np.searchsorted(edges, rate, side="right"), -1)


def table(ruler: Ruler, issued: Issued, bands: Bands, later: Later, title: str) -> Table:
    """Coverage of 90 % intervals overall and by group, and the mean width of each."""
    pairs = covered(issued, bands, later)
    everywhere = np.ones((ruler.day.size, ruler.series), np.bool_)
    whole, count = _share(ruler, pairs, everywhere)
    rows = [_row("all", whole, count, ruler, issued, bands, everywhere)]
    few, worst = [], ("all", whole.value)
    for division, parts in known_groups(ruler, issued, bands).items():
        for part, inside in parts.items():
            name = f"{division}: {part}"
            found, count = _share(ruler, pairs, inside)
            if count < LEAST:
                few.append(f"{name} ({count})")
                continue
            rows.append(_row(name, found, count, ruler, issued, bands, inside))
            worst = min(worst, (name, found.value), key=lambda one: one[1])
    realised = _tenths(np.abs(ruler.target_mm[:, 12] - ruler.target_mm[:, 0]).astype(float))
    for tenth in (0, 9):
        found, count = _share(ruler, pairs, realised == tenth)
        name = f"realised rate: tenth {tenth + 1} (not required)"
        rows.append(_row(name, found, count, ruler, issued, bands, realised == tenth))
    met = 0.87 <= whole.value <= 0.93 and worst[1] >= 0.8
    notes: tuple[str, ...] = (
        f"Goal: 87 to 93 % overall and 80 % or more in every group known at issue: "
        f"{'reached' if met else 'not reached'}; lowest {100 * worst[1]:.1f} % ({worst[0]}).",
        "Intervals promise to cover epochs as measured; that they cover the displacement itself "
        "can be told on simulated sites only.",
    )
    if few:
        notes += (
            f"Below {LEAST} epochs times sites, so judged with their parent, all forecasts: "
            f"{'; '.join(few)}.",
        )
    columns = ("90 % intervals", "covers epochs, %", "epochs x sites", "covers truth, %")
    return Table(title, (*columns, "half-width +12 d, mm", "of the truth"), tuple(rows), notes)


def _row(
    name: str,
    share: Interval,
    count: int,
    ruler: Ruler,
    issued: Issued,
    bands: Bands,
    inside: Flags,
) -> tuple[str, ...]:
    at = HORIZONS_D.index(12)
    latent = _latent(ruler, issued, bands, inside)
    widths = [
        float(np.nanmean(np.where(inside, half[:, at], np.nan)))
        for half in (bands.observed_mm, bands.latent_mm)
    ]
    percent = [shown(Interval(*(100 * v for v in one)), 1) for one in (share, latent)]
    return (name, percent[0], str(count), percent[1], *(f"{width:.2f}" for width in widths))


def widths(bands: Bands, oracle: Widths, title: str) -> Table:
    """Mean 90 % widths beside the oracle's on the forecasts sampled for it: of the displacement,
    and of an observation, whose noise is added to the oracle's in quadrature."""
    points = oracle.width_mm.shape[2]
    series = oracle.site[:, None] * points + np.arange(points)
    row = oracle.row[:, None]
    noise = 2 * NORMAL[_AT] * bands.noise_mm[row, series][:, None]
    rows: list[tuple[str, ...]] = []
    for what, half, law in (
        ("displacement", bands.latent_mm, oracle.width_mm),
        ("observation", bands.observed_mm, np.hypot(oracle.width_mm, noise)),
    ):
        ours = np.nanmean(2 * half[row, :, series], axis=(0, 1))
        best = np.nanmean(law, axis=(0, 2))
        ratio = np.where(best > 1e-6, ours / np.maximum(best, 1e-6), np.nan)
        rows.append((f"{what}, ours", *(f"{one:.2f}" for one in ours)))
        rows.append((f"{what}, oracle", *(f"{one:.2f}" for one in best)))
        rows.append((f"{what}, ratio", *(f"{r:.2f}" if np.isfinite(r) else "-" for r in ratio)))
    notes = (
        "Oracle: the law that made the data, given what had been issued, from the true state of "
        f"the slope; {oracle.row.size} pairs of a site and an issue day, {oracle.members} "
        "continuations each. No observer knows that state, so the oracle's nowcast has no width.",
    )
    return Table(title, ("90 % width, mm", *AHEAD), tuple(rows), notes)
