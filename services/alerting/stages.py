"""The way of a notice to a recipient, as one list of stages; each may drop it with a reason.

mute -> inhibit -> route -> dedup -> record. What passes all of them is recorded as a notification
of the ledger's outbox (`services.alerting.news`); what is dropped stands in the decision with the
stage's name and its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from core.events import Coverage, Level
from core.settings import Recipient, rank
from services.alerting.coverage import plain_date
from services.alerting.message import WHOLE_SITE, MessageKind
from services.alerting.state import Silence, Told, Waiting

TOLD_COVERAGE: tuple[Coverage, ...] = ("blind", "out of range")
"""Coverage that is news by itself, and the end of which is news."""


class Notice(NamedTuple):
    """One piece of news for one recipient; `unit` is `WHOLE_SITE` when it speaks of all units."""

    kind: MessageKind
    unit: str
    level: Level
    coverage: Coverage
    silence: Silence | None
    recipient: Recipient
    told: Told


class Scene(NamedTuple):
    """What is the same for all notices of one input.

    `hold`: why nobody is told now, if so. `said_for_all`: one notice tells the coverage of all
    units.
    """

    hold: Waiting | None
    said_for_all: bool


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """A notice that went no further."""

    unit: str
    kind: MessageKind
    recipient: str
    stage: str
    reason: str


Stage = Callable[[Notice, Scene], str | None]
"""The reason for which a notice goes no further, or None."""


def is_silenced(kind: MessageKind, level: Level, silence: Silence | None) -> bool:
    """Whether a silence keeps news back; a level above the one it was laid on passes."""
    if silence is None:
        return False
    return kind == "coverage" or rank(level) <= rank(silence.level)


def mute(notice: Notice, scene: Scene) -> str | None:
    """An operator's silence."""
    silence = notice.silence
    if silence is None or not is_silenced(notice.kind, notice.level, silence):
        return None
    return f"silenced by {silence.operator} until {plain_date(silence.until.date())}"


def inhibit(notice: Notice, scene: Scene) -> str | None:
    """History, catching up, and one notice that speaks for all units."""
    if scene.hold == "historical":
        return "historical: before the day from which the site is watched"
    if scene.hold is not None:
        return f"{scene.hold}: told when the last missing day is closed"
    if scene.said_for_all and notice.kind == "coverage" and notice.unit != WHOLE_SITE:
        return "one notice tells it for the whole site"
    return None


def route(notice: Notice, scene: Scene) -> str | None:
    """Whether the recipient wants to know; who was told of the worse is told of the better."""
    recipient, told = notice.recipient, notice.told
    if notice.kind == "level":
        rising = rank(notice.level) > rank(told.level)
        if rising and rank(notice.level) < rank(recipient.from_level):
            return f"told from {recipient.from_level} on"
        return None
    if not recipient.coverage:
        return "not told of coverage"
    if notice.coverage not in TOLD_COVERAGE and told.coverage not in TOLD_COVERAGE:
        return "only blind and out of range, and their end, are told"
    return None


def dedup(notice: Notice, scene: Scene) -> str | None:
    """What the recipient knows already."""
    told = notice.told
    if notice.kind == "level" and notice.level == told.level:
        return f"already told {told.level}" if told.level != "blue" else "never told above blue"
    if notice.kind == "coverage" and notice.coverage == told.coverage:
        return f"already told {told.coverage}"
    return None


STAGES: tuple[tuple[str, Stage], ...] = (
    ("mute", mute),
    ("inhibit", inhibit),
    ("route", route),
    ("dedup", dedup),
)


class Sifted(NamedTuple):
    """Notices that passed; those that nothing but a silence keeps back; and all that dropped."""

    passed: tuple[Notice, ...]
    muted: tuple[Notice, ...]
    dropped: tuple[Dropped, ...]


def sift(notices: Iterable[Notice], scene: Scene) -> Sifted:
    """Send every notice through the stages."""
    passed, muted, dropped = [], [], []
    for notice in notices:
        reasons = [(name, stage(notice, scene)) for name, stage in STAGES]
        told_why = [(name, reason) for name, reason in reasons if reason is not None]
        if not told_why:
            passed.append(notice)
            continue
        name, reason = told_why[0]
        if [stage for stage, _ in told_why] == ["mute"]:
            muted.append(notice)
        dropped.append(
            Dropped(
                unit=notice.unit,
                kind=notice.kind,
                recipient=notice.recipient.id,
                stage=name,
                reason=reason,
            )
        )
    return Sifted(tuple(passed), tuple(muted), tuple(dropped))
