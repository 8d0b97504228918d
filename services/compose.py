"""The only module that knows all services: one process, or one service each."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from importlib import metadata, resources
from pathlib import Path
from typing import Any, get_args

import msgspec
import structlog

from core.artifacts import Artifacts, open_artifacts
from core.clock import Clock, SystemClock, end_of, midnight
from core.errors import SettingsError, SlopewatchError, UnavailableError
from core.eventlog import EventLog, TopicSpec, open_log
from core.events import (
    ALERTS,
    ASSESSMENTS,
    DEAD_LETTERS,
    LEVELS,
    OBSERVATIONS,
    Coverage,
    DeadlinePassed,
    Event,
    ReleaseActivated,
    encode,
    identity,
)
from core.ledger import open_ledger
from core.ledger.ledger import Ledger
from core.settings import Service, Site, load_site, parse_site, site_bytes, site_from_bytes
from core.statestore import States, open_states
from core.telemetry import Telemetry
from core.watchdog import Heartbeat, Watchdog, beat, folder_in
from core.worker import Worker
from services.alerting.message import WHOLE_SITE, Message
from services.alerting.notifier import Recipients
from services.alerting.sender import Sender
from services.alerting.service import AlertingStage
from services.alerting.state import decode_state
from services.alerting.thresholds import load_table
from services.inference.service import InferenceStage
from services.ingest.service import Ingest, Poll, first_day

PARTITIONS = 8
UPKEEP_S = 5.0
THRESHOLDS = "twin-1.json"
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
        self.sender: Sender | None = None
        self._beaten: dict[str, date] = {}
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
            recipients = Recipients(self.site_in_force, self.service)
            self.sender = Sender(self.ledger, recipients, self.telemetry)
            self._closing.callback(self.sender.close)

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

    def miss_vanished(self, sites: Sequence[Site]) -> None:
        """Say that a site has no file any more: it is not polled, and nobody has retired it."""
        for name in Configured(self.service.data).names() - {site.name for site in sites}:
            structlog.get_logger().error(
                "a watched site has no file any more: put it back, or keep it with retired: true",
                site=name,
            )

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

    def site_in_force(self, name: str) -> Site | None:
        """The settings that alerting works with, as the ledger's state names them."""
        view = self.ledger.state(name) if self.ledger else None
        settings = decode_state(view.state).settings if view else None
        return site_from_bytes(self.artifacts.get(settings)) if settings else None

    def heartbeat(self) -> None:
        """Tell the watchdog of every closed day that has reached alerting since the last one."""
        if self.ledger is None:
            return
        for site in self.ledger.sites():
            view = self.ledger.state(site)
            closed = decode_state(view.state).closed if view else None
            if closed is None:
                continue
            self.telemetry.day_closed.labels(site).set(end_of(closed.day).timestamp())
            if self._beaten.get(site) != closed.day:
                known = last_beat(folder_in(self.service.data), site)
                if known is None or known < closed.day:
                    beat(folder_in(self.service.data), site, closed.day, self.clock.now())
                self._beaten[site] = closed.day

    def run_sender(self, stop: threading.Event) -> None:
        """Send what is due until `stop`."""
        if self.sender is not None:
            self.sender.run(stop, self.clock)

    def run_upkeep(self, stop: threading.Event) -> None:
        """Deadlines, heartbeats and gauges, every few seconds until `stop`."""
        while not stop.is_set():
            try:
                self.pass_deadlines()
                self.heartbeat()
                self.gauge()
            except SlopewatchError as error:
                structlog.get_logger().warning("upkeep", reason=str(error))
            stop.wait(UPKEEP_S)

    def gauge(self) -> None:
        """Set the gauges of alerts and coverage from the ledger."""
        if self.ledger is None:
            return
        for site in self.ledger.sites():
            view = self.ledger.state(site)
            units = decode_state(view.state).units.values() if view else ()
            for level in LEVELS:
                count = sum(unit.level == level for unit in units)
                self.telemetry.alert_units.labels(site, level).set(count)
            for coverage in get_args(Coverage):
                count = sum(unit.coverage == coverage for unit in units)
                self.telemetry.coverage_units.labels(site, coverage).set(count)
            epochs = [sight.epoch for unit in units for sight in unit.sights.values()]
            if epochs:
                newest = midnight(max(epochs)).timestamp()
                self.telemetry.state_valid.labels(site).set(newest)

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

    def names(self) -> set[str]:
        """Sites that were announced and not retired."""
        paths = [p for p in self._folder.glob("*.json") if p.name != "release.json"]
        return {
            p.stem for p in paths if not parse_site(msgspec.json.decode(p.read_bytes())).retired
        }

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
        ingest.configure(site, previous, retired=site.retired)
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
    return (resources.files("services.alerting") / "tables" / THRESHOLDS).read_bytes()


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


def make_watchdog(service: Service) -> Watchdog:
    """The watchdog over all site files; it tells the sites' own recipients, past the ledger."""
    clock = SystemClock()
    sites = {site.name: site for site in load_sites(service)}
    recipients = Recipients(sites.get, service)

    def tell(name: str, sentence: str) -> None:
        message = silence_message(sites[name], sentence, clock.now())
        failures = []
        for recipient in sites[name].recipients:
            try:
                recipients(name, recipient.id).send(message, message.id)
            except SlopewatchError as error:
                failures.append(f"{recipient.id}: {error}")
        if failures and len(failures) == len(sites[name].recipients):
            raise UnavailableError(f"nobody could be told that {name} is silent: {failures}")

    return Watchdog(folder_in(service.data), sites, service.watchdog_hours, tell, clock)


def silence_message(site: Site, sentence: str, now: datetime) -> Message:
    """What the watchdog says when the pipeline itself is silent (or is heard again)."""
    heard = "heard again" in sentence
    return Message(
        id=identity("watchdog", site.name, heard, now.date()),
        kind="coverage",
        site=site.name,
        title=site.title or site.name,
        unit=WHOLE_SITE,
        unit_name="all slope units",
        level="blue",
        previous_level="blue",
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


def last_beat(folder: Path, site: str) -> date | None:
    """The closed day that the heartbeat file of `site` speaks of; None where there is none."""
    path = folder / f"{site}.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Heartbeat).day
    except (OSError, msgspec.MsgspecError):
        return None


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
        if self._only is None:
            self._app.miss_vanished(sites)
        for site in sites:
            if site.retired:
                continue
            try:
                polls[site.name] = self._poll(site)
            except SlopewatchError as error:
                # One site's trouble must not keep the others from being asked.
                structlog.get_logger().error("site not asked", site=site.name, reason=str(error))
        return polls

    def _poll(self, site: Site) -> Poll:
        """News of a site; of a new one its history first, as it would have become known."""
        ingest, today = self._app.ingest, self._app.clock.now().date()
        if ingest.closed_until([site]) is None and first_day(site, today) < today:
            yesterday = today - timedelta(days=1)
            ingest.backfill(site, first_day(site, today), yesterday, without_failed=True)
        return ingest.tick(site)

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop`; a tick that fails is told and tried again."""
        while not stop.is_set():
            try:
                self.tick()
            except SlopewatchError as error:
                structlog.get_logger().error("scheduler", reason=str(error))
            stop.wait(self._app.service.poll_minutes * 60)
