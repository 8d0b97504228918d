"""Messages and their rows in the outbox, from the notices that passed the stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import NamedTuple

from core.events import ArtifactRef, Level, Vote, identity
from core.ledger import Notification, canonical
from core.settings import Site, rank
from services.alerting import sentences
from services.alerting.known import case_of
from services.alerting.message import (
    WHOLE_SITE,
    LateBecause,
    LateData,
    Message,
    MessageKind,
    MessagePurpose,
)
from services.alerting.rule import DRIVERS_TRACK
from services.alerting.stages import Notice, NoticeKind, Sifted
from services.alerting.state import SiteAlerts, UnitAlert
from services.alerting.statistic import TOLD_WITHOUT_WATER

_FOREMOST: tuple[NoticeKind, ...] = (
    "drill",
    "review",
    "escalation",
    "level",
    "amended",
    "coverage",
)
"""Of several notices in one message, the one that it is named after."""
_USUAL_DAYS: Mapping[NoticeKind, int] = {"coverage": 1}
"""What a closed day shows is told on the day after it."""


class Envelope(NamedTuple):
    """Where and when something is said, and what; one notification per unit and recipient."""

    site: str
    seq: int
    now: datetime
    sifted: Sifted

    def told(self) -> list[dict[str, str]]:
        """Ids of the notifications to be sent, with recipient and unit."""
        return [self._row(unit, who) for unit, who in _grouped(self.sifted.passed)]

    def suppressed(self) -> list[dict[str, str]]:
        """Ids of the notifications that a silence keeps back."""
        sent = _grouped(self.sifted.passed)
        return [self._row(*key) for key in _grouped(self.sifted.muted) if key not in sent]

    def identify(self, unit: str, recipient: str) -> str:
        """Id of the notification about `unit` to `recipient`; a replay makes the same."""
        return identity(self.site, self.seq, unit, recipient)

    def _row(self, unit: str, recipient: str) -> dict[str, str]:
        return {
            "notification": self.identify(unit, recipient),
            "recipient": recipient,
            "unit": unit,
        }


class Source(NamedTuple):
    """What messages are made from beside the notices.

    `alerts` as they were before anybody was told; `of_100` by level, from the table in force;
    `head`: the chain's.
    """

    alerts: SiteAlerts
    site: Site
    of_100: Mapping[str, int]
    head: str


def notifications(envelope: Envelope, source: Source) -> list[Notification]:
    """Rows for the outbox."""
    sent, muted = _grouped(envelope.sifted.passed), _grouped(envelope.sifted.muted)
    rows = []
    for key, group in {**muted, **sent}.items():
        message = _message(envelope, sorted(group, key=_foremost), source)
        rows.append(
            Notification(
                id=message.id,
                seq=envelope.seq,
                recipient=key[1],
                channel=group[0].recipient.notifier.kind,
                message=canonical(message),
                created_at=envelope.now,
                not_before=envelope.now,
                urgent=any(notice.is_urgent for notice in group),
                outcome="queued" if key in sent else "suppressed",
            )
        )
    return sorted(rows, key=lambda row: row.id)


def _grouped(notices: Iterable[Notice]) -> dict[tuple[str, str], list[Notice]]:
    groups: dict[tuple[str, str], list[Notice]] = {}
    for notice in notices:
        groups.setdefault(notice.key, []).append(notice)
    return groups


def _of_100(one: Notice, source: Source) -> int | None:
    """How many of 100 such alerts came true in simulation; None where none such was simulated.

    Simulated were alerts on motion, told of rain and level.
    """
    asking = [
        vote
        for votes in one.alert.votes.values()
        for vote in votes
        if vote.calibrated and vote.level == one.gravity
    ]
    simulated = all(
        vote.track != DRIVERS_TRACK and not vote.reason.endswith(TOLD_WITHOUT_WATER)
        for vote in asking
    )
    return source.of_100.get(one.gravity) if one.unit != WHOLE_SITE and simulated else None


def _foremost(notice: Notice) -> int:
    return _FOREMOST.index(notice.kind)


def _message(envelope: Envelope, group: list[Notice], source: Source) -> Message:
    one, site, unit = group[0], source.site, group[0].alert
    kind, case = _kind(one), next(filter(None, map(case_of, group)), None)
    since = _Since.of(one, envelope.now)
    said = _Said.of(group)
    exercise = one.kind == "drill"
    return Message(
        id=envelope.identify(one.unit, one.recipient.id),
        kind=kind,
        site=site.name,
        title=site.title or site.name,
        unit=one.unit,
        unit_name=_name(site, one.unit),
        level=one.level,
        previous_level=one.level if one.kind == "coverage" else one.told.level,
        coverage=one.coverage,
        previous_coverage=one.coverage if exercise else one.told.coverage,
        coverage_reason=unit.coverage_reason,
        reason=" ".join([*_reasons(_name(site, one.unit), group, said), *since.sentences()]),
        votes=() if exercise else _votes(one),
        arose=since.arose,
        known_since=since.known,
        late_days=since.late_days,
        next_pass=unit.next_pass,
        simulated=site.simulated,
        ledger_head=source.head,
        seq=envelope.seq,
        alert=_alert(envelope, one, case.id if case else ""),
        status=one.status,
        references=case.references(one.recipient.id) if case and not exercise else (),
        under_review=one.under_review,
        operator=said.operator,
        note=said.note,
        owner=case.owner if case and not exercise else "",
        reviewed_by=said.reviewed_by,
        of_100=_of_100(one, source),
        evidence=_evidence(one, source.alerts),
        site_file=source.alerts.settings,
        cause=unit.cause if not exercise and one.unit != WHOLE_SITE else None,
        coverage_facts=unit.coverage_facts,
        late_because=since.because if since.late_days else None,
        late_data=said.late_data,
        unanswered=one.call.unanswered if one.call else None,
        silenced_by=said.silenced_by,
        silenced_at=said.silenced_at,
    )


def _kind(one: Notice) -> MessageKind | MessagePurpose:
    """What the message is; a level that stays where it was told amends what was said of a draft."""
    if one.kind != "level":
        return one.kind
    case = one.alert.case
    if one.level == "blue" and case and case.cancelled:
        return "cancelled"
    return "amended" if one.level == one.told.level else "level"


class _Said(NamedTuple):
    """What people, and late data, have to do with a message."""

    operator: str = ""
    note: str = ""
    reviewed_by: str = ""
    late_data: LateData | None = None
    silenced_by: str = ""
    silenced_at: Level | None = None

    @staticmethod
    def of(group: list[Notice]) -> _Said:
        one, case = group[0], group[0].alert.case
        if one.call is not None:
            return _Said(operator=one.call.operator, note=one.call.note)
        if one.kind == "coverage" or case is None:
            return _Said()
        if case.cancelled and one.level == "blue":
            return _Said(operator=case.cancelled.operator, note=case.cancelled.reason)
        known, silence, released = one.told.amended, one.silence, case.released
        passed = silence if silence and rank(one.gravity) > rank(silence.level) else None
        said = _Said(
            silenced_by=passed.operator if passed else "",
            silenced_at=passed.level if passed else None,
        )
        if released and released.released_by and one.rises and one.level == released.level:
            said = said._replace(operator=released.released_by, reviewed_by=released.reviewed_by)
        if case.revision and case.revision.seq > known:
            late = LateData(case.revision.track, case.revision.epoch)
            said = said._replace(late_data=late)
        if case.correction and case.correction.seq > known:
            said = said._replace(operator=case.correction.operator, note=case.correction.note)
        return said


def _reasons(name: str, group: list[Notice], said: _Said) -> list[str]:
    kinds = {notice.kind for notice in group}
    parts = []
    for notice in group:
        if notice.kind == "level":
            parts.append(sentences.of_level(name, notice))
        elif notice.kind == "review":
            parts.append(sentences.of_review(name, notice))
        elif notice.kind == "amended" and "level" not in kinds:
            parts.append(sentences.of_amendment(name, notice, said.late_data))
        elif notice.kind == "drill":
            parts.append(sentences.of_drill(name, notice))
        elif notice.kind == "coverage":
            parts.append(sentences.of_coverage(name, notice))
        elif notice.call and notice.call.unanswered:
            parts.append(sentences.of_escalation(name, notice, notice.call.unanswered))
    cancelled = group[0].alert.case is not None and group[0].alert.case.cancelled is not None
    if said.note and not cancelled:
        parts.append(f"{said.operator}: {said.note}.")
    return parts


class _Since(NamedTuple):
    """Since when the news is so, and how late it is told."""

    arose: date
    known: datetime
    late_days: int
    because: LateBecause

    @staticmethod
    def of(one: Notice, now: datetime) -> _Since:
        unit, today = one.alert, now.astimezone(UTC).date()
        if one.kind == "drill":
            return _Since(today, now, 0, "late data")
        if one.kind == "coverage":
            arose = unit.coverage_since or today
            known = unit.coverage_known_since or now
        else:
            arose, known = unit.arose or today, unit.known_since or now
        late_days = max(0, (today - arose).days - _USUAL_DAYS.get(one.kind, 0))
        if one.kind in ("escalation", "amended"):
            late_days = 0
        return _Since(arose, known, late_days, _late_because(one, unit))

    def sentences(self) -> list[str]:
        if not self.late_days:
            return []
        return [sentences.of_lateness(self.arose, self.known, self.late_days, self.because)]


def _late_because(one: Notice, unit: UnitAlert) -> LateBecause:
    if one.waited is not None:
        return "quiet hours" if one.waited == "quiet" else "messages a day"
    waiting = next((unit.waiting[kind] for kind in unit.waiting if kind == one.kind), None)
    if waiting is not None and waiting != "yesterday not closed":
        return waiting
    released = unit.open_case.released if unit.open_case else None
    if released and released.released_by and one.level == released.level:
        return "under review"
    return "late data"


def _votes(one: Notice) -> tuple[Vote, ...]:
    votes = one.alert.votes if one.unit != WHOLE_SITE else {}
    return tuple(vote for track in sorted(votes) for vote in votes[track])


def _evidence(one: Notice, alerts: SiteAlerts) -> dict[str, ArtifactRef]:
    """The last evidence of every track that has something of the unit."""
    if one.unit == WHOLE_SITE:
        return alerts.evidence
    tracks = {*one.alert.sights, *one.alert.votes}
    return {track: ref for track, ref in alerts.evidence.items() if track in tracks}


def _alert(envelope: Envelope, one: Notice, case: str) -> str:
    """The case; an exercise is one of its own."""
    return f"{envelope.site}.{one.unit}.{envelope.seq}" if one.kind == "drill" else case


def _name(site: Site, unit: str) -> str:
    if unit == WHOLE_SITE:
        return "all slope units"
    return next((known.name for known in site.slope_units if known.id == unit), "") or unit
