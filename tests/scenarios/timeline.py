"""A site's life as a timeline through the composed services: `at(day, ...)`, then `want(...)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from core.clock import ReplayClock, end_of, midnight
from core.events import OBSERVATIONS, Event
from core.settings import Service, Site
from services.alerting.message import Message
from services.alerting.state import SiteAlerts, decode_state
from services.compose import Slopewatch
from services.ingest.days import closed_day
from tests.pipeline import START, Scene, append, day, make_site

Make = Callable[[datetime], Event]
MORNING = timedelta(hours=1)


class Timeline:
    """One site on SQLite and files in a folder; the clock is moved by `at`."""

    def __init__(self, app: Slopewatch, clock: ReplayClock, site: Site) -> None:
        self.app = app
        self.clock = clock
        self.site = site
        self.scene = Scene(site, app.artifacts)
        self.told = 0

    def at(self, number: int, *said: Make | Event, hour: int = 1) -> None:
        """What becomes known in the night after day `number` has begun, then all is read."""
        self.clock.set(midnight(day(number)) + timedelta(hours=hour))
        now = self.clock.now()
        self.say(one if isinstance(one, Event) else one(now) for one in said)

    def say(self, events: Iterable[Event]) -> None:
        append(self.app.log, OBSERVATIONS, events)
        self.app.settle()

    def live(self, first: int, last: int, moved: Callable[[int], float]) -> None:
        """Every day is closed on the morning after it, and every sixth has an epoch by then.

        All is read at the end: what is decided does not depend on when it is read.
        """
        said: list[Event] = []
        for number in range(first, last + 1):
            self.clock.set(end_of(day(number)) + MORNING)
            now = self.clock.now()
            if number % 6 == 0:
                said.append(epoch(number, moved(number))(self.scene)(now))
            said.append(self.closes(number)(now))
        self.say(said)

    def closes(self, number: int, *, catching_up: bool = False) -> Make:
        return lambda now: closed_day(self.site.name, day(number), now, catching_up=catching_up)

    def catches_up(self, first: int, last: int) -> list[Make]:
        """Several closed days at once: all but the last are only on the way."""
        return [self.closes(n, catching_up=n < last) for n in range(first, last + 1)]

    def heard(self) -> list[Message]:
        """What was told since the last time."""
        assert self.app.ledger is not None
        rows = [r for r in self.app.ledger.notifications(self.site.name) if r.outcome == "queued"]
        sent = [msgspec.json.decode(row.message, type=Message) for row in rows][self.told :]
        self.told += len(sent)
        return sent

    def want(self, *expected: str) -> list[Message]:
        """Since the last time exactly these were told, in any order: `unit what`."""
        sent = self.heard()
        found = [f"{m.unit} {m.level if m.kind == 'level' else m.coverage}" for m in sent]
        assert sorted(found) == sorted(expected), [m.reason for m in sent]
        return sent

    @property
    def alerts(self) -> SiteAlerts:
        assert self.app.ledger is not None
        view = self.app.ledger.state(self.site.name)
        return decode_state(view.state if view else None)

    def level(self, unit: str = "toe") -> str:
        return self.alerts.units[unit].level


def epoch(number: int, moved: float, **changes: Any) -> Callable[[Scene], Make]:
    """An epoch of day `number`, known whenever it is said."""
    return lambda scene: lambda now: scene.epoch(number, moved, available=now, **changes)


@contextmanager
def timeline(folder: Path, *, watched_from: int = 0, **changes: Any) -> Iterator[Timeline]:
    """A composed service for one site, configured on its first day."""
    clock = ReplayClock(midnight(START))
    site = make_site("dam", watched_from=day(watched_from).isoformat(), **changes)
    service = Service(data=folder).resolved()
    with Slopewatch(service, roles=("inference", "alerting"), clock=clock) as app:
        life = Timeline(app, clock, site)
        life.say([life.scene.configured(midnight(START))])
        yield life
        assert [worker.parked for worker in app.workers] == [{}, {}]


def history(
    scene: Scene, first: int, last: int, moved: Callable[[int], float], watched: int | None = None
) -> list[Event]:
    """A backfill: everything as it would have become known, merged in that order.

    From day `watched` on all but the last day are closed as catching up, as ingest does.
    """
    said = [scene.epoch(n, moved(n)) for n in range(first, last + 1) if n % 6 == 0]
    for number in range(first, last + 1):
        over = end_of(day(number))
        late = watched is not None and watched <= number < last
        said.append(closed_day(scene.site.name, day(number), over, catching_up=late))
    return sorted(said, key=lambda event: event.available_at)
