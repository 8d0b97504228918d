"""An alert as a case: which decisions of the ledger opened it, speak of it and closed it.

Everything here is read from the chain, so that it holds for alerts of any age and on any machine
that has the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from core.errors import SlopewatchError
from core.ledger import Decision, QueuedNotification
from core.ledger.ledger import Ledger
from services.alerting.message import WHOLE_SITE

SHORTEST_PREFIX = 8
"""Characters by which a notification may be named."""


class Row(NamedTuple):
    """One decision, read: its place, its time, what it says, and the row as the chain has it."""

    seq: int
    now: datetime
    facts: Mapping[str, Any]
    row: Decision


class Case(NamedTuple):
    """One alert: `id` is `site.unit.seq` of the decision that opened it.

    `closed` is the place of the decision with which the unit was blue again, None while it is
    open. `rows` are the decisions that speak of it, in order. A `drill` is of one decision.
    """

    id: str
    site: str
    unit: str
    opened: int
    closed: int | None
    rows: tuple[Row, ...]
    drill: bool = False


class Book(NamedTuple):
    """All that the ledger holds of one site; `drills` were exercises and are no `cases`."""

    site: str
    rows: tuple[Row, ...]
    head: str
    notifications: Mapping[str, QueuedNotification]
    cases: tuple[Case, ...]
    drills: tuple[Case, ...]


def read_book(ledger: Ledger, site: str) -> Book:
    """The decisions, notifications and alerts of a site, oldest first.

    Raises `SlopewatchError` for a site that the ledger does not have, and for a row whose body is
    none.
    """
    view = ledger.state(site)
    if view is None:
        known = ", ".join(ledger.sites()) or "none"
        raise SlopewatchError(f"the ledger has no site {site!r}; it has: {known}")
    rows = tuple(_read(site, row) for row in ledger.decisions(site))
    queued = {row.id: row for row in ledger.notifications(site)}
    cases = tuple(_cases(site, rows, queued.values()))
    return Book(site, rows, view.head, queued, cases, tuple(_drills(site, rows)))


def _cases(
    site: str, rows: Sequence[Row], notifications: Iterable[QueuedNotification]
) -> list[Case]:
    """The alerts of a site in the order in which they opened."""
    spans: list[tuple[str, int, int | None]] = []
    last: dict[str, int] = {}
    for row in rows:
        for change in row.facts.get("changes", ()):
            unit, (before, after) = change["unit"], change["level"]
            if before == "blue" != after:
                last[unit] = len(spans)
                spans.append((unit, row.seq, None))
            elif after == "blue" != before and unit in last:
                spans[last[unit]] = (*spans[last[unit]][:2], row.seq)
    told = _told_of(notifications)
    return [_case(site, span, rows, told) for span in spans]


def _drills(site: str, rows: Sequence[Row]) -> Iterator[Case]:
    for row in rows:
        for one in row.facts.get("handled", ()):
            if one["action"] == "drilled":
                yield Case(one["alert"], site, one["unit"], row.seq, row.seq, (row,), drill=True)


def find_case(ledger: Ledger, name: str) -> tuple[Book, Case]:
    """The alert that `name` means: its id, a unit (`site.unit`: its newest), or a notification.

    Raises `SlopewatchError` with what there is instead.
    """
    site, dot, rest = name.partition(".")
    if not dot:
        return _of_notification(ledger, name)
    book = read_book(ledger, site)
    unit, _, number = rest.partition(".")
    of_unit = [case for case in book.cases if case.unit == unit]
    for case in (*book.drills, *reversed(of_unit)):
        if name == case.id or (case in of_unit and _holds(case, number)):
            return book, case
    known = ", ".join(case.id for case in of_unit[-5:]) or "none"
    raise SlopewatchError(
        f"no alert {name!r}; of {site}.{unit} the ledger has: {known} "
        "(`slopewatch alerts list --all` shows all)"
    )


def _holds(case: Case, number: str) -> bool:
    """Whether `number` is of a decision from the opening of `case` to its end, or is left out.

    An alert that an older release opened was named only by a later decision.
    """
    if not number:
        return True
    end = float("inf") if case.closed is None else case.closed
    return number.isdecimal() and case.opened <= int(number) <= end


def _of_notification(ledger: Ledger, name: str) -> tuple[Book, Case]:
    found = [n for n in ledger.notifications() if n.id.startswith(name)]
    if len(name) < SHORTEST_PREFIX or not found:
        raise SlopewatchError(
            f"{name!r} is no alert (SITE.UNIT.NUMBER), no unit (SITE.UNIT) and no notification of "
            f"the ledger (its id, or at least the first {SHORTEST_PREFIX} characters of it)"
        )
    if len(found) > 1:
        raise SlopewatchError(f"{len(found)} notifications begin with {name!r}: write more of it")
    one = found[0]
    book = read_book(ledger, one.site)
    message = _message(one)
    named = message.get("alert", "")
    for case in reversed((*book.drills, *book.cases)):
        if message.get("unit") not in (case.unit, WHOLE_SITE):
            continue
        if named == case.id or one.seq in {row.seq for row in case.rows}:
            return book, case
    raise SlopewatchError(
        f"notification {one.id} belongs to no alert: decision {one.seq} of {one.site} told "
        f"{message.get('kind')} of {message.get('unit')}, of which no alert was open"
    )


def _read(site: str, row: Decision) -> Row:
    try:
        body = msgspec.json.decode(row.body)
        return Row(row.seq, msgspec.convert(body["now"], datetime), body["facts"], row)
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise SlopewatchError(
            f"decision {row.seq} of {site} cannot be read: run `slopewatch ledger verify`"
        ) from error


def _case(
    site: str,
    span: tuple[str, int, int | None],
    rows: Sequence[Row],
    told: Mapping[str, set[int]],
) -> Case:
    case = Case(f"{site}.{span[0]}.{span[1]}", site, *span, ())
    later = {
        seq
        for name, places in told.items()
        if name.startswith(f"{site}.{case.unit}.") and _holds(case, name.rpartition(".")[2])
        for seq in places
    }
    return case._replace(
        rows=tuple(
            row
            for row in rows
            if row.seq in later or (_holds(case, str(row.seq)) and speaks_of(row, case.unit))
        )
    )


def _told_of(notifications: Iterable[QueuedNotification]) -> dict[str, set[int]]:
    """By alert: the places of the decisions that sent messages of it."""
    places: dict[str, set[int]] = {}
    for one in notifications:
        if name := _message(one).get("alert"):
            places.setdefault(name, set()).add(one.seq)
    return places


def _message(one: QueuedNotification) -> dict[str, Any]:
    """What a notification says; nothing where somebody damaged it, which `ledger verify` finds."""
    try:
        return msgspec.json.decode(one.message, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def notifications_in(facts: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Every notification that a decision made: its id, recipient and unit."""
    for value in facts.values():
        for one in value if isinstance(value, list) else ():
            if isinstance(one, dict) and "notification" in one:
                yield one


def speaks_of(row: Row, unit: str) -> bool:
    """Whether a decision changed, told, kept back or commanded something of `unit`."""
    named = [
        one.get("unit")
        for value in row.facts.values()
        for one in (value if isinstance(value, list) else ())
        if isinstance(one, dict)
    ]
    return unit in named or WHOLE_SITE in named or unit in row.facts.get("on", ())
