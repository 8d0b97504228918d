"""Messages and their rows in the outbox, from the notices that passed the stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import NamedTuple

from core.events import identity
from core.ledger import Notification, canonical
from core.settings import Site, rank
from services.alerting.coverage import plain_date
from services.alerting.message import WHOLE_SITE, Message, MessageKind
from services.alerting.stages import Notice, Sifted
from services.alerting.state import UnitAlert, Waiting

_BECAUSE: dict[Waiting | None, str] = {
    None: "its data came late",
    "historical": "it arose before the site was watched",
    "catching up": "the service was catching up",
    "yesterday not closed": "its data came late",
    "silenced": "it was silenced",
    "recipients changed": "this recipient was added since",
}


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


def notifications(
    envelope: Envelope, units: Mapping[str, UnitAlert], site: Site, head: str
) -> list[Notification]:
    """Rows for the outbox. `units` as they were before anybody was told, `head` the chain's."""
    sent, muted = _grouped(envelope.sifted.passed), _grouped(envelope.sifted.muted)
    rows = []
    for key, notices in {**muted, **sent}.items():
        message = _message(envelope, notices, units, site, head)
        rows.append(
            Notification(
                id=message.id,
                seq=envelope.seq,
                recipient=key[1],
                channel=notices[0].recipient.notifier.kind,
                message=canonical(message),
                created_at=envelope.now,
                not_before=envelope.now,
                urgent=_is_urgent(message),
                outcome="queued" if key in sent else "suppressed",
            )
        )
    return sorted(rows, key=lambda row: row.id)


def _is_urgent(message: Message) -> bool:
    """A rise to orange or red."""
    level, before = message.level, message.previous_level
    return level in ("orange", "red") and before is not None and rank(level) > rank(before)


def _grouped(notices: Iterable[Notice]) -> dict[tuple[str, str], list[Notice]]:
    groups: dict[tuple[str, str], list[Notice]] = {}
    for notice in notices:
        groups.setdefault((notice.unit, notice.recipient.id), []).append(notice)
    return groups


def _message(
    envelope: Envelope,
    notices: list[Notice],
    units: Mapping[str, UnitAlert],
    site: Site,
    head: str,
) -> Message:
    one, recipient = notices[0], notices[0].recipient
    kinds = {notice.kind for notice in notices}
    kind: MessageKind = "level" if "level" in kinds else "coverage"
    unit = units[one.unit] if one.unit != WHOLE_SITE else next(iter(units.values()))
    previous_level = one.told.level if kind == "level" else one.level
    since = _Since.of(kind, unit, envelope.now)
    name = _name(site, one.unit)
    parts = [_level_sentence(name, one, unit)] if kind == "level" else []
    parts += [_coverage_sentence(name, one, unit)] if "coverage" in kinds else []
    parts += since.sentences()
    return Message(
        id=envelope.identify(one.unit, recipient.id),
        kind=kind,
        site=site.name,
        title=site.title or site.name,
        unit=one.unit,
        unit_name=name,
        level=one.level,
        previous_level=previous_level,
        coverage=one.coverage,
        previous_coverage=one.told.coverage,
        coverage_reason=unit.coverage_reason,
        reason=" ".join(parts),
        votes=tuple(
            vote
            for track in sorted(unit.votes if one.unit != WHOLE_SITE else ())
            for vote in unit.votes[track]
        ),
        arose=since.arose,
        known_since=since.known,
        late_days=since.late_days,
        next_pass=unit.next_pass,
        simulated=site.simulated,
        ledger_head=head,
        seq=envelope.seq,
    )


class _Since(NamedTuple):
    """Since when the news is so, and how late it is told."""

    arose: date
    known: datetime
    late_days: int
    why: str

    @staticmethod
    def of(kind: MessageKind, unit: UnitAlert, now: datetime) -> _Since:
        today = now.astimezone(UTC).date()
        if kind == "level":
            arose, known, usual_days = unit.arose or today, unit.known_since or now, 0
        else:
            # What a closed day shows is told on the day after it.
            arose = unit.coverage_since or today
            known, usual_days = unit.coverage_known_since or now, 1
        late_days = max(0, (today - arose).days - usual_days)
        return _Since(arose, known, late_days, _BECAUSE[unit.waiting.get(kind)])

    def sentences(self) -> list[str]:
        if not self.late_days:
            return []
        days = "1 day" if self.late_days == 1 else f"{self.late_days} days"
        known = plain_date(self.known.astimezone(UTC).date())
        return [
            f"Arose on {plain_date(self.arose)}, known since {known}: {days} late because "
            f"{self.why}."
        ]


def _name(site: Site, unit: str) -> str:
    if unit == WHOLE_SITE:
        return "all slope units"
    return next((known.name for known in site.slope_units if known.id == unit), "") or unit


def _level_sentence(name: str, notice: Notice, unit: UnitAlert) -> str:
    before = notice.told.level
    verb = "rises" if rank(notice.level) > rank(before) else "falls"
    sentence = f"{name} {verb} from {before} to {notice.level}: {unit.because}."
    if notice.silence is not None and rank(notice.level) > rank(notice.silence.level):
        sentence += f" {notice.silence.operator} had silenced it at {notice.silence.level}."
    return sentence


def _coverage_sentence(name: str, notice: Notice, unit: UnitAlert) -> str:
    be = "are" if notice.unit == WHOLE_SITE else "is"
    if notice.coverage == "watched":
        return f"The service sees again: {name} {be} watched; {unit.coverage_reason}."
    return f"{name} {be} {notice.coverage}: {unit.coverage_reason}."
