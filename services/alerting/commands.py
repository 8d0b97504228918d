"""An operator's word: acknowledge, silence, unsilence; and the end of a silence."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from core.errors import BadInputError
from core.events import DeadlinePassed, OperatorCommanded
from core.stage import Input
from services.alerting.news import Turn, deadline
from services.alerting.state import Acknowledgement, Silence, SiteAlerts, UnitAlert


def obeyed(before: SiteAlerts, command: OperatorCommanded, given: Input) -> Turn:
    """The turn of a command on one unit, or on all when it names none.

    Raises `BadInputError` for a unit that the site does not have and for a silence without an end
    or with one that has passed.
    """
    named = _named(before, command, given)
    facts: dict[str, object] = {"operator": command, "on": named}
    if command.command == "silence":
        return _silenced(before, command, given, named, facts)
    if command.command == "acknowledge":
        after = {
            name: replace(
                before.units[name],
                acknowledged=Acknowledgement(
                    operator=command.operator, at=given.now, level=before.units[name].level
                ),
            )
            for name in named
        }
    else:
        after = {name: replace(before.units[name], silence=None) for name in named}
    return Turn(_with(before, after), facts, decides=True)


def silence_over(before: SiteAlerts, passed: DeadlinePassed) -> Turn:
    """The turn of a deadline; one that no silence waits for any more is only marked as done."""
    after = {
        name: replace(unit, silence=None)
        for name, unit in before.units.items()
        if unit.silence is not None and unit.silence.deadline == passed.deadline
    }
    facts: dict[str, object] = {"deadline": passed.deadline, "on": sorted(after)}
    return Turn(_with(before, after), facts, decides=bool(after), done=(passed.deadline,))


def _silenced(
    before: SiteAlerts,
    command: OperatorCommanded,
    given: Input,
    named: Sequence[str],
    facts: dict[str, object],
) -> Turn:
    if command.until is None or command.until.tzinfo is None or command.until <= given.now:
        raise BadInputError(
            f"site {given.event.site}: a silence needs an end in UTC that is still to "
            f"come, not {command.until}"
        )
    row = deadline(given.event.site, given.seq, command.until, named, command.operator)
    after = {
        name: replace(
            before.units[name],
            silence=Silence(
                deadline=row.id,
                until=command.until,
                operator=command.operator,
                level=before.units[name].level,
            ),
        )
        for name in named
    }
    return Turn(_with(before, after), facts, decides=True, deadlines=(row,))


def _named(before: SiteAlerts, command: OperatorCommanded, given: Input) -> list[str]:
    if command.unit is None:
        if not before.units:
            raise BadInputError(f"site {given.event.site} is not configured: nothing to command")
        return sorted(before.units)
    if command.unit not in before.units:
        known = ", ".join(sorted(before.units)) or "none"
        raise BadInputError(
            f"site {given.event.site} has no slope unit {command.unit!r}; known: {known}"
        )
    return [command.unit]


def _with(before: SiteAlerts, units: dict[str, UnitAlert]) -> SiteAlerts:
    return replace(before, units={**before.units, **units})
