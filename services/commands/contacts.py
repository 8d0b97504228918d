"""`slopewatch alerts contacts`: who of each site can be reached, by what senders wrote down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

from core.clock import Clock, SystemClock
from core.ledger import open_ledger
from core.settings import Service, Site
from services.alerting.reachability import Contact, contacts
from services.compose import load_sites

_WORDS = {
    "reached": "reached",
    "failing": "last try failed, is tried again",
    "unreachable": "CANNOT BE REACHED",
    "not sent": "NOT SENT: is a sender running?",
    "not tried": "nothing sent so far",
}


def report(
    service: Service, name: str | None, echo: Callable[[str], None], clock: Clock | None = None
) -> bool:
    """Say for each site, or for `name`, how it stands with each recipient.

    False when messages do not get to somebody whom the site's file lists.
    """
    now = (clock or SystemClock()).now()
    sites = load_sites(service, name) if name else load_sites(service, without_broken=True)
    cut_off = 0
    with closing(open_ledger(str(service.ledger))) as ledger:
        for site in sites:
            if site.retired:
                continue
            found = contacts(site, ledger.routes(site.name), now)
            echo(f"{site.name}: {len(site.recipients) or 'no'} recipients")
            for one in found:
                _say(one, echo)
            cut_off += sum(one.is_cut_off for one in found)
    echo(
        f"{cut_off} cannot be reached: tell them by another way, and mend what the reasons name"
        if cut_off
        else "nobody is cut off"
    )
    return not cut_off


def cut_off(service: Service, sites: Sequence[Site]) -> dict[str, list[str]]:
    """Recipients by site to whom nothing gets through; empty where there is no ledger yet."""
    address = str(service.ledger)
    path = address.removeprefix("sqlite://")
    if path != address and not Path(path).exists():
        return {}
    now = SystemClock().now()
    with closing(open_ledger(address)) as ledger:
        return {
            site.name: [
                one.route.recipient
                for one in contacts(site, ledger.routes(site.name), now)
                if one.is_cut_off
            ]
            for site in sites
            if not site.retired
        }


def _say(one: Contact, echo: Callable[[str], None]) -> None:
    route = one.route
    listed = "" if one.listed else " (listed no more)"
    echo(f"  {route.recipient} ({route.channel}){listed}: {_WORDS[one.standing]}")
    if route.sent_at is not None:
        echo(f"    last sent {_time(route.sent_at)}: {route.receipt or 'no receipt'}")
    if route.refused:
        echo(f"    not to all: {route.refused}")
    if route.failing_since is not None:
        echo(f"    failing since {_time(route.failing_since)}, {_count(route.failures, 'time')}")
    if route.failed_at is not None:
        echo(f"    last failure {_time(route.failed_at)}: {route.reason}")
    if route.given_up:
        echo(f"    {_count(route.given_up, 'message')} given up for good")
    if route.waiting_since is not None:
        echo(f"    {_count(route.waiting, 'message')} waiting since {_time(route.waiting_since)}")


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
