"""A running slopewatch that is backed up, and the season that it lives through."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from core.artifacts import MemoryArtifacts
from core.clock import ReplayClock, end_of
from core.eventlog import open_log
from core.events import ALERTS, ASSESSMENTS, OBSERVATIONS, Event, encode
from core.ledger import open_ledger
from core.settings import Service
from core.statestore import open_states
from core.telemetry import Telemetry
from services.alerting.message import Message
from services.alerting.sender import Sender
from services.commands._backup_place import Vault
from services.compose import Slopewatch
from tests.pipeline import (
    LATER,
    POINTS,
    Scene,
    append,
    day,
    distinct,
    records_of,
    state_differences,
)

SITES = ("lian", "shan")
DAYS = 16
HALF = 46
STEP = 2
RATES = (-2.0, -3.0, -5.0)
Sent = Counter[tuple[str, str]]


class Killed(BaseException):
    """What a process feels of its end, as far as a process feels it."""


class Ear:
    """A recipient that counts what it hears."""

    def __init__(self, heard: Sent, site: str) -> None:
        self.heard, self.site = heard, site

    def send(self, message: Message, key: str) -> tuple[str, list[str]]:
        self.heard[self.site, key] += 1
        return "heard", []


class Left(NamedTuple):
    """What a season leaves behind."""

    export: list[bytes]
    outbox: set[tuple[str, str]]
    said: dict[str, list[bytes]]


class Season(NamedTuple):
    """All events of a season with what they name, and what an undisturbed run made of them.

    `half` is a copy of what that run had made of the first `HALF` events, `told` what it had told.
    """

    events: list[Event]
    world: MemoryArtifacts
    half: Path
    told: Sent
    whole: Service
    left: Left
    sent: Sent


class House:
    """A running slopewatch: both stages and a sender, in this process."""

    def __init__(self, season: Season, service: Service) -> None:
        self.season, self.service = season, service
        self.heard: Sent = Counter()
        self.app = Slopewatch(
            service, roles=("inference", "alerting"), clock=ReplayClock(LATER), member="1"
        )

    def hear(self, events: list[Event]) -> None:
        """Ingest: artifacts, then the events that name them."""
        for event in events:
            for ref in refs_of(event):
                self.app.artifacts.put(self.season.world.get(ref))
        append(self.app.log, OBSERVATIONS, events)

    def live(self) -> None:
        """Read all, and tell what there is to tell."""
        self.app.settle()
        assert [worker.parked for worker in self.app.workers] == [{}, {}]
        tell(self.service, self.heard)

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_: object) -> None:
        self.app.close()


class Kept(NamedTuple):
    """A house that stands still, and a backup of it."""

    service: Service
    place: Path
    name: str
    heard: Sent


def refs_of(event: Event) -> list[Any]:
    from services.commands._moving_files import _refs

    return list(_refs(msgspec.json.decode(encode(event))))


def service_in(data: Path, **changes: Any) -> Service:
    made = Service(data=data, sites=data.parent / f"{data.name}-sites").resolved()
    return made.model_copy(update=changes)


def tell(service: Service, heard: Sent) -> None:
    with closing(open_ledger(str(service.ledger))) as ledger:
        outbox = Sender(ledger, lambda site, _: Ear(heard, site), Telemetry())
        with closing(outbox):
            while outbox.step(LATER):
                pass


def left_by(service: Service) -> Left:
    with (
        closing(open_ledger(str(service.ledger))) as ledger,
        closing(open_log(str(service.log))) as log,
    ):
        assert ledger.verify() == []
        said = {
            f"{topic}/{site}": distinct(records_of(log, topic, site))
            for topic in (ASSESSMENTS, ALERTS)
            for site in SITES
        }
        rows = {(n.site, n.id) for n in ledger.notifications()}
        return Left(list(ledger.export()), rows, said)


def differing_states(a: Service, b: Service) -> dict[str, list[str]]:
    with (
        closing(open_states(str(a.state))) as first,
        closing(open_states(str(b.state))) as second,
    ):
        assert first.sites() == second.sites() == SITES
        found = {site: state_differences(first, second, site) for site in SITES}
        return {site: names for site, names in found.items() if names}


def story(scene: Scene) -> list[Event]:
    """Both units go faster step by step, the head behind the toe; an epoch comes late."""
    said = [scene.configured()]
    toe = np.arange(POINTS) < POINTS // 2 + 1
    for number in range(DAYS):
        steps = [max(0, number - since) for since in (0, 7, 10)]
        later = [max(0, number - since) for since in (2, 8, 11)]
        moved = np.where(toe, np.dot(steps, RATES), np.dot(later, RATES))
        said.append(scene.epoch(number, values=scene.values(moved, noise_mm=0.2)))
        said += [scene.rain(number, float(number % 7))] if number % 4 == 0 else []
        said.append(scene.closed(number))
    late = scene.epoch(3, 0.0, track="L1", available=end_of(day(9)))
    return [*said, late]


def lived(season: Season, folder: Path, count: int, **changes: Any) -> House:
    """A house that has lived through the first `count` events."""
    house = House(season, service_in(folder, **changes))
    house.hear(season.events[:count])
    house.live()
    return house


def halfway(season: Season, folder: Path) -> House:
    """A house that has lived through the first `HALF` events, in files."""
    shutil.copytree(season.half, folder)
    house = House(season, service_in(folder))
    house.heard.update(season.told)
    return house


def go_on(season: Season, service: Service) -> Sent:
    """Ingest asks again for what the log lacks; what was told, after comparing with the whole."""
    with House(season, service) as house:
        known = {record.value for record in records_of(house.app.log, OBSERVATIONS)}
        missing = [event for event in season.events if encode(event) not in known]
        for start in range(0, len(missing), 6 * STEP):
            house.hear(missing[start : start + 6 * STEP])
            house.live()
    assert left_by(service) == season.left
    assert differing_states(service, season.whole) == {}
    return house.heard


def addresses(service: Service) -> dict[str, Any]:
    names = ("log", "state", "ledger", "artifacts", "memory", "topics")
    return {name: getattr(service, name) for name in names}


def wipe(service: Service) -> None:
    """The machine is gone; what lies elsewhere is left to whoever runs it."""
    shutil.rmtree(service.data)


def rewritten(place: Path, name: str, **changes: Any) -> None:
    """The manifest with other content, under a name that fits it."""
    vault = Vault(str(place))
    manifest = msgspec.structs.replace(vault.read(name), **changes)
    vault.forget(name)
    vault.write(manifest)


def spoil(folder: Path, prefix: str, change: Callable[[bytes], bytes | None]) -> Path:
    """Change the largest file below `folder/prefix`, or remove it."""
    path = max((folder / prefix).rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    content = change(path.read_bytes())
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    return path


class Trap:
    """Ends the process, so to say, at its `number`-th lasting write."""

    def __init__(self, number: int | None) -> None:
        self.left = number
        self.writes = 0

    def around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def trapped(*arguments: Any, **named: Any) -> Any:
            self.writes += 1
            if self.writes == self.left:
                raise Killed
            return method(*arguments, **named)

        return trapped


@contextmanager
def trapped(number: int | None, *methods: tuple[type, str]) -> Iterator[Trap]:
    trap = Trap(number)
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in methods:
            patch.setattr(owner, name, trap.around(getattr(owner, name)))
        yield trap
