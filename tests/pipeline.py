"""Synthetic sites and the ways in which tests send them through the services.

Everything is a function of its arguments and a seed; nothing here is a real place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings

from core.artifacts import Artifacts, MemoryArtifacts, pack
from core.clock import ReplayClock, end_of, midnight
from core.eventlog import EventLog, Record, TopicSpec, open_log, partition_of
from core.events import (
    ALERTS,
    ASSESSMENTS,
    DEAD_LETTERS,
    OBSERVATIONS,
    AcquisitionFound,
    ArtifactRef,
    DayClosed,
    DeadLettered,
    DisplacementMeasured,
    Event,
    EventData,
    InterferogramReady,
    LevelObserved,
    RainfallObserved,
    SiteConfigured,
    decode,
    encode,
    observation_id,
)
from core.geometry import SENTINEL1_WAVELENGTH_MM
from core.ledger import open_ledger
from core.settings import Site, Thinning, parse_site, site_bytes
from core.statestore import equal, open_states
from core.telemetry import Telemetry
from core.worker import Worker
from services.alerting.service import AlertingStage
from services.inference.service import InferenceStage
from services.inference.store import POSITION_ATTRS

START = date(2022, 1, 1)
LATER = datetime(2030, 1, 1, tzinfo=UTC)
"""A clock that stands here is later than everything a test says."""

PARTITIONS = 4
TOPICS = tuple(TopicSpec(t, PARTITIONS) for t in (OBSERVATIONS, ASSESSMENTS, ALERTS, DEAD_LETTERS))
POINTS = 8
AREA = (110.0, 31.0, 110.1, 31.1)
FIRM_GROUND = (110.0, 31.0, 110.011, 31.011)
VELOCITY_RULE = {
    "kind": "velocity",
    "component": "los",
    "direction": "away",
    "thresholds_mm_per_year": {"yellow": 60, "orange": 150, "red": 300},
    "hits": 1,
    "of": 1,
}

few = settings(derandomize=True, deadline=None, max_examples=6, database=None)
"""Few but large examples, the same in every run."""


def day(number: int) -> date:
    """Day `number` of a story."""
    return START + timedelta(days=number)


def box(west: float, south: float, east: float, north: float) -> list[tuple[float, float]]:
    return [(west, south), (east, south), (east, north), (west, north)]


def make_site(name: str, **changes: Any) -> Site:
    """A site with two slope units and firm ground; one rule that looks at velocity alone."""
    tree = {
        "name": name,
        "area": AREA,
        "reference": {"box": FIRM_GROUND},
        "slope_units": [
            {"id": "toe", "polygon": box(110.02, 31.0, 110.06, 31.1), "flank_pixels": None},
            {"id": "head", "polygon": box(110.06, 31.0, 110.1, 31.1), "flank_pixels": None},
        ],
        "rules": [VELOCITY_RULE],
        "recipients": [{"id": "ops", "notifier": {"kind": "table"}}],
        "watched_from": START.isoformat(),
        "simulated": True,
        **changes,
    }
    return parse_site(tree)


class Scene:
    """What is said of one site: events with the artifacts that they name."""

    def __init__(self, site: Site, artifacts: Artifacts, seed: int = 0) -> None:
        self.site = site
        self.artifacts = artifacts
        self.random = np.random.default_rng(seed)
        self.points = artifacts.put(pack(self._points()))

    def _points(self) -> dict[str, np.ndarray]:
        """Two points on firm ground, the others spread over both units."""
        return {
            "lon": np.concatenate([[110.002, 110.01], np.linspace(110.025, 110.095, POINTS - 2)]),
            "lat": np.concatenate([[31.005, 31.005], np.full(POINTS - 2, 31.05)]),
            "los_east": np.full(POINTS, -0.61),
            "los_north": np.full(POINTS, -0.14),
            "los_up": np.full(POINTS, 0.78),
        }

    def event(
        self, data: EventData, valid: datetime, available: datetime, key: str = "", **extra: Any
    ) -> Event:
        natural = key or f"{data.NAME}/{valid.isoformat()}"
        made: dict[str, Any] = {
            "id": observation_id(self.site.name, natural, data),
            "site": self.site.name,
            "source": "test",
            "valid_time": valid,
            "available_at": available,
            "processed_at": available,
            "data": data,
        }
        return Event(**{**made, **extra})

    def configured(self, available: datetime | None = None, site: Site | None = None) -> Event:
        when = available or midnight(START)
        site = site or self.site
        settings = self.artifacts.put(site_bytes(site))
        data = SiteConfigured(settings=settings, watched_from=site.watched_from)
        return self.event(data, when, when, f"settings/{when.isoformat()}")

    def closed(self, number: int, available: datetime | None = None, **facts: Any) -> Event:
        """Day `number` is over."""
        when = available or end_of(day(number))
        data = DayClosed(day=day(number), **facts)
        return self.event(data, end_of(day(number)), when, f"closed/{number}")

    def rain(self, number: int, mm: float | None, available: datetime | None = None) -> Event:
        data = RainfallObserved(feed="gauge", station="g1", day=day(number), rain_mm=mm)
        return self._daily(data, number, available)

    def level(self, number: int, metres: float, available: datetime | None = None) -> Event:
        data = LevelObserved(feed="gauge", station="l1", day=day(number), level_m=metres)
        return self._daily(data, number, available)

    def _daily(self, data: EventData, number: int, available: datetime | None) -> Event:
        return self.event(data, midnight(day(number)), available or end_of(day(number)))

    def found(self, number: int) -> Event:
        """A pass of day `number`, found in a catalogue."""
        data = AcquisitionFound(
            feed="asf",
            scene=f"S1-{number}",
            platform="S1A",
            path=44,
            frame=1,
            burst=None,
            direction="ASCENDING",
            polarization="VV",
            product="SLC",
            stop_time=midnight(day(number)) + timedelta(hours=10),
            url=None,
            bytes=None,
        )
        return self.event(data, data.stop_time, data.stop_time + timedelta(hours=3))

    def values(self, moved_mm: np.ndarray | float, noise_mm: float = 1.0) -> ArtifactRef:
        """Displacement of the points (LOS, mm); those on firm ground stand still."""
        slope = np.where(np.arange(POINTS) < 2, 0.0, moved_mm)
        noise = self.random.normal(0.0, noise_mm, POINTS)
        arrays = {"los_displacement_mm": slope + noise, "sigma_mm": np.full(POINTS, noise_mm)}
        return self.artifacts.put(pack(arrays))

    def epoch(
        self,
        number: int,
        moved_mm: np.ndarray | float = 0.0,
        *,
        track: str = "A44",
        available: datetime | None = None,
        values: ArtifactRef | None = None,
        **changes: Any,
    ) -> Event:
        data = DisplacementMeasured(
            feed="table",
            track=track,
            epoch=day(number),
            reference_epoch=START,
            values=values or self.values(moved_mm),
            points=changes.get("points", self.points),
            measured=POINTS,
        )
        when = midnight(day(number))
        return self.event(data, when, available or when + timedelta(hours=20), f"{track}/{number}")

    def pair(
        self, first: int, second: int, phase: np.ndarray, *, available: datetime | None = None
    ) -> Event:
        """An interferogram with `phase` (POINTS,) in radians; away from the sensor is positive."""
        layers = self.artifacts.put(
            pack({"phase_rad": phase, "coherence": np.full(phase.shape, 0.8)})
        )
        data = InterferogramReady(
            feed="interferograms",
            track="pairs",
            reference=day(first),
            secondary=day(second),
            layers=layers,
            points=self.points,
            wavelength_mm=SENTINEL1_WAVELENGTH_MM,
            looks=20.0,
            pixels=phase.size,
        )
        when = midnight(day(second))
        natural = f"pair/{first}/{second}"
        return self.event(data, when, available or when + timedelta(hours=20), natural)

    def story(self, days: int, mm_a_day: float = -0.3, first: int = 0) -> list[Event]:
        """Two tracks, rain, level and passes from day `first` on, each day closed.

        The motion is steady until two thirds, then ever faster.
        """
        said: list[Event] = []
        for number in range(first, days):
            runaway = max(0.0, number - days * 2 / 3)
            moved = mm_a_day * number - 0.02 * runaway**2
            if number % 12 == 0:
                said += [self.found(number), self.epoch(number, moved)]
            if number % 12 == 5:
                said.append(self.epoch(number, moved, track="D120"))
            said.append(self.rain(number, None if number % 17 == 3 else float(number % 7)))
            said.append(self.level(number, 170.0 - 0.1 * (number % 40)))
            said.append(self.closed(number))
        return said


class Bench:
    """Inference and alerting over a log in memory, in one process."""

    def __init__(
        self,
        folder: Path,
        *,
        artifacts: Artifacts | None = None,
        thinning: Thinning | None = None,
        clock: ReplayClock | None = None,
    ) -> None:
        self.closing = ExitStack()
        self.artifacts = artifacts or MemoryArtifacts()
        self.clock = clock or ReplayClock(LATER)
        self.log = open_log("memory://?max_record_bytes=4000000")
        self.closing.callback(self.log.close)
        self.log.create_topics(TOPICS)
        self.states = open_states("memory://")
        self.closing.callback(self.states.close)
        folder.mkdir(parents=True, exist_ok=True)
        self.ledger = open_ledger(f"sqlite://{folder}/ledger.db")
        self.closing.callback(self.ledger.close)
        self.inference = self._worker(InferenceStage(self.states, self.artifacts, thinning))
        self.alerting = self._worker(AlertingStage(self.ledger, self.artifacts))

    def _worker(self, stage: Any) -> Worker[Any]:
        worker = Worker(self.log, stage, self.artifacts, self.clock, Telemetry(), member=stage.name)
        self.closing.callback(worker.close)
        return worker

    def append(self, events: Iterable[Event]) -> None:
        append(self.log, OBSERVATIONS, events)

    def append_raw(self, site: str, *values: bytes) -> None:
        append_raw(self.log, OBSERVATIONS, site, *values)

    def drain(self) -> None:
        """Let both stages read until nothing is left."""
        while self.inference.drain() + self.alerting.drain():
            pass

    def run(self, events: Iterable[Event]) -> None:
        self.append(events)
        self.drain()

    def parked(self) -> dict[str, str]:
        return {
            name: parked.reason
            for worker in (self.inference, self.alerting)
            for name, parked in worker.parked.items()
        }

    def letters(self) -> list[DeadLettered]:
        return [e.data for e in events_of(self.log, DEAD_LETTERS)]

    def track(self, site: str, track: str = "A44") -> Any:
        """The track as the last commit holds it."""
        return self.inference_state(site).tracks[track]

    def inference_state(self, site: str) -> Any:
        return InferenceStage(self.states, self.artifacts).store(site).open().state

    def messages(self) -> list[str]:
        return [row.message for row in self.ledger.notifications()]

    def close(self) -> None:
        self.closing.close()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def append(log: EventLog, topic: str, events: Iterable[Event]) -> None:
    """Append in order; returns when the log has all of them."""
    producer = log.producer()
    for event in events:
        producer.send(topic, event.site, encode(event))
    producer.close()


def append_raw(log: EventLog, topic: str, key: str, *values: bytes) -> None:
    producer = log.producer()
    for value in values:
        producer.send(topic, key, value)
    producer.close()


def records_of(log: EventLog, topic: str, site: str | None = None) -> list[Record]:
    """All records of a topic, or those of one site, in their order."""
    partitions = log.topics()[topic].partitions
    wanted: Sequence[int] = range(partitions)
    if site is not None:
        wanted = [partition_of(site, partitions)]
    found = [record for p in wanted for record in log.read(topic, p)]
    return [record for record in found if site in {None, record.key}]


def events_of(log: EventLog, topic: str, site: str | None = None) -> list[Event]:
    return [decode(record.value) for record in records_of(log, topic, site)]


def distinct(records: Iterable[Record]) -> list[bytes]:
    """Values in their order, each once: what a reader that drops repeats makes of them."""
    return list(dict.fromkeys(record.value for record in records))


def state_differences(a: Any, b: Any, site: str) -> list[str]:
    """What two `States` hold differently of a site, positions left out."""
    first, second = a.open(site), b.open(site)
    try:
        return equal(first, second, POSITION_ATTRS)
    finally:
        first.close()
        second.close()
