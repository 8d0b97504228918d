"""`slopewatch alerts list`: the alerts that are open, or all that ever were."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

from core.errors import SlopewatchError
from core.events import Level
from core.ledger import open_ledger
from core.ledger.ledger import Ledger
from core.settings import Service, rank
from services.alerting.alert import Draft, Escalation
from services.alerting.state import Acknowledgement, Silence, UnitAlert, decode_state
from services.commands._case import Book, Case, read_book

Echo = Callable[[str], None]
HEADINGS = ("alert", "level", "since", "coverage", "owner", "")


class Listed(NamedTuple):
    """One line: the alert's id and what there is to say of it."""

    alert: str
    level: str
    since: str
    coverage: str
    owner: str
    notes: str


def list_alerts(service: Service, site: str | None, closed_too: bool, echo: Echo) -> None:
    """One line an alert, the open ones; with `closed_too` all that the ledger has, oldest first.

    Raises `SlopewatchError` for a site that the ledger does not have.
    """
    with closing(open_ledger(str(service.ledger))) as ledger:
        if site is not None and site not in ledger.sites():
            known = ", ".join(ledger.sites()) or "none"
            raise SlopewatchError(f"the ledger has no site {site!r}; it has: {known}")
        found = [
            one
            for name in ([site] if site else ledger.sites())
            for one in _of_site(ledger, name, closed_too)
        ]
    rows = [HEADINGS, *found] if found else []
    widths = [
        max(len(row[column]) for row in rows) for column in range(len(HEADINGS) if rows else 0)
    ]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        echo("  ".join(cells).rstrip())
    echo(f"{len(found)} {'alerts' if closed_too else 'open alerts'}")


def _of_site(ledger: Ledger, site: str, closed_too: bool) -> Iterator[Listed]:
    view = ledger.state(site)
    units = decode_state(view.state if view else None).units
    above = {name for name, unit in units.items() if unit.level != "blue"}
    if not above and not closed_too:
        return
    book = read_book(ledger, site)
    newest = {case.unit: case for case in book.cases}
    if closed_too:
        for case in book.cases:
            if case.unit not in above or newest[case.unit] is not case:
                yield _over(book, case)
    for name in sorted(above):
        yield _open(site, name, units[name], newest.get(name))


def _open(site: str, name: str, unit: UnitAlert, derived: Case | None) -> Listed:
    """An open alert; one of an older release has its name from the ledger's chain."""
    case = unit.open_case
    fallback = derived.id if derived else f"{site}.{name}"
    notes = (
        _acknowledged(unit.acknowledged),
        _silenced(unit.silence),
        _escalated(case.escalation if case else None),
        _drafted(case.draft if case else None),
    )
    return Listed(
        case.id if case else fallback,
        unit.level,
        str(unit.arose or ""),
        unit.coverage,
        (case.owner if case else "") or "nobody",
        "; ".join(filter(None, notes)),
    )


def _over(book: Book, case: Case) -> Listed:
    """An alert that is over; its highest level, and when it closed."""
    levels: list[Level] = [
        change["level"][1]
        for row in case.rows
        for change in row.facts.get("changes", ())
        if change["unit"] == case.unit
    ]
    places = {row.seq: row.now for row in book.rows}
    until = f", closed {places[case.closed]:%Y-%m-%d}" if case.closed is not None else ""
    return Listed(
        case.id,
        "blue",
        f"{places[case.opened]:%Y-%m-%d}",
        "",
        "",
        f"was {max(levels, key=rank, default='blue')}{until}",
    )


def _acknowledged(one: Acknowledgement | None) -> str:
    if one is None:
        return "not acknowledged"
    return f"acknowledged by {one.operator} at {one.level}, {one.at:%Y-%m-%d %H:%M} UTC"


def _silenced(one: Silence | None) -> str:
    return f"silenced by {one.operator} until {one.until:%Y-%m-%d %H:%M} UTC" if one else ""


def _escalated(one: Escalation | None) -> str:
    if one is None or not one.step:
        return ""
    over = "" if one.deadline else ", every round is over"
    return f"escalated for {one.level}, {one.step} on the roster called{over}"


def _drafted(one: Draft | None) -> str:
    if one is None:
        return ""
    waits = (
        f"reviewed by {one.reviewed_by}, waits for a release"
        if one.reviewed_by
        else ("waits for a review")
    )
    return f"{one.level} is a draft: {waits}, {one.tell} is told meanwhile"
