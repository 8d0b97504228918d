"""Levels, coverage, verdicts and what was done about alerts in tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from core.artifacts import MemoryArtifacts
from core.errors import BadInputError
from core.eventlog import EventLog
from core.events import ALERTS, AlertChanged, AlertHandled, Event, Vote
from core.stage import Input
from services.alerting.state import decode_state
from services.projector.alerts import Alerts, Memory
from services.projector.changes import Projected
from services.projector.projection import Projection
from tests.pipeline import Bench, append, day, end_of, events_of
from tests.services.projector.looking import Looking, look, named

VOTE = Vote(rule="excess", track="A44", level="orange", calibrated=True, reason="it speeds up")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/projection.db"


@dataclass
class Told:
    """What alerting says of one unit, numbered; each after the one before."""

    log: EventLog
    level: str = "blue"
    coverage: str = "watched"
    number: int = field(default=0)

    def changes(self, when: datetime, **to: Any) -> None:
        before = {"previous_level": self.level, "previous_coverage": self.coverage}
        self.level = to.get("level", self.level)
        self.coverage = to.get("coverage", self.coverage)
        facts: dict[str, Any] = {
            "unit": "toe",
            "level": self.level,
            "coverage": self.coverage,
            "reason": f"number {self.number + 1}",
            "votes": (),
            "arose": date(2022, 1, 1),
            "historical": False,
            "seq": 10 * self.number,
            "head": "",
            **before,
            **to,
        }
        self._say(AlertChanged(**facts), when)

    def handled(self, when: datetime, action: Any) -> None:
        self._say(
            AlertHandled(
                unit="toe",
                alert="ridge.toe.1",
                action=action,
                by="ann",
                reason="seen",
                level="orange",
                status="actual",
                seq=1,
                head="",
            ),
            when,
        )

    def _say(self, data: Any, when: datetime) -> None:
        self.number += 1
        append(self.log, ALERTS, [_event(data, when, self.number)])


def _event(data: Any, when: datetime, number: int | None) -> Event:
    return Event(
        id=f"alert-{number}",
        site="ridge",
        source="test",
        valid_time=when,
        available_at=when,
        processed_at=when,
        data=data,
        number=number,
    )


def test_units_stand_as_the_ledger_has_them(url: str, bench: Bench) -> None:
    look(url, bench)
    view = bench.ledger.state("ridge")
    assert view is not None
    units = decode_state(view.state).units
    rows = {row.unit: row for row in named(url, "units")}
    assert sorted(rows) == sorted(units)
    for name, unit in units.items():
        assert (rows[name].level, rows[name].arose) == (unit.level, unit.arose)
        assert rows[name].level_since == unit.known_since
        assert (rows[name].coverage, rows[name].coverage_since) == (
            unit.coverage,
            unit.coverage_known_since,
        )
        assert rows[name].alert == (unit.case.id if unit.case else "")


def test_every_event_of_the_alerts_is_a_row(url: str, bench: Bench) -> None:
    look(url, bench)
    said = list(events_of(bench.log, ALERTS))
    changed = [event for event in said if isinstance(event.data, AlertChanged)]
    handled = [event for event in said if isinstance(event.data, AlertHandled)]
    assert [row.number for row in named(url, "alert_changes")] == [e.number for e in changed]
    assert [row.number for row in named(url, "alert_actions")] == [e.number for e in handled]
    assert [(row.number, row.rule, row.reason) for row in named(url, "verdicts")] == [
        (event.number, vote.rule, vote.reason) for event in changed for vote in event.data.votes
    ]
    assert [(row.action, row.operator) for row in named(url, "alert_actions")] == [
        ("acknowledged", "ann")
    ]


def test_level_and_coverage_each_keep_since_when_they_are_so(
    url: str, empty: EventLog, artifacts: MemoryArtifacts
) -> None:
    told = Told(empty)
    rose, went = end_of(day(3)), end_of(day(9))
    told.changes(rose, level="orange", alert="ridge.toe.1", votes=(VOTE,), arose=day(2))
    told.handled(end_of(day(4)), "acknowledged")
    told.changes(went, coverage="blind", alert="ridge.toe.1")
    with Looking(url, empty, artifacts) as looking:
        looking.drain()
        (row,) = named(url, "units")
        assert (row.level, row.level_number, row.level_since) == ("orange", 2, rose)
        assert (row.arose, row.alert) == (day(2), "ridge.toe.1")
        assert (row.coverage, row.coverage_since, row.updated_at) == ("blind", went, went)
        told.changes(end_of(day(20)), level="blue", alert="ridge.toe.1", arose=day(20))
        looking.drain()
    (row,) = named(url, "units")
    assert (row.level, row.alert, row.level_since) == ("blue", "", end_of(day(20)))
    assert (row.coverage, row.coverage_since) == ("blind", went)
    (verdict,) = named(url, "verdicts")
    assert (verdict.rule, verdict.level_number, verdict.at) == ("excess", 2, rose)
    assert [row.previous_level for row in named(url, "alert_changes")] == [
        "blue",
        "orange",
        "orange",
    ]


def test_what_alerting_did_not_number_is_none_of_its_outcomes(tmp_path: Path) -> None:
    stage = Alerts(Projection(f"sqlite://{tmp_path}/projection.db"), "log", MemoryArtifacts())
    data = AlertHandled(
        unit="toe",
        alert="",
        action="drilled",
        by="ann",
        reason="drill",
        level="red",
        status="exercise",
        seq=1,
        head="",
    )
    given = Input(_event(data, end_of(day(1)), None), 1, end_of(day(1)))
    with pytest.raises(BadInputError, match="no outcome of alerting"):
        stage.handle(Projected(Memory()), given)
