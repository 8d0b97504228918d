"""The case file of an alert: who owns it, what waits, who was called, what was said so far.

A unit that leaves blue opens one; it closes when the unit is back at blue, be it by its votes or
because a person cancelled it. The last case stays with its unit, so that an all-clear that waits
for somebody's morning still knows what it closes.
"""

from __future__ import annotations

from datetime import date, datetime

import msgspec
from msgspec.structs import replace

from core.events import LEVELS, Level
from core.settings import TwoPersons, rank
from services.alerting.message import Reference


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A level that is told only once one person has reviewed and another one released it.

    `seq` is the decision that drafted it; `tell` the highest level that may be told meanwhile.
    """

    seq: int
    level: Level
    tell: Level
    since: datetime
    reviewed_by: str = ""


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """Up to which level it may be told, and who said so.

    Nobody where it was told before the site asked for two persons.
    """

    level: Level
    reviewed_by: str = ""
    released_by: str = ""


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """Calls along the roster for `level` since a moment: `step` places of it are behind.

    `deadline` is the row that the next call waits for; None: every round is over.
    """

    level: Level
    since: datetime
    step: int = 0
    deadline: str | None = None


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """What a person added to what was said, by input `seq`."""

    seq: int
    operator: str
    note: str


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """Late data of input `seq` that changed which rules ask for what."""

    seq: int
    track: str
    epoch: date


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """A person cancelled the alert."""

    operator: str
    reason: str


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the case: its public id, when, and to which recipients it went."""

    id: str
    sent: datetime
    to: tuple[str, ...]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of one unit; `id` is `site.unit.seq` of the decision that opened it."""

    id: str
    opened: datetime
    closed: datetime | None = None
    owner: str = ""
    draft: Draft | None = None
    released: Released | None = None
    escalation: Escalation | None = None
    correction: Correction | None = None
    revision: Revision | None = None
    cancelled: Withdrawal | None = None
    messages: tuple[Issued, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the unit still stands above blue."""
        return self.closed is None

    @property
    def amended(self) -> int:
        """Input that last changed what was said beside the level; 0: none did."""
        return max(entry.seq if entry else 0 for entry in (self.correction, self.revision))

    def references(self, recipient: str) -> tuple[Reference, ...]:
        """The messages that `recipient` was sent, oldest first."""
        return tuple(Reference(one.id, one.sent) for one in self.messages if recipient in one.to)

    def issued(self, seq: int, now: datetime, to: tuple[str, ...]) -> Case:
        """The case with the message of decision `seq` to the recipients `to`."""
        one = Issued(id=f"{self.id}.{seq}", sent=now, to=to)
        return replace(self, messages=(*self.messages, one))


def brought_up_to(
    case: Case | None, level: Level, alert_id: str, seq: int, now: datetime, two: TwoPersons | None
) -> Case | None:
    """The case of a unit that stands at `level` after input `seq`: opened, closed, or its draft.

    `alert_id` is the name of a new one. `two`: what the site asks of two persons now.
    """
    if level == "blue":
        over = {"closed": now, "draft": None, "released": None, "escalation": None}
        return replace(case, **over) if case and case.is_open else case
    if case is None or not case.is_open:
        case = Case(id=alert_id, opened=now)
    return _drafted(case, level, seq, now, two)


def _drafted(case: Case, level: Level, seq: int, now: datetime, two: TwoPersons | None) -> Case:
    """A rise past what is released needs a draft; a fall takes with it what it leaves above."""
    released = case.released
    if two is None or rank(level) < rank(two.from_level):
        return replace(case, draft=None, released=None)
    if released is not None and rank(level) <= rank(released.level):
        return replace(case, draft=None, released=replace(released, level=level))
    below: Level = LEVELS[max(0, rank(two.from_level) - 1)]
    draft = case.draft or Draft(seq=seq, level=level, tell=below, since=now)
    if draft.level != level:
        draft = Draft(seq=seq, level=level, tell=below, since=now)
    tell = max(below, released.level if released else below, key=rank)
    return replace(case, draft=replace(draft, tell=tell))
