"""Draws the plan of the pools and freezes it with its figures, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import SlopewatchError
from core.twin.pools import NOISE_MODES, observe_plan, simulate_plan
from core.twin.pools.figures import issued_figures, seen_figures, truth_figures
from core.twin.pools.plan import FROZEN, Plan
from core.twin.prospects import prospects
from core.twin.seeds import SEED_RANGES
from core.twin.simulation import simulate
from core.twin.truth import Kind, fingerprint

YEARS, REPEAT_DAYS, FLANK_PIXELS = 7, 12, 12

_QUIET_ROLES = {
    "training": ("development", 500_000, 192, ("diffusion",)),
    "development": ("development", 600_000, 64, ("diffusion",)),
    "test": ("test", 500_000, 64, ("diffusion", "buckets")),
}
"""Seed range, first seed within it, number of sites, families of hydrology."""
_EVENT_SEEDS = ("test", 600_000)
_EVENTS: tuple[tuple[Kind, str | None], ...] = (
    (Kind.FAILING, "voight"),
    (Kind.FAILING, "weakening"),
    (Kind.ABORTED, None),
    (Kind.STEP, None),
)
_EVENTS_OF_EACH = 6


def freeze(path: Path) -> None:
    """Draw, simulate and write the pools to a new file.

    Raises:
        SlopewatchError: the file is there already.
    """
    if path.exists():
        raise SlopewatchError(f"{path} is frozen: give new pools a new name, in plan.FROZEN")
    plans = {role: _quiet_plan(role) for role in _QUIET_ROLES} | {"events": _event_plan()}
    content = {
        "pool": path.stem,
        "years": YEARS,
        "repeat_days": REPEAT_DAYS,
        "flank_pixels": FLANK_PIXELS,
        "versions": {name: version(name) for name in ("slopewatch", "numpy", "scipy")},
        "roles": {role: _frozen_role(plan) for role, plan in plans.items()},
    }
    with path.open("x", encoding="utf-8") as file:
        file.write(_laid_out(content) + "\n")


def _quiet_plan(role: str) -> Plan:
    """Quiet sites, both drainages in turn, every pair of sites of the next family."""
    seed_range, offset, sites, families = _QUIET_ROLES[role]
    return _plan(
        list(SEED_RANGES[seed_range][offset : offset + sites]),
        [(Kind.QUIET, None)] * sites,
        [families[site // 2 % len(families)] for site in range(sites)],
        [("drawdown", "buoyancy")[site % 2] for site in range(sites)],
    )


def _event_plan() -> Plan:
    """Six sites of each event in turn: the first seeds whose slope did what was asked of it."""
    seed_range, offset = _EVENT_SEEDS
    seeds = iter(SEED_RANGES[seed_range][offset:])
    by_event = [list(islice(_that_come_about(seeds, *event), _EVENTS_OF_EACH)) for event in _EVENTS]
    rows = [row for group in zip(*by_event, strict=True) for row in group]
    return _plan(*(list(column) for column in zip(*rows, strict=True)))


def _that_come_about(
    seeds: Iterator[int], kind: Kind, runaway: str | None
) -> Iterator[tuple[int, tuple[Kind, str | None], str, str]]:
    """Seed, event, hydrology and drainage of sites that end as `kind`."""
    for number in count():
        seed, hydrology = next(seeds), ("diffusion", "buckets")[number // 2 % 2]
        drainage = ("drawdown", "buoyancy")[number % 2]
        family = runaway
        if kind is Kind.ABORTED:
            family = ("voight", "weakening")[(number + number // 2) % 2]
        truth = simulate(
            [seed],
            kind,
            years=YEARS,
            runaway_family=family,
            hydrology_family=hydrology,
            drainage=drainage,
        )
        if truth.kind[0] == kind:
            yield seed, (kind, family), hydrology, drainage


def _plan(
    seeds: list[int],
    events: list[tuple[Kind, str | None]],
    hydrology: list[str],
    drainage: list[str],
) -> Plan:
    return Plan(
        years=YEARS,
        repeat_days=REPEAT_DAYS,
        flank_pixels=FLANK_PIXELS,
        seeds=tuple(seeds),
        kind=tuple(str(kind) for kind, _ in events),
        runaway_family=tuple(family for _, family in events),
        hydrology_family=tuple(hydrology),
        drainage=tuple(drainage),
    )


def _frozen_role(plan: Plan) -> dict[str, Any]:
    """What is written of one pool."""
    truth, seen = simulate_plan(plan, "radar")
    by_noise = {noise: observe_plan(plan, truth, noise) for noise in NOISE_MODES}
    issued = prospects(truth, seen)
    figures = {"truth": truth_figures(truth), "issued": issued_figures(issued)}
    figures |= {noise: seen_figures(view) for noise, view in by_noise.items()}
    columns = ("seeds", "kind", "runaway_family", "hydrology_family", "drainage")
    records = {"truth": truth, "issued": issued, **by_noise}
    return {
        "plan": {name: getattr(plan, name) for name in columns},
        "figures": {part: _plain(values) for part, values in figures.items()},
        "fingerprints": {name: fingerprint(record) for name, record in records.items()},
    }


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        name: np.round(values, 7).tolist() if values.dtype.kind == "f" else values.tolist()
        for name, values in figures.items()
    }


def _laid_out(content: dict[str, Any], depth: int = 0) -> str:
    """JSON with a line for each list, however deep it stands."""
    indent = "  " * (depth + 1)
    lines = [
        f"{indent}{json.dumps(name)}: "
        + (_laid_out(value, depth + 1) if isinstance(value, dict) else json.dumps(value))
        for name, value in content.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n" + "  " * depth + "}"


def frozen_path() -> Path:
    """Where the pools in force are, or will be, frozen."""
    return Path(__file__).with_name(FROZEN)
