"""Emergent runaway: the slip zone weakens with slip, its viscosity with rate.

Beyond a slip U0 strength falls toward a residual share with slip over a length U_c, and the
viscosity falls with the unit's rate. Nothing is imposed after U0: the run fails when the unit's
mean rate passes 100 mm/d, or stops by itself as the water recedes (an aborted ramp).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.lags import smooth
from core.twin.forcing import YEAR_DAYS
from core.twin.mechanics import CreepLaw
from core.twin.runaway import first_onset_day
from core.twin.seeds import Purpose, site_rng
from core.twin.slope import NODES, OBSERVED_NODES, POINTS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FAILURE_RATE_MM_D = 100.0
CANDIDATES = 8
ROUNDS = 4
"""A site's parameters are redrawn at most CANDIDATES * ROUNDS times."""
_SHORTEST_RUN_DAYS = 20
_FASTEST_MM_D = 1e4


@dataclass(frozen=True)
class Site:
    """One site's seasonal mechanics from `first_onset_day` to the end of its record."""

    seed: int
    fails: bool
    """Whether a failure is wanted (else an aborted ramp)."""
    law: CreepLaw
    excess_kpa: Floats
    """Stress beyond strength, shape (24, D)."""
    strength_kpa: Floats
    """Strength before weakening, shape (24, D)."""
    seasonal_mm_d: Floats
    """Mean rate of the observed points without weakening, shape (D,)."""


@dataclass(frozen=True)
class Run:
    """What came of one site: onset and failure as days of the whole record, -1 for none."""

    onset_day: int
    failure_day: int
    rate_mm_d: Floats
    """Rates of the observed points from `first_onset_day` on, shape (6, D)."""


def run(sites: list[Site], days: int) -> list[Run]:
    """Run a batch; each site's first candidate of the wanted outcome is taken.

    A site none of whose candidates gives the wanted outcome keeps its last one: wanted failures
    then come back as aborted ramps (`failure_day` -1), and the other way round.
    """
    results: list[Run | None] = [None] * len(sites)
    waiting = list(range(len(sites)))
    for attempt in range(ROUNDS):
        if not waiting:
            break
        batch = [sites[index] for index in waiting]
        onset, rates = _integrate(batch, days, attempt)
        chosen = _choose(batch, onset, rates, days)
        still = []
        for row, index in enumerate(waiting):
            candidate, accepted = chosen[row]
            if not accepted and attempt < ROUNDS - 1:
                still.append(index)
                continue
            results[index] = _finish(onset[row, candidate], rates[:, row, candidate], days)
        waiting = still
    return [result for result in results if result is not None]


def _draw(sites: list[Site], days: int, attempt: int) -> tuple[Ints, Floats]:
    """Candidates' onset days (S, C) and parameters (3, S, C): loss, slip length, rate scale."""
    first = first_onset_day(days)
    onset = np.empty((len(sites), CANDIDATES), dtype=np.int64)
    parameters = np.empty((3, len(sites), CANDIDATES))
    for row, site in enumerate(sites):
        rng = site_rng(site.seed, Purpose.RUNAWAY, attempt + 1)
        onset[row] = rng.integers(first, days - 2 * _SHORTEST_RUN_DAYS, CANDIDATES)
        # Later redraws weaken more and sooner, so that few sites stay without the wanted outcome.
        low, high = (0.08, 0.3) if site.fails else (0.03, 0.15)
        growth = 1 + 0.7 * attempt
        parameters[0, row] = rng.uniform(low, high, CANDIDATES) * growth
        length = 10 ** rng.uniform(np.log10(200.0), np.log10(2000.0), CANDIDATES)
        parameters[1, row] = length / growth**2
        parameters[2, row] = rng.uniform(4.0, 20.0, CANDIDATES)
    return onset, parameters


def _integrate(sites: list[Site], days: int, attempt: int) -> tuple[Ints, Floats]:
    """Step every candidate day by day; onset days (S, C), point rates (D, S, C, 6)."""
    onset, (loss, slip_length, rate_scale) = _draw(sites, days, attempt)
    first = first_onset_day(days)
    excess = np.ascontiguousarray(np.stack([s.excess_kpa for s in sites]).transpose(2, 0, 1))
    strength = np.ascontiguousarray(np.stack([s.strength_kpa for s in sites]).transpose(2, 0, 1))
    prefactor = np.stack([site.law.prefactor for site in sites])[:, None, :]
    spread = np.stack([site.law.spread.T for site in sites])
    background = np.array([site.law.background_mm_d for site in sites])[:, None, None]
    exponent = np.array([site.law.exponent for site in sites])[:, None, None]
    squared, cubed = exponent >= 2, exponent >= 3
    slip = np.zeros((len(sites), CANDIDATES, NODES))
    mean_rate = np.zeros((len(sites), CANDIDATES))
    rates = np.empty((days - first, len(sites), CANDIDATES, POINTS))
    for day in range(days - first):
        active = day + first >= onset
        weakened = slip / (slip + slip_length[..., None]) * loss[..., None]
        beyond = np.maximum(excess[day][:, None] + weakened * strength[day][:, None], 0.0)
        creep = beyond * np.where(squared, beyond, 1.0) * np.where(cubed, beyond, 1.0) * prefactor
        creep *= np.where(active, 1 + mean_rate / rate_scale, 1.0)[..., None]
        rate = np.minimum(np.matmul(creep, spread) + background, _FASTEST_MM_D)
        slip += np.where(active[..., None], rate, 0.0)
        rates[day] = rate[..., OBSERVED_NODES]
        mean_rate = rates[day].sum(axis=-1) / POINTS
    return onset, rates


def _choose(sites: list[Site], onset: Ints, rates: Floats, days: int) -> list[tuple[int, bool]]:
    """Each site's first candidate with the wanted outcome, and whether there is one."""
    first = first_onset_day(days)
    fast = rates.mean(axis=-1) > FAILURE_RATE_MM_D
    failed = fast.any(axis=0)
    failure = np.where(failed, fast.argmax(axis=0) + first, -1)
    good_failure = (failure >= days - YEAR_DAYS) & (failure - onset >= _SHORTEST_RUN_DAYS)
    chosen = []
    for row, site in enumerate(sites):
        good = good_failure[row] if site.fails else ~failed[row] & _ramps(site, rates[:, row])
        fallback = good if good.any() else failed[row] == site.fails
        pick = int(fallback.argmax()) if fallback.any() else CANDIDATES - 1
        chosen.append((pick, bool(good.any())))
    return chosen


def _ramps(site: Site, rates: Floats) -> NDArray[np.bool_]:
    """Whether candidates (D, C, 6) moved faster than without weakening by the mean rate, (C,)."""
    extra = rates.mean(axis=-1).T - site.seasonal_mm_d
    return np.asarray(smooth(extra, 15).max(axis=-1) > site.seasonal_mm_d.mean())


def _finish(onset_day: int, rates: Floats, days: int) -> Run:
    """Cut a run (D, 6) at its failure: nothing moves from the failure day on."""
    first = first_onset_day(days)
    fast = rates.mean(axis=-1) > FAILURE_RATE_MM_D
    failure = int(fast.argmax()) + first if fast.any() else -1
    rate = np.ascontiguousarray(rates.T)
    if failure >= 0:
        rate[:, failure - first :] = 0.0
    return Run(int(onset_day), failure, rate)
