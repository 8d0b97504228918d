"""What still waits, who knows what, and what an alert has said, once an input is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from services.alerting.alert import Case
from services.alerting.message import WHOLE_SITE
from services.alerting.notices import Gathered, gravity, hold_of
from services.alerting.stages import Notice, Sifted, is_silenced
from services.alerting.state import Held, NewsKind, Told, UnitAlert, Waiting
from services.alerting.turn import Turn


def after_telling(
    units: Mapping[str, UnitAlert],
    told: Gathered,
    turn: Turn,
    hold: Waiting | None,
    sifted: Sifted,
    place: tuple[int, datetime],
) -> dict[str, UnitAlert]:
    """The units after input `place` (its number, its moment) was told."""
    result = {}
    for name, unit in units.items():
        mine = [one for one in sifted.passed if one.unit in (name, WHOLE_SITE)]
        result[name] = replace(
            unit,
            waiting=_waiting(name, unit, told, turn, hold),
            told=_told(unit, mine),
            held=_held(name, unit, turn, sifted, mine),
            case=_with_message(name, unit.case, mine, place),
        )
    return result


def case_of(notice: Notice) -> Case | None:
    """The alert that a notice belongs to: the open one, or the one that it says is over."""
    case = notice.alert.case
    if notice.kind == "coverage" and not (case and case.is_open):
        return None
    return case


def _waiting(
    name: str, unit: UnitAlert, told: Gathered, turn: Turn, hold: Waiting | None
) -> dict[NewsKind, Waiting]:
    waiting = dict(unit.waiting)
    for kind in {*told.news.get(name, ()), *_due(name, unit, turn)}:
        silenced = is_silenced(kind, gravity(kind, unit), unit.coverage, unit.silence)
        reason = hold_of(turn, hold, name, kind) or ("silenced" if silenced else None)
        earlier = None if kind in told.arisen.get(name, ()) else waiting.get(kind)
        waiting.pop(kind, None)
        if reason is not None:
            # The first reason is the one that a late message gives, except for a silence,
            # which must be known as what the news waits for.
            waiting[kind] = reason if reason == "silenced" else earlier or reason
    return waiting


def _due(name: str, unit: UnitAlert, turn: Turn) -> set[NewsKind]:
    """What is tried again for those whose own wait is over."""
    return {kind for who in turn.due for kind in unit.held.get(who, ())}


def _told(unit: UnitAlert, mine: list[Notice]) -> dict[str, Told]:
    told, case = dict(unit.told), unit.open_case
    for notice in mine:
        known = told.get(notice.recipient.id, Told())
        if notice.kind == "drill":
            continue
        if notice.kind == "coverage":
            known = replace(known, coverage=unit.coverage)
        else:
            known = replace(
                known,
                level=notice.level,
                under_review=notice.under_review,
                amended=case.amended if case else 0,
            )
        if notice.kind == "review" and case and case.draft:
            known = replace(known, asked=case.draft.seq)
        told[notice.recipient.id] = known
    return told


def _held(
    name: str, unit: UnitAlert, turn: Turn, sifted: Sifted, mine: list[Notice]
) -> dict[str, dict[NewsKind, Held]]:
    held = {who: dict(kinds) for who, kinds in unit.held.items() if who not in turn.due}
    for kept in sifted.kept:
        if kept.notice.unit in (name, WHOLE_SITE):
            held.setdefault(kept.notice.recipient.id, {})[kept.kind] = kept.by
    for notice in mine:
        said = notice.news_kind
        if said is None:
            continue
        also: tuple[NewsKind, ...] = () if said == "coverage" else ("level", "amended")
        for kind in (said, *also):
            held.get(notice.recipient.id, {}).pop(kind, None)
    return {who: kinds for who, kinds in held.items() if kinds}


def _with_message(
    name: str, case: Case | None, mine: list[Notice], place: tuple[int, datetime]
) -> Case | None:
    """The case with what was said in it; an exercise and a notice for the whole site are not."""
    to = {
        one.recipient.id
        for one in mine
        if one.unit == name and one.kind != "drill" and case_of(one) is not None
    }
    return case.issued(*place, tuple(sorted(to))) if case and to else case
