"""A few figures of every site, by which a pool that is no longer the frozen one is noticed.

Bytes may differ between processors, where sums are taken in another order; figures may not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import SlopewatchError
from core.twin.pools.plan import FROZEN, Frozen
from core.twin.prospects import Prospects
from core.twin.radar import Observed
from core.twin.truth import Truth

Floats = NDArray[np.float64]

TOLERANCE = 1e-6
"""Largest difference from a frozen figure, relative to it or in its unit, whichever is larger."""


class PoolChangedError(SlopewatchError):
    """A pool comes out otherwise than it was frozen."""


def truth_figures(truth: Truth) -> dict[str, Any]:
    """Figures of the truth: names to arrays, one row a site."""
    return {
        "kind": truth.kind,
        "onset_day": truth.onset_day,
        "failure_day": truth.failure_day,
        "last_displacement_mm": truth.displacement_mm[:, -1],
        "rain_mm": truth.rain_mm.sum(axis=1),
        "mean_level_m": truth.level_m.mean(axis=1),
    }


def seen_figures(seen: Observed) -> dict[str, Any]:
    """Figures of an observation: names to arrays, one row a site."""
    epochs = (seen.epoch_day >= 0).sum(axis=1)
    last = seen.los_mm[np.arange(len(epochs)), epochs - 1]
    return {
        "epochs": epochs,
        "last_arrival_day": seen.arrival_day.max(axis=1),
        "last_los_mm": last,
        "gauge_mm": seen.gauge_mm.sum(axis=1),
    }


def issued_figures(prospects: Prospects) -> dict[str, Any]:
    """Figures of what was issued: names to arrays, one row a site."""
    return {"rain_issued_mm": prospects.rain_issued_mm.sum(axis=(1, 2))}


def check_figures(
    frozen: Frozen, role: str, noise: str, truth: Truth, seen: Observed, prospects: Prospects
) -> None:
    """Compare the first sites of a pool with their frozen figures.

    Raises:
        PoolChangedError: a figure differs by more than `TOLERANCE`.
    """
    figures = frozen["roles"][role]["figures"]
    found = {
        "truth": truth_figures(truth),
        noise: seen_figures(seen),
        "issued": issued_figures(prospects),
    }
    for part, values in found.items():
        for name, value in values.items():
            expected = np.asarray(figures[part][name])[: len(value)]
            wrong = ~_agree(np.asarray(value), expected)
            if wrong.any():
                site = int(np.argmax(wrong.reshape(len(value), -1).any(axis=1)))
                raise PoolChangedError(
                    f"{name} of site {site} of the pool {role!r} ({part}) is {value[site]} here "
                    f"and {expected[site]} in {FROZEN}: the twin no longer gives the frozen pool, "
                    "so undo the change or freeze another pool under a new name"
                )


def _agree(value: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.bool_]:
    if value.dtype.kind == "f":
        return np.asarray(np.isclose(value, expected, rtol=TOLERANCE, atol=TOLERANCE))
    return np.asarray(value == expected)
