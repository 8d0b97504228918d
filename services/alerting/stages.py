"""The way of a notice to a recipient, as one list of stages; each may drop it with a reason.

mute -> inhibit -> status -> review -> route -> dedup -> quiet -> rate -> record. What passes all of
them is recorded as a notification of the ledger's outbox (`services.alerting.news`); what is
dropped stands in the decision with the stage's name and its reason. What quiet or rate keep back
is tried again when their deadline passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

import msgspec

from core.events import Coverage, Level, Status
from core.settings import Recipient, rank
from services.alerting.coverage import plain_date
from services.alerting.message import WHOLE_SITE
from services.alerting.quiet import lately, quiet_until
from services.alerting.state import Held, NewsKind, Silence, Told, UnitAlert, Waiting
from services.alerting.turn import Call

NoticeKind = Literal["level", "coverage", "amended", "review", "escalation", "drill"]

TOLD_COVERAGE: tuple[Coverage, ...] = ("blind", "out of range")
"""Coverage that is news by itself, and the end of which is news."""


class Notice(NamedTuple):
    """One piece of news for one recipient; `unit` is `WHOLE_SITE` when it speaks of all units.

    `alert` is the unit as it stands. `level` and `under_review` are what may be told of it.
    `hold`: why it is told to nobody now. `shared`: another notice tells it for the whole site.
    `waited`: what kept it back so far. `call`: what sent it, of an escalation or a drill.
    """

    kind: NoticeKind
    unit: str
    alert: UnitAlert
    level: Level
    under_review: Level | None
    recipient: Recipient
    told: Told
    status: Status
    hold: Waiting | None = None
    shared: bool = False
    waited: Held | None = None
    call: Call | None = None

    @property
    def coverage(self) -> Coverage:
        """Of the unit."""
        return self.alert.coverage

    @property
    def silence(self) -> Silence | None:
        """Of the unit."""
        return self.alert.silence

    @property
    def gravity(self) -> Level:
        """The level that it is about: of a review, and of a call for one, the one that waits."""
        waits = self.under_review if self.kind in ("review", "escalation") else None
        return waits or self.level

    @property
    def rises(self) -> bool:
        """Whether it brings its recipient a higher level than they know."""
        rises = rank(self.gravity) > rank(self.told.level)
        return rises and self.kind in ("level", "review", "drill")

    @property
    def is_urgent(self) -> bool:
        """A rise to orange or red, or a call for somebody to answer; never an exercise."""
        if self.kind == "escalation":
            return True
        return self.kind != "drill" and self.rises and rank(self.gravity) >= rank("orange")

    @property
    def news_kind(self) -> NewsKind | None:
        """The kind of news that it is; none: of a call, which is made once and does not wait."""
        if self.kind == "escalation":
            return None
        return None if self.kind == "drill" else self.kind

    @property
    def key(self) -> tuple[str, str]:
        """Unit and recipient: all that passes for both is one message."""
        return self.unit, self.recipient.id


class Scene(NamedTuple):
    """What a stage may know beside the notice.

    `sent`: by recipient id, when they were sent messages lately. `passed`: keys of the messages
    that this input sends already.
    """

    now: datetime
    sent: dict[str, tuple[datetime, ...]]
    passed: frozenset[tuple[str, str]] = frozenset()


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """A notice that went no further."""

    unit: str
    kind: NoticeKind
    recipient: str
    stage: str
    reason: str


Stage = Callable[[Notice, Scene], str | None]
"""The reason for which a notice goes no further, or None."""


WORST_LAST: tuple[Coverage, ...] = ("watched", "stale", "blind", "out of range")


def is_silenced(
    kind: NoticeKind, level: Level, coverage: Coverage, silence: Silence | None
) -> bool:
    """Whether a silence keeps news back; what is worse than what it was laid on passes."""
    if silence is None:
        return False
    if kind == "coverage":
        return WORST_LAST.index(coverage) <= WORST_LAST.index(silence.coverage)
    return rank(level) <= rank(silence.level)


def mute(notice: Notice, scene: Scene) -> str | None:
    """An operator's silence."""
    silence = notice.silence
    if silence is None or not is_silenced(notice.kind, notice.gravity, notice.coverage, silence):
        return None
    return f"silenced by {silence.operator} until {plain_date(silence.until.date())}"


def inhibit(notice: Notice, scene: Scene) -> str | None:
    """History, catching up, and one notice that speaks for all units."""
    if notice.hold == "historical":
        return "historical: before the day from which the site is watched"
    if notice.hold is not None:
        return f"{notice.hold}: told when the last missing day is closed"
    return "one notice tells it for the whole site" if notice.shared else None


def status(notice: Notice, scene: Scene) -> str | None:
    """Exercises and tests go to those alone who take them."""
    if notice.status in notice.recipient.takes:
        return None
    return f"does not take {notice.status} messages"


def review(notice: Notice, scene: Scene) -> str | None:
    """A level waits for its two persons, and what may be told meanwhile is no rise."""
    if notice.kind != "level" or notice.under_review is None or notice.rises:
        return None
    return f"{notice.under_review} waits for its two persons"


def route(notice: Notice, scene: Scene) -> str | None:
    """Whether the recipient wants to know; who was told of the worse is told of the better."""
    kind, recipient, told = notice.kind, notice.recipient, notice.told
    if kind in ("escalation", "review"):
        return None
    aware = told.level != "blue" or told.under_review or told.coverage in TOLD_COVERAGE
    elsewhere = recipient.units and notice.unit not in (*recipient.units, WHOLE_SITE)
    if elsewhere and (kind == "drill" or not aware):
        return "not told of this unit"
    if kind == "coverage":
        return _coverage_route(notice)
    if kind == "amended":
        told_of_it = told.level != "blue" or told.under_review
        return None if told_of_it else "was told nothing that this amends"
    settled = kind == "level" and told.under_review and notice.under_review is None
    if notice.rises and rank(notice.level) < rank(recipient.from_level) and not settled:
        return f"told from {recipient.from_level} on"
    return None


def _coverage_route(notice: Notice) -> str | None:
    if not notice.recipient.coverage:
        return "not told of coverage"
    if notice.coverage not in TOLD_COVERAGE and notice.told.coverage not in TOLD_COVERAGE:
        return "only blind and out of range, and their end, are told"
    return None


def dedup(notice: Notice, scene: Scene) -> str | None:
    """What the recipient knows already."""
    told, case = notice.told, notice.alert.open_case
    if notice.kind == "level" and notice.level == told.level:
        if told.under_review and notice.under_review is None:
            return None
        return f"already told {told.level}" if told.level != "blue" else "never told above blue"
    if notice.kind == "coverage" and notice.coverage == told.coverage:
        return f"already told {told.coverage}"
    if notice.kind == "amended" and (case is None or told.amended >= case.amended):
        return "already told so" if case else "the alert is over"
    if notice.kind == "review":
        draft = case.draft if case else None
        if draft is None:
            return "nothing is under review any more"
        return "already asked" if told.asked == draft.seq else None
    return None


def quiet(notice: Notice, scene: Scene) -> str | None:
    """The recipient's quiet hours; a rise to what they name passes, and so does an escalation."""
    hours = notice.recipient.quiet
    until = quiet_until(hours, scene.now)
    if hours is None or until is None or notice.kind == "escalation":
        return None
    if notice.rises and rank(notice.gravity) >= rank(hours.passes_from):
        return None
    local = until.astimezone(ZoneInfo(hours.timezone))
    return f"quiet hours until {local:%H:%M} ({hours.timezone})"


def rate(notice: Notice, scene: Scene) -> str | None:
    """As many messages a day as the recipient wants; what is urgent never waits."""
    who, most = notice.recipient.id, notice.recipient.most_a_day
    if most is None or notice.is_urgent or notice.key in scene.passed:
        return None
    now = sum(recipient == who for _, recipient in scene.passed)
    if len(lately(scene.sent.get(who, ()), scene.now)) + now < most:
        return None
    return f"had {most} messages in 24 hours"


STAGES: tuple[tuple[str, Stage], ...] = (
    ("mute", mute),
    ("inhibit", inhibit),
    ("status", status),
    ("review", review),
    ("route", route),
    ("dedup", dedup),
    ("quiet", quiet),
    ("rate", rate),
)


class Kept(NamedTuple):
    """A notice that waits for its recipient's quiet hours to end, or for a free slot."""

    notice: Notice
    kind: NewsKind
    by: Held


class Sifted(NamedTuple):
    """Notices that passed; those that nothing but a silence keeps back; those that wait for their
    recipient; and all that dropped."""

    passed: tuple[Notice, ...]
    muted: tuple[Notice, ...]
    kept: tuple[Kept, ...]
    dropped: tuple[Dropped, ...]


def sift(notices: Iterable[Notice], scene: Scene) -> Sifted:
    """Send every notice through the stages."""
    passed, muted, kept, dropped = [], [], [], []
    for notice in notices:
        reasons = [(name, stage(notice, scene)) for name, stage in STAGES]
        told_why = [(name, reason) for name, reason in reasons if reason is not None]
        if not told_why:
            passed.append(notice)
            scene = scene._replace(passed=scene.passed | {notice.key})
            continue
        name, reason = told_why[0]
        if [stage for stage, _ in told_why] == ["mute"]:
            muted.append(notice)
        kept += _kept(notice, name)
        dropped.append(
            Dropped(
                unit=notice.unit,
                kind=notice.kind,
                recipient=notice.recipient.id,
                stage=name,
                reason=reason,
            )
        )
    return Sifted(tuple(passed), tuple(muted), tuple(kept), tuple(dropped))


def _kept(notice: Notice, stage: str) -> list[Kept]:
    """What waits for its recipient; an exercise does not."""
    kind = notice.news_kind
    if kind is None:
        return []
    return [Kept(notice, kind, by) for by in get_args(Held) if by == stage]
