"""What the decisions of a site stand on: inference's outcomes, and the observations before them.

Read from the log alone, which keeps both topics for ever. A step of inference is a place in the
order of the site's distinct observations; it stands on all of them up to that place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from core.errors import BadInputError, SlopewatchError
from core.eventlog import EventLog, open_log
from core.events import (
    ASSESSMENTS,
    DEAD_LETTERS,
    OBSERVATIONS,
    AcquisitionFound,
    ArtifactRef,
    DeadLettered,
    DisplacementMeasured,
    Event,
    EventData,
    InterferogramReady,
    LevelObserved,
    RainfallObserved,
    ReleaseActivated,
    SiteConfigured,
    StateUpdated,
    decode,
)
from core.settings import Service
from services.commands._standing import records_of


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One observation as inference took it in.

    `place`: among the site's distinct observations, from 1. `vintage`: how many of the same
    quantity, station and day (or track and epoch, or pair) came before it. `key` says what it is
    of, `data` is its payload as JSON has it.
    """

    place: int
    id: str
    type: str
    key: tuple[str, ...]
    vintage: int
    valid_time: datetime
    available_at: datetime
    assumed: bool
    data: dict[str, Any]


class Taken(NamedTuple):
    """What the log holds of a site.

    `observations`: in inference's order, `by_id` the same by event id; `assessments`: alerting's
    inputs by event id; `artifacts`: every artifact that those name, by sha256. `missing`: why
    something is out of reach, a sentence each.
    """

    observations: tuple[Observation, ...]
    by_id: Mapping[str, Observation]
    assessments: Mapping[str, Event]
    artifacts: Mapping[str, ArtifactRef]
    missing: tuple[str, ...]


class Step(NamedTuple):
    """The step of inference that a track's votes come from, at `place` of the site's order.

    `daily`: it speaks of rain and level up to the day `epoch`, for the whole site.
    """

    track: str
    epoch: date
    daily: bool
    place: int
    inputs: tuple[str, ...]
    outcome: str
    evidence: ArtifactRef | None


def read_taken(service: Service, site: str) -> Taken:
    """All that the log of this machine holds of `site`; what it lacks is said in `missing`."""
    url = str(service.log)
    try:
        log = open_log(url)
    except SlopewatchError as error:
        return Taken((), {}, {}, {}, (f"the log is out of reach: {error}",))
    try:
        missing = [
            f"the log {url} has no {topic} of {site}: it is that of another machine, or empty"
            for topic in (OBSERVATIONS, ASSESSMENTS)
            if not records_of(log, topic, site)
        ]
        observations = tuple(_observations(log, site))
        assessments = {event.id: event for event in _distinct(log, ASSESSMENTS, site)}
    except SlopewatchError as error:
        return Taken((), {}, {}, {}, (f"the log {url} is out of reach: {error}",))
    finally:
        log.close()
    refs = {ref.sha256: ref for event in assessments.values() for ref in _refs(event.data)}
    return Taken(observations, {o.id: o for o in observations}, assessments, refs, tuple(missing))


def step_of(taken: Taken, cause: str) -> Step | None:
    """The step that spoke the outcome `cause`; None when the log lacks it or it is no epoch."""
    event = taken.assessments.get(cause)
    data = event.data if event else None
    if not isinstance(data, StateUpdated) or data.track is None or data.epoch is None:
        return None
    daily = data.reason == "day"
    return Step(data.track, data.epoch, daily, data.seq, data.inputs, cause, data.evidence)


def steps_before(taken: Taken, cause: str, tracks: set[str]) -> list[Step]:
    """The newest step with evidence of each of `tracks` that alerting had when it took `cause`."""
    event = taken.assessments.get(cause)
    found: dict[str, Step] = {}
    for one in taken.assessments.values():
        step = step_of(taken, one.id)
        if step is not None and step.track in tracks and step.evidence is not None:
            found[step.track] = step
        if event is not None and one.id == event.id:
            break
    return [found[track] for track in sorted(found)] if event else []


def _distinct(log: EventLog, topic: str, site: str) -> Iterator[Event]:
    """The site's readable events of an inbox, each once, as its stage takes them."""
    letters = _dead_letters(log, topic, site)
    seen: set[str] = set()
    for record in records_of(log, topic, site):
        place = f"{topic}/{record.partition}/{record.offset}"
        if place in letters:
            continue
        try:
            event = decode(record.value)
        except BadInputError:
            continue
        if event.site == site and event.id not in seen:
            seen.add(event.id)
            yield event


def _dead_letters(log: EventLog, topic: str, site: str) -> set[str]:
    """Places of records that the stage could not use: they count for nothing."""
    letters = set()
    for record in records_of(log, DEAD_LETTERS, site):
        data = decode(record.value).data
        if isinstance(data, DeadLettered) and data.origin.startswith(f"{topic}/"):
            letters.add(data.origin)
    return letters


def _observations(log: EventLog, site: str) -> Iterator[Observation]:
    vintages: Counter[tuple[str, ...]] = Counter()
    for place, event in enumerate(_distinct(log, OBSERVATIONS, site), start=1):
        key = _key(event.data)
        yield Observation(
            place=place,
            id=event.id,
            type=event.data.NAME,
            key=key,
            vintage=vintages[key],
            valid_time=event.valid_time,
            available_at=event.available_at,
            assumed=event.assumed,
            data=msgspec.to_builtins(event.data),
        )
        vintages[key] += 1


def _key(data: EventData) -> tuple[str, ...]:
    """What an observation is of; another one of the same is its next vintage."""
    match data:
        case RainfallObserved():
            return "rain", data.station, str(data.day)
        case LevelObserved():
            return "level", data.station, str(data.day)
        case DisplacementMeasured():
            return "epoch", data.track, str(data.epoch)
        case InterferogramReady():
            return "pair", data.track, str(data.reference), str(data.secondary)
        case AcquisitionFound():
            return "scene", data.scene
    return (data.NAME,)


def _refs(data: EventData) -> list[ArtifactRef]:
    match data:
        case StateUpdated(evidence=ArtifactRef() as evidence):
            return [evidence]
        case SiteConfigured():
            return [data.settings]
        case ReleaseActivated(table=ArtifactRef() as table):
            return [table]
    return []
