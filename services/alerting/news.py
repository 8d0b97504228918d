"""What follows from a turn of the state: who is told, the decision row, `alert changed` events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace as with_fields
from datetime import UTC, date, datetime
from typing import NamedTuple

from msgspec.structs import replace

from core.events import AlertChanged, identity, type_of
from core.ledger import Deadline, LedgerState, canonical
from core.settings import Recipient, Site, rank
from core.stage import Input, Outcome
from services.alerting.decide import Change, changes
from services.alerting.message import WHOLE_SITE, MessageKind
from services.alerting.stages import (
    TOLD_COVERAGE,
    Notice,
    Scene,
    Sifted,
    is_silenced,
    sift,
)
from services.alerting.state import SiteAlerts, Told, UnitAlert, Waiting, encode_state
from services.alerting.telling import Envelope, notifications

News = Mapping[str, Sequence[MessageKind]]
"""By unit: what there is to tell of it."""


class Turn(NamedTuple):
    """What an input made of a site, before anybody is told.

    `facts`: what the decision row says beside the changes. `decides`: there is a row even when
    nothing changed. `catching_up`: more closed days follow at once; None when the input is not a
    closed day. `done`: deadlines that are over beside those of silences that ended.
    """

    after: SiteAlerts
    facts: Mapping[str, object]
    decides: bool = False
    catching_up: bool | None = None
    deadlines: tuple[Deadline, ...] = ()
    done: tuple[str, ...] = ()


def utc_day(moment: datetime) -> date:
    """The UTC date of a moment."""
    return moment.astimezone(UTC).date()


def conclude(
    ledger: LedgerState, before: SiteAlerts, turn: Turn, given: Input, site: Site | None
) -> tuple[LedgerState, list[Outcome]]:
    """The ledger's state after the turn, and its outcomes."""
    ended = _silences(before.units) - _silences(turn.after.units)
    ledger = with_fields(
        ledger,
        deadlines=(*ledger.deadlines, *turn.deadlines),
        done_deadlines=(*ledger.done_deadlines, *sorted({*turn.done, *ended})),
    )
    today, hold = utc_day(given.now), held(turn.after, given.now, turn.catching_up)
    found = changes(before.units, turn.after.units, today, hold == "historical")
    news = _news(found, turn.after, hold) if site else {}
    scene = Scene(hold, hold is None and _said_for_all(news, turn.after.units))
    sifted = sift(_notices(news, scene, turn.after.units, site.recipients if site else ()), scene)
    units = _after_telling(turn.after.units, news, found, hold, sifted.passed)
    after = replace(turn.after, units=units)
    if found or sifted.passed or sifted.dropped or turn.decides:
        envelope = Envelope(given.event.site, given.seq, given.now, sifted)
        facts = _facts(turn, found, sifted, envelope, given, hold)
        ledger = ledger.decide(given.event.site, given.seq, given.now, facts)
        if site is not None:
            said = notifications(envelope, turn.after.units, site, ledger.head)
            ledger = with_fields(ledger, notifications=(*ledger.notifications, *said))
    outcomes = [
        Outcome(_alert_changed(change, units, given.seq, ledger.head), given.event.valid_time)
        for change in found
    ]
    return with_fields(ledger, state=encode_state(after)), outcomes


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


def _news(found: Iterable[Change], after: SiteAlerts, hold: Waiting | None) -> News:
    """What changed now, and, when nothing holds it back any more, what waits to be told."""
    if after.retired:
        return {}
    news: dict[str, list[MessageKind]] = {
        change.unit: list(change.kinds) for change in found if change.unit in after.units
    }
    for name, unit in after.units.items() if hold is None else ():
        for kind, reason in unit.waiting.items():
            kinds = news.setdefault(name, [])
            still = reason == "silenced" and is_silenced(kind, unit.level, unit.silence)
            if not still and kind not in kinds:
                kinds.append(kind)
    return {name: sorted(news[name]) for name in sorted(news) if news[name]}


def _said_for_all(news: News, units: Mapping[str, UnitAlert]) -> bool:
    """Whether one notice can tell the coverage of all units: all have the same, all as news."""
    shared = {(unit.coverage, unit.coverage_reason) for unit in units.values()}
    return (
        len(units) > 1
        and len(shared) == 1
        and all("coverage" in news.get(name, ()) for name in units)
    )


def _notices(
    news: News, scene: Scene, units: Mapping[str, UnitAlert], recipients: Sequence[Recipient]
) -> list[Notice]:
    """Every piece of news for every recipient, before any stage."""
    notices = [
        _notice(kind, name, units[name], recipient, _told(units[name], recipient))
        for name, kinds in news.items()
        for kind in kinds
        for recipient in recipients
    ]
    if not scene.said_for_all:
        return notices
    one = next(iter(units.values()))
    highest = max((unit.level for unit in units.values()), key=rank)
    all_silenced = all(unit.silence for unit in units.values())
    shared = replace(one, level=highest, silence=one.silence if all_silenced else None)
    for recipient in recipients:
        known = [_told(unit, recipient).coverage for unit in units.values()]
        coverage = next((c for c in known if c != one.coverage), one.coverage)
        told = Told(level=highest, coverage=coverage)
        notices.append(_notice("coverage", WHOLE_SITE, shared, recipient, told))
    return notices


def _notice(
    kind: MessageKind, name: str, unit: UnitAlert, recipient: Recipient, told: Told
) -> Notice:
    return Notice(kind, name, unit.level, unit.coverage, unit.silence, recipient, told)


def _told(unit: UnitAlert, recipient: Recipient) -> Told:
    return unit.told.get(recipient.id, Told())


def _after_telling(
    units: Mapping[str, UnitAlert],
    news: News,
    found: Sequence[Change],
    hold: Waiting | None,
    passed: Sequence[Notice],
) -> dict[str, UnitAlert]:
    """The units with what still waits, and what every recipient knows now."""
    new = {(change.unit, kind) for change in found for kind in change.kinds}
    result = {}
    for name, unit in units.items():
        waiting = dict(unit.waiting)
        for kind in news.get(name, ()):
            silenced = is_silenced(kind, unit.level, unit.silence)
            reason: Waiting | None = hold or ("silenced" if silenced else None)
            earlier = None if (name, kind) in new else waiting.pop(kind, None)
            waiting.pop(kind, None)
            if reason is not None:
                # The first reason is the one that a late message gives, except for a silence,
                # which must be known as what the news waits for.
                waiting[kind] = reason if reason == "silenced" else earlier or reason
        told = dict(unit.told)
        for notice in passed:
            if notice.unit in (name, WHOLE_SITE):
                known = told.get(notice.recipient.id, Told())
                fresh = Told(level=unit.level, coverage=known.coverage)
                if notice.kind == "coverage":
                    fresh = Told(level=known.level, coverage=unit.coverage)
                told[notice.recipient.id] = fresh
        result[name] = replace(unit, waiting=waiting, told=told)
    return result


def _facts(
    turn: Turn,
    found: Sequence[Change],
    sifted: Sifted,
    envelope: Envelope,
    given: Input,
    hold: Waiting | None,
) -> dict[str, object]:
    """What the decision row says."""
    spoken = {change.unit for change in found} | {notice.unit for notice in sifted.passed}
    after, event = turn.after, given.event
    return {
        "cause": {"id": event.id, "type": type_of(event.data), "number": event.number},
        "settings": after.settings.sha256 if after.settings else None,
        "release": after.release,
        "table": after.table.sha256 if after.table else None,
        "historical": hold == "historical",
        "votes": {name: after.units[name].votes for name in spoken if name in after.units},
        "changes": found,
        "notified": envelope.told(),
        "suppressed": envelope.suppressed(),
        "dropped": sifted.dropped,
        **turn.facts,
    }


def _alert_changed(
    change: Change, units: Mapping[str, UnitAlert], seq: int, head: str
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
    )


def _silences(units: Mapping[str, UnitAlert]) -> set[str]:
    return {unit.silence.deadline for unit in units.values() if unit.silence}


def to_tell_newcomers(
    units: Mapping[str, UnitAlert], recipients: Sequence[Recipient]
) -> dict[str, UnitAlert]:
    """The units as a changed list of recipients leaves them: a newcomer is told what stands."""
    ids = {recipient.id for recipient in recipients}
    result = {}
    for name, unit in units.items():
        waiting = dict(unit.waiting)
        if unit.level != "blue":
            waiting.setdefault("level", "recipients changed")
        if unit.coverage in TOLD_COVERAGE:
            waiting.setdefault("coverage", "recipients changed")
        told = {who: known for who, known in unit.told.items() if who in ids}
        result[name] = replace(unit, waiting=waiting, told=told)
    return result


def deadline(site: str, seq: int, until: datetime, units: Sequence[str], operator: str) -> Deadline:
    """The row that ends the silence which input `seq` laid on `units`."""
    return Deadline(
        id=identity(site, seq, "silence"),
        site=site,
        due=until,
        kind="silence",
        body=canonical({"operator": operator, "units": units}),
    )
