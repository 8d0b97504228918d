"""The end of a wait: of a silence, a step of an escalation, one recipient's limits, of patience."""

from __future__ import annotations

from msgspec.structs import replace

from core.events import DeadlinePassed
from core.settings import Site
from core.stage import Input
from services.alerting import escalation
from services.alerting.patience import urgent_news
from services.alerting.state import SiteAlerts
from services.alerting.turn import Handling, Turn


def passed(before: SiteAlerts, over: DeadlinePassed, given: Input, site: Site | None) -> Turn:
    """The turn of a deadline; one that nothing waits for any more is only marked as done."""
    turn = _passed(before, over.deadline, given, site)
    return turn._replace(
        facts={"deadline": over.deadline, **turn.facts}, done=(*turn.done, over.deadline)
    )


def _passed(before: SiteAlerts, row: str, given: Input, site: Site | None) -> Turn:
    for name, unit in before.units.items():
        case = unit.open_case
        if site and case and case.escalation and case.escalation.deadline == row:
            return escalation.called(before, name, site, given.seq, given.now)
    for recipient, box in before.mailboxes.items():
        if box.deadline == row:
            return Turn(before, {"on": [recipient]}, decides=True, due=(recipient,))
    if before.patience == row:
        urgent = urgent_news(before.units)
        after = replace(before, patience=None)
        return Turn(after, {"on": sorted(urgent)}, decides=bool(urgent), said=urgent)
    silent = {
        name: replace(unit, silence=None)
        for name, unit in before.units.items()
        if unit.silence is not None and unit.silence.deadline == row
    }
    handled = tuple(
        Handling(unit=name, action="silence ended", reason="its time is over")
        for name in sorted(silent)
    )
    after = replace(before, units={**before.units, **silent})
    return Turn(after, {"on": sorted(silent)}, decides=bool(silent), handled=handled)
