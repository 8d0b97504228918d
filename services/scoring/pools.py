"""Which simulated sites alert thresholds are set on, and which ones they are tested on once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.twin import SEED_RANGES, Kind
from services.scoring.pool import Pool, Watching, joined, make_pools

OFFSET: Final = 200_000
"""Seeds kept for each kind of site within a purpose's range."""
HYDROLOGY_FAMILIES: Final = ("diffusion", "buckets")


@dataclass(frozen=True)
class Counts:
    """How many sites of each kind; half of `failing` are of each runaway family."""

    quiet: int
    aborted: int
    step: int
    failing: int


CALIBRATION: Final = Counts(quiet=3000, aborted=500, step=500, failing=1200)
TEST: Final = Counts(quiet=3000, aborted=500, step=500, failing=2200)
QUICK: Final = Counts(quiet=16, aborted=2, step=2, failing=6)


def calibration_pools(
    counts: Counts, waters: Sequence[Watching] = ("gauges",), progress: bool = False
) -> list[Pool]:
    """Sites of calibration seeds, all of the first hydrology family, as told of each water."""
    return _pools(counts, SEED_RANGES["calibration"], HYDROLOGY_FAMILIES[:1], waters, progress)


def held_out_pools(
    counts: Counts, waters: Sequence[Watching] = ("gauges",), progress: bool = False
) -> list[Pool]:
    """Sites of test seeds, of both hydrology families by turns: the second was never tuned on."""
    return _pools(counts, SEED_RANGES["test"], HYDROLOGY_FAMILIES, waters, progress)


def pool_of(counts: Counts, seeds: range, *, progress: bool = False) -> Pool:
    """Sites of both hydrology families from the parts of `seeds` that are kept for each kind."""
    (pool,) = _pools(counts, seeds, HYDROLOGY_FAMILIES, ("gauges",), progress)
    return pool


def _pools(
    counts: Counts,
    seeds: range,
    families: Sequence[str],
    waters: Sequence[Watching],
    progress: bool,
) -> list[Pool]:
    second = counts.failing // 2
    plan = (
        (
            None,
            (Kind.QUIET, counts.quiet),
            (Kind.ABORTED, counts.aborted),
            (Kind.STEP, counts.step),
        ),
        ("voight", (Kind.FAILING, counts.failing - second)),
        ("weakening", (Kind.FAILING, second)),
    )
    parts, block = [], 0
    for runaway, *kinds in plan:
        sites = []
        for kind, count in kinds:
            sites += [(seed, kind) for seed in seeds[block * OFFSET :][:count]]
            block += 1
        if sites:
            label = f"failing, {runaway}" if runaway else "not failing"
            parts.append(
                make_pools(
                    [seed for seed, _ in sites],
                    [kind for _, kind in sites],
                    waters,
                    runaway_family=runaway,
                    hydrology_family=[families[n % len(families)] for n in range(len(sites))],
                    progress=label if progress else None,
                )
            )
    return [joined(part) for part in zip(*parts, strict=True)]
