"""Simulate the daily truth of a batch of reservoir landslides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.twin import forcing, hydrology, runaway
from core.twin.forcing import YEAR_DAYS
from core.twin.motion import Drivers, Outcome, Traits, move, stress_sites
from core.twin.seeds import Purpose, site_rng
from core.twin.slope import OBSERVED_NODES, draw_slope
from core.twin.truth import Kind, Truth

Floats = NDArray[np.float64]

SPIN_UP_YEARS = 3
_BATCH = 256


class _Names(NamedTuple):
    runaway_family: str | None
    hydrology_family: str | None
    drainage: str | None


Choice = str | Sequence[str | None] | None
"""A name for all sites, or one a site; None leaves it to the site's seed."""


def _draw_traits(seed: int, kind: Kind, names: _Names) -> Traits:
    rng = site_rng(seed, Purpose.TRAITS)
    drawn_hydrology = hydrology.HYDROLOGY_FAMILIES[int(rng.integers(2))]
    drawn_drainage = hydrology.DRAINAGES[int(rng.integers(2))]
    drawn_runaway = runaway.RUNAWAY_FAMILIES[int(rng.integers(2))]
    runs_away = kind in (Kind.FAILING, Kind.ABORTED)
    return Traits(
        seed=seed,
        kind=kind,
        hydrology_family=names.hydrology_family or drawn_hydrology,
        runaway_family=(names.runaway_family or drawn_runaway) if runs_away else "none",
        drainage=names.drainage or drawn_drainage,
    )


def simulate(
    seeds: Iterable[int],
    kind: Kind | Sequence[Kind],
    *,
    years: int = 4,
    runaway_family: Choice = None,
    hydrology_family: Choice = None,
    drainage: Choice = None,
    hold: frozenset[str] = frozenset(),
) -> Truth:
    """Simulate sites; each depends on its own seed and on the arguments, not on the batch.

    Args:
        seeds: site seeds, >= 0; see `SEED_RANGES`.
        kind: what the sites do, one for all or one a site.
        years: length of the record; three more are simulated before it and dropped.
        runaway_family: 'voight' or 'weakening' for failing and aborted sites; None draws it.
        hydrology_family: 'diffusion' or 'buckets'; None draws it.
        drainage: 'drawdown' or 'buoyancy'; None draws it. Each of the three is one for all sites
            or one a site.
        hold: drivers ('rain', 'level') of quiet sites held at their day-of-year mean, the slope's
            calibration unchanged: the counterfactual from which a driver's true share is taken.

    Returns:
        The truth. A failing site of the weakening family whose bounded redraws all stop by
        themselves comes back as `Kind.ABORTED`, and an aborted one that cannot be stopped as
        `Kind.FAILING`.

    Raises:
        ValueError: an unknown name, no sites, a driver held on sites that are not quiet, or a
            record too short (an event needs two years).
    """
    numbers = [int(seed) for seed in seeds]
    kinds = [Kind(kind)] * len(numbers) if isinstance(kind, str) else [Kind(k) for k in kind]
    families = (runaway_family, hydrology_family, drainage)
    names = [_Names(*row) for row in zip(*(_each(f, len(numbers)) for f in families), strict=True)]
    _check(numbers, kinds, years, hold, names)
    traits = [_draw_traits(*row) for row in zip(numbers, kinds, names, strict=True)]
    parts = [
        _simulate_batch(traits[start : start + _BATCH], years * YEAR_DAYS, hold)
        for start in range(0, len(traits), _BATCH)
    ]
    if len(parts) == 1:
        return parts[0]
    arrays = [field.name for field in fields(Truth)]
    return Truth(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in arrays})


def _each(choice: Choice, count: int) -> Sequence[str | None]:
    """One choice a site."""
    if choice is None or isinstance(choice, str):
        return [choice] * count
    if len(choice) != count:
        raise ValueError(f"{count} seeds and {len(choice)} names: give one name a seed")
    return choice


def _check(
    seeds: list[int], kinds: list[Kind], years: int, hold: frozenset[str], names: list[_Names]
) -> None:
    if not seeds or len(seeds) != len(kinds):
        raise ValueError(f"{len(seeds)} seeds and {len(kinds)} kinds: give one kind a seed")
    if years < 1 or (years < 2 and set(kinds) != {Kind.QUIET}):
        raise ValueError(f"{years} years are too short: 1 for quiet sites, 2 with an event")
    if hold and set(kinds) != {Kind.QUIET}:
        raise ValueError("drivers can be held on quiet sites only")
    choices_of = (
        runaway.RUNAWAY_FAMILIES[:2],
        hydrology.HYDROLOGY_FAMILIES,
        hydrology.DRAINAGES,
    )
    asked = [pair for row in set(names) for pair in zip(row, choices_of, strict=True)]
    for name, choices in [*asked, *((driver, ("rain", "level")) for driver in hold)]:
        if name is not None and name not in choices:
            raise ValueError(f"{name!r} is not one of {', '.join(choices)}")


def _simulate_batch(traits: list[Traits], days: int, hold: frozenset[str]) -> Truth:
    total = days + SPIN_UP_YEARS * YEAR_DAYS
    rain, storm_days = _draw_rain(traits, total)
    targets = [forcing.draw_level_target(site_rng(t.seed, Purpose.LEVEL), total) for t in traits]
    level = forcing.steer_level(np.stack(targets))
    slopes = [draw_slope(site_rng(t.seed, Purpose.SLOPE)) for t in traits]
    drivers = Drivers(rain, level)
    held = Drivers(
        forcing.seasonal_mean(rain) if "rain" in hold else rain,
        forcing.seasonal_mean(level) if "level" in hold else level,
    )
    stressed = stress_sites(traits, slopes, drivers, held if hold else None, days=days)
    outcomes = move(stressed, storm_days, days)
    displacement = np.stack([np.cumsum(outcome.rate, axis=1).T for outcome in outcomes])
    displacement -= displacement[:, :1].copy()
    return Truth(
        seeds=np.array([t.seed for t in traits], dtype=np.int64),
        kind=_names(_kind_after(t, o) for t, o in zip(traits, outcomes, strict=True)),
        hydrology_family=_names(t.hydrology_family for t in traits),
        runaway_family=_names(t.runaway_family for t in traits),
        drainage=_names(t.drainage for t in traits),
        rain_mm=held.rain_mm[:, -days:].copy(),
        level_m=held.level_m[:, -days:].copy(),
        displacement_mm=displacement,
        los_factor=np.stack([slope.los_factor for slope in slopes]),
        distance_m=np.stack([slope.distance_m[OBSERVED_NODES] for slope in slopes]),
        height_m=np.stack([slope.height_m[OBSERVED_NODES] for slope in slopes]),
        onset_day=np.array([outcome.onset_day for outcome in outcomes], dtype=np.int64),
        failure_day=np.array([outcome.failure_day for outcome in outcomes], dtype=np.int64),
    )


def _names(values: Iterable[str]) -> NDArray[np.str_]:
    # One width for all, so that a site's bytes do not depend on its neighbours.
    return np.array([str(value) for value in values], dtype="<U9")


def _kind_after(traits: Traits, outcome: Outcome) -> Kind:
    if traits.kind not in (Kind.FAILING, Kind.ABORTED):
        return traits.kind
    return Kind.FAILING if outcome.failure_day >= 0 else Kind.ABORTED


def _draw_rain(traits: list[Traits], total: int) -> tuple[Floats, list[int]]:
    """Rain (S, total) and each site's storm day in the kept record, or -1."""
    rows, storm_days = [], []
    for site in traits:
        rain = forcing.draw_rain(site_rng(site.seed, Purpose.RAIN), total)
        storm_day = -1
        if site.kind is Kind.STEP:
            rng = site_rng(site.seed, Purpose.RUNAWAY)
            start = runaway.draw_storm_day(rng, total)
            rain = forcing.add_storm(rain, rng, start)
            storm_day = start - SPIN_UP_YEARS * YEAR_DAYS
        rows.append(rain)
        storm_days.append(storm_day)
    return np.stack(rows), storm_days
