"""Each day: which passes were due, and which of them were found, processed and told of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta

from core.errors import SlopewatchError
from core.eventlog import EventLog
from core.events import (
    ASSESSMENTS,
    OBSERVATIONS,
    AcquisitionFound,
    StateUpdated,
)
from core.ledger import open_ledger
from core.settings import Service, Site
from services.commands._passes import SAME_PASS, Account, Pass, account
from services.commands.news import chosen
from services.compose import Slopewatch, newest

Echo = Callable[[str], None]
LATENCY = timedelta(days=2)
"""A pass is looked for when it is this old: catalogues and products take their time."""


def reconcile(service: Service, names: str | None, days: int, echo: Echo) -> bool:
    """Compare the passes of the last `days` days of each site, and ask again for what is missing.

    Returns whether everything could be looked at and asked; what is still missing is said, not an
    error: a satellite that did not look cannot be mended.
    """
    sites, well = chosen(service, names, echo)
    with Slopewatch(service, roles=["ingest"]) as app:
        today = app.clock.now().date()
        since = today - timedelta(days=days)
        for site in sites:
            if site.retired:
                continue
            try:
                told = _account(app.log, site, since, today - LATENCY)
                echo(f"{site.name}: {_sentence(told)}")
                well = _ask_again(app, site, told, echo) and well
                _undelivered(service, site, echo)
            except SlopewatchError as error:
                # One site's trouble must not keep the others from being looked at.
                echo(f"{site.name}: not looked at: {error}")
                well = False
    return well


def _account(log: EventLog, site: Site, since: date, until: date) -> Account:
    """What became of the site's passes, as the log tells it."""
    found: dict[str, list[date]] = defaultdict(list)
    for event in newest(log, OBSERVATIONS, site.name, since - timedelta(days=site.repeat_days)):
        if isinstance(event.data, AcquisitionFound):
            seen = event.data
            orbit = f"{seen.path or seen.burst or '?'} {(seen.direction or '').lower()}".strip()
            found[orbit].append(seen.stop_time.date())
    epochs = {
        event.data.epoch
        for event in newest(log, ASSESSMENTS, site.name, since)
        if isinstance(event.data, StateUpdated) and event.data.epoch is not None
    }
    return account(found, epochs, site.repeat_days, since, until)


def _ask_again(app: Slopewatch, site: Site, told: Account, echo: Echo) -> bool:
    """Ask all feeds and sources for the days of what is missing; whether all of them answered."""
    lacking = [*told.missing, *told.unprocessed]
    if not lacking:
        return True
    days = [lack.day for lack in lacking]
    poll = app.ingest.ask_again(site, min(days) - SAME_PASS, max(days) + SAME_PASS)
    new = sum(poll.appended.values())
    echo(f"{site.name}: asked again from {min(days)} to {max(days)}: {new} new")
    for feed, reason in poll.failed.items():
        echo(f"{site.name}: {feed} failed: {reason}")
    return not poll.failed


def _undelivered(service: Service, site: Site, echo: Echo) -> None:
    """Say what nobody has got yet; a host that has no ledger of its own says so."""
    with closing(open_ledger(str(service.ledger))) as ledger:
        rows = ledger.notifications(site.name)
    waiting = [row for row in rows if row.outcome == "queued"]
    failed = [row for row in rows if row.outcome == "failed"]
    echo(f"{site.name}: {len(rows) - len(waiting) - len(failed)} notifications delivered")
    if waiting:
        since = min(row.created_at for row in waiting)
        echo(f"{site.name}: {len(waiting)} notifications not delivered, since {since:%Y-%m-%d}")
    if failed:
        echo(f"{site.name}: {len(failed)} notifications given up")


def _sentence(told: Account) -> str:
    found = len(told.unprocessed) + len(told.processed)
    parts = [
        f"{found + len(told.missing)} passes due, {found} found, {len(told.processed)} processed"
    ]
    parts += [f"{what}: {_listed(passes)}" for what, passes in _lacks(told).items() if passes]
    return "; ".join(parts)


def _lacks(told: Account) -> dict[str, tuple[Pass, ...]]:
    return {"not found": told.missing, "no displacement": told.unprocessed}


def _listed(passes: tuple[Pass, ...]) -> str:
    return ", ".join(f"{one.day} on orbit {one.orbit}" for one in passes)
