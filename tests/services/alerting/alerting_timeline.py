"""A site's story in the order in which alerting hears it, and what it should have said by then.

`at(day, ...)` gives inputs that become known on a day (counted from 1 January 2024), `want(...)`
says what must have been sent since the last `want`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec
import numpy as np

from core.artifacts import MemoryArtifacts
from core.events import (
    AlertChanged,
    AlertHandled,
    DayClosed,
    DeadlinePassed,
    Event,
    EventData,
    OperatorCommanded,
    ReleaseActivated,
    SiteConfigured,
    StateUpdated,
    UnitState,
)
from core.evidence import Evidence, not_said, pack_evidence
from core.kinematics import mm_d_from_mm_yr
from core.ledger import Deadline, LedgerState
from core.settings import parse_site, site_bytes
from core.stage import Input, Outcome
from services.alerting.message import Message
from services.alerting.service import AlertingStage
from services.alerting.state import SiteAlerts, decode_state

START = date(2024, 1, 1)
RATES = {"blue": 5.0, "yellow": 15.0, "orange": 30.0, "red": 60.0}
"""mm/yr of an epoch at which the story's one rule asks for the level."""

RAIN = {
    "kind": "rain",
    "short_days": 1,
    "antecedent_days": 1,
    "line_mm": 10,
    "slope": 0,
    "unknown_days": 0,
    "thresholds": {"yellow": 1, "orange": 2, "red": 4},
}
"""A rule that asks for the level of `RATES` where it rained as many mm on a day."""
RING = [(0.0, 0.0), (0.1, 0.0), (0.1, 0.1)]
Make = Callable[["Story", int], EventData]


def day(number: int) -> date:
    return START + timedelta(days=number)


def moment(number: int, hour: int = 6) -> datetime:
    return datetime.combine(day(number), time(hour), UTC)


def site_tree(**changes: Any) -> dict[str, Any]:
    rule = {
        "kind": "velocity",
        "component": "los",
        "direction": "away",
        "thresholds_mm_per_year": {"yellow": 10, "orange": 20, "red": 40},
        "hits": 1,
        "of": 1,
    }
    return {
        "name": "dam",
        "area": (0.0, 0.0, 1.0, 1.0),
        "reference": {"scene_median": True},
        "slope_units": [{"id": "toe", "name": "Toe", "polygon": RING}],
        "rules": [rule, RAIN],
        "recipients": [{"id": "ops", "notifier": {"kind": "table"}}],
        **changes,
    }


def units(*ids: str) -> list[dict[str, Any]]:
    return [{"id": unit, "polygon": RING} for unit in ids]


def recipient(name: str, **settings: Any) -> dict[str, Any]:
    return {"id": name, "notifier": {"kind": "table"}, **settings}


class Story:
    """Drives the pure handler; nothing is stored, pending rows simply add up."""

    def __init__(self, *, watched_from: int | None = -1, **site: Any) -> None:
        self.artifacts = MemoryArtifacts()
        self.stage = AlertingStage(None, self.artifacts)
        self.ledger = LedgerState(None, "")
        self.inputs: list[Input] = []
        self.outcomes: list[Outcome] = []
        self.epochs: dict[str, date] = {}
        self._said = 0
        self._now = moment(-10)
        self._number = 0
        self.at(-1, configured(watched_from=watched_from, **site))

    # Inputs

    def at(self, number: int, *said: Make, hour: int = 6) -> None:
        """Inputs that become known on day `number`."""
        for make in said:
            self.say(make(self, number), moment(number, hour), moment(number, 0))

    def say(self, data: EventData, known: datetime, valid: datetime) -> None:
        """One input."""
        self._now = max(self._now, known)
        self._number += 1
        event = Event(
            id=f"input-{self._number}",
            site="dam",
            source="story",
            valid_time=valid,
            available_at=known,
            processed_at=known,
            data=data,
            number=self._number,
        )
        given = Input(event, len(self.inputs) + 1, self._now)
        self.ledger, outcomes = self.stage.handle(self.ledger, given)
        self.inputs.append(given)
        self.outcomes += outcomes

    def closed(self, first: int, last: int, **facts: Any) -> None:
        """Close each day on the morning after it."""
        for number in range(first, last + 1):
            self.at(number + 1, closed(number, **facts), hour=1)

    # What came of it

    @property
    def state(self) -> SiteAlerts:
        return decode_state(self.ledger.state)

    @property
    def level(self) -> str:
        return self.state.units["toe"].level

    @property
    def coverage(self) -> tuple[str, str]:
        unit = self.state.units["toe"]
        return unit.coverage, unit.coverage_reason

    @property
    def changes(self) -> list[AlertChanged]:
        return [o.data for o in self.outcomes if isinstance(o.data, AlertChanged)]

    @property
    def handled(self) -> list[AlertHandled]:
        return [o.data for o in self.outcomes if isinstance(o.data, AlertHandled)]

    @property
    def open_deadlines(self) -> list[Deadline]:
        """Rows that are written and not done, earliest first."""
        done = set(self.ledger.done_deadlines)
        rows = [row for row in self.ledger.deadlines if row.id not in done]
        return sorted(rows, key=lambda row: (row.due, row.id))

    def wait(self, until: datetime) -> None:
        """Let every deadline pass that is due by then, as the scheduler does."""
        while (rows := self.open_deadlines) and rows[0].due <= until:
            row = rows[0]
            self.say(DeadlinePassed(deadline=row.id, due=row.due), row.due, row.due)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(row.body)["facts"] for row in self.ledger.decisions]

    def messages(self, outcome: str = "queued") -> list[Message]:
        rows = self.ledger.notifications
        return [
            msgspec.json.decode(row.message, type=Message) for row in rows if row.outcome == outcome
        ]

    def want(self, *expected: str) -> list[Message]:
        """Since the last `want` exactly these were sent, in any order: `recipient: unit what`."""
        queued = [row for row in self.ledger.notifications if row.outcome == "queued"]
        by_id = {row.id: row.recipient for row in queued}
        sent = self.messages()[self._said :]
        self._said += len(sent)
        said = [f"{by_id[m.id]}: {m.unit} {_what(m)}" for m in sent]
        assert sorted(said) == sorted(expected)
        return sent

    def drops(self) -> list[tuple[str, str]]:
        """Stage and reason of every drop of the last decision."""
        return [(drop["stage"], drop["reason"]) for drop in self.rows[-1]["dropped"]]


def _what(message: Message) -> str:
    """`red` or `blind`; with the kind before it where it is another: `review red`."""
    if message.kind == "coverage":
        return message.coverage
    review = f" {message.under_review}?" if message.under_review else ""
    kind = "" if message.kind == "level" else f"{message.kind} "
    return f"{kind}{message.level}{review}"


# Inputs of a story


def configured(*, watched_from: int | None = -1, retired: bool = False, **site: Any) -> Make:
    def make(story: Story, number: int) -> SiteConfigured:
        content = site_bytes(parse_site(site_tree(**site)))
        return SiteConfigured(
            settings=story.artifacts.put(content),
            watched_from=None if watched_from is None else day(watched_from),
            retired=retired,
        )

    return make


def released(table: bytes | None = None) -> Make:
    def make(story: Story, number: int) -> ReleaseActivated:
        ref = story.artifacts.put(table) if table is not None else None
        return ReleaseActivated(code="1", model="kalman 1", thresholds="t1", table=ref)

    return make


def epoch(
    number: int,
    *,
    track: str = "A",
    points: int = 10,
    usual: int = 0,
    los_factor: float | None = None,
    out_of_range: bool = False,
    **levels: str,
) -> Make:
    """An epoch of day `number` at which the rule asks for `levels` by unit (`toe="red"`)."""

    def make(story: Story, today: int) -> StateUpdated:
        last = story.epochs.get(track, day(number))
        story.epochs = {**story.epochs, track: max(day(number), last)}
        states = tuple(
            UnitState(
                track=track,
                unit=unit,
                los_displacement_mm=0.0,
                displacement_sd_mm=1.0,
                los_velocity_mm_d=0.0,
                velocity_sd_mm_d=1.0,
                measured_points=points,
                usual_points=usual,
                los_factor=los_factor,
                out_of_range=out_of_range,
            )
            for unit in levels
        )
        return StateUpdated(
            reason="epoch",
            track=track,
            epoch=day(number),
            seq=100 + number,
            units=states,
            evidence=story.artifacts.put(pack_evidence(evidence(number, levels))),
            inputs=(f"scene-{number}",),
        )

    return make


def evidence(number: int, levels: dict[str, str]) -> Evidence:
    rates = np.array([[-mm_d_from_mm_yr(RATES[level]) for level in levels.values()]])
    nothing = np.full(rates.shape, np.nan)
    arrays: dict[str, Any] = {
        "epoch_day": np.array([(day(number) - date(1970, 1, 1)).days]),
        "innovation_z": np.zeros(rates.shape),
        "velocity_mm_d": rates,
        "velocity_sd_mm_d": np.full(rates.shape, 1e-4),
        "acceleration_mm_d2": nothing,
        "acceleration_sd_mm_d2": nothing,
        "out_of_range": np.zeros(rates.shape, dtype=bool),
        "los_factor": np.full(rates.shape[1], np.nan),
        "point_unit": np.zeros(0, dtype=np.int64),
        "point_velocity_mm_d": np.zeros((3, 0)),
        "point_velocity_sd_mm_d": np.zeros((3, 0)),
    }
    return Evidence(units=tuple(levels), **{**not_said(arrays), **arrays})


def drivers(number: int, level: str | None, *units: str) -> Make:
    """Water of day `number`, for which the rule on rain asks for `level`; None: rain not known.

    Of the toe, or of `units`; as inference says it.
    """

    def make(story: Story, today: int) -> StateUpdated:
        last = (day(number) - date(1970, 1, 1)).days
        water = dataclasses.replace(
            evidence(number, dict.fromkeys(units or ("toe",), "blue")),
            driver_day=np.array([last - 1, last]),
            rain_mm=np.array([0.0, RATES[level] if level else np.nan]),
            level_m=np.full(2, np.nan),
        )
        return StateUpdated(
            reason="day",
            track=None,
            epoch=None,
            seq=300 + number,
            units=(),
            evidence=story.artifacts.put(pack_evidence(water)),
        )

    return make


def closed(
    number: int,
    *,
    catching_up: bool = False,
    passes: dict[str, int] | None = None,
    sources: Sequence[str] = ("table",),
) -> Make:
    def make(story: Story, today: int) -> DayClosed:
        return DayClosed(
            day=day(number),
            catching_up=catching_up,
            seq=200 + number,
            passes={track: day(last) for track, last in (passes or {}).items()},
            epochs=story.epochs,
            sources=tuple(sources),
        )

    return make


def operator(
    command: str,
    *,
    unit: str | None = "toe",
    until: datetime | None = None,
    who: str = "li",
    reason: str = "works at the toe",
    to: str = "",
    level: str | None = None,
) -> Make:
    def make(story: Story, number: int) -> OperatorCommanded:
        return msgspec.convert(
            {
                "command": command,
                "operator": who,
                "unit": unit,
                "reason": reason,
                "until": until,
                "to": to,
                "level": level,
            },
            OperatorCommanded,
        )

    return make


def deadline_passed(place: int = -1) -> Make:
    """The last deadline that was written is due, or the one at `place`."""

    def make(story: Story, number: int) -> DeadlinePassed:
        row = story.ledger.deadlines[place]
        return DeadlinePassed(deadline=row.id, due=row.due)

    return make
