"""The only module that knows all services: one process, or one service each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import date, timedelta
from importlib import metadata, resources
from typing import Any, NamedTuple

import structlog

from core.artifacts import Artifacts, open_artifacts, reference
from core.clock import Clock, SystemClock
from core.errors import BadInputError, SettingsError, SlopewatchError
from core.eventlog import EventLog, open_log, partition_of
from core.events import (
    ASSESSMENTS,
    OBSERVATIONS,
    DeadlinePassed,
    Event,
    ReleaseActivated,
    decode,
    encode,
    identity,
)
from core.ledger import open_ledger
from core.ledger.ledger import Ledger
from core.notes import open_notes
from core.settings import Service, Site, load_site, site_from_bytes
from core.statestore import States, open_states
from core.telemetry import Telemetry
from core.topics import make_ready
from core.watchdog import Heartbeats
from core.worker import Worker
from services.alerting.notifier import Recipients
from services.alerting.sender import Sender
from services.alerting.service import AlertingStage
from services.alerting.state import decode_state
from services.alerting.thresholds import load_table
from services.gauges import AlertGauges, Standing
from services.inference.service import InferenceStage
from services.inference.version import model_version
from services.ingest.announced import miss_vanished
from services.ingest.service import Ingest
from services.projector.alerts import Alerts
from services.projector.drivers import Drivers
from services.projector.motion import Motion
from services.projector.projection import Projection

UPKEEP_S = 5.0
SEND_TIMEOUT_S = 30.0
PAGE = 2000
ALL = ("ingest", "inference", "alerting", "projector")
"""The services that work together in one process; without the projector they warn as well."""
THRESHOLDS = "twin-2.json"


class Slopewatch:
    """One running slopewatch with some of its services; closes all it opened."""

    def __init__(
        self,
        service: Service,
        *,
        roles: Iterable[str] = ("ingest", "inference", "alerting"),
        clock: Clock | None = None,
        telemetry: Telemetry | None = None,
        member: str = "0",
    ) -> None:
        self.service = service
        self.clock = clock or SystemClock()
        self.telemetry = telemetry or Telemetry()
        self.roles = frozenset(roles)
        self._closing = ExitStack()
        tell_build(self.telemetry, service)
        service.data.mkdir(parents=True, exist_ok=True)
        self.log: EventLog = open_log(str(service.log))
        self._closing.callback(self.log.close)
        make_ready(self.log, service)
        self.artifacts: Artifacts = open_artifacts(str(service.artifacts))
        self.ingest = Ingest(service, self.log, self.artifacts, self.clock, self.telemetry)
        self.states: States | None = None
        self.ledger: Ledger | None = None
        self.sender: Sender | None = None
        self.projection: Projection | None = None
        self._heartbeats = Heartbeats(str(service.memory))
        self._beaten: dict[str, date] = {}
        self._standing: Standing | None = None
        self._gauges: AlertGauges | None = None
        self._passed: set[str] = set()
        self.workers: list[Worker[Any]] = []
        try:
            self._open_stages(member)
        except BaseException:
            self._closing.close()
            raise

    def _open_stages(self, member: str) -> None:
        if "inference" in self.roles:
            self.states = open_states(str(self.service.state))
            self._closing.callback(self.states.close)
            stage = InferenceStage(self.states, self.artifacts, self.service.thinning)
            self._add_worker(stage, member)
        if "alerting" in self.roles:
            self.ledger = open_ledger(str(self.service.ledger))
            self._closing.callback(self.ledger.close)
            self._standing = Standing(self.ledger)
            self._gauges = AlertGauges(
                self.telemetry, self.ledger, self.log, self.artifacts, self.clock
            )
            self._add_worker(AlertingStage(self.ledger, self.artifacts), member)
            recipients = Recipients(self.site_in_force, self.service)
            unreachable = self.telemetry.unreachable
            self.sender = Sender(
                self.ledger,
                recipients,
                self.telemetry,
                unreachable=lambda site, count: unreachable.labels(site).set(count),
            )
            self._closing.callback(self.sender.close)

        if "projector" in self.roles:
            self.projection = Projection(str(self.service.projection))
            self._closing.callback(self.projection.close)
            for projection in (Drivers, Motion, Alerts):
                inbox = self.log.topic_id(projection.inbox)
                self._add_worker(projection(self.projection, inbox, self.artifacts), member)

    def _add_worker(self, stage: Any, member: str) -> None:
        worker: Worker[Any] = Worker(
            self.log,
            stage,
            self.artifacts,
            self.clock,
            self.telemetry,
            member=f"{stage.name}-{member}",
            notes=open_notes(str(self.service.memory)),
            backoff=timedelta(seconds=self.service.backoff_s),
        )
        self._closing.callback(worker.close)
        self.workers.append(worker)

    def configure(self, site: Site) -> tuple[str, ...] | None:
        """Put a site on the log if its file is new or changed; what changed, None if nothing."""
        return self.ingest.announced.announce(site)

    def activate_release(self, sites: Sequence[Site]) -> None:
        """Put this code and its thresholds on the log of the sites that do not run on it."""
        release = this_release(self.service)
        self.artifacts.put(threshold_table(self.service))
        self.ingest.announced.activate(sites, release)

    def miss_vanished(self, sites: Sequence[Site]) -> None:
        """Say that a site has no readable file: it is not polled, and nobody has retired it."""
        miss_vanished(self.ingest.memory, sites)

    def settle(self, tell: Callable[[int], object] = lambda _: None) -> int:
        """Let every worker read until nothing is left; returns the number of records read.

        `tell` hears how many they are as they are read.
        """
        total = 0
        while read := sum(worker.drain(tell) for worker in self.workers):
            total += read
        return total

    def pass_deadlines(self) -> int:
        """Put every deadline that is due on the log of its site, once in this process.

        A row stays due until alerting has read that it passed; a site that stands still must not
        fill the log meanwhile.
        """
        if self.ledger is None:
            return 0
        now = self.clock.now()
        due = [d for d in self.ledger.due_deadlines(now) if d.id not in self._passed]
        producer = self.log.producer()
        receipts = []
        for deadline in due:
            event = Event(
                id=identity("deadline-passed", deadline.id),
                site=deadline.site,
                source="slopewatch/alerting",
                valid_time=deadline.due,
                available_at=deadline.due,
                processed_at=now,
                data=DeadlinePassed(deadline=deadline.id, due=deadline.due),
            )
            receipts.append(producer.send(ASSESSMENTS, deadline.site, encode(event)))
        try:
            for receipt in receipts:
                receipt.wait(SEND_TIMEOUT_S)
        except SlopewatchError:
            producer.discard()
            raise
        producer.close()
        self._passed |= {deadline.id for deadline in due}
        return len(due)

    def site_in_force(self, name: str) -> Site | None:
        """The settings that alerting works with, as the ledger's state names them."""
        view = self.ledger.state(name) if self.ledger else None
        settings = decode_state(view.state).settings if view else None
        return site_from_bytes(self.artifacts.get(settings)) if settings else None

    def heartbeat(self) -> None:
        """Tell the watchdog of every closed day that has reached alerting since the last one."""
        for site, state in self._standing.sites().items() if self._standing else ():
            closed = state.closed
            if closed is None or self._beaten.get(site) == closed.day:
                continue
            known = self._heartbeats.last(site)
            if known is None or known < closed.day:
                self._heartbeats.beat(site, closed.day, self.clock.now())
            self._beaten[site] = closed.day

    def run_sender(self, stop: threading.Event) -> None:
        """Send what is due until `stop`."""
        if self.sender is not None:
            self.sender.run(stop, self.clock)

    def run_upkeep(self, stop: threading.Event) -> None:
        """Deadlines, heartbeats and gauges, every few seconds until `stop`."""
        while not stop.is_set():
            for task in (self.pass_deadlines, self.heartbeat, self.gauge):
                try:
                    task()
                except SlopewatchError as error:
                    # A memory out of reach must not keep deadlines from passing.
                    structlog.get_logger().warning("upkeep", reason=str(error))
            stop.wait(UPKEEP_S)

    def gauge(self) -> None:
        """Set the gauges that the ledger and the topic of alerts have."""
        if self._gauges is not None and self._standing is not None:
            self._gauges.refresh(self._standing)

    def close(self) -> None:
        """Hand everything back."""
        self._closing.close()

    def __enter__(self) -> Slopewatch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def append_observation(log: EventLog, event: Event) -> None:
    """Put one event into inference's inbox; returns when the log has it."""
    producer = log.producer()
    try:
        producer.send(OBSERVATIONS, event.site, encode(event)).wait(SEND_TIMEOUT_S)
    except SlopewatchError:
        producer.discard()
        raise
    producer.close()


def newest(log: EventLog, topic: str, site: str, since: date) -> Iterator[Event]:
    """A site's events that were put on the log since a day, from the log's end, page by page.

    Only the site's own events say when to stop: its neighbours' history may have come after them.
    """
    partition = partition_of(site, log.topics()[topic].partitions)
    first, stop = log.beginning(topic)[partition], log.end(topic)[partition]
    while stop > first:
        start = max(first, stop - PAGE)
        oldest = None
        for record in log.read(topic, partition, start, stop):
            if record.key != site:
                continue
            try:
                event = decode(record.value)
            except SlopewatchError as error:
                place = f"{topic}/{partition}/{record.offset}"
                structlog.get_logger().warning("unreadable event", at=place, reason=str(error))
                continue
            oldest = oldest or event.processed_at.date()
            if event.processed_at.date() >= since:
                yield event
        if oldest is not None and oldest < since:
            return
        stop = start


def this_release(service: Service | None = None) -> ReleaseActivated:
    """The versions of code, model and thresholds that run here.

    Raises `SettingsError` for a threshold table of the service's own that cannot be used.
    """
    table = threshold_table(service)
    return ReleaseActivated(
        code=metadata.version("slopewatch"),
        model=model_version(),
        thresholds=load_table(table).version,
        table=reference(table),
    )


def tell_build(telemetry: Telemetry, service: Service) -> None:
    """Show what runs here. A threshold table that cannot be used stops only whoever needs it."""
    try:
        thresholds = this_release(service).thresholds
    except SettingsError:
        thresholds = "unreadable"
    telemetry.build.labels(metadata.version("slopewatch"), model_version(), thresholds).set(1)


def shipped_table() -> bytes:
    """The calibrated threshold table of this release."""
    return (resources.files("services.alerting") / "tables" / THRESHOLDS).read_bytes()


def threshold_table(service: Service | None) -> bytes:
    """The table that the settings name, else the shipped one.

    Raises `SettingsError` for one that cannot be read.
    """
    if service is None or service.thresholds is None:
        return shipped_table()
    try:
        content = service.thresholds.read_bytes()
        load_table(content)
    except (OSError, BadInputError) as error:
        raise SettingsError(f"thresholds: {service.thresholds} cannot be used: {error}") from error
    return content


class SiteFiles(NamedTuple):
    """The files of the sites folder by their names without `.yaml`: sites, and why others are none.

    Of two files of one site the second one is broken.
    """

    sites: dict[str, Site]
    broken: dict[str, SettingsError]


def read_site_files(service: Service) -> SiteFiles:
    """Read every file of the sites folder; a folder that is missing has none."""
    paths = sorted(service.sites.glob("*.yaml")) if service.sites.is_dir() else []
    files = SiteFiles({}, {})
    for path in paths:
        try:
            site = load_site(path)
            if site.name in {known.name for known in files.sites.values()}:
                raise SettingsError(f"{path}: another file has a site {site.name} already")
            files.sites[path.stem] = site
        except SettingsError as error:
            files.broken[path.stem] = error
    return files


def load_sites(
    service: Service, only: str | None = None, *, without_broken: bool = False
) -> list[Site]:
    """All site files of the sites folder (or the one named); one sentence when there is none.

    A file that cannot be read stops everything, unless it is another site's than `only`; with
    `without_broken` it is told and left out, so that the other sites go on.
    """
    files = read_site_files(service)
    for stem, error in files.broken.items():
        if not without_broken and only in {None, stem}:
            raise error
        structlog.get_logger().error("site file left out", reason=str(error))
    sites = [site for site in files.sites.values() if only in {None, site.name}]
    if not sites:
        which = f"site {only!r}" if only else "site file"
        raise SettingsError(
            f"no {which} in {service.sites}: make one with `slopewatch site new NAME --at LAT,LON`"
        )
    return sites
