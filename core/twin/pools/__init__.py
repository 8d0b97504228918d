"""Frozen pools of simulated sites on which forecasts are learned, chosen and scored.

`training` and `development` sites use development seeds and the diffusion family of hydrology;
`test` sites use test seeds and both families; `events` are test seeds that fail, nearly fail or
jump in a storm. Which sites a pool has, and figures of them by which a changed twin is noticed,
stand in `forecast-1.json`, written once by `python -m core.twin.pools`.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from core.twin.pools.figures import check_figures
from core.twin.pools.plan import Plan, load_frozen, role_plan
from core.twin.prospects import Prospects, prospects
from core.twin.radar import Noise, Observed, observe
from core.twin.simulation import simulate
from core.twin.truth import Kind, Truth


class NoiseMode(NamedTuple):
    """How a pool is observed: the arguments of `observe`."""

    noise: Noise
    sigma_mm: float


NOISE_MODES = MappingProxyType(
    {
        "white-3": NoiseMode("white", 3.0),
        "white-5": NoiseMode("white", 5.0),
        "radar": NoiseMode("radar", 3.0),
    }
)
"""The modes that forecasts are scored under; `radar` does not use its sigma."""


@dataclass(frozen=True)
class SimulatedPool:
    """S simulated sites over T days: what happened, what was seen, what had been issued."""

    role: str
    noise: str
    truth: Truth
    seen: Observed
    prospects: Prospects


def forecast_pool(
    role: str, noise: str = "radar", sites: int | None = None, *, check: bool = True
) -> SimulatedPool:
    """Simulate a frozen pool.

    Args:
        role: 'training', 'development', 'test' or 'events'.
        noise: one of `NOISE_MODES`.
        sites: how many of its sites, from the first; all without it. Kinds of site alternate, so
            that the first few are a fair sample of quiet ones.
        check: compare with the frozen figures.

    Raises:
        ValueError: an unknown role or noise, or a number of sites that the pool does not have.
        PoolChangedError: what is simulated here is not what was frozen.
    """
    frozen = load_frozen()
    plan = role_plan(frozen, role).first(sites)
    truth, seen = simulate_plan(plan, noise)
    issued = prospects(truth, seen)
    if check:
        check_figures(frozen, role, noise, truth, seen, issued)
    return SimulatedPool(role, noise, truth, seen, issued)


def simulate_plan(plan: Plan, noise: str) -> tuple[Truth, Observed]:
    """Simulate and observe the sites of a plan, frozen or not."""
    truth = simulate(
        plan.seeds,
        [Kind(kind) for kind in plan.kind],
        years=plan.years,
        runaway_family=plan.runaway_family,
        hydrology_family=plan.hydrology_family,
        drainage=plan.drainage,
    )
    return truth, observe_plan(plan, truth, noise)


def observe_plan(plan: Plan, truth: Truth, noise: str) -> Observed:
    """Observe the truth of a plan under a noise mode."""
    if noise not in NOISE_MODES:
        raise ValueError(f"{noise!r} is not one of {', '.join(NOISE_MODES)}")
    mode = NOISE_MODES[noise]
    return observe(
        truth,
        noise=mode.noise,
        sigma_mm=mode.sigma_mm,
        repeat_days=plan.repeat_days,
        flank_pixels=plan.flank_pixels,
    )
