"""Simulated sites through the whole service in one process, held against the pool to the bit.

A pool scores thousands of site-years with the service's own functions, batched. This is the proof
that it may stand for the service: a few sites go through log, inference, evidence, rules, state
machine and ledger, day by day as feeds would bring them, and every statistic, every level that a
rule asks for and every change of a unit's level must be the pool's.

Day 0 of a record is 1970-01-01 here, so that the seasons of both are those of the same days. Rain
and level of a day come a night later than the day itself, still before any epoch of that day, as a
pool takes it. Two things are a pool's alone and are left out: in the first year of a record it
knows what that year's rain will have been on average, and where one epoch overtakes another it
does not judge the series without the late one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from core import plugins
from core.artifacts import Artifacts, pack
from core.clock import ReplayClock, end_of, midnight
from core.errors import SlopewatchError
from core.eventlog import EventLog, partition_of
from core.events import (
    ALERTS,
    ASSESSMENTS,
    DEAD_LETTERS,
    LEVELS,
    OBSERVATIONS,
    AlertChanged,
    DayClosed,
    DeadLettered,
    DisplacementMeasured,
    Event,
    EventData,
    LevelObserved,
    RainfallObserved,
    StateUpdated,
    decode,
)
from core.evidence import Evidence, unpack_evidence
from core.settings import Service, Site, Topics, parse_site, rank
from core.twin import Kind, Observed, Truth, observe, simulate
from services.alerting.rule import RULES
from services.alerting.thresholds import ThresholdTable, load_table
from services.compose import Slopewatch
from services.ingest.saying import append_whole, event
from services.scoring.levels import rule_levels
from services.scoring.pool import FLANK_PIXELS, NOISE, YEARS, Pool, filtered
from services.scoring.score import DROPPED_YEARS
from services.scoring.voters import MOTION, voting_rules

FIRST_DAY = date(1970, 1, 1)
FIRST_COMPARED_DAY = 366
"""From here on the service, too, knows the mean of the first year's rain and level."""
TRACK = "twin"
SHOWN = 5
"""Disagreements of a site that are told one by one."""

_BOX = (0.0, 0.0, 0.01, 0.01)
_FIRM = (-0.005, -0.005, -0.004, -0.004)


class Change(NamedTuple):
    """A unit's level changed: by the epoch of `arose`, known on day `known`, days of the record."""

    arose: int
    known: int
    level: int


@dataclass(frozen=True)
class Proof:
    """What was compared, and in which sentences service and pool disagree."""

    site_years: int
    epochs: int
    changes: int
    disagreements: tuple[str, ...]


def proven(
    table: bytes,
    sites: Sequence[tuple[int, Kind]],
    folder: Path,
    *,
    years: int = YEARS,
    progress: bool = False,
) -> Proof:
    """Run sites (seed, kind) through the service with the thresholds of `table`, and compare.

    `folder` is empty and keeps what the service writes. Two years are the shortest record in which
    a slope fails. Raises `SlopewatchError` where the service stands still or refuses an event, or
    an epoch of a site overtakes another.
    """
    seeds, kinds = zip(*sites, strict=True)
    truth = simulate(seeds, list(kinds), years=years)
    seen = observe(truth, flank_pixels=FLANK_PIXELS)
    _check_order(seen, seeds)
    pool, limits = filtered(truth, seen), load_table(table)
    said = through_service(table, truth, seen, folder, progress=progress)
    found: list[str] = []
    for row, one in enumerate(said):
        found += differences(pool.where(np.arange(len(pool)) == row), one, limits)
    return Proof(
        years * len(said),
        sum(len(one.evidence) for one in said),
        sum(len(one.changes) for one in said),
        tuple(found),
    )


class Said(NamedTuple):
    """What the service said of a site: evidence by epoch as it came, and changes of level."""

    name: str
    evidence: list[tuple[int, Evidence]]
    changes: list[Change]


def _check_order(seen: Observed, seeds: Sequence[int]) -> None:
    usable = seen.epoch_day[:, 1:] >= 0
    overtaken = (np.diff(seen.arrival_day, axis=1) < 0) & usable
    for row in np.flatnonzero(overtaken.any(axis=1)).tolist():
        raise SlopewatchError(
            f"an epoch of the simulated site {seeds[row]} overtakes another, which a pool does not "
            "follow: name another seed"
        )


def through_service(
    table: bytes, truth: Truth, seen: Observed, folder: Path, *, progress: bool = False
) -> list[Said]:
    """Run simulated sites through the whole service on an empty folder, and gather what it said.

    Raises `SlopewatchError` where it stands still or refuses an event.
    """
    names = [f"{kind}-{seed}" for seed, kind in zip(truth.seeds, truth.kind, strict=True)]
    said = []
    with _opened(folder, table, names) as app:
        for row, name in enumerate(tqdm(names, "whole service", disable=not progress)):
            append_whole(app.log, OBSERVATIONS, list(_story(name, truth, seen, row, app.artifacts)))
            app.settle()
            _check_taken(app, name)
            said.append(_said(app, name))
    return said


def _opened(folder: Path, table: bytes, names: Sequence[str]) -> Slopewatch:
    """The services on an empty folder, the sites configured and the table in force."""
    thresholds = folder / "thresholds.json"
    thresholds.write_bytes(table)
    service = Service(
        data=folder,
        sites=folder / "sites",
        thresholds=thresholds,
        log="memory://",
        state="memory://",
        artifacts="memory://",
        memory="memory://",
        topics=Topics(partitions=1, create=True),
    ).resolved()
    clock = ReplayClock(midnight(FIRST_DAY))
    app = Slopewatch(service, clock=clock)
    try:
        sites = [_site(name) for name in names]
        for site in sites:
            app.configure(site)
        app.activate_release(sites)
        clock.set(midnight(FIRST_DAY) + timedelta(days=365 * YEARS + 1))
    except BaseException:
        app.close()
        raise
    return app


def _site(name: str) -> Site:
    """A site as its file would have it, with the default rules and somebody to tell.

    Downslope is due east along the horizontal, so that the line of sight's east part is the
    simulated factor, to the bit.
    """
    west, south, east, north = _BOX
    ring = [(west, south), (east, south), (east, north), (west, north)]
    unit = {"id": "slope", "polygon": ring, "slope_deg": 0, "aspect_deg": 90}
    duty = {"id": "duty", "notifier": {"kind": "email", "to": ["duty@example.org"]}}
    watched = FIRST_DAY + timedelta(days=365 * DROPPED_YEARS)
    return parse_site(
        {
            "name": name,
            "area": (-0.01, -0.01, 0.02, 0.02),
            "history_from": FIRST_DAY,
            "watched_from": watched,
            "reference": {"box": _FIRM},
            "slope_units": [{**unit, "flank_pixels": FLANK_PIXELS}],
            "noise": NOISE.model_dump(),
            "recipients": [duty],
            "simulated": True,
        },
        name,
    )


def _story(
    name: str, truth: Truth, seen: Observed, row: int, artifacts: Artifacts
) -> Iterator[Event]:
    """A site's record, night after night."""
    points = artifacts.put(pack(_points(truth.los_factor[row])))
    used = seen.epoch_day[row] >= 0
    arrivals = seen.arrival_day[row, used]
    for number in range(truth.rain_mm.shape[1]):
        day = FIRST_DAY + timedelta(days=number)
        data: list[EventData] = []
        if number:
            before, mm, m = day - timedelta(days=1), seen.gauge_mm[row], seen.level_m[row]
            rain, level = float(mm[number - 1]), float(m[number - 1])
            data.append(RainfallObserved(feed="twin", station="r", day=before, rain_mm=rain))
            data.append(LevelObserved(feed="twin", station="l", day=before, level_m=level))
        for epoch in np.flatnonzero(arrivals == number):
            arrays = {"los_displacement_mm": seen.los_mm[row, epoch]}
            arrays["sigma_mm"] = seen.sigma_mm[row, epoch]
            data.append(
                DisplacementMeasured(
                    feed="twin",
                    track=TRACK,
                    epoch=FIRST_DAY + timedelta(days=int(seen.epoch_day[row, epoch])),
                    reference_epoch=FIRST_DAY,
                    values=artifacts.put(pack(arrays)),
                    points=points,
                    measured=len(arrays["sigma_mm"]),
                )
            )
        data.append(DayClosed(day=day))
        night = end_of(day)
        for place, one in enumerate(data):
            yield event(name, f"{number}/{place}", one, midnight(day), night, night)


def _points(los_factor: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    count = len(los_factor)
    inside = np.linspace(0.002, 0.008, count)
    return {
        "lon": inside,
        "lat": np.full(count, 0.005),
        "los_east": los_factor,
        "los_north": np.zeros(count),
        "los_up": np.sqrt(1 - los_factor**2),
    }


def _check_taken(app: Slopewatch, name: str) -> None:
    for worker in app.workers:
        for parked in worker.parked.values():
            raise SlopewatchError(f"the simulated site {name} stands still: {parked.reason}")
    for one in _events(app.log, DEAD_LETTERS, name):
        assert isinstance(one.data, DeadLettered)
        raise SlopewatchError(f"the service refused the simulated site {name}: {one.data.reason}")


def _said(app: Slopewatch, name: str) -> Said:
    evidence, changes = [], []
    for one in _events(app.log, ASSESSMENTS, name):
        data = one.data
        if isinstance(data, StateUpdated) and data.reason == "epoch" and data.evidence:
            assert data.epoch is not None
            content = app.artifacts.get(data.evidence)
            evidence.append((_number(data.epoch), unpack_evidence(content)))
    for one in _events(app.log, ALERTS, name):
        data = one.data
        if isinstance(data, AlertChanged) and data.level != data.previous_level:
            known = _number(one.available_at.date())
            changes.append(Change(_number(data.arose), known, rank(data.level)))
    return Said(name, evidence, changes)


def _events(log: EventLog, topic: str, name: str) -> Iterator[Event]:
    partition = partition_of(name, log.topics()[topic].partitions)
    return (decode(r.value) for r in log.read(topic, partition) if r.key == name)


def _number(day: date) -> int:
    return (day - FIRST_DAY).days


def differences(pool: Pool, said: Said, table: ThresholdTable) -> list[str]:
    """In which sentences the service differs from a pool of this one site."""
    found = [*_of_epochs(pool, said, table), *_of_changes(pool, said, table)]
    more = len(found) - SHOWN
    return [*found[:SHOWN], f"{said.name}: {more} more"] if more > 0 else found


def _of_epochs(pool: Pool, said: Said, table: ThresholdTable) -> list[str]:
    usable = pool.usable[0]
    days = pool.evidence.epoch_day[0, usable].tolist()
    # What arrives after the end of the record never reaches the service.
    least = int((pool.known_day[0, usable] < pool.days).sum())
    count = len(said.evidence)
    if count < least or [day for day, _ in said.evidence] != days[:count]:
        return [f"{said.name}: the service judged other epochs than the pool"]
    found = []
    for rule, voter in zip(MOTION, voting_rules(table, MOTION), strict=True):
        module = plugins.load(RULES, rule)
        statistic = module.statistic(pool.evidence, module.Settings())[0, :, 0]
        asked = voter.levels(pool.evidence)[0, :, 0]
        for epoch, (day, evidence) in enumerate(said.evidence):
            if day < FIRST_COMPARED_DAY:
                continue
            here = module.statistic(evidence, module.Settings())[-1, 0]
            level = voter.levels(evidence)[-1, 0]
            when = f"{said.name}: after the epoch of day {day}"
            if not np.array_equal(here, statistic[epoch], equal_nan=True):
                found.append(
                    f"{when} the statistic of {rule} is {here!r} in the service and "
                    f"{statistic[epoch]!r} in the pool"
                )
            if level != asked[epoch]:
                found.append(
                    f"{when} {rule} asks for {LEVELS[level]} in the service and for "
                    f"{LEVELS[asked[epoch]]} in the pool"
                )
    return found


def _of_changes(pool: Pool, said: Said, table: ThresholdTable) -> list[str]:
    name = said.name
    wanted = _compared(changes_of(pool, table))
    there = _compared(said.changes)
    return [
        *(f"{name}: the pool says {_told(one)}, the service does not" for one in wanted - there),
        *(f"{name}: the service says {_told(one)}, the pool does not" for one in there - wanted),
    ]


def changes_of(pool: Pool, table: ThresholdTable) -> list[Change]:
    """Changes of level of a pool of one site, by the rules on motion."""
    level = rule_levels(pool, voting_rules(table, MOTION))[0]
    before = np.concatenate([[0], level[:-1]])
    days, known = pool.evidence.epoch_day[0], pool.known_day[0]
    return [
        Change(int(days[k]), int(known[k]), int(level[k]))
        for k in np.flatnonzero((level != before) & pool.usable[0])
    ]


def _compared(changes: Sequence[Change]) -> set[Change]:
    return {one for one in changes if one.arose >= FIRST_COMPARED_DAY}


def _told(change: Change) -> str:
    return f"{LEVELS[change.level]} by the epoch of day {change.arose}, known on {change.known}"
