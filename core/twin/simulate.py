"""Simulate the daily truth of a batch of reservoir landslides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from core.twin import forcing, hydrology, mechanics, runaway, weakening
from core.twin.forcing import YEAR_DAYS
from core.twin.mechanics import CreepLaw
from core.twin.runaway import Ramp
from core.twin.seeds import Purpose, site_rng
from core.twin.slope import OBSERVED_NODES, Slope, draw_slope

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SPIN_UP_YEARS = 3
_BATCH = 256


class Kind(StrEnum):
    """What a simulated site does."""

    QUIET = "quiet"
    FAILING = "failing"
    ABORTED = "aborted"
    STEP = "step"


@dataclass(frozen=True)
class Truth:
    """Daily truth of S sites over T days, P = 6 observed points from toe (0) to ridge (5).

    Day 0 is 1 January; every year has 365 days. Displacement is positive downslope.
    """

    seeds: Ints
    """(S,)"""
    kind: NDArray[np.str_]
    """(S,) a `Kind`."""
    hydrology_family: NDArray[np.str_]
    """(S,) 'diffusion' or 'buckets'."""
    runaway_family: NDArray[np.str_]
    """(S,) 'voight', 'weakening' or 'none'."""
    drainage: NDArray[np.str_]
    """(S,) 'drawdown' (moves as the reservoir falls) or 'buoyancy' (moves at high water)."""
    rain_mm: Floats
    """(S, T) rain on the slope, mm/d."""
    level_m: Floats
    """(S, T) reservoir level, m a.s.l."""
    displacement_mm: Floats
    """(S, T, P) cumulative downslope displacement, 0 on day 0, constant from the failure day."""
    los_factor: Floats
    """(S, P) LOS mm toward the satellite for a mm downslope."""
    distance_m: Floats
    """(S, P) distance from the bank."""
    height_m: Floats
    """(S, P) height above the bank."""
    onset_day: Ints
    """(S,) first day of the runaway, the aborted ramp or the storm; -1 for none."""
    failure_day: Ints
    """(S,) -1 for none."""


@dataclass(frozen=True)
class _Traits:
    seed: int
    kind: Kind
    hydrology_family: str
    runaway_family: str
    drainage: str


@dataclass(frozen=True)
class _Outcome:
    rate: Floats
    onset_day: int
    failure_day: int


def _draw_traits(
    seed: int,
    kind: Kind,
    hydrology_family: str | None,
    runaway_family: str | None,
    drainage: str | None,
) -> _Traits:
    rng = site_rng(seed, Purpose.TRAITS)
    drawn_hydrology = hydrology.HYDROLOGY_FAMILIES[int(rng.integers(2))]
    drawn_drainage = hydrology.DRAINAGES[int(rng.integers(2))]
    drawn_runaway = runaway.RUNAWAY_FAMILIES[int(rng.integers(2))]
    runs_away = kind in (Kind.FAILING, Kind.ABORTED)
    return _Traits(
        seed=seed,
        kind=kind,
        hydrology_family=hydrology_family or drawn_hydrology,
        runaway_family=(runaway_family or drawn_runaway) if runs_away else "none",
        drainage=drainage or drawn_drainage,
    )


def simulate(
    seeds: Iterable[int],
    kind: Kind | Sequence[Kind],
    *,
    years: int = 4,
    runaway_family: str | None = None,
    hydrology_family: str | None = None,
    drainage: str | None = None,
    hold: frozenset[str] = frozenset(),
) -> Truth:
    """Simulate sites; each depends on its own seed and on the arguments, not on the batch.

    Args:
        seeds: site seeds, >= 0; see `SEED_RANGES`.
        kind: what the sites do, one for all or one a site.
        years: length of the record; three more are simulated before it and dropped.
        runaway_family: 'voight' or 'weakening' for failing and aborted sites; None draws it.
        hydrology_family: 'diffusion' or 'buckets'; None draws it.
        drainage: 'drawdown' or 'buoyancy'; None draws it.
        hold: drivers ('rain', 'level') held at their day-of-year mean, the slope's calibration
            unchanged: the counterfactual from which a driver's true share is taken.

    Returns:
        The truth. A failing site of the weakening family whose bounded redraws all stop by
        themselves comes back as `Kind.ABORTED`, and an aborted one that cannot be stopped as
        `Kind.FAILING`.

    Raises:
        ValueError: an unknown name, no sites, or a record too short (two years with an event).
    """
    numbers = [int(seed) for seed in seeds]
    kinds = [Kind(kind)] * len(numbers) if isinstance(kind, str) else [Kind(k) for k in kind]
    _check(numbers, kinds, years, runaway_family, hydrology_family, drainage, hold)
    traits = [
        _draw_traits(seed, one, hydrology_family, runaway_family, drainage)
        for seed, one in zip(numbers, kinds, strict=True)
    ]
    parts = [
        _simulate_batch(traits[start : start + _BATCH], years * YEAR_DAYS, hold)
        for start in range(0, len(traits), _BATCH)
    ]
    if len(parts) == 1:
        return parts[0]
    names = [field.name for field in fields(Truth)]
    return Truth(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


def _check(
    seeds: list[int],
    kinds: list[Kind],
    years: int,
    runaway_family: str | None,
    hydrology_family: str | None,
    drainage: str | None,
    hold: frozenset[str],
) -> None:
    if not seeds or len(seeds) != len(kinds):
        raise ValueError(f"{len(seeds)} seeds and {len(kinds)} kinds: give one kind a seed")
    if years < 1 or (years < 2 and set(kinds) != {Kind.QUIET}):
        raise ValueError(f"{years} years are too short: 1 for quiet sites, 2 with an event")
    known = (
        (runaway_family, ("voight", "weakening")),
        (hydrology_family, hydrology.HYDROLOGY_FAMILIES),
        (drainage, hydrology.DRAINAGES),
        *((name, ("rain", "level")) for name in hold),
    )
    for name, choices in known:
        if name is not None and name not in choices:
            raise ValueError(f"{name!r} is not one of {', '.join(choices)}")


def _simulate_batch(traits: list[_Traits], days: int, hold: frozenset[str]) -> Truth:
    total = days + SPIN_UP_YEARS * YEAR_DAYS
    rain, storm_days = _draw_rain(traits, total)
    targets = [forcing.draw_level_target(site_rng(t.seed, Purpose.LEVEL), total) for t in traits]
    level = forcing.steer_level(np.stack(targets))
    slopes = [draw_slope(site_rng(t.seed, Purpose.SLOPE)) for t in traits]
    outcomes = _move(traits, slopes, rain, level, storm_days, days, hold)
    if "rain" in hold:
        rain = forcing.seasonal_mean(rain)
    if "level" in hold:
        level = forcing.seasonal_mean(level)
    displacement = np.stack([np.cumsum(outcome.rate, axis=1).T for outcome in outcomes])
    displacement -= displacement[:, :1].copy()
    failure_day = np.array([outcome.failure_day for outcome in outcomes])
    return Truth(
        seeds=np.array([t.seed for t in traits], dtype=np.int64),
        kind=_names(_kind_after(t, o) for t, o in zip(traits, outcomes, strict=True)),
        hydrology_family=_names(t.hydrology_family for t in traits),
        runaway_family=_names(t.runaway_family for t in traits),
        drainage=_names(t.drainage for t in traits),
        rain_mm=rain[:, -days:].copy(),
        level_m=level[:, -days:].copy(),
        displacement_mm=displacement,
        los_factor=np.stack([slope.los_factor for slope in slopes]),
        distance_m=np.stack([slope.distance_m[OBSERVED_NODES] for slope in slopes]),
        height_m=np.stack([slope.height_m[OBSERVED_NODES] for slope in slopes]),
        onset_day=np.array([outcome.onset_day for outcome in outcomes]),
        failure_day=failure_day,
    )


def _names(values: Iterable[str]) -> NDArray[np.str_]:
    # One width for all, so that a site's bytes do not depend on its neighbours.
    return np.array([str(value) for value in values], dtype="<U9")


def _kind_after(traits: _Traits, outcome: _Outcome) -> Kind:
    if traits.kind not in (Kind.FAILING, Kind.ABORTED):
        return traits.kind
    return Kind.FAILING if outcome.failure_day >= 0 else Kind.ABORTED


def _draw_rain(traits: list[_Traits], total: int) -> tuple[Floats, list[int]]:
    """Rain (S, total) and each site's storm day counted from the spin-up's start, or -1."""
    rows, storm_days = [], []
    for site in traits:
        rain = forcing.draw_rain(site_rng(site.seed, Purpose.RAIN), total)
        storm_day = -1
        if site.kind is Kind.STEP:
            rng = site_rng(site.seed, Purpose.RUNAWAY)
            storm_day = runaway.draw_storm_day(rng, total)
            rain = forcing.add_storm(rain, rng, storm_day)
        rows.append(rain)
        storm_days.append(storm_day)
    return np.stack(rows), storm_days


def _move(
    traits: list[_Traits],
    slopes: list[Slope],
    rain: Floats,
    level: Floats,
    storm_days: list[int],
    days: int,
    hold: frozenset[str],
) -> list[_Outcome]:
    """Rates of the observed points of every site, runaways included."""
    grounds = [
        hydrology.draw_ground(site_rng(t.seed, Purpose.GROUND), t.hydrology_family, t.drainage)
        for t in traits
    ]
    through, past = hydrology.recharge(rain, grounds)
    rain_held = forcing.seasonal_mean(rain) if "rain" in hold else rain
    level_held = forcing.seasonal_mean(level) if "level" in hold else level
    through_held, past_held = hydrology.recharge(rain_held, grounds) if hold else (through, past)
    outcomes: list[_Outcome | None] = []
    weak: list[weakening.Site] = []
    waiting: list[tuple[int, Floats]] = []
    for row, (site, slope, ground) in enumerate(zip(traits, slopes, grounds, strict=True)):
        draw = mechanics.draw_creep(site_rng(site.seed, Purpose.CREEP), site.drainage)
        head, water = hydrology.heads(ground, slope, through[row], past[row], level[row], days)
        stress = mechanics.stresses(slope, draw.seepage_factor, head, water, level[row, -days:])
        law = mechanics.calibrate(draw, *stress)
        if hold:
            head, water = hydrology.heads(
                ground, slope, through_held[row], past_held[row], level_held[row], days
            )
            stress = mechanics.stresses(
                slope, draw.seepage_factor, head, water, level_held[row, -days:]
            )
        rate = mechanics.point_rates(law, *stress)
        if site.runaway_family == "weakening":
            weak.append(_weak_site(site, law, stress, days))
            waiting.append((row, rate))
            outcomes.append(None)
        else:
            outcomes.append(_imposed(site, rate, head, storm_days[row], days))
    for (row, rate), run in zip(waiting, weakening.run(weak, days), strict=True):
        before = rate[:, : runaway.first_onset_day(days)]
        joined = np.concatenate([before, run.rate_mm_d], axis=1)
        outcomes[row] = _Outcome(joined, run.onset_day, run.failure_day)
    return [outcome for outcome in outcomes if outcome is not None]


def _weak_site(
    site: _Traits, law: CreepLaw, stress: tuple[Floats, Floats], days: int
) -> weakening.Site:
    first = runaway.first_onset_day(days)
    excess, strength = mechanics.excess_and_strength(
        law, stress[0][:, first:], stress[1][:, first:]
    )
    return weakening.Site(site.seed, site.kind is Kind.FAILING, law, excess, strength)


def _imposed(site: _Traits, rate: Floats, head: Floats, storm_day: int, days: int) -> _Outcome:
    """Quiet motion, or an imposed event over it."""
    if site.kind is Kind.QUIET:
        return _Outcome(rate, -1, -1)
    if site.kind is Kind.STEP:
        rng = site_rng(site.seed, Purpose.RUNAWAY, 1)
        day = storm_day - SPIN_UP_YEARS * YEAR_DAYS
        return _Outcome(runaway.step(rate, rng, day), day, -1)
    ramp: Ramp = runaway.draw_ramp(site_rng(site.seed, Purpose.RUNAWAY), days)
    if site.kind is Kind.FAILING:
        return _Outcome(runaway.fail(rate, ramp), ramp.onset_day, ramp.failure_day)
    return _Outcome(runaway.abort(rate, ramp, head.mean(axis=0)), ramp.onset_day, -1)


def fingerprint(record: object) -> str:
    """SHA-256 over the arrays of a `Truth` or an `Observed`: equal truths, equal fingerprints."""
    digest = hashlib.sha256()
    for name, array in sorted(vars(record).items()):
        values = np.ascontiguousarray(array)
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
