"""Grow the trees of the `boosting` model on the simulated training pool.

    python -m services.scoring.grow_boosting

writes `services/inference/weights/boosting.npz`. Training sites use development seeds; neither
development nor test sites are looked at.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

import services.inference
from core.artifacts import pack
from core.twin.pools import forecast_pool
from services.inference.known import FURTHEST_D, History
from services.inference.models import boosting
from services.scoring.forecasts.folds import folds
from services.scoring.forecasts.series import PoolHistory

NOISES = ("radar", "white-3", "white-5")
WEIGHTS = Path(services.inference.__file__).parent / "weights" / "boosting.npz"
_YEAR_D = 365


def histories(sites: int | None) -> Iterator[tuple[History, int, int]]:
    """Each fold's year of the training pool, as `boosting.train` takes them."""
    for noise in NOISES:
        history = PoolHistory(forecast_pool("training", noise, sites))
        for fold in folds():
            last = min(fold.origin + _YEAR_D + FURTHEST_D, history.days - FURTHEST_D - 1)
            yield history, fold.origin, last


def main() -> None:
    """Grow and write."""
    parser = ArgumentParser(description="Grow the trees of the boosting model.")
    parser.add_argument("--sites", type=int, help="first sites of the training pool; none: all")
    parser.add_argument("--every", type=int, default=12, help="days between issues")
    parser.add_argument("--to", type=Path, default=WEIGHTS, help="file to write")
    given = parser.parse_args()
    years = tqdm(histories(given.sites), total=len(NOISES) * len(folds()), desc="years")
    grown = boosting.train(years, every_d=given.every)
    given.to.parent.mkdir(parents=True, exist_ok=True)
    given.to.write_bytes(pack(grown))


if __name__ == "__main__":
    main()
