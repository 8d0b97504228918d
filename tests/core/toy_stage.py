"""A tiny stage with stores in memory, and a log that can fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from core.artifacts import MemoryArtifacts
from core.clock import ReplayClock, midnight
from core.errors import BadInputError, ConflictError, UnavailableError
from core.eventlog import EventLog, Producer, Receipt, Record, TopicSpec, open_log
from core.events import (
    ASSESSMENTS,
    DEAD_LETTERS,
    OBSERVATIONS,
    ArtifactRef,
    Event,
    RainfallObserved,
    SiteConfigured,
    decode,
    identity,
)
from core.notes import Notes, open_notes
from core.stage import Bookmark, Held, Input, Outcome
from core.telemetry import Telemetry
from core.worker import Worker
from tests.pipeline import LATER, START, append, append_raw, records_of

Words = tuple[str, ...]


@dataclass
class Kept:
    """What the store of one site holds on its disk."""

    state: Words = ()
    bookmark: Bookmark | None = None
    outcomes: tuple[Event, ...] = ()
    ids: frozenset[str] = frozenset()
    revision: int = 0


@dataclass
class Toy:
    """Collects words; each word it takes in is an outcome.

    `stores` is the disk; `unreachable` sites cannot be opened; `busy` words cannot be handled yet.
    """

    stores: dict[str, Kept] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    commits: list[tuple[str, int]] = field(default_factory=list)
    name: str = "toy"
    inbox: str = OBSERVATIONS
    outbox: str = ASSESSMENTS

    def sites(self) -> list[str]:
        return sorted(self.stores)

    def store(self, site: str) -> ToyStore:
        return ToyStore(self, site)

    def handle(self, state: Words, given: Input) -> tuple[Words, Sequence[Outcome]]:
        data = given.event.data
        said = data.station if isinstance(data, RainfallObserved) else "configured"
        if said in self.busy:
            raise UnavailableError(f"{said} is out of reach")
        if said == "bad":
            raise BadInputError("a bad word")
        if said == "bug":
            raise RuntimeError("a bug in the handler")
        size = 2_000_000 if said == "huge" else 0
        echo = word(f"{given.seq}:{said}" + "x" * size)
        return (*state, said), [Outcome(echo, given.event.valid_time)]


class ToyStore:
    def __init__(self, stage: Toy, site: str) -> None:
        self.stage = stage
        self.site = site
        self.revision = -1

    def open(self) -> Held[Words]:
        if self.site in self.stage.unreachable:
            raise UnavailableError(f"the store of {self.site} is out of reach")
        kept = self.stage.stores.setdefault(self.site, Kept())
        self.revision = kept.revision
        return Held(kept.state, kept.bookmark, kept.outcomes)

    def seen(self, event_id: str) -> bool:
        return event_id in self.stage.stores[self.site].ids

    def commit(
        self, state: Words, bookmark: Bookmark, ids: Sequence[str], outcomes: Sequence[Event]
    ) -> Words:
        kept = self.stage.stores[self.site]
        if kept.revision != self.revision:
            raise ConflictError(f"another worker committed on {self.site}")
        self.revision += 1
        self.stage.stores[self.site] = Kept(
            state, bookmark, tuple(outcomes), kept.ids | set(ids), self.revision
        )
        self.stage.commits.append((self.site, len(ids)))
        return state

    def close(self) -> None:
        self.revision = -1


class FailingLog:
    """A log of whose records the next `failing` are not acknowledged, whether they `arrive` or not.

    `refused` says how often a method (`poll` is its consumers') fails before it answers again, and
    `idle` how many polls give nothing; `asked` counts.
    """

    def __init__(self, log: EventLog) -> None:
        self.sound = log
        self.failing = 0
        self.arrives = False
        self.idle = 0
        self.refused: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.waited: list[float] = []
        self.made: list[FailingProducer] = []

    def __getattr__(self, name: str) -> Any:
        self.ask(name)
        return getattr(self.sound, name)

    def ask(self, name: str) -> None:
        self.asked[name] += 1
        if self.refused[name] > 0:
            self.refused[name] -= 1
            raise UnavailableError(f"the log is out of reach: {name}")

    def producer(self) -> Producer:
        self.ask("producer")
        self.made.append(FailingProducer(self, self.sound.producer()))
        return self.made[-1]

    def consumer(self, *args: Any, **options: Any) -> Any:
        self.ask("consumer")
        return FailingConsumer(self, self.sound.consumer(*args, **options))


class FailingConsumer:
    def __init__(self, log: FailingLog, inner: Any) -> None:
        self.log = log
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        self.log.ask("poll")
        if self.log.idle > 0:
            self.log.idle -= 1
            return []
        return self.inner.poll(max_records, timeout_s)


class FailingProducer:
    def __init__(self, log: FailingLog, inner: Producer) -> None:
        self.log = log
        self.inner = inner
        self.discarded = False

    def send(self, topic: str, key: str, value: bytes) -> Receipt:
        if self.log.failing > 0 and not self.log.arrives:
            self.log.failing -= 1
            return Overdue(self.log)
        receipt = self.inner.send(topic, key, value)
        if self.log.failing > 0:
            self.log.failing -= 1
            receipt.wait(5)
            return Overdue(self.log)
        return receipt

    def discard(self) -> None:
        self.discarded = True
        self.inner.discard()

    def close(self, timeout_s: float = 10) -> None:
        self.inner.close(timeout_s)


class Overdue:
    def __init__(self, log: FailingLog) -> None:
        self.log = log

    def wait(self, timeout_s: float) -> tuple[int, int]:
        self.log.waited.append(timeout_s)
        raise UnavailableError(f"not acknowledged within {timeout_s} s")


def word(text: str) -> RainfallObserved:
    return RainfallObserved(feed="toy", station=text, day=START, rain_mm=None)


def said(text: str, site: str = "a", *, number: int | None = None, **changes: Any) -> Event:
    """An input that says one word; its id follows from site, word and number."""
    made: dict[str, Any] = {
        "id": identity(site, text, number),
        "site": site,
        "source": "test",
        "valid_time": midnight(START),
        "available_at": midnight(START),
        "processed_at": midnight(START),
        "data": word(text),
        "number": number,
    }
    return Event(**{**made, **changes})


def configured(site: str = "a") -> Event:
    data = SiteConfigured(settings=ArtifactRef(sha256="0" * 64, bytes=1))
    return said("configured", site, data=data, id=identity("configured", site))


class Shop:
    """A worker of the toy stage on a log with one partition, so that sites share it."""

    def __init__(self, *sites: str, **options: Any) -> None:
        self.log = FailingLog(open_log("memory://"))
        self.log.create_topics([TopicSpec(t, 1) for t in (OBSERVATIONS, ASSESSMENTS, DEAD_LETTERS)])
        self.stage = Toy()
        self.clock = ReplayClock(LATER)
        self.artifacts = MemoryArtifacts()
        self.telemetry = Telemetry()
        self.notes: Notes = open_notes("memory://")
        self.options = options
        self.worker = self._worker()
        self.say(*(configured(site) for site in sites))
        self.worker.drain()

    def _worker(self) -> Worker[Words]:
        return Worker(
            self.log,
            self.stage,
            self.artifacts,
            self.clock,
            self.telemetry,
            **{"backoff": timedelta(seconds=5), "notes": self.notes, **self.options},
        )

    def restart(self) -> None:
        """Another process takes over, without the first one closing anything."""
        self.worker = self._worker()

    def say(self, *events: Event) -> None:
        append(self.log.sound, OBSERVATIONS, events)

    def say_raw(self, site: str, *values: bytes) -> None:
        append_raw(self.log.sound, OBSERVATIONS, site, *values)

    def take(self, *events: Event) -> None:
        self.say(*events)
        self.worker.drain()

    def after(self, seconds: float) -> None:
        """Let time pass, then let the worker look again."""
        self.clock.sleep(seconds)
        self.worker.step(0.0)
        self.worker.drain()

    def words(self, site: str = "a") -> list[str]:
        """What the site's store holds, its configuration left out."""
        return [w for w in self.stage.stores[site].state if w != "configured"]

    def outcomes(self, site: str = "a") -> list[tuple[int | None, str]]:
        """Number and word of every outcome on the log, repeats included."""
        events = [decode(r.value) for r in records_of(self.log, ASSESSMENTS, site)]
        return [(e.number, e.data.station) for e in events]

    def letters(self) -> list[tuple[str, str]]:
        """Code and site of every dead letter on the log."""
        events = [decode(r.value) for r in records_of(self.log, DEAD_LETTERS)]
        return [(e.data.code, e.site) for e in events]

    def parked(self, site: str = "a") -> str:
        return self.worker.parked[site].reason

    def committed(self) -> int | None:
        """The group's committed offset, as another member would see it."""
        watcher = self.log.consumer(OBSERVATIONS, "toy", "watcher")
        return watcher.committed(0)
