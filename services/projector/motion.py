"""The projection of what inference says: motion, forecasts, closed days, the sites themselves.

Motion comes from the evidence of an epoch, which has every epoch of its track. From the epoch that
came on the filter was run again, so these rows are put; all of them after the site's geometry or
noise changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, Final

import msgspec
import numpy as np
from msgspec.structs import replace

from core.errors import BadInputError
from core.events import (
    ASSESSMENTS,
    DayClosed,
    Event,
    ForecastIssued,
    SiteConfigured,
    StateUpdated,
    UnitForecast,
    identity,
)
from core.evidence import Evidence, unpack_evidence
from core.settings import Site, site_from_bytes
from core.stage import Input
from services.projector.changes import Change, Clear, Projected, Put, Row
from services.projector.looking_on import LooksOn
from services.projector.schema import (
    CLOSED_DAYS,
    FORECASTS,
    MOTION,
    SITES,
    UNIT_NAMES,
    tables_of,
)

DAYS_A_YEAR: Final = 365.25
_EPOCH: Final = date(1970, 1, 1)
_BOUNDS: Final = ("low_90_mm", "low_50_mm", "high_50_mm", "high_90_mm")


class Memory(msgspec.Struct, frozen=True):
    """What is remembered of a site.

    `watched_from`: its first day of news. `settings`: identity of what motion is reckoned with, and
    `whole` the tracks of which every row was put since it was this one. `day` and
    `los_displacement_mm`, by track and unit: the filtered state at the end of the last closed day,
    from which forecasts go on. `issued_for`: the newest forecast's day.
    """

    watched_from: date | None = None
    settings: str = ""
    whole: tuple[str, ...] = ()
    day: date | None = None
    los_displacement_mm: dict[str, dict[str, float]] = {}
    issued_for: date | None = None


class Motion(LooksOn[Memory]):
    """A stage of `assessments`."""

    name = "projection-motion"
    inbox = ASSESSMENTS
    tables = tables_of("motion")
    memory = Memory

    def project(self, state: Projected[Memory], given: Input) -> Projected[Memory]:
        """Rows of one assessment.

        Raises BadInputError for a damaged artifact, UnavailableError for one out of reach.
        """
        event, memory = given.event, state.memory
        match event.data:
            case SiteConfigured() as data:
                site = site_from_bytes(self._artifacts.get(data.settings))
                return state.then(*_configured(memory, data, site, given))
            case StateUpdated(reason="day") as data:
                moved = _displacements(data)
                day = event.valid_time.date() - timedelta(days=1)
                return state.then(replace(memory, day=day, los_displacement_mm=moved))
            case StateUpdated() as data if data.evidence is not None:
                evidence = unpack_evidence(self._artifacts.get(data.evidence))
                return state.then(*_moved(memory, event, data, evidence))
            case ForecastIssued() as data:
                return state.then(*_forecast(memory, event, data))
            case DayClosed() as data:
                row = {"day": data.day, "historical": data.historical, **_known(event)}
                return state.then(memory, [Put(CLOSED_DAYS, row)])
        return state


def _known(event: Event) -> dict[str, Any]:
    return {"site": event.site, "available_at": event.available_at}


def _configured(
    memory: Memory, data: SiteConfigured, site: Site, given: Input
) -> tuple[Memory, list[Change]]:
    name = given.event.site
    west, south, east, north = site.area
    watched_from = data.watched_from or memory.watched_from or given.now.date()
    row = {
        "site": name,
        "title": site.title or site.name,
        "simulated": site.simulated,
        "test": site.test,
        "retired": data.retired,
        "longitude": (west + east) / 2,
        "latitude": (south + north) / 2,
        "watched_from": watched_from,
    }
    units = (
        Put(UNIT_NAMES, {"site": name, "unit": unit.id, "title": unit.name or unit.id, "place": i})
        for i, unit in enumerate(site.slope_units)
    )
    settings = identity(site.slope_units, site.reference, site.noise, site.area)
    whole = memory.whole if settings == memory.settings else ()
    memory = replace(memory, watched_from=watched_from, settings=settings, whole=whole)
    return memory, [Put(SITES, row), Clear(UNIT_NAMES, {"site": name}), *units]


def _displacements(data: StateUpdated) -> dict[str, dict[str, float]]:
    moved: dict[str, dict[str, float]] = {}
    for unit in data.units:
        if unit.los_displacement_mm is not None:
            moved.setdefault(unit.track, {})[unit.unit] = unit.los_displacement_mm
    return moved


def _moved(
    memory: Memory, event: Event, data: StateUpdated, evidence: Evidence
) -> tuple[Memory, list[Change]]:
    """Rows of the epoch and of all after it; of all of the track where it is not whole."""
    track, epoch = data.track, data.epoch
    if track is None or epoch is None:
        raise BadInputError(f"state updated {event.id} names no track or no epoch")
    keys = {"track": track, **_known(event)}
    if track in memory.whole:
        first = (epoch - _EPOCH).days
        return memory, [Put(MOTION, {**keys, **row}) for row in _epochs(evidence, first)]
    clear = Clear(MOTION, {"site": event.site, "track": track})
    rows = [Put(MOTION, {**keys, **row}) for row in _epochs(evidence, None)]
    return replace(memory, whole=(*memory.whole, track)), [clear, *rows]


def _epochs(evidence: Evidence, first: int | None) -> Iterator[Row]:
    """A row for each unit at each epoch from `first`, days since 1970, on."""
    days = evidence.epoch_day
    columns = {
        "los_displacement_mm": evidence.observed_mm,
        "displacement_sd_mm": evidence.observed_sd_mm,
        "los_velocity_mm_per_year": evidence.velocity_mm_d * DAYS_A_YEAR,
        "velocity_sd_mm_per_year": evidence.velocity_sd_mm_d * DAYS_A_YEAR,
    }
    shape = (days.size, len(evidence.units))
    if any(one.shape != shape for one in (*columns.values(), evidence.out_of_range)):
        raise BadInputError(f"the evidence has arrays that are not of (epochs, units) {shape}")
    for e in range(days.size) if first is None else np.flatnonzero(days >= first):
        epoch = _EPOCH + timedelta(days=int(days[e]))
        for u, unit in enumerate(evidence.units):
            values = {name: _number(column[e, u]) for name, column in columns.items()}
            outside = bool(evidence.out_of_range[e, u])
            yield {"unit": unit, "epoch": epoch, **values, "out_of_range": outside}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _forecast(memory: Memory, event: Event, data: ForecastIssued) -> tuple[Memory, list[Change]]:
    """Rows of a forecast in place of those of the one before; none of an older issue."""
    if memory.issued_for is not None and data.issued_for < memory.issued_for:
        return memory, []
    if data.issued_for != memory.day:
        raise BadInputError(f"no state of {data.issued_for}, which the forecast goes on from")
    keys = {"issued_for": data.issued_for, "fitted": data.fitted, **_known(event)}
    rows = [
        Put(FORECASTS, {**keys, **row})
        for unit in data.units
        for row in _horizons(unit, data, memory.los_displacement_mm.get(unit.track, {}))
    ]
    clear = Clear(FORECASTS, {"site": event.site})
    return replace(memory, issued_for=data.issued_for), [clear, *rows]


def _horizons(unit: UnitForecast, data: ForecastIssued, from_mm: dict[str, float]) -> Iterator[Row]:
    """A row for each horizon of a unit, in absolute displacement; none where it is not known."""
    if unit.unit not in from_mm:
        return
    start = from_mm[unit.unit]
    said = {name: getattr(unit, name) for name in ("unit", "track", "model", "reason")}
    for h, horizon in enumerate(data.horizons_d):
        yield {
            **said,
            "stepped_down": unit.stepped_down,
            "horizon_d": horizon,
            "day": data.issued_for + timedelta(days=horizon),
            "los_displacement_mm": start + unit.los_increment_mm[h],
            **{name: start + getattr(unit, name)[h] for name in _BOUNDS},
        }
