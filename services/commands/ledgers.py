"""The ledger from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import msgspec

from core.events import ALERTS, AlertChanged, AlertHandled
from core.ledger import (
    Decision,
    QueuedNotification,
    downgrade,
    losses,
    open_ledger,
    upgrade,
)
from core.settings import Service
from services.commands._case import notifications_in
from services.commands.logs import events


def export(service: Service, site: str | None) -> None:
    """Write every decision row to standard output, one canonical JSON line each."""
    with closing(open_ledger(str(service.ledger))) as ledger:
        for line in ledger.export(site):
            sys.stdout.buffer.write(line)


class _Told(NamedTuple):
    """A chain's head that was given out, the decision it is said to follow, and by what."""

    seq: int
    head: str
    by: str


def verify(service: Service, echo: Callable[[str], None]) -> bool:
    """Check the chains against themselves and against every head that was told outside.

    A head must be the one of the very decision that gave it out, and the outbox must hold the
    notifications that decisions name, and no others.
    """
    told = _told_by_events(service)
    with closing(open_ledger(str(service.ledger))) as ledger:
        outbox: dict[str, list[QueuedNotification]] = {}
        for notification in ledger.notifications():
            outbox.setdefault(notification.site, []).append(notification)
            told.setdefault(notification.site, []).append(_told_by(notification))
        heads = {site: [one.head for one in given] for site, given in told.items()}
        problems = ledger.verify(heads)
        rows = 0
        for site in ledger.sites():
            decisions = ledger.decisions(site)
            rows += len(decisions)
            problems += _misplaced(site, decisions, told.get(site, ()))
            problems += _outbox_faults(site, decisions, outbox.get(site, ()))
    for problem in problems:
        echo(problem)
    verdict = "broken" if problems else "whole"
    given = sum(map(len, told.values()))
    echo(f"{rows} decisions, {given} heads told outside: the ledger is {verdict}")
    return not problems


def _told_by_events(service: Service) -> dict[str, list[_Told]]:
    """Heads that events of the topic `alerts` carried, by site."""
    from core.eventlog import open_log

    told: dict[str, list[_Told]] = {}
    with closing(open_log(str(service.log))) as log:
        for event in events(log, ALERTS) if ALERTS in log.topics() else ():
            if isinstance(event.data, AlertChanged | AlertHandled):
                by = f"event {event.id} ({event.data.NAME})"
                told.setdefault(event.site, []).append(_Told(event.data.seq, event.data.head, by))
    return told


def _told_by(one: QueuedNotification) -> _Told:
    """The head that a message carried; what cannot be read carried none that a chain could have."""
    by = f"notification {one.id}"
    try:
        message = msgspec.json.decode(one.message)
        return _Told(message["seq"], message["ledger_head"], by)
    except (msgspec.MsgspecError, KeyError, TypeError):
        return _Told(one.seq, f"of {by}, whose message cannot be read,", by)


def _misplaced(site: str, decisions: Sequence[Decision], told: Iterable[_Told]) -> Iterator[str]:
    """Heads that the chain has, but after another decision than the one that gave them out."""
    places = {row.hash: row.seq for row in decisions}
    for one in told:
        if places.get(one.head, one.seq) != one.seq:
            yield (
                f"site {site}: {one.by} names decision {one.seq} and carries the head of decision "
                f"{places[one.head]}: it was changed afterwards"
            )


def _outbox_faults(
    site: str, decisions: Sequence[Decision], outbox: Sequence[QueuedNotification]
) -> Iterator[str]:
    """Notifications that no decision names, and those that are named and not there."""
    named = {
        (row.seq, entry["notification"], entry["recipient"])
        for row in decisions
        for entry in _entries(row)
    }
    kept = {(one.seq, one.id, one.recipient) for one in outbox}
    for seq, name, recipient in sorted(named - kept):
        yield (
            f"site {site}, seq {seq}: it sent notification {name} to {recipient}, which the outbox "
            "does not have: it was removed or changed afterwards"
        )
    for seq, name, recipient in sorted(kept - named):
        yield (
            f"site {site}: the outbox has notification {name} of decision {seq} to {recipient}, "
            "which that decision does not name: it was added or changed afterwards"
        )


def _entries(row: Decision) -> Iterator[dict[str, str]]:
    """Notifications that a decision says it made; none of a row that cannot be read."""
    try:
        yield from notifications_in(msgspec.json.decode(row.body)["facts"])
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError):
        return


def upgrade_schema(service: Service, echo: Callable[[str], None]) -> None:
    """Bring the ledger's tables to this release, making them where there are none."""
    before, after = upgrade(str(service.ledger))
    echo(
        f"the ledger has schema {after} already"
        if before == after
        else f"the ledger had schema {before or 'none'} and has {after}"
    )


def downgrade_schema(
    service: Service, revision: str, echo: Callable[[str], None], agreed: Callable[[], bool]
) -> bool:
    """Take the ledger's tables back to `revision`, once what is lost was said and agreed to."""
    url = str(service.ledger)
    lost = losses(url, revision)
    if not lost:
        echo(f"the ledger has no schema above {revision}: nothing was changed")
        return True
    echo("what a step back drops is lost for good, unless you keep a copy of the database:")
    for loss in lost:
        echo(f"  {loss}")
    if not agreed():
        echo("nothing was changed")
        return False
    before, after = downgrade(url, revision)
    echo(f"the ledger had schema {before} and has {after or 'none'}")
    return True
