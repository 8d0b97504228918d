"""What there is to tell after an input, and to whom: every piece of news for every recipient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from core.events import Level, Status
from core.settings import Recipient, Site, rank
from services.alerting.decide import Change
from services.alerting.message import WHOLE_SITE
from services.alerting.stages import TOLD_COVERAGE, Notice, NoticeKind, is_silenced
from services.alerting.state import NewsKind, SiteAlerts, Told, UnitAlert, Waiting
from services.alerting.turn import Call, News, Turn


class Gathered(NamedTuple):
    """News that arose at this input, and all there is to tell now: that and what waited."""

    arisen: News
    news: News


def status_of(site: Site) -> Status:
    """What the site's messages are."""
    return "test" if site.test else "actual"


def gathered(
    before: SiteAlerts,
    after: SiteAlerts,
    turn: Turn,
    found: Iterable[Change],
    hold: Waiting | None,
    seq: int,
) -> Gathered:
    """What changed at input `seq`, and, when nothing holds it back any more, what waits."""
    if after.retired:
        return Gathered({}, {})
    arisen: dict[str, set[NewsKind]] = {name: set() for name in after.units}
    for change in found:
        if change.unit in arisen:
            arisen[change.unit] |= set(change.kinds)
    for name, unit in after.units.items():
        arisen[name] |= _of_case(before.units.get(name, UnitAlert()), unit, seq)
        arisen[name] |= set(turn.said.get(name, ()))
    every = {name: set(kinds) for name, kinds in arisen.items()}
    for name, unit in after.units.items() if hold is None else ():
        for kind, reason in unit.waiting.items():
            if not (reason == "silenced" and _still_silenced(kind, unit)):
                every[name].add(kind)
    return Gathered(_sorted(arisen), _sorted(every))


def gravity(kind: NoticeKind, unit: UnitAlert) -> Level:
    """The level that news of this kind is about."""
    return (unit.under_review or unit.to_tell) if kind == "review" else unit.to_tell


def hold_of(turn: Turn, hold: Waiting | None, name: str, kind: NewsKind) -> Waiting | None:
    """Why news is told to nobody now: a person's word waits for no missing day."""
    if hold is not None and hold != "historical" and kind in turn.said.get(name, ()):
        return None
    return hold


def notices(
    told: Gathered, turn: Turn, after: SiteAlerts, site: Site, hold: Waiting | None
) -> list[Notice]:
    """Every piece of news for every recipient, before any stage."""
    found = []
    asked = site.two_persons.ask if site.two_persons else ()
    for recipient in site.recipients:
        mine = _for_recipient(told.news, turn, after, recipient)
        shared = hold is None and _said_for_all(mine, after.units)
        for name, kinds in mine.items():
            unit = after.units[name]
            found += [
                _notice(kind, name, unit, recipient, status_of(site))._replace(
                    hold=hold_of(turn, hold, name, kind),
                    shared=shared and kind == "coverage",
                    waited=unit.held.get(recipient.id, {}).get(kind),
                )
                for kind in kinds
                if kind != "review" or recipient.id in asked
            ]
        if shared:
            found.append(_for_all(after.units, recipient, status_of(site)))
    for call in turn.calls:
        found += _called(call, after.units[call.unit], site)
    return found


def to_tell_newcomers(
    units: Mapping[str, UnitAlert], recipients: Sequence[Recipient], *, anew: bool
) -> dict[str, UnitAlert]:
    """The units as a changed list of recipients leaves them: a newcomer is told what stands.

    `anew`: so is everybody else, because what they were told so far was of another status.
    """
    ids = set() if anew else {recipient.id for recipient in recipients}
    result = {}
    for name, unit in units.items():
        waiting = dict(unit.waiting)
        if unit.level != "blue":
            waiting.setdefault("level", "recipients changed")
        if unit.under_review:
            waiting.setdefault("review", "recipients changed")
        if unit.coverage in TOLD_COVERAGE:
            waiting.setdefault("coverage", "recipients changed")
        told = {who: known for who, known in unit.told.items() if who in ids}
        held = {who: kinds for who, kinds in unit.held.items() if who in ids}
        result[name] = replace(unit, waiting=waiting, told=told, held=held)
    return result


def _of_case(old: UnitAlert, new: UnitAlert, seq: int) -> set[NewsKind]:
    """What the alert has to tell beside a change of level or coverage."""
    kinds: set[NewsKind] = set()
    if old.to_tell != new.to_tell or (old.under_review and not new.under_review):
        kinds.add("level")
    case = new.open_case
    if case and case.draft and case.draft.seq == seq:
        kinds.add("review")
    if case and case.amended == seq:
        kinds.add("amended")
    return kinds


def _still_silenced(kind: NewsKind, unit: UnitAlert) -> bool:
    return is_silenced(kind, gravity(kind, unit), unit.coverage, unit.silence)


def _sorted(news: Mapping[str, set[NewsKind]]) -> News:
    return {name: sorted(news[name]) for name in sorted(news) if news[name]}


def _for_recipient(news: News, turn: Turn, after: SiteAlerts, recipient: Recipient) -> News:
    """News for all, and what waited for this recipient alone until now."""
    if recipient.id not in turn.due:
        return news
    held = {name: unit.held.get(recipient.id, {}) for name, unit in after.units.items()}
    return _sorted({name: {*news.get(name, ()), *held[name]} for name in after.units})


def _said_for_all(news: News, units: Mapping[str, UnitAlert]) -> bool:
    """Whether one notice can tell the coverage of all units: all have the same, all as news."""
    shared = {(unit.coverage, unit.coverage_reason) for unit in units.values()}
    return (
        len(units) > 1
        and len(shared) == 1
        and all("coverage" in news.get(name, ()) for name in units)
    )


def _for_all(units: Mapping[str, UnitAlert], recipient: Recipient, status: Status) -> Notice:
    one = next(iter(units.values()))
    highest = max((unit.to_tell for unit in units.values()), key=rank)
    all_silenced = all(unit.silence for unit in units.values())
    known = [_told(unit, recipient).coverage for unit in units.values()]
    coverage = next((c for c in known if c != one.coverage), one.coverage)
    unit = replace(one, silence=one.silence if all_silenced else None, case=None)
    told = Told(level=highest, coverage=coverage)
    notice = _notice("coverage", WHOLE_SITE, unit, recipient, status)
    return notice._replace(level=highest, told=told)


def _called(call: Call, unit: UnitAlert, site: Site) -> list[Notice]:
    found = []
    for recipient in site.recipients:
        if recipient.id not in call.to:
            continue
        notice = _notice(call.kind, call.unit, unit, recipient, status_of(site))
        notice = notice._replace(call=call)
        if call.drill is not None:
            notice = notice._replace(
                level=call.drill, under_review=None, told=Told(), status="exercise"
            )
        found.append(notice)
    return found


def _notice(
    kind: NoticeKind, name: str, unit: UnitAlert, recipient: Recipient, status: Status
) -> Notice:
    told = _told(unit, recipient)
    return Notice(kind, name, unit, unit.to_tell, unit.under_review, recipient, told, status)


def _told(unit: UnitAlert, recipient: Recipient) -> Told:
    return unit.told.get(recipient.id, Told())
