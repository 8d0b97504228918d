"""The only module that knows all services: one process, or one service each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import msgspec
import structlog

from core.artifacts import Artifacts, open_artifacts
from core.clock import Clock, SystemClock
from core.errors import SettingsError, SlopewatchError
from core.eventlog import EventLog, TopicSpec, open_log
from core.events import (
    ALERTS,
    ASSESSMENTS,
    DEAD_LETTERS,
    OBSERVATIONS,
    DeadlinePassed,
    Event,
    ReleaseActivated,
    encode,
    identity,
)
from core.ledger import open_ledger
from core.ledger.ledger import Ledger
from core.settings import Recipient, Service, Site, load_site, parse_site, site_bytes
from core.statestore import States, open_states
from core.telemetry import Telemetry
from core.worker import Worker
from services.alerting.service import AlertingStage
from services.alerting.thresholds import load_table
from services.inference.service import InferenceStage
from services.ingest.service import Ingest, Poll

PARTITIONS = 8
TOPICS = (
    TopicSpec(OBSERVATIONS, PARTITIONS),
    TopicSpec(ASSESSMENTS, PARTITIONS),
    TopicSpec(ALERTS, PARTITIONS),
    TopicSpec(DEAD_LETTERS, PARTITIONS),
)
MODEL_VERSION = "local-linear-trend-1"


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
        service.data.mkdir(parents=True, exist_ok=True)
        self.log: EventLog = open_log(str(service.log))
        self._closing.callback(self.log.close)
        self.log.create_topics(TOPICS)
        self.artifacts: Artifacts = open_artifacts(str(service.artifacts))
        self.ingest = Ingest(service, self.log, self.artifacts, self.clock, self.telemetry)
        self.states: States | None = None
        self.ledger: Ledger | None = None
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
            self._add_worker(AlertingStage(self.ledger, self.artifacts), member)

    def _add_worker(self, stage: Any, member: str) -> None:
        worker: Worker[Any] = Worker(
            self.log,
            stage,
            self.artifacts,
            self.clock,
            self.telemetry,
            member=f"{stage.name}-{member}",
            backoff=timedelta(seconds=self.service.backoff_s),
        )
        self._closing.callback(worker.close)
        self.workers.append(worker)

    def configure(self, site: Site) -> tuple[str, ...] | None:
        """Put a site on the log if its file is new or changed; what changed, None if nothing."""
        return Configured(self.service.data).announce(site, self.ingest)

    def activate_release(self, sites: Sequence[Site]) -> None:
        """Put this code and its thresholds on the log of the sites that do not run on it."""
        table = shipped_table()
        release = ReleaseActivated(
            code=metadata.version("slopewatch"),
            model=MODEL_VERSION,
            thresholds=load_table(table).version,
            table=self.artifacts.put(table),
        )
        Configured(self.service.data).activate(sites, release, self.ingest)

    def settle(self) -> int:
        """Let every worker read until nothing is left; returns the number of records read."""
        total = 0
        while read := sum(worker.drain() for worker in self.workers):
            total += read
        return total

    def pass_deadlines(self) -> int:
        """Put every deadline that is due on the log of its site."""
        if self.ledger is None:
            return 0
        now = self.clock.now()
        due = self.ledger.due_deadlines(now)
        producer = self.log.producer()
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
            producer.send(ASSESSMENTS, deadline.site, encode(event))
        producer.close()
        return len(due)

    def close(self) -> None:
        """Hand everything back."""
        self._closing.close()

    def __enter__(self) -> Slopewatch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Configured:
    """What ingest has said about sites and releases; losing it repeats a settings event."""

    def __init__(self, data: Path) -> None:
        self._folder = data / "configured"

    def announce(self, site: Site, ingest: Ingest) -> tuple[str, ...] | None:
        """Append `site configured` when the site differs from the last one said."""
        from services.ingest.service import difference

        path = self._folder / f"{site.name}.json"
        content = site_bytes(site)
        previous = None
        if path.exists():
            if path.read_bytes() == content:
                return None
            previous = parse_site(msgspec.json.decode(path.read_bytes()), str(path))
        ingest.configure(site, previous)
        self._write(path, content)
        return difference(previous, site) if previous else ("new site",)

    def activate(self, sites: Sequence[Site], release: ReleaseActivated, ingest: Ingest) -> None:
        """Append `release activated` for the sites that were told of another one, or of none."""
        path = self._folder / "release.json"
        said = msgspec.json.decode(path.read_bytes()) if path.exists() else {}
        content = msgspec.to_builtins(release)
        for first in (True, False):
            stale = [
                site
                for site in sites
                if (site.name not in said) == first and said.get(site.name) != content
            ]
            if stale:
                ingest.activate(stale, release, first=first)
                said |= {site.name: content for site in stale}
                self._write(path, msgspec.json.encode(said))

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_bytes(content)
        temporary.replace(path)


def shipped_table() -> bytes:
    """The calibrated threshold table of this release."""
    return (resources.files("services.alerting") / "tables" / "thresholds.json").read_bytes()


def load_sites(service: Service, only: str | None = None) -> list[Site]:
    """All site files of the sites folder (or the one named); one sentence when there is none."""
    paths = sorted(service.sites.glob("*.yaml")) if service.sites.is_dir() else []
    sites = [load_site(path) for path in paths]
    if only is not None:
        sites = [site for site in sites if site.name == only]
    if not sites:
        which = f"site {only!r}" if only else "site file"
        raise SettingsError(
            f"no {which} in {service.sites}: make one with `slopewatch site new NAME --at LAT,LON`"
        )
    return sites


def recipient_of(service: Service) -> Callable[[str, str], Recipient | None]:
    """Looks a recipient up in the site files as they are now."""

    def find(site: str, recipient: str) -> Recipient | None:
        for known in load_sites(service, site):
            for candidate in known.recipients:
                if candidate.id == recipient:
                    return candidate
        return None

    return find


class Scheduler:
    """The embedded scheduler of laptop mode: asks the feeds and closes the days."""

    def __init__(self, app: Slopewatch, only: str | None = None) -> None:
        self._app = app
        self._only = only

    def tick(self) -> dict[str, Poll]:
        """Read the site files again, say what changed, ask every feed once."""
        polls = {}
        sites = load_sites(self._app.service, self._only)
        for site in sites:
            changed = self._app.configure(site)
            if changed:
                structlog.get_logger().info("site configured", site=site.name, changes=changed)
        self._app.activate_release(sites)
        for site in sites:
            polls[site.name] = self._app.ingest.tick(site)
        return polls

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop`; a tick that fails is told and tried again."""
        while not stop.is_set():
            try:
                self.tick()
                self._app.pass_deadlines()

            except SlopewatchError as error:
                structlog.get_logger().error("scheduler", reason=str(error))
            stop.wait(self._app.service.poll_minutes * 60)


def last_closed(app: Slopewatch, site: str) -> datetime | None:
    """Where the site's inference stands: the latest moment it has taken in."""
    if app.states is None or site not in app.states.sites():
        return None
    repository = app.states.open(site)
    try:
        mark = repository.attrs().get("bookmark")
    finally:
        repository.close()
    return msgspec.convert(mark["now"], datetime) if mark else None
