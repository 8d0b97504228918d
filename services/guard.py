"""The watchdog of a running slopewatch: whom it tells, and how, when the pipeline is silent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime

import structlog

from core.clock import SystemClock
from core.errors import SlopewatchError, UnavailableError
from core.events import identity
from core.settings import Service, Site
from core.telemetry import Telemetry
from core.watchdog import Heartbeats, Watchdog, folder_in
from services.alerting.message import WHOLE_SITE, Message
from services.alerting.notifier import Recipients
from services.compose import load_sites, read_site_files

EVERY_S = 60.0


class Guard:
    """Keeps the watchdog watching the sites that have a file, and shows what it sees.

    A site whose file cannot be read stays watched as its file last said, and keeps no other site
    from being watched as its own file says now.
    """

    def __init__(self, service: Service, only: str | None, telemetry: Telemetry) -> None:
        """Watch the site `only`, all without it.

        Raises `SettingsError` where no site can be read, or not this one.
        """
        self._service = service
        self._only = only
        self._telemetry = telemetry
        load_sites(service, only, without_broken=only is None)
        self._sites: dict[str, Site] = {}
        self._unknown: list[str] = []
        self._read_files()

    def run(self, stop: threading.Event, echo: Callable[[str], None]) -> None:
        """Check every minute until `stop`; `echo` hears what was told.

        A check that cannot read the heartbeats counts as none: the time of the last one stays.
        """
        clock = SystemClock()
        looked = clock.now().timestamp()
        self._telemetry.watched(looked, 0)
        while not stop.is_set():
            for sentence in self._watchdog.check():
                echo(sentence)
            if not self._watchdog.away:
                looked = clock.now().timestamp()
            self._telemetry.watched(looked, len(self._watchdog.silent))
            stop.wait(EVERY_S)
            self._read_files()

    def missing(self) -> list[str]:
        """Why it cannot tell whether days are closed, if so: of all sites, or of one."""
        away = "the memory is out of reach, so no heartbeat can be read: see that its store answers"
        return [*([away] if self._watchdog.away else []), *self._unknown]

    def _read_files(self) -> None:
        """Take over what the site files say, by the names of the files."""
        found, broken = read_site_files(self._service)
        for error in broken.values():
            structlog.get_logger().error("site file cannot be read", reason=str(error))
        kept = {file: self._sites[file] for file in broken if file in self._sites}
        sites = {
            file: site for file, site in (kept | found).items() if self._only in {None, site.name}
        }
        if not sites:
            structlog.get_logger().error("no site file can be read, all stay watched as they were")
            return
        unknown = [error for file, error in broken.items() if file not in kept]
        self._unknown = [f"not watched: {error}" for error in unknown if self._only is None]
        if sites != self._sites:
            self._sites = sites
            self._watchdog = make_watchdog(self._service, sites.values())


def make_watchdog(service: Service, watched: Iterable[Site]) -> Watchdog:
    """The watchdog over sites; it tells their own recipients, past the ledger."""
    clock = SystemClock()
    sites = {site.name: site for site in watched if not site.retired}
    recipients = Recipients(sites.get, service)
    logger = structlog.get_logger().bind(stage="watchdog")

    def tell(name: str, sentence: str, heard: bool) -> None:
        message = silence_message(sites[name], sentence, clock.now(), heard=heard)
        failures = []
        for recipient in sites[name].recipients:
            try:
                recipients(name, recipient.id).send(message, message.id)
            except Exception as error:
                # One notifier's bug must not cost the others; its text may hold addresses.
                known = isinstance(error, SlopewatchError)
                why = str(error) if known else f"the notifier broke ({type(error).__name__})"
                failures.append(f"{recipient.id}: {why}")
                logger.error("recipient not told", site=name, recipient=recipient.id, reason=why)
        if len(failures) == len(sites[name].recipients):
            why = "; ".join(failures) or f"site {name} has no recipients, list some in its file"
            raise UnavailableError(f"nobody could be told ({why}): {sentence}")

    service = service.resolved()
    beats = Heartbeats(str(service.memory))
    return Watchdog(folder_in(service.data), beats, sites, service.watchdog_hours, tell, clock)


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
