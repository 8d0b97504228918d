"""Random numbers of the twin: one independent stream for each seed and purpose.

A site's draws depend on its own seed alone, so a site simulated by itself and inside a batch of
thousands gives the same bytes (counter-based Philox streams, Salmon et al. 2011).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

import numpy as np

SEED_RANGES: Mapping[str, range] = MappingProxyType(
    {
        "development": range(0, 1_000_000),
        "calibration": range(1_000_000, 2_000_000),
        "test": range(2_000_000, 3_000_000),
        "demo": range(3_000_000, 3_100_000),
    }
)
"""Seeds by purpose, disjoint by range: models are fitted and chosen on `development`, alert
thresholds set on `calibration`, figures reported once on `test`, shown sites taken from `demo`."""


class Purpose(IntEnum):
    """What a stream is drawn for. The numbers are part of every pool: never renumber them."""

    TRAITS = 0
    RAIN = 1
    LEVEL = 2
    GROUND = 3
    SLOPE = 4
    CREEP = 5
    RUNAWAY = 6
    GAUGE = 7
    ACQUISITIONS = 8
    NOISE = 9
    PROSPECTS = 10
    FUTURES = 11


def site_rng(seed: int, purpose: Purpose, attempt: int = 0) -> np.random.Generator:
    """Return the generator of one site for one purpose.

    Args:
        seed: the site's seed, >= 0.
        purpose: what is drawn.
        attempt: number of the redraw, where a draw may be rejected.

    Raises:
        ValueError: the seed is negative.
    """
    sequence = np.random.SeedSequence(entropy=int(seed), spawn_key=(int(purpose), attempt))
    return np.random.Generator(np.random.Philox(sequence))
