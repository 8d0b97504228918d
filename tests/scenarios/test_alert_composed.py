"""An alert's life through the composed services: commands on the log, deadlines by the clock."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from timeline import Timeline, timeline

from core.events import (
    ALERTS,
    ASSESSMENTS,
    DEAD_LETTERS,
    AlertHandled,
    Event,
    OperatorCommanded,
    identity,
)
from tests.pipeline import append, events_of

PEOPLE = [
    {"id": "ops", "notifier": {"kind": "table"}, "coverage": False},
    {"id": "kim", "notifier": {"kind": "table"}, "from_level": "red", "coverage": False},
]
SITE: dict[str, Any] = {
    "recipients": PEOPLE,
    "escalation": {"wait_minutes": 30, "roster": [{"recipient": "kim"}]},
    "two_persons": {"officers": ["ann", "bo"], "ask": ["kim"]},
}


def runs_away(number: int) -> float:
    return -3.0 * max(0, number - 48)


def command(life: Timeline, what: str, who: str, **more: Any) -> None:
    """An operator's word, a minute after the last event."""
    now = life.clock.now() + timedelta(minutes=1)
    life.clock.set(now)
    tree = {"command": what, "operator": who, "unit": None, "reason": "seen", **more}
    event = Event(
        id=identity(what, who, now),
        site="dam",
        source="test",
        valid_time=now,
        available_at=now,
        processed_at=now,
        data=msgspec.convert(tree, OperatorCommanded),
    )
    append(life.app.log, ASSESSMENTS, [event])
    life.app.settle()


def after(life: Timeline, minutes: int) -> None:
    """Let time pass, and the scheduler look at deadlines."""
    life.clock.set(life.clock.now() + timedelta(minutes=minutes))
    life.app.pass_deadlines()
    life.app.settle()


def handled(life: Timeline) -> list[str]:
    said = [e.data for e in events_of(life.app.log, ALERTS, "dam")]
    return [f"{d.action} {d.by}".strip() for d in said if isinstance(d, AlertHandled)]


def test_a_red_is_reviewed_released_escalated_acknowledged_and_cancelled(tmp_path: Path) -> None:
    with timeline(tmp_path, **SITE) as life:
        life.live(0, 78, runs_away)
        sent = life.heard()
        assert {m.level for m in sent} <= {"yellow", "orange"}
        assert {m.under_review for m in sent if m.kind == "review"} == {"red"}
        assert life.level("toe") == life.level("head") == "red"

        after(life, 31)
        assert {(m.kind, m.unanswered.needs) for m in life.heard() if m.unanswered} == {
            ("escalation", "release")
        }
        command(life, "review", "ann")
        command(life, "release", "ann")
        assert [e.data.reason for e in events_of(life.app.log, DEAD_LETTERS, "dam")] == [
            "site dam: ann reviewed red of head; another officer must release it"
        ]
        assert life.heard() == []
        command(life, "release", "bo")
        assert {(m.level, m.operator) for m in life.heard()} == {("red", "bo")}

        after(life, 31)
        assert {m.unanswered.needs for m in life.heard() if m.unanswered} == {"acknowledgement"}
        command(life, "acknowledge", "ann")
        after(life, 600)
        assert life.heard() == []

        command(life, "drill", "ann", unit="toe", level="red")
        assert life.heard() == []
        command(life, "cancel", "bo", reason="blasting at the quarry")
        last = life.heard()
        assert {(m.kind, m.level, m.owner) for m in last} == {("cancelled", "blue", "ann")}
        assert all(m.references for m in last)
        assert handled(life)[-5:] == [
            *["acknowledged ann"] * 2,
            "drilled ann",
            *["cancelled bo"] * 2,
        ]
        assert life.app.ledger is not None
        heads = [e.data.head for e in events_of(life.app.log, ALERTS, "dam")]
        assert life.app.ledger.verify({"dam": heads}) == []
