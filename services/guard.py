"""The watchdog of a running slopewatch: whom it tells, and how, when the pipeline is silent."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from core.clock import SystemClock
from core.errors import SlopewatchError, UnavailableError
from core.events import identity
from core.settings import Service, Site
from core.watchdog import Watchdog, folder_in
from services.alerting.message import WHOLE_SITE, Message
from services.alerting.notifier import Recipients


def make_watchdog(service: Service, watched: Iterable[Site]) -> Watchdog:
    """The watchdog over sites; it tells their own recipients, past the ledger."""
    clock = SystemClock()
    sites = {site.name: site for site in watched if not site.retired}
    recipients = Recipients(sites.get, service)

    def tell(name: str, sentence: str, heard: bool) -> None:
        message = silence_message(sites[name], sentence, clock.now(), heard=heard)
        failures = []
        for recipient in sites[name].recipients:
            try:
                recipients(name, recipient.id).send(message, message.id)
            except SlopewatchError as error:
                failures.append(f"{recipient.id}: {error}")
        if failures and len(failures) == len(sites[name].recipients):
            raise UnavailableError(f"nobody could be told that {name} is silent: {failures}")

    return Watchdog(folder_in(service.data), sites, service.watchdog_hours, tell, clock)


def silence_message(site: Site, sentence: str, now: datetime, *, heard: bool) -> Message:
    """What the watchdog says when the pipeline itself is silent (or is `heard` again)."""
    return Message(
        id=identity("watchdog", site.name, heard, now.date()),
        kind="pipeline",
        site=site.name,
        title=site.title or site.name,
        unit=WHOLE_SITE,
        unit_name="all slope units",
        level=None,
        previous_level=None,
        coverage="watched" if heard else "blind",
        previous_coverage="blind" if heard else "watched",
        coverage_reason=sentence,
        reason=sentence,
        votes=(),
        arose=now.date(),
        known_since=now,
        late_days=0,
        next_pass=None,
        simulated=site.simulated,
        ledger_head="",
        seq=0,
    )
