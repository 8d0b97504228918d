"""A site's life drawn at random: epochs in any order, rain, closed days, commands, deadlines.

`Life` keeps its own, simple account of what was allowed, from the inputs and the outcomes alone,
so that properties are not judged by the code that they judge.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from alerting_timeline import (
    RATES,
    Story,
    closed,
    configured,
    day,
    drivers,
    epoch,
    moment,
    operator,
    recipient,
    units,
)
from hypothesis import strategies as st

from core.errors import BadInputError
from core.events import AlertChanged, DeadlinePassed
from core.settings import rank
from services.alerting.message import Message

UNITS = ("toe", "head")
OFFICERS = ("ann", "bo", "cy")
NIGHT = {"start": "20:00", "end": "05:00", "passes_from": "red"}
PEOPLE: list[dict[str, Any]] = [
    recipient("ops"),
    recipient("mayor", from_level="red", quiet=NIGHT),
    recipient("some", units=["toe"], most_a_day=1),
    recipient("kim", from_level="orange", takes=["actual", "exercise"], quiet=NIGHT),
    recipient("school", takes=["exercise"]),
]
TAKES = {one["id"]: one.get("takes", ["actual"]) for one in PEOPLE}
COMMANDS = (
    *("acknowledge", "hand over", "silence", "unsilence", "amend", "cancel", "drill"),
    *["review"] * 4,
    *["release"] * 5,
)


class Step(NamedTuple):
    """One thing that happens: `what`, and numbers from which everything about it is drawn."""

    what: str
    number: int
    level: str
    unit: str | None
    who: str


steps = st.lists(
    st.builds(
        Step,
        what=st.sampled_from(
            ["epoch"] * 5 + ["rain"] * 2 + ["days"] * 4 + ["command"] * 10 + ["time"] * 3 + ["file"]
        ),
        number=st.integers(0, 9999),
        level=st.sampled_from(list(RATES)),
        unit=st.sampled_from([*UNITS, None]),
        who=st.sampled_from([*OFFICERS, "dot"]),
    ),
    min_size=15,
    max_size=40,
)


class Life:
    """A story drawn from `steps`, and what was allowed in it; in a `dry` one no rule sees rain."""

    def __init__(self, from_level: str = "red", *, dry: bool = False) -> None:
        self.dry = dry
        self.site: dict[str, Any] = {
            "slope_units": units(*UNITS),
            "recipients": PEOPLE,
            "two_persons": {"from_level": from_level, "officers": OFFICERS, "ask": ["kim"]},
            "escalation": {"wait_minutes": 240, "roster": [{"recipient": "kim"}]},
        }
        self.from_level = from_level
        self.story = Story(**self.site)
        self.now = 0
        self.hour = 6
        self.closed = -1
        self.newest: dict[str, int] = {}
        self.levels = dict.fromkeys(UNITS, "blue")
        self.reviewed: dict[str, str] = {}
        self.granted = dict.fromkeys(UNITS, "blue")
        self.acknowledged: set[str] = set()
        self.fresh = False
        self.last = ""

    def live(self, chosen: list[Step]) -> Iterator[list[Message]]:
        """Take the steps one by one; after each input what was told by it."""
        for step in chosen:
            for _ in getattr(self, f"_{step.what}")(step):
                yield self._heard()

    # Steps; each yields after every input

    def _epoch(self, step: Step) -> Iterator[None]:
        number, track = max(0, self.now - step.number % 9), "AB"[step.number % 2]
        blind, out_of_range = step.number % 13 == 0, step.number % 11 == 0
        newer = number > self.newest.get(track, -1)
        self.newest[track] = max(number, self.newest.get(track, -1))
        levels = {unit: step.level if unit != step.unit else "blue" for unit in UNITS}
        said = epoch(
            number, track=track, points=0 if blind else 9, out_of_range=out_of_range, **levels
        )
        self.fresh = newer and not blind and not out_of_range
        yield from self._say(said, "epoch")

    def _rain(self, step: Step) -> Iterator[None]:
        yield from self._drivers(self.now, step.level)

    def _drivers(self, number: int, level: str) -> Iterator[None]:
        if not self.dry:
            yield from self._say(drivers(number, level, *UNITS), "rain")

    def _days(self, step: Step) -> Iterator[None]:
        self.now, self.hour = self.now + 1 + step.number % 3, 1
        stops = self.now - 1 - (step.number % 5 == 0)
        for number in range(self.closed + 1, stops + 1):
            self.closed = number
            late = number < self.now - 1
            if step.number % 4:
                yield from self._drivers(number, "blue" if step.number % 4 > 1 else step.level)
            yield from self._say(closed(number, catching_up=late), "days")
        self.hour = 2 + step.number % 20

    def _command(self, step: Step) -> Iterator[None]:
        command = COMMANDS[step.number % len(COMMANDS)]
        said = operator(
            command,
            unit=step.unit,
            who=step.who,
            until=moment(self.now + step.number % 4, 12),
            to=OFFICERS[step.number % 3],
            level=step.level,
        )
        before = self.story.state
        try:
            yield from self._say(said, command)
        except BadInputError:
            assert self.story.state == before

    def _time(self, step: Step) -> Iterator[None]:
        """Everything due passes; now and then only the first, and late."""
        until = moment(self.now, self.hour) + timedelta(hours=step.number % 30)
        self.now, self.hour = (until.date() - day(0)).days, until.hour
        while (rows := self.story.open_deadlines) and rows[0].due <= until:
            row = rows[0]
            known = until if step.number % 3 == 0 else row.due
            self.last = "time"
            self.story.say(DeadlinePassed(deadline=row.id, due=row.due), known, row.due)
            yield
            if step.number % 7 == 0:
                return

    def _file(self, step: Step) -> Iterator[None]:
        more = [recipient("new", takes=["test"])] if step.number % 2 else []
        changed = {**self.site, "recipients": [*PEOPLE, *more]}
        yield from self._say(configured(**changed), "file")

    def _say(self, said: Any, what: str) -> Iterator[None]:
        self.last = what
        before = len(self.story.inputs)
        self.story.at(self.now, said, hour=self.hour)
        assert len(self.story.inputs) == before + 1
        yield

    # The account

    def _heard(self) -> list[Message]:
        """What the last input told, after its outcomes were written down."""
        for one in self._new_handled():
            if one.action == "reviewed":
                assert one.by in OFFICERS
                self.reviewed[one.unit] = one.by
            elif one.action == "released":
                assert one.by in OFFICERS
                assert self.reviewed.pop(one.unit) != one.by
                self.granted[one.unit] = self.levels[one.unit]
            elif one.action == "acknowledged":
                self.acknowledged.add(one.unit)
        rows = self.story.ledger.notifications[self._heard_rows :]
        self._heard_rows += len(rows)
        self.to = {row.id: row.recipient for row in rows}
        sent = [row.message for row in rows if row.outcome == "queued"]
        return [msgspec.json.decode(text, type=Message) for text in sent]

    _heard_rows = 0
    _heard_handled = 0
    _heard_changes = 0

    def _new_handled(self) -> list[Any]:
        """Outcomes of the last input; changes of level first, as they come."""
        self.fell: list[str] = []
        for change in self.story.changes[self._heard_changes :]:
            self._changed(change)
        self._heard_changes = len(self.story.changes)
        new = self.story.handled[self._heard_handled :]
        self._heard_handled = len(self.story.handled)
        return new

    def _changed(self, change: AlertChanged) -> None:
        name = change.unit
        if change.level == change.previous_level:
            return
        assert change.previous_level == self.levels[name]
        self.levels[name] = change.level
        self.reviewed.pop(name, None)
        self.granted[name] = min(self.granted[name], change.level, key=rank)
        if rank(change.level) > rank(change.previous_level) or change.level == "blue":
            self.acknowledged.discard(name)
        if rank(change.level) < rank(change.previous_level):
            self.fell.append(name)

    @property
    def called(self) -> list[str]:
        """Units for which a row of an escalation is open."""
        rows = self.story.open_deadlines
        return [json.loads(row.body)["unit"] for row in rows if row.kind == "escalation"]

    def finish(self, until: datetime) -> None:
        """Close every day and let every deadline pass."""
        while day(self.closed) < until.date() - timedelta(days=1):
            self.closed += 1
            self.story.wait(moment(self.closed + 1, 0))
            self.story.at(self.closed + 1, closed(self.closed), hour=1)
        self.story.wait(until)
