"""The projection of what alerting says: levels, coverage, verdicts, and what was done about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import msgspec

from core.errors import BadInputError
from core.events import ALERTS, AlertChanged, AlertHandled, Event, Vote
from core.settings import rank
from core.stage import Input
from services.projector.changes import Change, Projected, Put, Row
from services.projector.looking_on import LooksOn
from services.projector.schema import ALERT_ACTIONS, ALERT_CHANGES, UNITS, VERDICTS, tables_of


class Unit(msgspec.Struct, frozen=True):
    """A slope unit: since when it is at its level and its coverage, and of which day that speaks.

    None: it was so from the beginning.
    """

    level_since: datetime | None = None
    arose: date | None = None
    coverage_since: datetime | None = None


class Memory(msgspec.Struct, frozen=True):
    """The units of a site of which anything was decided, by id."""

    units: dict[str, Unit] = {}


class Alerts(LooksOn[Memory]):
    """A stage of `alerts`."""

    name = "projection-alerts"
    inbox = ALERTS
    tables = tables_of("alerts")
    memory = Memory

    def project(self, state: Projected[Memory], given: Input) -> Projected[Memory]:
        """Rows of one decision."""
        match given.event.data:
            case AlertChanged() as data:
                unit = _after(state.memory.units.get(data.unit, Unit()), data, given.event)
                memory = Memory({**state.memory.units, data.unit: unit})
                return state.then(memory, _changed(unit, data, given))
            case AlertHandled() as data:
                return state.then(state.memory, [_handled(data, given)])
        return state


def _after(unit: Unit, data: AlertChanged, event: Event) -> Unit:
    if data.level != data.previous_level:
        unit = msgspec.structs.replace(unit, level_since=event.available_at, arose=data.arose)
    if data.coverage != data.previous_coverage:
        unit = msgspec.structs.replace(unit, coverage_since=event.available_at)
    return unit


def _said(data: AlertChanged | AlertHandled, given: Input) -> dict[str, Any]:
    """Columns that changes and actions share."""
    event = given.event
    if event.number is None:
        raise BadInputError(f"{data.NAME} {event.id} is no outcome of alerting: it has no number")
    names = ("unit", "level", "reason", "alert", "status", "seq")
    return {
        "site": event.site,
        "number": event.number,
        "at": event.available_at,
        "level_number": rank(data.level),
        **{name: getattr(data, name) for name in names},
    }


def _changed(unit: Unit, data: AlertChanged, given: Input) -> Iterator[Change]:
    """The change, the unit after it, and what each rule asked for."""
    said = _said(data, given)
    names = ("previous_level", "coverage", "previous_coverage", "historical")
    more = {name: getattr(data, name) for name in names}
    yield Put(ALERT_CHANGES, {**said, **more, "day": data.arose})
    kept = ("site", "unit", "level", "level_number", "reason", "status")
    yield Put(
        UNITS,
        {
            **{name: said[name] for name in kept},
            **msgspec.structs.asdict(unit),
            "coverage": data.coverage,
            "alert": data.alert if data.level != "blue" else "",
            "updated_at": said["at"],
        },
    )
    for place, vote in enumerate(data.votes):
        named = {name: said[name] for name in ("site", "number", "unit", "at", "seq")}
        yield Put(VERDICTS, {**named, "place": place, **_verdict(vote)})


def _verdict(vote: Vote) -> Row:
    names = ("rule", "track", "level", "calibrated", "reason")
    return {**{name: getattr(vote, name) for name in names}, "level_number": rank(vote.level)}


def _handled(data: AlertHandled, given: Input) -> Change:
    """What was done."""
    return Put(ALERT_ACTIONS, {**_said(data, given), "action": data.action, "operator": data.by})
