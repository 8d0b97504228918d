"""An operator's word on an alert, and what it makes of the site.

Whoever may not say it, or says it of what is not there, is told why: the command becomes a dead
letter with that sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from core.errors import BadInputError
from core.events import AlertAction, OperatorCommanded, identity
from core.ledger import Deadline, canonical
from core.settings import Site, TwoPersons
from core.stage import Input
from services.alerting import decide
from services.alerting.alert import Case, Correction, Draft, Released, Withdrawal
from services.alerting.state import Acknowledgement, NewsKind, Silence, SiteAlerts, UnitAlert
from services.alerting.turn import Call, Handling, Turn


class Order(NamedTuple):
    """A command, where it was given, and the units it is on."""

    before: SiteAlerts
    command: OperatorCommanded
    given: Input
    site: Site
    named: tuple[str, ...]

    @property
    def where(self) -> str:
        """How a sentence on it begins."""
        return f"site {self.given.event.site}"


def obeyed(before: SiteAlerts, command: OperatorCommanded, given: Input, site: Site) -> Turn:
    """The turn of a command on one unit, or on all that it can be on when it names none.

    Raises `BadInputError` for a command that nobody signed, for a unit that the site does not have,
    and for what cannot be obeyed: each command says when.
    """
    order = Order(before, command, given, site, _named(before, command, given))
    if not command.operator.strip():
        raise BadInputError(f"{order.where}: {command.command} needs an operator's name")
    if command.command not in _WITHOUT_REASON and not command.reason.strip():
        raise BadInputError(f"{order.where}: {command.command} needs a reason")
    return _COMMANDS[command.command](order)


def _acknowledged(order: Order) -> Turn:
    """Its operator owns the alert from now on; nobody is called any more."""
    who, now = order.command.operator, order.given.now
    after = {}
    for name, unit, case in _open(order):
        seen = Acknowledgement(operator=who, at=now, level=unit.level)
        after[name] = replace(unit, acknowledged=seen, case=replace(case, owner=who))
    return _turn(order, after, "acknowledged")


def _handed_over(order: Order) -> Turn:
    """Another operator owns the alert; only its owner can say so."""
    who, to = order.command.operator, order.command.to.strip()
    if not to or to == who:
        raise BadInputError(f"{order.where}: hand over to another operator, not to {to!r}")
    after = {}
    for name, unit, case in _open(order):
        if case.owner == who:
            after[name] = replace(unit, case=replace(case, owner=to))
        elif order.command.unit is not None:
            owner = f"{case.owner} owns it" if case.owner else "nobody owns it"
            raise BadInputError(
                f"{order.where}: {who} cannot hand over the alert of {name}: {owner}; acknowledge "
                "it first"
            )
    if not after:
        raise BadInputError(f"{order.where}: {who} owns no alert that could be handed over")
    return _turn(order, after, "handed over", f"to {to}: {order.command.reason}".rstrip(": "))


def _silenced(order: Order) -> Turn:
    """News up to the present level is kept back until a moment."""
    command, given = order.command, order.given
    until = command.until
    if until is None or until.tzinfo is None or until <= given.now:
        raise BadInputError(
            f"{order.where}: a silence needs an end in UTC that is still to come, not {until}"
        )
    row = Deadline(
        id=identity(given.event.site, given.seq, "silence"),
        site=given.event.site,
        due=until,
        kind="silence",
        body=canonical({"operator": command.operator, "units": order.named}),
    )
    after = {}
    for name in order.named:
        unit = order.before.units[name]
        silence = Silence(
            deadline=row.id,
            until=until,
            operator=command.operator,
            level=unit.to_tell,
            reason=command.reason,
            coverage=unit.coverage,
        )
        after[name] = replace(unit, silence=silence)
    return _turn(order, after, "silenced")._replace(deadlines=(row,))


def _unsilenced(order: Order) -> Turn:
    """A silence ends before its time."""
    silent = [name for name in order.named if order.before.units[name].silence]
    if not silent:
        raise BadInputError(f"{order.where}: {', '.join(order.named)}: nothing is silenced")
    after = {name: replace(order.before.units[name], silence=None) for name in silent}
    return _turn(order, after, "silence ended")


def _reviewed(order: Order) -> Turn:
    """The first of two officers has read the draft."""
    who = _officer(order)
    after = {
        name: replace(unit, case=replace(case, draft=replace(draft, reviewed_by=who)))
        for name, unit, case, draft in _drafts(order)
    }
    return _turn(order, after, "reviewed")


def _released(order: Order) -> Turn:
    """The second of two officers lets the level be told; the first must be another."""
    who = _officer(order)
    after = {}
    for name, unit, case, draft in _drafts(order):
        if not draft.reviewed_by:
            raise BadInputError(f"{order.where}: {draft.level} of {name} was not reviewed yet")
        if draft.reviewed_by == who:
            raise BadInputError(
                f"{order.where}: {who} reviewed {draft.level} of {name}; another officer must "
                "release it"
            )
        released = Released(level=draft.level, reviewed_by=draft.reviewed_by, released_by=who)
        free = replace(case, draft=None, released=released, escalation=None)
        after[name] = replace(unit, case=free)
    return _turn(order, after, "released", said=("level",))


def _amended(order: Order) -> Turn:
    """A person adds to what was said; all who were told are told that too."""
    command, seq = order.command, order.given.seq
    note = Correction(seq=seq, operator=command.operator, note=command.reason)
    after = {
        name: replace(unit, case=replace(case, correction=note))
        for name, unit, case in _open(order)
    }
    return _turn(order, after, "amended", said=("amended",))


def _cancelled(order: Order) -> Turn:
    """A person withdraws the alert; the unit is at blue until fresh data ask for more."""
    command, now = order.command, order.given.now
    after, aside = {}, {}
    for name, unit, case in _open(order):
        aside[name] = unit.votes
        withdrawal = Withdrawal(operator=command.operator, reason=command.reason)
        over = decide.cancelled(unit, command.operator, command.reason, now)
        after[name] = replace(over, case=replace(case, cancelled=withdrawal))
    turn = _turn(order, after, "cancelled", said=("level",))
    return turn._replace(facts={**turn.facts, "set_aside": aside})


def _drilled(order: Order) -> Turn:
    """An exercise: a level is told as if it were so, to those who take exercises."""
    command, given = order.command, order.given
    level = command.level
    if level is None or level == "blue" or command.unit is None:
        raise BadInputError(f"{order.where}: a drill needs a slope unit and a level above blue")
    if order.before.retired:
        raise BadInputError(f"{order.where} is retired: there is nothing to exercise")
    call = Call(
        "drill",
        command.unit,
        tuple(recipient.id for recipient in order.site.recipients),
        drill=level,
        operator=command.operator,
        note=command.reason,
    )
    alert = f"{given.event.site}.{command.unit}.{given.seq}"
    turn = _turn(order, {}, "drilled")
    handled = tuple(replace(one, alert=alert) for one in turn.handled)
    return turn._replace(calls=(call,), handled=handled)


_COMMANDS: Mapping[str, Callable[[Order], Turn]] = {
    "acknowledge": _acknowledged,
    "hand over": _handed_over,
    "silence": _silenced,
    "unsilence": _unsilenced,
    "review": _reviewed,
    "release": _released,
    "amend": _amended,
    "cancel": _cancelled,
    "drill": _drilled,
}
_WITHOUT_REASON = ("acknowledge", "hand over", "unsilence", "review", "release")


def _turn(
    order: Order,
    units: Mapping[str, UnitAlert],
    action: AlertAction,
    reason: str = "",
    said: Sequence[NewsKind] = (),
) -> Turn:
    on = sorted(units) or list(order.named)
    handled = tuple(
        Handling(
            unit=name,
            action=action,
            by=order.command.operator,
            reason=reason or order.command.reason,
        )
        for name in on
    )
    return Turn(
        replace(order.before, units={**order.before.units, **units}),
        {"operator": order.command, "on": on},
        decides=True,
        handled=handled,
        said={name: said for name in units} if said else {},
    )


def _named(before: SiteAlerts, command: OperatorCommanded, given: Input) -> tuple[str, ...]:
    if command.unit is None:
        if not before.units:
            raise BadInputError(f"site {given.event.site} is not configured: nothing to command")
        return tuple(sorted(before.units))
    if command.unit not in before.units:
        known = ", ".join(sorted(before.units)) or "none"
        raise BadInputError(
            f"site {given.event.site} has no slope unit {command.unit!r}; known: {known}"
        )
    return (command.unit,)


def _open(order: Order) -> list[tuple[str, UnitAlert, Case]]:
    """The units with an open alert."""
    units = [(name, order.before.units[name]) for name in order.named]
    found = [(name, unit, unit.open_case) for name, unit in units]
    opened = [(name, unit, case) for name, unit, case in found if case is not None]
    if not opened:
        raise BadInputError(
            f"{order.where}: {', '.join(order.named)}: no alert is open, so there is nothing to "
            f"{order.command.command}"
        )
    return opened


def _drafts(order: Order) -> list[tuple[str, UnitAlert, Case, Draft]]:
    """The units with a level that waits for its two persons."""
    found = [(name, unit, case, case.draft) for name, unit, case in _open(order)]
    drafts = [(name, unit, case, draft) for name, unit, case, draft in found if draft is not None]
    if not drafts:
        raise BadInputError(
            f"{order.where}: {', '.join(order.named)}: no draft waits, so there is nothing to "
            f"{order.command.command}"
        )
    return drafts


def _officer(order: Order) -> str:
    two: TwoPersons | None = order.site.two_persons
    who = order.command.operator
    if two is None:
        raise BadInputError(f"{order.where} asks for no two persons: there is nothing to release")
    if who not in two.officers:
        raise BadInputError(
            f"{order.where}: {who} is no officer; {', '.join(two.officers)} may review and release"
        )
    return who
