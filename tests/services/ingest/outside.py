"""A small outside world of simulated sites, and slopewatches that ask it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from core.clock import ReplayClock, midnight
from core.events import OBSERVATIONS
from core.settings import Endpoints, Service
from services.compose import Slopewatch
from services.demo.standin import StandIn, StandInPoint, StandInSite, StandInSlope, site_tree
from tests.pipeline import events_of

FIRST = date(2024, 1, 1)
WATCHED = date(2024, 2, 1)
DAYS = 100


def stand_in_site(number: int, west: float, **changes: Any) -> StandInSite:
    """A site of 0.03 degrees whose western edge lies at `west`; all have one path and frame."""
    rng = np.random.default_rng(number)
    passes = tuple(FIRST + timedelta(days=6 * k + number) for k in range(DAYS // 6))
    south = 31.0
    fields: dict[str, Any] = {
        "name": f"site-{number}",
        "area": (west, south, west + 0.03, south + 0.03),
        "path": 84,
        "frame": 98,
        "direction": "ASCENDING",
        "pass_time": time(10, 38, 12),
        "pass_days": passes,
        "station_rain": f"9900{number:02d}99999",
        "station_level": f"990000{number:02d}",
        "first_day": FIRST,
        "rain_mm": np.round(rng.gamma(1.0, 5.0, DAYS), 1),
        "level_m": 160.0 + np.arange(DAYS) / 10,
        "epoch_dates": passes,
        # Some of them late, and past one another.
        "arrival_dates": tuple(d + timedelta(days=int(rng.integers(1, 20))) for d in passes),
        "los_mm": np.cumsum(rng.normal(-0.2, 1.0, (len(passes), 2)), axis=0),
        "points": tuple(
            StandInPoint(f"P{n}", west + 0.015, south + 0.012 + 0.001 * n, (-0.61, -0.14, 0.78), 2)
            for n in (1, 2)
        ),
        "slope": StandInSlope(
            ((west + 0.01, 31.01), (west + 0.025, 31.01), (west + 0.025, 31.025)),
            15.0,
            8.0,
            (west + 0.001, 31.001, west + 0.003, 31.003),
        ),
    }
    return StandInSite(**{**fields, **changes})


PLACES = (stand_in_site(1, 110.0), stand_in_site(2, 110.02), stand_in_site(3, -70.0))
"""The first two overlap, the third is far away."""


def write_site(folder: Path, place: StandInSite, outside: StandIn, **changes: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tree = {**site_tree(place, outside.base_url, watched_from=WATCHED), **changes}
    (folder / f"{place.name}.yaml").write_text(yaml.safe_dump(tree))


def service_in(folder: Path, endpoints: Endpoints, **changes: Any) -> Service:
    """Settings under `folder`; the site files lie beside it and are shared."""
    given = {"data": folder, "sites": folder.parent / "sites", "endpoints": endpoints, **changes}
    return Service(**given).resolved()


@contextmanager
def asking(service: Service, now: datetime) -> Iterator[Slopewatch]:
    """A process that has just begun and knows what is in the stores alone."""
    with Slopewatch(service, roles=["ingest"], clock=ReplayClock(now)) as app:
        yield app


def taken_in(service: Service, sites: Sequence[str]) -> dict[str, dict[str, tuple[Any, ...]]]:
    """What a reader makes of the log: of each site its distinct inputs, as they came first."""
    found: dict[str, dict[str, tuple[Any, ...]]] = {name: {} for name in sites}
    with asking(service, midnight(WATCHED)) as app:
        for e in events_of(app.log, OBSERVATIONS):
            what = (e.valid_time, e.available_at, e.assumed, e.data)
            found[e.site].setdefault(e.id, what)
    return found


def appended(service: Service) -> int:
    """How many records the log was given."""
    with asking(service, midnight(WATCHED)) as app:
        return sum(app.log.end(OBSERVATIONS).values())
