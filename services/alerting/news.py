"""What follows from a turn of the state: who is told, the decision row, outcomes, new deadlines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace as with_fields
from datetime import UTC, date, datetime
from typing import NamedTuple

from msgspec.structs import replace

from core.events import AlertChanged, AlertHandled, Status, type_of
from core.ledger import Deadline, LedgerState
from core.settings import Site
from core.stage import Input, Outcome
from services.alerting import escalation
from services.alerting.alert import brought_up_to
from services.alerting.decide import Change, changes
from services.alerting.known import after_telling
from services.alerting.notices import gathered, notices, status_of
from services.alerting.patience import end_of_patience, urgent_news
from services.alerting.quiet import posted
from services.alerting.stages import Scene, Sifted, sift
from services.alerting.state import SiteAlerts, UnitAlert, Waiting, encode_state
from services.alerting.telling import Envelope, Source, notifications
from services.alerting.turn import Handling, Turn


class Terms(NamedTuple):
    """What is in force at the input: the site's file, and of 100 alerts how many came true."""

    site: Site
    of_100: Mapping[str, int]


class _Told(NamedTuple):
    """What an input comes to once everybody was told."""

    after: SiteAlerts
    sifted: Sifted
    deadlines: tuple[Deadline, ...]


def utc_day(moment: datetime) -> date:
    """The UTC date of a moment."""
    return moment.astimezone(UTC).date()


def conclude(
    ledger: LedgerState, before: SiteAlerts, turn: Turn, given: Input, terms: Terms | None
) -> tuple[LedgerState, list[Outcome]]:
    """The ledger's state after the turn, and its outcomes."""
    opened = _with_cases(turn.after, given, terms)
    hold = held(opened, given.now, turn.catching_up)
    found = changes(before.units, opened.units, utc_day(given.now), hold == "historical")
    told = _told(before, opened, turn, found, hold, given, terms)
    handled = _handled(before, opened, turn, given)
    done = sorted({*turn.done, *(waits_for(before) - waits_for(told.after))})
    ledger = with_fields(
        ledger,
        deadlines=(*ledger.deadlines, *told.deadlines),
        done_deadlines=(*ledger.done_deadlines, *done),
    )
    sifted = told.sifted
    something = found or handled or told.deadlines or sifted.passed or sifted.dropped
    if something or turn.decides or _opened_late(before, opened):
        envelope = Envelope(given.event.site, given.seq, given.now, sifted)
        facts = _facts(turn, told, found, handled, envelope, given, hold)
        ledger = ledger.decide(given.event.site, given.seq, given.now, facts)
        if terms is not None:
            source = Source(opened, terms.site, terms.of_100, ledger.head)
            said = notifications(envelope, source)
            ledger = with_fields(ledger, notifications=(*ledger.notifications, *said))
    status = status_of(terms.site) if terms else "actual"
    outcomes = [
        *(_alert_changed(one, told.after.units, status, given.seq, ledger.head) for one in found),
        *(
            _alert_handled(one, told.after.units, turn, status, given.seq, ledger.head)
            for one in handled
        ),
    ]
    ledger = with_fields(ledger, state=encode_state(told.after))
    return ledger, [Outcome(data, given.event.valid_time) for data in outcomes]


def held(after: SiteAlerts, now: datetime, catching_up: bool | None) -> Waiting | None:
    """Why nobody is told at this input, if so.

    Between closed days the site is up to date when yesterday is closed, or no day was closed yet.
    """
    today = utc_day(now)
    if after.watched_from is not None and today < after.watched_from:
        return "historical"
    if catching_up is not None or after.closed is None:
        return "catching up" if catching_up else None
    open_days = (today - after.closed.day).days - 1
    if after.closed.catching_up:
        return "catching up"
    if open_days == 1:
        return "yesterday not closed"
    return "catching up" if open_days > 1 else None


def waits_for(alerts: SiteAlerts) -> set[str]:
    """Ids of the deadlines that the site waits for."""
    silences = {unit.silence.deadline for unit in alerts.units.values() if unit.silence}
    cases = [unit.open_case for unit in alerts.units.values()]
    calls = {case.escalation.deadline for case in cases if case and case.escalation}
    boxes = {box.deadline for box in alerts.mailboxes.values()}
    return {row for row in (*silences, *calls, *boxes, alerts.patience) if row is not None}


def _with_cases(after: SiteAlerts, given: Input, terms: Terms | None) -> SiteAlerts:
    """Alerts opened and closed, and drafts made and withdrawn, as the levels now ask."""
    two = terms.site.two_persons if terms else None
    units = {}
    for name, unit in after.units.items():
        alert_id = f"{given.event.site}.{name}.{given.seq}"
        case = brought_up_to(unit.case, unit.level, alert_id, given.seq, given.now, two)
        if case and unit.case is None and unit.acknowledged:
            # Of an older release, which knew who had acknowledged and no cases.
            case = replace(case, owner=unit.acknowledged.operator)
        units[name] = replace(unit, case=case)
    return replace(after, units=units)


def _opened_late(before: SiteAlerts, after: SiteAlerts) -> bool:
    """Whether a unit that stood above blue without a case, as of an older release, has one now."""
    return any(
        unit.case is not None
        and name in before.units
        and before.units[name].case is None
        and before.units[name].level != "blue"
        for name, unit in after.units.items()
    )


def _told(
    before: SiteAlerts,
    after: SiteAlerts,
    turn: Turn,
    found: Sequence[Change],
    hold: Waiting | None,
    given: Input,
    terms: Terms | None,
) -> _Told:
    if terms is None:
        return _Told(after, Sifted((), (), (), ()), turn.deadlines)
    site, seq, now = terms.site, given.seq, given.now
    news = gathered(before, after, turn, found, hold, seq)
    scene = Scene(now, {who: box.sent for who, box in after.mailboxes.items()})
    sifted = sift(notices(news, turn, after, site, hold), scene)
    units = after_telling(after.units, news, turn, hold, sifted, (seq, now))
    calls = {
        name: escalation.kept_up(name, unit, None if after.retired else site, seq, now)
        for name, unit in units.items()
    }
    units = {name: unit for name, (unit, _) in calls.items()}
    sent = Counter(recipient for _, recipient in {notice.key for notice in sifted.passed})
    post = posted(
        after.mailboxes,
        units,
        () if after.retired else site.recipients,
        sent,
        turn.due,
        (given.event.site, seq, now),
    )
    rows = [*turn.deadlines, *(row for _, row in calls.values() if row), *post.deadlines]
    patience = after.patience
    urgent = urgent_news(units)
    if urgent and patience is None:
        rows.append(end_of_patience(given.event.site, seq, now, urgent))
        patience = rows[-1].id
    after = replace(
        after,
        units=units,
        mailboxes=post.mailboxes,
        patience=patience if urgent else None,
    )
    return _Told(after, sifted, tuple(rows))


def _handled(
    before: SiteAlerts, after: SiteAlerts, turn: Turn, given: Input
) -> tuple[Handling, ...]:
    """What was done: by the input itself, and by the service because of it; alerts are named."""
    every = list(turn.handled)
    for name, unit in after.units.items():
        every += _drafting(name, before.units.get(name, UnitAlert()), unit, turn)
        revision = unit.open_case.revision if unit.open_case else None
        if revision and revision.seq == given.seq:
            late = f"data of {revision.epoch} on track {revision.track} came late"
            every.append(Handling(unit=name, action="amended", reason=late))
    return tuple(
        one if one.alert else replace(one, alert=_alert_of(after.units[one.unit])) for one in every
    )


def _drafting(name: str, old: UnitAlert, new: UnitAlert, turn: Turn) -> list[Handling]:
    was = old.open_case.draft if old.open_case else None
    now = new.open_case.draft if new.open_case else None
    if (was.seq if was else None) == (now.seq if now else None):
        return []
    found = []
    released = any(one.unit == name and one.action == "released" for one in turn.handled)
    if was is not None and not released:
        why = f"{was.level} was not released; the unit now is at {new.level}"
        found.append(Handling(unit=name, action="draft withdrawn", reason=why))
    if now is not None:
        why = f"{now.level} needs two persons; until then {now.tell} is told"
        found.append(Handling(unit=name, action="drafted", reason=why))
    return found


def _alert_of(unit: UnitAlert) -> str:
    return unit.case.id if unit.case else ""


def _facts(
    turn: Turn,
    told: _Told,
    found: Sequence[Change],
    handled: Sequence[Handling],
    envelope: Envelope,
    given: Input,
    hold: Waiting | None,
) -> dict[str, object]:
    """What the decision row says."""
    after, sifted, event = told.after, told.sifted, given.event
    spoken = {change.unit for change in found} | {notice.unit for notice in sifted.passed}
    return {
        "cause": {"id": event.id, "type": type_of(event.data), "number": event.number},
        "settings": after.settings.sha256 if after.settings else None,
        "release": after.release,
        "table": after.table.sha256 if after.table else None,
        "historical": hold == "historical",
        "votes": {name: after.units[name].votes for name in spoken if name in after.units},
        "changes": found,
        "handled": handled,
        "deadlines": [{"id": row.id, "kind": row.kind, "due": row.due} for row in told.deadlines],
        "notified": envelope.told(),
        "suppressed": envelope.suppressed(),
        "dropped": sifted.dropped,
        **turn.facts,
    }


def _alert_changed(
    change: Change, units: Mapping[str, UnitAlert], status: Status, seq: int, head: str
) -> AlertChanged:
    votes = units[change.unit].votes if change.unit in units else {}
    return AlertChanged(
        unit=change.unit,
        level=change.level[1],
        previous_level=change.level[0],
        coverage=change.coverage[1],
        previous_coverage=change.coverage[0],
        reason=change.reason,
        votes=tuple(vote for track in sorted(votes) for vote in votes[track]),
        arose=change.arose,
        historical=change.historical,
        seq=seq,
        head=head,
        alert=change.alert,
        status=status,
    )


def _alert_handled(
    one: Handling,
    units: Mapping[str, UnitAlert],
    turn: Turn,
    status: Status,
    seq: int,
    head: str,
) -> AlertHandled:
    drill = next((call.drill for call in turn.calls if call.drill and call.unit == one.unit), None)
    return AlertHandled(
        unit=one.unit,
        alert=one.alert,
        action=one.action,
        by=one.by,
        reason=one.reason,
        level=drill or units[one.unit].level,
        status="exercise" if drill else status,
        seq=seq,
        head=head,
    )
