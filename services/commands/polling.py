"""Asking feeds by hand, and taking history in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NoReturn

from tqdm import tqdm

from core.errors import SlopewatchError
from core.settings import Service
from services.compose import ALL, Slopewatch, load_sites
from services.ingest.service import Poll
from services.ingest.window import OVERLAP, first_day
from services.schedule import announce

Echo = Callable[[str], None]


def poll_feed(
    service: Service,
    name: str,
    feed: str,
    since: datetime | None,
    until: datetime | None,
    echo: Echo,
) -> None:
    """Ask one feed of a site for a stretch of days (the last two weeks without one)."""
    site = load_sites(service, name)[0]
    with Slopewatch(service, roles=["ingest"]) as app:
        announce(app, [site])
        today = app.clock.now().date()
        last = until.date() if until else today
        first = since.date() if since else last - OVERLAP
        _tell(app.ingest.poll(site, feed, first, last), echo)


def backfill_site(
    service: Service,
    name: str,
    since: datetime | None,
    until: datetime | None,
    echo: Echo,
    *,
    append: bool = False,
) -> None:
    """Take a site's history in and let inference and alerting read it.

    With `append` it is only put on the log: running services read it, and this process needs
    neither their state nor their ledger.
    """
    site = load_sites(service, name)[0]
    roles = ["ingest"] if append else ALL
    with Slopewatch(service, roles=roles) as app:
        today = app.clock.now().date()
        first = since.date() if since else first_day(site, today)
        last = until.date() if until else today - timedelta(days=1)
        if last < first:
            raise SlopewatchError(f"--until {last} lies before --since {first}")
        announce(app, [site])
        asked = len(site.feeds) + len(site.sources)
        with tqdm(total=asked, desc="asking", unit="feed") as bar:
            poll = app.ingest.backfill(site, first, last, lambda _: _advance(bar))
        _tell(poll, echo)
        if not append:
            _read(app, echo)


def _read(app: Slopewatch, echo: Echo) -> None:
    with tqdm(desc="reading", unit="event") as bar:
        app.settle(bar.update)
    for site, parked in {n: p for w in app.workers for n, p in w.parked.items()}.items():
        echo(f"site {site} stands still: {parked.reason}")


def _advance(bar: tqdm[NoReturn]) -> None:
    bar.update()


def _tell(poll: Poll, echo: Echo) -> None:
    for feed, count in poll.observations.items():
        echo(f"{feed}: {count} observations")
    for what, count in poll.rejections.items():
        echo(f"{what}: {count} rejected (`slopewatch dead-letters list`)")
    for feed, reason in poll.failed.items():
        echo(f"{feed} failed: {reason}")
    if poll.closed:
        echo(f"{poll.closed} days closed")
