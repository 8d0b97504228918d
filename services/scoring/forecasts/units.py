"""A pool as slope units: one series a site, the mean of its six points.

What the service publishes of a site is its units. Their noise is smaller than a point's, but not by
the number of points: the delay is shared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.twin.radar import Observed
from core.twin.truth import Truth
from services.scoring.forecasts.series import Ahead31, SimulatedSites


@dataclass(frozen=True)
class UnitSites:
    """See `services.scoring.forecasts.series.SimulatedSites`."""

    noise: str
    truth: Truth
    seen: Observed
    prospects: Ahead31


def as_units(pool: SimulatedSites) -> UnitSites:
    """The same sites with one series each.

    Displacement is the mean along the line of sight; the stated sd that of a mean of independent
    points. Place on the slope is its middle.
    """
    truth, seen = pool.truth, pool.seen
    factor = truth.los_factor.mean(axis=1, keepdims=True)
    along = (truth.displacement_mm * truth.los_factor[:, None]).mean(axis=2, keepdims=True)
    points = truth.los_factor.shape[1]
    variance = (seen.sigma_mm**2).mean(axis=2, keepdims=True) / points
    return UnitSites(
        noise=pool.noise,
        truth=replace(
            truth,
            displacement_mm=along / factor[:, None],
            los_factor=factor,
            distance_m=truth.distance_m.mean(axis=1, keepdims=True),
            height_m=truth.height_m.mean(axis=1, keepdims=True),
        ),
        seen=replace(
            seen,
            los_mm=seen.los_mm.mean(axis=2, keepdims=True),
            sigma_mm=np.sqrt(variance),
        ),
        prospects=pool.prospects,
    )
