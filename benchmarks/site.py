"""One large site and its six years of events, as the feeds would bring them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from core.artifacts import Artifacts, pack
from core.clock import ReplayClock, end_of, midnight
from core.events import (
    OBSERVATIONS,
    AcquisitionFound,
    DayClosed,
    DisplacementMeasured,
    Event,
    EventData,
    LevelObserved,
    RainfallObserved,
    encode,
    identity,
    observation_id,
)
from core.settings import Service, Site, Topics
from services.compose import Slopewatch

Vector = np.ndarray[Any, np.dtype[np.float64]]

NAME = "bench"
FIRST_DAY = date(2019, 1, 1)
REPEAT_DAYS = 12
LATENCY_DAYS = 3
UNITS = 4
AREA = (110.0, 31.0, 110.1, 31.1)
ALL_RULES: Sequence[Mapping[str, Any]] = ()
"""Every rule, as a site file that names none has it."""


def site(units: int = UNITS, rules: Sequence[Mapping[str, Any]] = ALL_RULES) -> Site:
    """Slope units side by side, firm ground south of them, two gauges."""
    edges = [AREA[0] + (AREA[2] - AREA[0]) * i / units for i in range(units + 1)]
    return Site.model_validate(
        {
            "name": NAME,
            "area": AREA,
            "simulated": True,
            "history_from": FIRST_DAY,
            "watched_from": FIRST_DAY + timedelta(days=365),
            "repeat_days": REPEAT_DAYS,
            "reference": {"box": (110.0, 31.0, 110.1, 31.01)},
            "slope_units": [
                {
                    "id": f"unit-{i}",
                    "polygon": [(west, 31.02), (east, 31.02), (east, 31.1), (west, 31.1)],
                    "slope_deg": 22,
                    "aspect_deg": 60,
                }
                for i, (west, east) in enumerate(pairwise(edges))
            ],
            "rules": rules,
        }
    )


def service(folder: Path, log: str | None = None) -> Service:
    """Settings with the real stores: SQLite log (or `log`) and ledger, files for the rest."""
    topics = Topics(create=True)
    return Service(data=folder, sites=folder / "sites", log=log, topics=topics).resolved()


def open_site(
    folder: Path,
    roles: tuple[str, ...] = ("inference", "alerting"),
    *,
    log: str | None = None,
    configured: Site | None = None,
) -> Slopewatch:
    """The services on an empty folder, with the site configured and this release active."""
    clock = ReplayClock(midnight(FIRST_DAY))
    app = Slopewatch(service(folder, log), roles=roles, clock=clock)
    of = configured or site()
    app.configure(of)
    app.activate_release([of])
    return app


def append(app: Slopewatch, number: int, events: Iterable[Event]) -> None:
    """Put events on the log in the night after day `number`; returns when it has them."""
    set_night(app, number)
    producer = app.log.producer()
    for event in events:
        producer.send(OBSERVATIONS, event.site, encode(event))
    producer.close()


def set_night(app: Slopewatch, number: int) -> None:
    """Let it be the night after day `number`."""
    assert isinstance(app.clock, ReplayClock)
    app.clock.set(end_of(FIRST_DAY + timedelta(days=number)) + timedelta(hours=1))


def check_parked(app: Slopewatch) -> None:
    """Raise RuntimeError when a site stands still: what was measured is not the whole work."""
    parked = {name: p.reason for worker in app.workers for name, p in worker.parked.items()}
    if parked:
        raise RuntimeError(f"the work did not come to its end: {parked}")


class History:
    """The site's events, day by day; the same every time."""

    def __init__(self, points: int, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._rng = np.random.default_rng(20190101)
        lon = self.lon = self._rng.uniform(AREA[0], AREA[2], points)
        lat = self.lat = self._rng.uniform(AREA[1], AREA[3], points)
        los = {"los_east": -0.61, "los_north": -0.14, "los_up": 0.78}
        same = {name: np.full(points, value) for name, value in los.items()}
        self._points = artifacts.put(pack({"lon": lon, "lat": lat, **same}))
        self._rate_mm_d: Vector = np.where(lat > 31.01, -self._rng.uniform(0, 0.03, points), 0.0)

    def day(self, number: int) -> Iterator[Event]:
        """What becomes known in the night after day `number`, which it closes."""
        day = FIRST_DAY + timedelta(days=number)
        now = end_of(day) + timedelta(hours=1)
        if number % REPEAT_DAYS == 0:
            yield observed(f"pass/{day}", _pass(day), now)
        epoch = number - LATENCY_DAYS
        if epoch >= 0 and epoch % REPEAT_DAYS == 0:
            yield observed(f"epoch/{epoch}", self.epoch(epoch), now)
        rain = float(round(max(0.0, self._rng.normal(-4, 8)), 1))
        level = 160 + 12 * float(np.cos(2 * np.pi * number / 365.25))
        yield observed(
            f"rain/{day}",
            RainfallObserved(feed="gsod", station="99000099999", day=day, rain_mm=rain),
            now,
        )
        yield observed(
            f"level/{day}",
            LevelObserved(feed="usgs", station="99000000", day=day, level_m=round(level, 2)),
            now,
        )
        yield Event(
            id=identity("day-closed", NAME, day),
            site=NAME,
            source="benchmark",
            valid_time=end_of(day),
            available_at=now,
            processed_at=now,
            data=DayClosed(day=day),
        )

    def motion_mm(self, number: int) -> Vector:
        """(points,) true displacement in mm on day `number`: steady creep."""
        return self._rate_mm_d * number

    def epoch(self, number: int) -> DisplacementMeasured:
        """The epoch of day `number`: creep, noise, a shared atmosphere, some points missing."""
        points = self.lon.size
        noise = self._rng.normal(0, 2, points) + self._rng.normal(0, 1)
        moved = self.motion_mm(number) + noise
        moved[self._rng.random(points) < 0.05] = np.nan
        values = {"los_displacement_mm": moved, "sigma_mm": np.full(points, 2.0)}
        return DisplacementMeasured(
            feed="table",
            track="a",
            epoch=FIRST_DAY + timedelta(days=number),
            reference_epoch=FIRST_DAY,
            values=self._artifacts.put(pack(values)),
            points=self._points,
            measured=int(np.isfinite(moved).sum()),
        )


def observed(key: str, data: EventData, now: datetime) -> Event:
    """An observation that became known at `now`."""
    return Event(
        id=observation_id(NAME, key, data),
        site=NAME,
        source="benchmark",
        valid_time=now,
        available_at=now,
        processed_at=now,
        data=data,
    )


def _pass(day: date) -> AcquisitionFound:
    stop = datetime(day.year, day.month, day.day, 10, 38, 40, tzinfo=UTC)
    return AcquisitionFound(
        feed="asf",
        scene=f"S1A_IW_SLC__1SDV_{day:%Y%m%d}T103812_{day:%Y%m%d}T103840_000001_000001_0001",
        platform="SENTINEL-1A",
        path=84,
        frame=98,
        burst=None,
        direction="ASCENDING",
        polarization="VV",
        product="SLC",
        stop_time=stop,
        url=None,
        bytes=None,
    )
