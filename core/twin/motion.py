"""From drivers to the motion of every site: water, stress, creep, then what runs away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.twin import hydrology, mechanics, runaway, weakening
from core.twin.mechanics import CreepLaw
from core.twin.seeds import Purpose, site_rng
from core.twin.slope import Slope
from core.twin.truth import Kind

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Traits:
    """What is decided about a site before anything is simulated."""

    seed: int
    kind: Kind
    hydrology_family: str
    runaway_family: str
    drainage: str


@dataclass(frozen=True)
class Drivers:
    """Rain and level of a batch, spin-up included."""

    rain_mm: Floats
    """(S, days) mm/d."""
    level_m: Floats
    """(S, days) m a.s.l."""


@dataclass(frozen=True)
class Stressed:
    """One site's creep law and the stresses over its kept record."""

    traits: Traits
    law: CreepLaw
    driving_kpa: Floats
    """(24, T)"""
    normal_kpa: Floats
    """(24, T) effective."""
    head_m: Floats
    """(T,) mean pressure head on the slip zone."""


@dataclass(frozen=True)
class Outcome:
    """Motion of one site: rates of its points (6, T) in mm/d, days of its event or -1."""

    rate: Floats
    onset_day: int
    failure_day: int


def stress_sites(
    traits: list[Traits],
    slopes: list[Slope],
    drivers: Drivers,
    held: Drivers | None,
    *,
    days: int,
) -> list[Stressed]:
    """Calibrate every site on `drivers` and stress it by `held`, where given, else by the same."""
    grounds = [
        hydrology.draw_ground(site_rng(t.seed, Purpose.GROUND), t.hydrology_family, t.drainage)
        for t in traits
    ]
    runs = [drivers] if held is None else [drivers, held]
    recharges = [hydrology.recharge(run.rain_mm, grounds) for run in runs]
    sites = []
    for row, (site, slope, ground) in enumerate(zip(traits, slopes, grounds, strict=True)):
        draw = mechanics.draw_creep(site_rng(site.seed, Purpose.CREEP), site.drainage)
        for run, (through, past) in zip(runs, recharges, strict=True):
            level = run.level_m[row]
            head, water = hydrology.heads(ground, slope, through[row], past[row], level, keep=days)
            driving, normal = mechanics.stresses(
                slope, draw.seepage_factor, head, water, level[-days:]
            )
            if run is drivers:
                law = mechanics.calibrate(draw, driving, normal)
        sites.append(Stressed(site, law, driving, normal, head.mean(axis=0)))
    return sites


def move(sites: list[Stressed], storm_days: list[int], days: int) -> list[Outcome]:
    """Move every site; `storm_days` holds the storm's first day for storm steps, else -1."""
    rates = [mechanics.point_rates(site.law, site.driving_kpa, site.normal_kpa) for site in sites]
    weak = [row for row, site in enumerate(sites) if site.traits.runaway_family == "weakening"]
    runs = weakening.run([_weak_site(sites[row], rates[row], days) for row in weak], days)
    emerged = dict(zip(weak, runs, strict=True))
    outcomes = []
    for row, (site, rate) in enumerate(zip(sites, rates, strict=True)):
        if row in emerged:
            before = rate[:, : runaway.first_onset_day(days)]
            run = emerged[row]
            joined = np.concatenate([before, run.rate_mm_d], axis=1)
            outcomes.append(Outcome(joined, run.onset_day, run.failure_day))
        else:
            outcomes.append(_impose(site, rate, storm_days[row], days))
    return outcomes


def _weak_site(site: Stressed, rate: Floats, days: int) -> weakening.Site:
    first = runaway.first_onset_day(days)
    excess, strength = mechanics.excess_and_strength(
        site.law, site.driving_kpa[:, first:], site.normal_kpa[:, first:]
    )
    fails = site.traits.kind is Kind.FAILING
    seasonal = rate[:, first:].mean(axis=0)
    return weakening.Site(site.traits.seed, fails, site.law, excess, strength, seasonal)


def _impose(site: Stressed, rate: Floats, storm_day: int, days: int) -> Outcome:
    """Quiet motion, or an imposed event over it."""
    seed, kind = site.traits.seed, site.traits.kind
    if kind is Kind.QUIET:
        return Outcome(rate, -1, -1)
    if kind is Kind.STEP:
        rng = site_rng(seed, Purpose.RUNAWAY, 1)
        return Outcome(runaway.step(rate, rng, storm_day), storm_day, -1)
    ramp = runaway.draw_ramp(site_rng(seed, Purpose.RUNAWAY), days)
    if kind is Kind.FAILING:
        return Outcome(runaway.fail(rate, ramp), ramp.onset_day, ramp.failure_day)
    return Outcome(runaway.abort(rate, ramp, site.head_m), ramp.onset_day, -1)
