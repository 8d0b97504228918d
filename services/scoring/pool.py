"""Pools: simulated sites through the filter and up to the evidence that rules look at.

A pool runs `services.inference`'s own step over all its sites at once. Each site has one track and
one slope unit of six points. Epochs are folded in valid time; what an epoch said counts as known
from the midnight that closes the day of its arrival, and no earlier than what was said before it.
The service folds a late epoch the same way. It differs only where one epoch overtakes another: the
service then also judges the series without the late one, which a pool does not. Arrivals take at
most seven days, so with a repeat of twelve that does not happen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from core.errors import SettingsError
from core.evidence import Evidence, Floats
from core.geometry import SENTINEL1_WAVELENGTH_MM, ambiguity_limit_mm
from core.kalman import TrendState
from core.settings import Noise
from core.twin import Kind, Observed, Truth, observe, simulate
from services.inference.conditioning import (
    Units,
    conditioned_evidence,
    forecast_misses,
    given_to_filter,
    water_of,
)
from services.inference.timeseries.motion import Layout, Motion, assimilate, begin

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

YEARS = 5
"""Length of a record. All of a runaway then lies behind the first three years, in watched time."""
YEAR_DAYS = 365
FLANK_PIXELS = 2
"""As a slope unit's setting has it where its file says nothing."""
NOISE = Noise(atmosphere_sd_mm=3.0, rate_walk_mm2_d3=1.5e-3)
"""Chosen on 256 quiet calibration sites: of 28 pairs (3-7 mm, 3e-5 to 3e-3 mm^2/d^3) the one whose
innovations are nearest to white (lag-one correlation 0.00) with about unit variance (1.07)."""
_CHUNK = 128


@dataclass(frozen=True)
class Pool:
    """S sites after K epochs at most. Days count from the first of the record.

    `kind`, `runaway_family` and `hydrology_family` (S,) say what the sites really were;
    `onset_day` and `failure_day` (S,) are -1 for none. `known_day` (S, K) is the first day on
    which the epoch's verdict stands, `days` in padding. `usable` (S, K) is false in padding.
    `evidence` has the axes (site, epoch, unit); the unit filter's acceleration and the points'
    velocities, which the scored rules do not read, are NaN. `two_epoch_mm_d` (S, K, 1): change of
    the unit's observed mean since the epoch before, a day, along the line of sight.
    """

    days: int
    seeds: Ints
    kind: npt.NDArray[np.str_]
    runaway_family: npt.NDArray[np.str_]
    hydrology_family: npt.NDArray[np.str_]
    onset_day: Ints
    failure_day: Ints
    known_day: Ints
    usable: Flags
    evidence: Evidence
    two_epoch_mm_d: Floats

    def __len__(self) -> int:
        return len(self.seeds)

    def where(self, which: Flags) -> Pool:
        """The sites of this pool for which `which` (S,) holds."""
        return _built(
            self.days,
            lambda get: get(self)[which],
            lambda name: getattr(self.evidence, name),
        )


Watching = Literal["gauges", "true", "none"]
"""What the service is told of rain and level: by gauges with their errors, as in truth, nothing."""
_SHARED = (
    *("units", "point_unit", "point_velocity_mm_d", "point_velocity_sd_mm_d"),
    *("point_lon", "point_lat"),
)


def make_pool(
    seeds: Sequence[int],
    kind: Kind | Sequence[Kind],
    *,
    years: int = YEARS,
    noise: Noise = NOISE,
    runaway_family: str | None = None,
    progress: str | None = None,
) -> Pool:
    """Simulate, observe and filter sites; see `make_pools`."""
    (pool,) = make_pools(
        seeds, kind, years=years, noise=noise, runaway_family=runaway_family, progress=progress
    )
    return pool


def make_pools(
    seeds: Sequence[int],
    kind: Kind | Sequence[Kind],
    waters: Sequence[Watching] = ("gauges",),
    *,
    years: int = YEARS,
    noise: Noise = NOISE,
    runaway_family: str | None = None,
    hydrology_family: Sequence[str] | None = None,
    progress: str | None = None,
) -> list[Pool]:
    """Simulate and observe sites once, and filter them as told of each of `waters`.

    Args:
        seeds: seeds of the sites.
        kind: one for all, or one a site; `Pool.kind` says what came of it.
        waters: what the service is told of rain and level, one pool each.
        years: length of the record.
        noise: settings of the filter; `atmosphere_sd_mm` must be given.
        runaway_family: 'voight' or 'weakening'; None lets each site draw it.
        hydrology_family: 'diffusion' or 'buckets' of each site; None lets each site draw it.
        progress: label of a progress bar on standard error; None for no bar.

    Raises:
        ValueError: no sites, or `noise` without an atmosphere.
    """
    kinds = [kind] * len(seeds) if isinstance(kind, str) else list(kind)
    parts: list[list[Pool]] = [[] for _ in waters]
    with tqdm(total=len(seeds), desc=progress, unit="site", disable=progress is None) as bar:
        for start in range(0, len(seeds), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            truth = simulate(
                seeds[chunk],
                kinds[chunk],
                years=years,
                runaway_family=runaway_family,
                hydrology_family=None if hydrology_family is None else hydrology_family[chunk],
            )
            seen = observe(truth, flank_pixels=FLANK_PIXELS)
            for part, water in zip(parts, waters, strict=True):
                part.append(filtered(truth, seen, noise, water))
            bar.update(len(truth.seeds))
    return [joined(part) for part in parts]


def joined(pools: Sequence[Pool]) -> Pool:
    """One pool of several with records of one length.

    Raises `ValueError` for none, or records of other lengths.
    """
    if len({(pool.days, pool.usable.shape[1]) for pool in pools}) != 1:
        raise ValueError("pools to join must be one or more, with records of one length")
    return _built(
        pools[0].days,
        lambda get: np.concatenate([get(pool) for pool in pools]),
        lambda name: getattr(pools[0].evidence, name),
    )


def filtered(
    truth: Truth, seen: Observed, noise: Noise = NOISE, water: Watching = "gauges"
) -> Pool:
    """Run the filters of the service over observed sites, all of them one epoch at a time.

    Raises `ValueError` where `noise` leaves the atmosphere to a site's geometry.
    """
    if noise.atmosphere_sd_mm is None:
        raise ValueError("a simulated site has no map: give noise.atmosphere_sd_mm")
    usable = seen.epoch_day >= 0
    gap = np.diff(seen.epoch_day, axis=1, prepend=seen.epoch_day[:, :1])
    gap = np.where(usable, gap, 0).astype(float)
    fold = _fold(seen, gap, noise)
    days = truth.displacement_mm.shape[1]
    here = usable[..., None]
    rate = np.diff(fold.seen_mm, axis=1, prepend=np.nan)
    return Pool(
        days=days,
        seeds=truth.seeds,
        kind=truth.kind,
        runaway_family=truth.runaway_family,
        hydrology_family=truth.hydrology_family,
        onset_day=truth.onset_day,
        failure_day=truth.failure_day,
        known_day=_known(seen.arrival_day, usable, days),
        usable=usable,
        evidence=_evidence(truth, seen, fold, here, _readings(truth, seen, water), noise),
        two_epoch_mm_d=rate / np.where(gap > 0, gap, np.nan)[..., None],
    )


def layout_of(sites: int, points: int) -> Layout:
    """The layout of `sites` sites with one unit of `points` points each."""
    limit = ambiguity_limit_mm(SENTINEL1_WAVELENGTH_MM) * FLANK_PIXELS
    return Layout(np.ones((sites, 1, points)), np.full((sites, 1), limit))


class _Fold(NamedTuple):
    """What the unit filters said after each epoch, (S, K, 1)."""

    innovation_z: Floats
    displacement_mm: Floats
    velocity_mm_d: Floats
    var_displacement: Floats
    cov_displacement_velocity: Floats
    var_velocity: Floats
    gain: Floats
    out_of_range: Flags
    seen_mm: Floats
    seen_sd_mm: Floats


def _fold(seen: Observed, gap: Floats, noise: Noise) -> _Fold:
    if noise.atmosphere_sd_mm is None:
        raise SettingsError("scoring needs noise.atmosphere_sd_mm: pools know no distances")
    sites, epochs, points = seen.los_mm.shape
    layout = layout_of(sites, points)
    shared = np.full((sites, points), noise.atmosphere_sd_mm**2)
    shared_unit = np.full((sites, 1), noise.atmosphere_sd_mm**2)
    motion: Motion = begin(
        np.zeros((sites, points)), np.zeros((sites, 1)), noise.velocity_prior_sd_mm_d
    )
    rows = []
    for epoch in range(epochs):
        motion, step = assimilate(
            motion,
            layout,
            gap[:, epoch],
            seen.los_mm[:, epoch],
            seen.sigma_mm[:, epoch] ** 2,
            shared,
            shared_unit,
            noise.rate_walk_mm2_d3,
            noise.velocity_prior_sd_mm_d,
        )
        units = motion.units
        rows.append(
            _Fold(
                step.innovation_z,
                *units,
                step.innovation.gain_displacement,
                step.out_of_range,
                motion.seen_mm,
                step.observed_variance_mm2**0.5,
            )
        )
    return _Fold(*(np.stack(series, axis=1) for series in zip(*rows, strict=True)))


def _readings(truth: Truth, seen: Observed, water: Watching) -> tuple[Floats, Floats]:
    """Daily rain and level (S, T) as the service is told them."""
    if water == "true":
        return truth.rain_mm, truth.level_m
    if water == "none":
        return np.full_like(seen.gauge_mm, np.nan), np.full_like(seen.level_m, np.nan)
    return seen.gauge_mm, seen.level_m


def _filtered(
    seen: Observed, fold: _Fold, here: Flags, readings: tuple[Floats, Floats], noise: Noise
) -> dict[str, Floats]:
    """What the unit filters were given, and what is made of it: (S, K, 1) each."""
    days = np.maximum.accumulate(np.where(seen.epoch_day >= 0, seen.epoch_day, 0), axis=1).T
    states = TrendState(*(_by_epoch(part, here) for part in fold[1:6]))
    gain = _by_epoch(fold.gain, here)
    observed, begins = given_to_filter(days.astype(float), *states[:2], gain)
    sd = np.where(np.isfinite(observed), fold.seen_sd_mm[..., 0].T, np.nan)
    units = Units(days, observed, sd, begins, np.arange(len(seen.epoch_day)))
    waters = [water_of(0, rain, level) for rain, level in zip(*readings, strict=True)]
    said = {
        "observed_mm": observed,
        "observed_sd_mm": sd,
        "forecast_z": forecast_misses(units, states, noise.rate_walk_mm2_d3),
        **conditioned_evidence(units, waters),
    }
    return {name: np.where(here[..., 0], one.T, np.nan)[..., None] for name, one in said.items()}


def _by_epoch(series: Floats, here: Flags) -> Floats:
    """(S, K, 1) as (K, S), NaN in padding."""
    return np.where(here, series, np.nan)[..., 0].T


def _known(arrival_day: Ints, usable: Flags, days: int) -> Ints:
    """First day on which each epoch's verdict stands, (S, K)."""
    closed = np.where(usable, arrival_day + 1, days)
    return np.maximum.accumulate(np.minimum(closed, days), axis=1)


def _evidence(
    truth: Truth,
    seen: Observed,
    fold: _Fold,
    here: Flags,
    readings: tuple[Floats, Floats],
    noise: Noise,
) -> Evidence:
    velocity = np.where(here, fold.velocity_mm_d, np.nan)
    nothing = np.full(velocity.shape, np.nan)
    points = seen.los_mm.shape[2]
    absent = np.full((3, points), np.nan)
    return Evidence(
        units=("slope",),
        epoch_day=seen.epoch_day,
        innovation_z=fold.innovation_z,
        velocity_mm_d=velocity,
        velocity_sd_mm_d=np.where(np.isnan(velocity), np.nan, np.sqrt(fold.var_velocity)),
        acceleration_mm_d2=nothing,
        acceleration_sd_mm_d2=nothing,
        out_of_range=(fold.out_of_range & here).astype(bool),
        los_factor=truth.los_factor.mean(axis=1, keepdims=True),
        **_filtered(seen, fold, here, readings, noise),
        driver_day=np.broadcast_to(np.arange(readings[0].shape[1]), readings[0].shape),
        rain_mm=readings[0],
        level_m=readings[1],
        point_unit=np.zeros(points, dtype=np.int64),
        point_lon=absent[0],
        point_lat=absent[0],
        point_velocity_mm_d=absent,
        point_velocity_sd_mm_d=absent,
    )


def _built(
    days: int,
    of_sites: Callable[[Callable[[Pool], Any]], Any],
    of_all: Callable[[str], Any],
) -> Pool:
    """A pool whose arrays over sites are `of_sites(get)`, where `get` takes one from a pool."""
    evidence: dict[str, Any] = {
        name: of_all(name) if name in _SHARED else of_sites(attrgetter(f"evidence.{name}"))
        for name in (field.name for field in fields(Evidence))
    }
    rest: dict[str, Any] = {
        field.name: of_sites(attrgetter(field.name))
        for field in fields(Pool)
        if field.name not in ("days", "evidence")
    }
    return Pool(days=days, evidence=Evidence(**evidence), **rest)
