"""A rolling upgrade: what only the newer release reads waits for it, and nothing else waits.

Old and new workers are processes. What they leave is compared with an undisturbed run of the newer
release over the same log.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import date
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from core.artifacts import open_artifacts
from core.eventlog import TopicSpec, open_log, partition_of
from core.events import (
    ALERTS,
    ASSESSMENTS,
    DEAD_LETTERS,
    OBSERVATIONS,
    Event,
    RainfallObserved,
    encode,
)
from core.ledger import open_ledger, upgrade
from core.settings import Service
from core.statestore import open_states
from services.alerting.state import decode_state
from tests.pipeline import (
    Scene,
    day,
    make_site,
    records_of,
    state_differences,
)
from tests.scenarios.upgrade_runner import NewRainfallObserved, Status

ROOT = Path(__file__).parents[2]
PARTITIONS = 8
BEFORE, DAYS = 14, 38
PATIENCE_S = 90.0
UPGRADED, PLAIN, ELSEWHERE = "lian", "baihe", "shan"
"""Two sites of one partition, and one of a partition that another worker gets."""
SITES = (UPGRADED, PLAIN, ELSEWHERE)


class Town:
    """The stores of one run, and the story of its sites."""

    def __init__(self, folder: Path, service: Service) -> None:
        self.folder = folder
        self.service = service
        self.running: list[subprocess.Popen[bytes]] = []
        content = msgspec.json.encode(service.model_dump(mode="json"))
        (folder / "service.json").write_bytes(content)
        with closing(open_log(str(service.log))) as log:
            topics = (OBSERVATIONS, ASSESSMENTS, ALERTS, DEAD_LETTERS)
            log.create_topics([TopicSpec(topic, PARTITIONS) for topic in topics])

    def append(self, values: Sequence[tuple[str, bytes]]) -> None:
        with closing(open_log(str(self.service.log))) as log:
            producer = log.producer()
            for site, value in values:
                producer.send(OBSERVATIONS, site, value)
            producer.close(timeout_s=60)

    @contextmanager
    def worker(self, release: str, member: str = "0") -> Iterator[subprocess.Popen[bytes]]:
        """A worker that is stopped as a cluster stops it, and must end well."""
        with (self.folder / f"{release}-{member}.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.scenarios.upgrade_runner"),
                    *(release, str(self.folder), member),
                ],
                cwd=ROOT,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                stderr=log,
                stdout=log,
            )
        self.running.append(process)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0, self.said()
        finally:
            self.running.remove(process)
            if process.poll() is None:
                process.kill()
                process.wait()

    def said(self) -> str:
        """What is known when something went wrong."""
        logs = [path.read_text()[-3000:] for path in self.folder.glob("*.log")]
        return "\n".join([str(self.closed()), *logs])

    def status(self, stage: str, member: str = "0") -> Status:
        """What the worker last said of a stage."""
        path = self.folder / f"{member}.json"
        if not path.exists():
            return Status()
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Status])[stage]

    def wait_until_read_by(self, site: str, member: str) -> None:
        """Until the member's stages have the site's partition."""
        partition = partition_of(site, PARTITIONS)
        stages = ("inference", "alerting")
        self.wait_for(lambda: all(partition in self.status(s, member).partitions for s in stages))

    def wait_until_parked(self, site: str) -> None:
        self.wait_for(lambda: site in self.status("inference").parked)

    def closed(self) -> dict[str, date]:
        """The last closed day that reached alerting, by site."""
        days = {}
        with closing(open_ledger(str(self.service.ledger))) as ledger:
            for site in ledger.sites():
                view = ledger.state(site)
                closed = decode_state(view.state).closed if view else None
                if closed is not None:
                    days[site] = closed.day
        return days

    def wait_for(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not what():
            assert all(process.poll() is None for process in self.running), self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.2)

    def wait_until_closed(self, sites: Sequence[str], last: int) -> None:
        self.wait_for(lambda: all(self.closed().get(site) == day(last) for site in sites))


@pytest.fixture
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Town:
    """An embedded one, or one on Kafka, PostgreSQL and S3."""
    folder = tmp_path / "town"
    folder.mkdir()
    service = Service(data=folder / "var", backoff_s=0.3)
    if request.param == "engines":
        ledger = request.getfixturevalue("postgres_url")
        upgrade(ledger)
        service = service.model_copy(
            update={
                "log": request.getfixturevalue("kafka_url"),
                "state": request.getfixturevalue("s3_url"),
                "ledger": ledger,
            }
        )
    service.data.mkdir()
    return Town(folder, service.resolved())


engines = pytest.param("engines", marks=pytest.mark.xdist_group("engines"))
engines_slow = pytest.param("engines", marks=[pytest.mark.xdist_group("engines"), pytest.mark.slow])
everywhere = pytest.mark.parametrize("town", ["embedded", engines_slow], indirect=True)
on_engines = pytest.mark.parametrize("town", [engines], indirect=True)


def written(event: Event, *, newer: bool) -> tuple[str, bytes]:
    """The event as the ingest of a release writes it."""
    data = event.data
    if newer and isinstance(data, RainfallObserved):
        fields = msgspec.structs.asdict(data)
        event = replace(event, data=NewRainfallObserved(**fields, read_by="observer"))
    return event.site, encode(event)


def tell_first(town: Town, sites: Sequence[str]) -> dict[str, Scene]:
    """The story up to the upgrade, of the present release."""
    artifacts = open_artifacts(str(town.service.artifacts))
    scenes = {name: Scene(make_site(name), artifacts, i) for i, name in enumerate(sites)}
    for scene in scenes.values():
        said = [scene.configured(), *scene.story(BEFORE, mm_a_day=-1.5)]
        town.append([written(event, newer=False) for event in said])
    return scenes


def tell_rest(town: Town, scenes: dict[str, Scene], newer: Sequence[str]) -> None:
    """The rest of it, with the rain of the `newer` sites as the newer release writes it."""
    for name, scene in scenes.items():
        said = scene.story(DAYS, mm_a_day=-1.5, first=BEFORE)
        town.append([written(event, newer=name in newer) for event in said])


def assert_as_if_always_newer(town: Town, tmp_path: Path) -> None:
    """Ledger, states and dead letters equal those of an undisturbed run of the newer release."""
    folder = tmp_path / "undisturbed"
    folder.mkdir()
    service = Service(data=folder / "var").resolved()
    service.data.mkdir()
    undisturbed = Town(folder, service.model_copy(update={"artifacts": town.service.artifacts}))
    with closing(open_log(str(town.service.log))) as log:
        inbox = [(record.key, record.value) for record in records_of(log, OBSERVATIONS)]
        assert records_of(log, DEAD_LETTERS) == []
    undisturbed.append(inbox)
    with undisturbed.worker("new"):
        undisturbed.wait_until_closed(sorted({site for site, _ in inbox}), DAYS - 1)
    with ExitStack() as stack:
        ledgers = [
            stack.enter_context(closing(open_ledger(str(one.service.ledger))))
            for one in (town, undisturbed)
        ]
        rows, expected = (list(ledger.export()) for ledger in ledgers)
        assert rows == expected
        assert rows
        states = [
            stack.enter_context(closing(open_states(str(one.service.state))))
            for one in (town, undisturbed)
        ]
        for site in ledgers[0].sites():
            assert state_differences(*states, site) == []


@everywhere
def test_a_site_with_newer_events_waits_for_the_upgrade_and_the_others_do_not(
    town: Town, tmp_path: Path
) -> None:
    scenes = tell_first(town, (UPGRADED, PLAIN))
    with town.worker("old"):
        town.wait_until_closed((UPGRADED, PLAIN), BEFORE - 1)
        tell_rest(town, scenes, newer=[UPGRADED])
        town.wait_until_closed([PLAIN], DAYS - 1)
        town.wait_until_parked(UPGRADED)
        reason = town.status("inference").parked[UPGRADED]
        assert "rainfall-observed version 2, this release reads up to 1" in reason
        assert "upgrade slopewatch" in reason
        assert town.closed()[UPGRADED] == day(BEFORE - 1)
        assert list(town.status("inference").parked) == [UPGRADED]
        assert town.status("alerting").parked == {}
    with town.worker("new"):
        town.wait_until_closed((UPGRADED, PLAIN), DAYS - 1)
        town.wait_for(lambda: town.status("inference").parked == {})
    assert_as_if_always_newer(town, tmp_path)


@everywhere
def test_a_site_that_comes_with_the_newer_release_waits_too(town: Town, tmp_path: Path) -> None:
    """Nothing of it is a dead letter, although the old workers have never known it."""
    scenes = tell_first(town, [PLAIN])
    artifacts = open_artifacts(str(town.service.artifacts))
    scene = Scene(make_site(UPGRADED), artifacts, 7)
    with town.worker("old"):
        said = [scene.configured(), scene.rain(0, 1.0), *scene.story(BEFORE)]
        town.append([written(event, newer=True) for event in said])
        tell_rest(town, scenes | {UPGRADED: scene}, newer=[UPGRADED])
        town.wait_until_closed([PLAIN], DAYS - 1)
        town.wait_until_parked(UPGRADED)
    with town.worker("new"):
        town.wait_until_closed((UPGRADED, PLAIN), DAYS - 1)
    assert_as_if_always_newer(town, tmp_path)


@on_engines
def test_old_and_new_workers_of_one_group_share_the_work_until_the_last_old_one_stops(
    town: Town, tmp_path: Path
) -> None:
    scenes = tell_first(town, SITES)
    with town.worker("new", "1"):
        with town.worker("old", "0"):
            town.wait_until_closed(SITES, BEFORE - 1)
            town.wait_until_read_by(UPGRADED, "0")
            town.wait_until_read_by(ELSEWHERE, "1")
            tell_rest(town, scenes, newer=(UPGRADED, ELSEWHERE))
            town.wait_until_closed((PLAIN, ELSEWHERE), DAYS - 1)
            town.wait_until_parked(UPGRADED)
            assert town.closed()[UPGRADED] == day(BEFORE - 1)
            assert town.status("inference", "1").parked == {}
        town.wait_until_closed(SITES, DAYS - 1)
    assert_as_if_always_newer(town, tmp_path)


def test_two_sites_share_a_partition_and_the_third_lies_in_the_other_half() -> None:
    """The `range` assignor gives the lower half of the partitions to the lower member id."""
    places = {site: partition_of(site, PARTITIONS) for site in SITES}
    assert places[UPGRADED] == places[PLAIN] < PARTITIONS // 2 <= places[ELSEWHERE]
