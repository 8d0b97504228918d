"""Where intervals and the gate begin: at what a pool of many sites taught, in one small file.

A site has some thirty epochs a year, too few to know its own season of fast motion. A pool's
groups are large enough, and a site begins with theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from core.artifacts import numbers, pack, unpack
from core.errors import SettingsError
from services.inference.known import History
from services.inference.model import Model
from services.inference.trust import conformal, gate
from services.inference.trust.groups import rate_edges_mm_d
from services.inference.trust.inner import FOLD_D, Scores, forecast_fold

SHIPPED: Final = Path(__file__).parent / "priors-1.npz"
_REPUTATION: Final = "reputation/"


class Priors(NamedTuple):
    """What a pool taught: intervals to begin with, and the models' reputations (see `gate`)."""

    bands: conformal.State
    reputation: Mapping[str, float]


def from_scores(scores: Scores) -> Priors:
    """What the forecasts of one year at many sites teach; series of one `place` are one site.

    Edges between the classes of predicted rate are those of the median model, so that one set of
    groups holds for all.
    """
    edges = np.median([rate_edges_mm_d(one) for one in scores.rate_mm_d], axis=0)
    bands = conformal.begin(conformal.priors_of(scores, edges), edges)
    return Priors(bands, gate.reputation_of(scores))


def of_pool(
    history: History, models: Mapping[str, Model], origin: int, progress: bool = False
) -> Priors:
    """The same of `models` fitted at `origin` and judged by the year after it."""
    fitted = {name: model.fit(history, origin) for name, model in models.items()}
    return from_scores(forecast_fold(history, models, fitted, origin, origin + FOLD_D, progress))


def write(taught: Priors, path: Path = SHIPPED) -> None:
    """Keep what a pool taught; the same gives the same bytes."""
    named = {f"{_REPUTATION}{name}": np.array(one) for name, one in taught.reputation.items()}
    path.write_bytes(pack({**conformal.arrays(taught.bands), **named}))


def shipped(path: Path = SHIPPED) -> Priors:
    """What ships with the service.

    Raises `SettingsError` where the file is missing; what `conformal.from_arrays` raises.
    """
    if not path.is_file():
        raise SettingsError(f"{path.name} is missing in this installation: install slopewatch anew")
    named = unpack(path.read_bytes())
    bands = {name: array for name, array in named.items() if not name.startswith(_REPUTATION)}
    return Priors(
        conformal.from_arrays(bands),
        {
            name.removeprefix(_REPUTATION): float(numbers(named, name))
            for name in named.keys() - bands.keys()
        },
    )
