"""Nobody acknowledges: the next on the roster is called, and so on round the roster.

An escalation begins when a level that must be acknowledged is told, and again when it rises. After
the last place of the roster it starts again from the first, `ROUNDS` times at most, and the last
call says that it is the last. It ends when the level is acknowledged and, where two persons are
asked, released; when it falls below the level from which it runs; and when the alert is over. It
also ends when the level is silenced, and begins anew once the silence is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from core.events import identity
from core.ledger import Deadline, canonical
from core.settings import Duty, Site, rank
from core.settings import Escalation as Plan
from services.alerting.alert import Case, Escalation
from services.alerting.message import Unanswered
from services.alerting.quiet import is_within
from services.alerting.stages import is_silenced
from services.alerting.state import SiteAlerts, UnitAlert
from services.alerting.turn import Call, Handling, Turn

ROUNDS = 20
"""How often the roster is gone through before nobody is called any more."""


class Next(NamedTuple):
    """Who is called, and how many places of the roster are behind then."""

    to: tuple[str, ...]
    step: int
    nobody_on_duty: bool


def is_on_duty(duty: Duty, now: datetime) -> bool:
    """Whether `now` lies in the hours of somebody's own time zone."""
    if duty.hours is None:
        return True
    return is_within(now.astimezone(ZoneInfo(duty.timezone)).time(), *duty.hours)


def next_called(roster: Sequence[Duty], step: int, now: datetime) -> Next:
    """The next on duty from place `step` on; everyone where nobody is."""
    for behind in range(step, step + len(roster)):
        duty = roster[behind % len(roster)]
        if is_on_duty(duty, now):
            return Next((duty.recipient,), behind + 1, False)
    everyone = dict.fromkeys(duty.recipient for duty in roster)
    return Next(tuple(everyone), step + len(roster), True)


def is_due(unit: UnitAlert, plan: Plan | None) -> bool:
    """Whether somebody must still be found: for an acknowledgement, or for a release."""
    case = unit.open_case
    if plan is None or case is None or rank(unit.level) < rank(plan.from_level):
        return False
    if is_silenced("level", unit.under_review or unit.to_tell, unit.coverage, unit.silence):
        return False
    return unit.acknowledged is None or case.draft is not None


def kept_up(
    name: str, unit: UnitAlert, site: Site | None, seq: int, now: datetime
) -> tuple[UnitAlert, Deadline | None]:
    """The unit with its escalation begun, kept or ended after input `seq`, and a new row for it.

    `site` is None where it is retired: nobody is called.
    """
    case, plan = unit.open_case, site.escalation if site else None
    if case is None:
        return unit, None
    if site is None or plan is None or not is_due(unit, plan):
        return replace(unit, case=replace(case, escalation=None)), None
    runs = case.escalation
    if runs is not None and rank(unit.level) <= rank(runs.level):
        runs = replace(runs, level=unit.level)
        return replace(unit, case=replace(case, escalation=runs)), None
    if "level" in unit.waiting:
        return unit, None
    row = _row(site.name, name, case, seq, now + timedelta(minutes=plan.wait_minutes))
    runs = Escalation(level=unit.level, since=now, deadline=row.id)
    return replace(unit, case=replace(case, escalation=runs)), row


def called(before: SiteAlerts, name: str, site: Site, seq: int, now: datetime) -> Turn:
    """The turn of the deadline at which nobody had answered for unit `name`."""
    unit = before.units[name]
    case, plan = unit.open_case, site.escalation
    runs = case.escalation if case else None
    if case is None or runs is None or plan is None:
        return Turn(before, {})
    wait = timedelta(minutes=plan.wait_minutes)
    found = next_called(plan.roster, runs.step, now)
    last = found.step >= ROUNDS * len(plan.roster)
    nexts = () if last else (_row(site.name, name, case, seq, now + wait),)
    unanswered = Unanswered(
        needs="release" if case.draft is not None else "acknowledgement",
        since=runs.since,
        round=(found.step - 1) // len(plan.roster) + 1,
        last=last,
        nobody_on_duty=found.nobody_on_duty,
    )
    handled = Handling(unit=name, action="escalated", reason=_why(unanswered, found.to))
    return Turn(
        _with(before, name, runs, nexts, found.step - runs.step),
        {"on": [name]},
        decides=True,
        deadlines=nexts,
        handled=(handled,),
        calls=(Call("escalation", name, found.to, unanswered=unanswered),),
    )


def _with(
    before: SiteAlerts, name: str, runs: Escalation, rows: Sequence[Deadline], steps: int
) -> SiteAlerts:
    """The site with an escalation that is `steps` places of the roster further, and waits."""
    runs = replace(runs, step=runs.step + steps, deadline=rows[0].id if rows else None)
    unit = before.units[name]
    unit = replace(unit, case=replace(unit.case, escalation=runs) if unit.case else None)
    return replace(before, units={**before.units, name: unit})


def _why(unanswered: Unanswered, to: Sequence[str]) -> str:
    whom = f"{', '.join(to)} called in round {unanswered.round}"
    missing = f"no {unanswered.needs} yet: {whom}"
    if unanswered.nobody_on_duty:
        missing += ", nobody being on duty"
    return f"{missing}; nobody is called after this" if unanswered.last else missing


def _row(site: str, unit: str, case: Case, seq: int, due: datetime) -> Deadline:
    return Deadline(
        id=identity(site, seq, "escalation", unit),
        site=site,
        due=due,
        kind="escalation",
        body=canonical({"alert": case.id, "unit": unit}),
    )
