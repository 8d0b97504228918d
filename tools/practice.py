"""A slope to practise on: `python -m tools.practice FOLDER` writes its data as files.

The slope is simulated: the failing one of `slopewatch demo`, dated so that its record ends
yesterday and it would fail `UNTIL_FAILURE` later. The files have the forms in which real ones come:
`outline.geojson` (the slope unit), `displacement.csv` (a row a point, as the European Ground Motion
Service gives them), `rain.csv` and `level.csv` (a row a day).
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from core.clock import SystemClock
from services.demo.cast import STORY, cast_of
from services.demo.standin import StandInSite, from_twin

UNTIL_FAILURE = timedelta(days=20)
UNIT = {"id": "toe", "name": "Practice slope (simulated)"}


def practice_site(today: date) -> StandInSite:
    """The slope with its whole record, also what comes after `today`."""
    cast = cast_of(STORY)
    failure = cast.failure(0)
    if failure is None:
        raise ValueError("the first slope of the demo does not fail")
    first_day = today + UNTIL_FAILURE - (failure - STORY.first_day)
    return from_twin(cast.truth, cast.observed, 0, "practice", first_day, origin=(110.36, 31.02))


def write(folder: Path, today: date) -> list[Path]:
    """Write what could be known at the beginning of `today`; the files written."""
    site = practice_site(today)
    folder.mkdir(parents=True, exist_ok=True)
    known = [k for k, day in enumerate(site.arrival_dates) if day < today]
    days = [f"{site.epoch_dates[k]:%Y%m%d}" for k in known]
    names = ("pid", "latitude", "longitude", "los_east", "los_north", "los_up", *days)
    points = [
        (
            p.id,
            p.lat,
            p.lon,
            *(f"{x:.6f}" for x in p.los),
            *(_cell(site.los_mm[k, n]) for k in known),
        )
        for n, p in enumerate(site.points)
    ]
    past = range((today - site.first_day).days)
    dates = [site.first_day + timedelta(days=n) for n in past]
    outline = folder / "outline.geojson"
    outline.write_text(json.dumps(_outline(site), indent=1) + "\n", encoding="utf-8")
    return [
        outline,
        _table(folder / "displacement.csv", names, points),
        _table(folder / "rain.csv", ("day", "mm"), _daily(dates, site.rain_mm)),
        _table(folder / "level.csv", ("day", "m"), _daily(dates, site.level_m)),
    ]


def _outline(site: StandInSite) -> dict[str, Any]:
    slope = site.slope
    ring = [list(corner) for corner in slope.polygon]
    ring += [ring[0]] if ring[0] != ring[-1] else []
    angles = {"slope_deg": round(slope.slope_deg, 2), "aspect_deg": round(slope.aspect_deg, 2)}
    unit = {
        "type": "Feature",
        "properties": {**UNIT, **angles},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    return {"type": "FeatureCollection", "features": [unit]}


def _daily(days: Iterable[date], values: np.ndarray) -> list[tuple[object, ...]]:
    return [(day, _cell(value)) for day, value in zip(days, values, strict=False)]


def _cell(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else ""


def _table(path: Path, head: Iterable[str], rows: Iterable[tuple[object, ...]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([tuple(head), *rows])
    return path


def main() -> None:
    """Write the files into the folder named."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m tools.practice FOLDER")
    for path in write(Path(sys.argv[1]), SystemClock().now().date()):
        print(path)


if __name__ == "__main__":
    main()
