"""A site whose alerts are explained, made again and tampered with, and the ways to do so."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from core.clock import ReplayClock, midnight
from core.events import (
    ASSESSMENTS,
    OBSERVATIONS,
    Event,
    EventData,
    OperatorCommanded,
    decode,
    encode,
)
from core.settings import Service
from services.commands.alerts import list_alerts
from services.commands.explaining import explain
from services.commands.ledgers import verify
from services.commands.reproducing import reproduce
from services.compose import Slopewatch, shipped_table, this_release
from tests.pipeline import LATER, START, Scene, append, append_raw, day, make_site

SITE = "dam"
DAYS = 49
RECEIPT = "250 taken\x1b[2J"


def motion_mm(number: int) -> float:
    """Creep, and from day 30 on a run towards the valley."""
    return -0.1 * number if number < 30 else -3.0 - 1.5 * (number - 30)


def season(scene: Scene) -> list[Event]:
    """Passes, epochs, rain and level; day 30's rain is revised after two days."""
    said = [scene.configured(), scene.event(this_release(), midnight(START), midnight(START), "r")]
    for number in range(DAYS):
        if number % 6 == 0:
            said += [scene.found(number), scene.epoch(number, motion_mm(number))]
        said += [scene.rain(number, float(number % 7)), scene.level(number, 170.0 - number / 10)]
        if number == 32:
            said.append(scene.rain(30, 99.0, midnight(day(33))))
    return said


def live(folder: Path) -> None:
    """Fill a data folder: the toe goes yellow, is told and acknowledged; the head goes yellow."""
    clock = ReplayClock(LATER)
    service = Service(data=folder).resolved()
    with Slopewatch(service, roles=("inference", "alerting"), clock=clock) as app:
        app.artifacts.put(shipped_table())
        scene = Scene(make_site(SITE), app.artifacts)
        said = season(scene)
        append(app.log, OBSERVATIONS, said[:40])
        append_raw(app.log, OBSERVATIONS, SITE, b"no event", encode(said[30]))
        append(app.log, OBSERVATIONS, said[40:])
        app.settle()
        word = OperatorCommanded(
            command="acknowledge", operator="ann", unit="toe", reason="on my way"
        )
        when = midnight(day(DAYS)) + timedelta(hours=2)
        append(app.log, ASSESSMENTS, [scene.event(word, when, when, "word")])
        app.settle()
        assert not any(worker.parked for worker in app.workers)
        assert app.ledger is not None
        first, *_ = app.ledger.due_notifications(when, 5, "sender", 60.0)
        app.ledger.record_attempt(first.id, "sender", when, "sent", receipt=RECEIPT)


def explained(service: Service, name: str = f"{SITE}.toe") -> tuple[bool, str]:
    lines: list[str] = []
    whole = explain(service, name, False, lines.append)
    return whole, "\n".join(lines)


def as_json(service: Service, name: str = f"{SITE}.toe") -> dict[str, Any]:
    lines: list[str] = []
    explain(service, name, True, lines.append)
    found: dict[str, Any] = json.loads("\n".join(lines))
    return found


def reproduced(service: Service, name: str = f"{SITE}.toe") -> tuple[bool, str]:
    lines: list[str] = []
    equal = reproduce(service, name, lines.append)
    return equal, "\n".join(lines)


def verified(service: Service) -> tuple[bool, str]:
    lines: list[str] = []
    whole = verify(service, lines.append)
    return whole, "\n".join(lines)


def in_ledger(service: Service, statement: str, *values: object) -> None:
    """Change the ledger's file behind its back."""
    with closing(sqlite3.connect(str(service.ledger).removeprefix("sqlite://"))) as database:
        assert database.execute(statement, values).rowcount > 0
        database.commit()


def on_log(
    service: Service, pick: Callable[[Event], bool], change: Callable[[Any], EventData]
) -> None:
    """Change the first event that `pick` takes, in the log's file."""
    with closing(sqlite3.connect(str(service.log).removeprefix("sqlite://"))) as database, database:
        for row, value in database.execute("SELECT id, value FROM records ORDER BY id").fetchall():
            if value != b"no event" and pick(event := decode(value)):
                altered = encode(replace(event, data=change(event.data)))
                database.execute("UPDATE records SET value = ? WHERE id = ?", (altered, row))
                return
    raise AssertionError("nothing to alter")


def command(service: Service, **word: Any) -> None:
    """An operator's word, taken in by alerting."""
    with Slopewatch(service, roles=("alerting",), clock=ReplayClock(LATER)) as app:
        scene = Scene(make_site(SITE), app.artifacts)
        when = midnight(day(DAYS)) + timedelta(hours=3)
        said = OperatorCommanded(operator="bo", **word)
        append(app.log, ASSESSMENTS, [scene.event(said, when, when, said.command)])
        app.settle()


def listed(service: Service, *, closed_too: bool = False) -> list[str]:
    lines: list[str] = []
    list_alerts(service, None, closed_too, lines.append)
    return lines


def file_of(service: Service, sha256: str) -> Path:
    return service.data / "artifacts" / sha256[:2] / sha256[2:]
