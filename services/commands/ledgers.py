"""The ledger from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing

import msgspec

from core.events import ALERTS, AlertChanged
from core.ledger import downgrade, losses, open_ledger, upgrade
from core.settings import Service
from services.commands.logs import events


def export(service: Service, site: str | None) -> None:
    """Write every decision row to standard output, one canonical JSON line each."""
    with closing(open_ledger(str(service.ledger))) as ledger:
        for line in ledger.export(site):
            sys.stdout.buffer.write(line)


def verify(service: Service, echo: Callable[[str], None]) -> bool:
    """Check the chains against themselves and against every head that was told outside."""
    from core.eventlog import open_log

    heads: dict[str, list[str]] = {}
    with closing(open_log(str(service.log))) as log:
        if ALERTS in log.topics():
            for event in events(log, ALERTS):
                if isinstance(event.data, AlertChanged):
                    heads.setdefault(event.site, []).append(event.data.head)
    with closing(open_ledger(str(service.ledger))) as ledger:
        for notification in ledger.notifications():
            message = msgspec.json.decode(notification.message)
            heads.setdefault(notification.site, []).append(message["ledger_head"])
        problems = ledger.verify(heads)
        rows = sum(1 for _ in ledger.export())
    for problem in problems:
        echo(problem)
    told = sum(map(len, heads.values()))
    verdict = "broken" if problems else "whole"
    echo(f"{rows} decisions, {told} heads told outside: the ledger is {verdict}")
    return not problems


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
