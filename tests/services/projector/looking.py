"""A season on a log, and projections that read it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from core.artifacts import Artifacts
from core.clock import ReplayClock, midnight
from core.eventlog import EventLog
from core.events import ASSESSMENTS, OperatorCommanded
from core.telemetry import Telemetry
from core.worker import Worker
from services.projector.alerts import Alerts
from services.projector.drivers import Drivers
from services.projector.motion import Motion
from services.projector.projection import Projection
from services.projector.schema import TABLES
from tests.pipeline import LATER, Bench, Scene, append, day, make_site

Rows = dict[str, list[tuple[Any, ...]]]
PROJECTIONS = (Drivers, Motion, Alerts)
SEASON_DAYS = 32
LATE = 12
"""The epoch of this day comes at the end of the season."""
MM_A_DAY = -1.0


def season(bench: Bench, *names: str, days: int = SEASON_DAYS) -> None:
    """Slopes that run away, with late rain and a late epoch; somebody acknowledges one alert."""
    for name in names:
        scene = Scene(make_site(name, title=name.title()), bench.artifacts)
        story = scene.story(days, mm_a_day=MM_A_DAY)
        late = [e for e in story if getattr(e.data, "epoch", None) == day(LATE)]
        said = [e for e in story if e not in late]
        end = midnight(day(days)) + timedelta(hours=1)
        said += [scene.rain(3, 99.0, end), scene.rain(days - 1, None, end)]
        said.append(scene.epoch(LATE, MM_A_DAY * LATE, available=end))
        bench.run([scene.configured(), *said])
        word = OperatorCommanded(
            command="acknowledge", operator="ann", unit="toe", reason="seen from the road"
        )
        append(bench.log, ASSESSMENTS, [scene.event(word, end, end)])
        bench.drain()


class Looking:
    """The three projections over a log, in one process."""

    def __init__(
        self, url: str, log: EventLog, artifacts: Artifacts, *, batch: int = 500, member: str = "0"
    ) -> None:
        self.projection = Projection(url)
        clock = ReplayClock(LATER)
        self.workers: list[Worker[Any]] = [
            Worker(
                log,
                kind(self.projection, log.topic_id(kind.inbox), artifacts),
                artifacts,
                clock,
                Telemetry(),
                member=f"{kind.name}-{member}",
                batch=batch,
            )
            for kind in PROJECTIONS
        ]

    def drain(self) -> int:
        """Read to the end; how many records that were."""
        return sum(worker.drain() for worker in self.workers)

    def parked(self) -> dict[str, str]:
        return {name: one.reason for w in self.workers for name, one in w.parked.items()}

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.projection.close()

    def __enter__(self) -> Looking:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def look(url: str, bench: Bench, **how: Any) -> Rows:
    """Read the whole log into the projection at `url`; its rows then."""
    with Looking(url, bench.log, bench.artifacts, **how) as looking:
        looking.drain()
        assert looking.parked() == {}
    return rows(url)


def rows(url: str, only: Iterable[str] | None = None) -> Rows:
    """Every row of every table, in the order of its key."""
    with closing(Projection(url)) as projection, projection._ready().read() as connection:
        return {
            table.name: [
                tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))
            ]
            for table in TABLES
            if only is None or table.name in only
        }


def named(url: str, table: str) -> list[Any]:
    """Rows of one table, by column name."""
    (one,) = [known for known in TABLES if known.name == table]
    with closing(Projection(url)) as projection, projection._ready().read() as connection:
        return list(connection.execute(select(one).order_by(*one.primary_key)))
