"""A running site moves to another log and other stores: nothing is lost, nothing told twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from core.artifacts import FileArtifacts, MemoryArtifacts, open_artifacts
from core.clock import end_of
from core.errors import SettingsError, SlopewatchError
from core.eventlog import TopicSpec, open_log
from core.eventlog._sql_consumer import SqliteConsumer
from core.eventlog._sql_producer import SqliteProducer
from core.events import ALERTS, ASSESSMENTS, DEAD_LETTERS, OBSERVATIONS, Event
from core.ledger import open_ledger
from core.ledger.database import Database
from core.ledger.schema import metadata
from core.notes import open_notes
from core.settings import Service, Topics
from core.statestore import open_states
from core.statestore.repository import IcechunkSite
from core.telemetry import Telemetry
from services import compose
from services.alerting.message import Message
from services.alerting.sender import Sender
from services.commands import _moving_log
from services.commands._moving_files import artifacts_named
from services.commands.moving import TOPICS, copy_log
from services.compose import Slopewatch
from tests.pipeline import (
    LATER,
    Scene,
    append,
    append_raw,
    day,
    distinct,
    make_site,
    records_of,
    state_differences,
)

SITES = ("lian", "shan", "yuan")
DAYS, MOVED_ON = 72, 58
STORES = ("state", "ledger", "artifacts")
PATIENCE_S = 3.0
ROOT = Path(__file__).parents[3]
Sent = Counter[tuple[str, str]]


class Results(NamedTuple):
    """What must be the same wherever a season was watched."""

    ledger: list[bytes]
    outbox: list[tuple[Any, ...]]
    said: dict[str, list[bytes]]


class Season(NamedTuple):
    """A watched season: its first part read, its second part to come, the whole undisturbed."""

    half: Path
    rest: list[Event]
    world: MemoryArtifacts
    whole: Path
    sent_before: Sent
    sent: Sent


class Killed(BaseException):
    """What a process feels of its end, as far as a process feels it."""


class Ear:
    """A recipient that counts what it hears."""

    def __init__(self, heard: Sent, site: str) -> None:
        self.heard, self.site = heard, site

    def send(self, message: Message, key: str) -> tuple[str, list[str]]:
        assert message.site == self.site
        self.heard[self.site, key] += 1
        return "heard", []


def service_in(data: Path, **changes: str) -> Service:
    return Service(data=data).resolved().model_copy(update=changes)


@contextmanager
def running(service: Service) -> Iterator[Slopewatch]:
    """Inference and alerting on a log with the partitions that its settings name."""
    with pytest.MonkeyPatch.context() as patch:
        specs = tuple(TopicSpec(topic, service.topics.partitions) for topic in TOPICS)
        patch.setattr(compose, "TOPICS", specs, raising=False)
        with Slopewatch(service, roles=("inference", "alerting")) as app:
            yield app


def say(service: Service, world: MemoryArtifacts, events: Iterable[Event]) -> None:
    """Put events on the log and what they name into the store of artifacts, and read all."""
    with running(service) as app:
        append(app.log, OBSERVATIONS, events)
        for ref in artifacts_named(app.log, [OBSERVATIONS]):
            if ref.sha256 in world._content:
                app.artifacts.put(world.get(ref))
        read_all(app)
        assert [worker.parked for worker in app.workers] == [{}, {}]


def read_all(app: Slopewatch) -> None:
    """Let both stages read to the end, which takes some polls where a group forms slowly."""
    deadline = time.monotonic() + 60
    while True:
        app.settle()
        ends = [app.log.end(topic) for topic in (OBSERVATIONS, ASSESSMENTS)]
        if all(w._next == end for w, end in zip(app.workers, ends, strict=True)):
            return
        assert time.monotonic() < deadline
        for worker in app.workers:
            worker.step(0.2)


def tell(service: Service, heard: Sent, most: int | None = None) -> None:
    """Send what waits, or only `most` of it, long after everything was said."""
    with closing(open_ledger(str(service.ledger))) as ledger:
        outbox = Sender(ledger, lambda site, _: Ear(heard, site), Telemetry(), slots=most or 16)
        with closing(outbox):
            while outbox.step(LATER) and most is None:
                pass


def results(service: Service, topics: Iterable[str] = (ASSESSMENTS, ALERTS)) -> Results:
    """Ledger bytes, outbox, and what was said of each site, each once."""
    with (
        closing(open_ledger(str(service.ledger))) as ledger,
        closing(open_log(str(service.log))) as log,
    ):
        assert ledger.verify() == []
        rows = [(n.id, n.outcome, n.attempts) for n in ledger.notifications()]
        said = {
            f"{topic}/{site}": distinct(records_of(log, topic, site))
            for topic in topics
            for site in (*SITES, "nobody")
        }
        return Results(list(ledger.export()), rows, said)


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Season:
    half = tmp_path_factory.mktemp("season") / "half"
    world = MemoryArtifacts()
    said: list[Event] = []
    for seed, name in enumerate(SITES):
        scene = Scene(make_site(name), world, seed)
        late = scene.epoch(30, -14.0, track="L1", available=end_of(day(50)))
        said += [scene.configured(), *scene.story(DAYS, mm_a_day=-0.5), late]
    said.sort(key=lambda event: event.available_at)
    before = [e for e in said if e.available_at < end_of(day(MOVED_ON))]
    rest = [e for e in said if e.available_at >= end_of(day(MOVED_ON))]
    stranger = Scene(make_site("nobody"), world).closed(3)
    service = service_in(half)
    say(service, world, [*before, stranger])
    with running(service) as app:
        append_raw(app.log, OBSERVATIONS, "lian", b"\xff no event \x00", b"[")
        append_raw(app.log, OBSERVATIONS, "nobody", b"{}")
        app.settle()
    sent: Sent = Counter()
    tell(service, sent, most=1)
    sent_before = sent.copy()
    with closing(open_ledger(str(service.ledger))) as ledger:
        assert any(n.outcome == "queued" for n in ledger.notifications())
    whole = Path(shutil.copytree(half, half.parent / "whole"))
    say(service_in(whole), world, rest)
    tell(service_in(whole), sent)
    assert sent_before.total() >= 1
    assert sent.total() > sent_before.total() + 3
    return Season(half, rest, world, whole, sent_before, sent)


def home(season: Season, folder: Path) -> Service:
    """The house to move from."""
    return service_in(Path(shutil.copytree(season.half, folder / "old")))


def elsewhere(folder: Path, *, partitions: int | None = None) -> dict[str, str]:
    """Addresses of the house to move to."""
    folder.mkdir(parents=True)
    log = f"sqlite://{folder}/log.db"
    if partitions is not None:
        with closing(open_log(log)) as made:
            made.create_topics([TopicSpec(topic, partitions) for topic in TOPICS])
    return {
        "log": log,
        "state": f"file://{folder}/state",
        "ledger": f"sqlite://{folder}/ledger.db",
        "artifacts": f"file://{folder}/artifacts",
    }


def move(
    service: Service, new: dict[str, str], *stores: str, patience_s: float = PATIENCE_S
) -> list[str]:
    """Run the command; what it said."""
    said: list[str] = []
    into = {name: new[name] for name in stores}
    copy_log(service, str(service.log), new["log"], into, said.append, patience_s=patience_s)
    return said


def moved_in(service: Service, new: dict[str, str], *stores: str) -> Service:
    """The settings after the move."""
    with closing(open_log(new["log"])) as log:
        topics = Topics(partitions=log.topics()[OBSERVATIONS].partitions)
    addresses = {name: new[name] for name in ("log", *stores)}
    return service.model_copy(update={**addresses, "topics": topics})


def assert_same_content(old: Service, new: Service) -> None:
    """Both logs hold of each site the same records in the same order; nothing twice."""
    with closing(open_log(str(old.log))) as a, closing(open_log(str(new.log))) as b:
        for topic in TOPICS:
            for site in (*SITES, "nobody"):
                then = [record.value for record in records_of(a, topic, site)]
                assert [record.value for record in records_of(b, topic, site)] == then
                assert then or topic in {ALERTS, DEAD_LETTERS} or site == "nobody"


def go_on(season: Season, service: Service) -> None:
    """The rest of the season in the new house gives what the undisturbed one gave."""
    with closing(open_log(str(service.log))) as log:
        letters = len(records_of(log, DEAD_LETTERS))
    say(service, season.world, season.rest)
    heard = season.sent_before.copy()
    tell(service, heard)
    assert heard == season.sent
    assert set(heard.values()) == {1}
    whole = service_in(season.whole)
    assert results(service) == results(whole)
    with closing(open_log(str(service.log))) as log:
        assert len(records_of(log, DEAD_LETTERS)) == letters
    with (
        closing(open_states(str(service.state))) as a,
        closing(open_states(str(whole.state))) as b,
    ):
        assert a.sites() == b.sites()
        for site in SITES:
            assert state_differences(a, b, site) == []


def assert_old_house_is_closed(season: Season, service: Service, *, own_ledger: bool) -> None:
    """Old services started by mistake refuse every site, say why, and tell nobody anything."""
    with running(service) as app:
        append(app.log, OBSERVATIONS, season.rest)
        app.settle()
        for worker in app.workers:
            assert set(worker.parked) == set(SITES)
            assert all("was read from log" in p.reason for p in worker.parked.values())
    if own_ledger:
        heard: Sent = Counter()
        tell(service, heard)
        assert not heard


@pytest.mark.parametrize(
    "partitions",
    [None, 3, pytest.param(1, marks=pytest.mark.slow), pytest.param(13, marks=pytest.mark.slow)],
)
def test_log_alone_moves(season: Season, tmp_path: Path, partitions: int | None) -> None:
    old = home(season, tmp_path)
    new = elsewhere(tmp_path / "new", partitions=partitions)
    said = move(old, new)
    after = moved_in(old, new)
    assert f"log: {new['log']}" in said
    assert f"state: {old.state}" in said
    assert_same_content(old, after)
    go_on(season, after)
    assert_old_house_is_closed(season, old, own_ledger=False)


def test_everything_moves_and_the_old_house_is_closed(season: Season, tmp_path: Path) -> None:
    old = home(season, tmp_path)
    new = elsewhere(tmp_path / "new", partitions=3)
    said = move(old, new, *STORES)
    after = moved_in(old, new, *STORES)
    assert any("chains are whole" in line for line in said)
    assert_same_content(old, after)
    assert_old_house_is_closed(season, old, own_ledger=True)
    shutil.rmtree(old.data)
    go_on(season, after)


def test_a_move_that_was_made_is_not_made_again(season: Season, tmp_path: Path) -> None:
    old = home(season, tmp_path)
    new = elsewhere(tmp_path / "new")
    first = move(old, new, *STORES)
    after = moved_in(old, new, *STORES)
    before = results(after, TOPICS)
    assert move(old, new, *STORES) == first[-7:]
    assert results(after, TOPICS) == before
    go_on(season, after)
    used = results(after, TOPICS)
    move(old, new, *STORES)
    assert results(after, TOPICS) == used


def test_what_was_not_read_is_read_before_the_move(season: Season, tmp_path: Path) -> None:
    old = home(season, tmp_path)
    with closing(open_log(str(old.log))) as log:
        append(log, OBSERVATIONS, season.rest)
        for ref in artifacts_named(log, [OBSERVATIONS]):
            open_artifacts(str(old.artifacts)).put(season.world.get(ref))
    new = elsewhere(tmp_path / "new", partitions=3)
    move(old, new, *STORES)
    after = moved_in(old, new, *STORES)
    heard = season.sent_before.copy()
    tell(after, heard)
    assert heard == season.sent
    assert results(after) == results(service_in(season.whole))


# Killed and run again


class Trap:
    """Ends the process, so to say, before or after its `number`-th lasting write."""

    def __init__(self, number: int | None, *, after: bool) -> None:
        self.left = number
        self.after = after
        self.writes = 0

    @contextmanager
    def write(self) -> Iterator[None]:
        self.writes += 1
        due = self.left is not None and self.writes == self.left
        if due and not self.after:
            raise Killed
        yield
        if due and self.after:
            raise Killed

    def around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def trapped(*arguments: Any, **named: Any) -> Any:
            with self.write():
                return method(*arguments, **named)

        return trapped

    def around_write(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def trapped(*arguments: Any) -> Iterator[Any]:
            with self.write(), method(*arguments) as connection:
                yield connection

        return trapped


@contextmanager
def trapped(number: int | None, *, after: bool = False) -> Iterator[Trap]:
    trap = Trap(number, after=after)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_moving_log, "CHUNK_RECORDS", 150)
        for owner, name in (
            (IcechunkSite, "commit"),
            (SqliteConsumer, "commit"),
            (SqliteProducer, "flush"),
            (_moving_log, "_settle"),
        ):
            patch.setattr(owner, name, trap.around(getattr(owner, name)))
        patch.setattr(Database, "write", trap.around_write(Database.write))
        puts = FileArtifacts.put

        def put(self: FileArtifacts, content: bytes) -> Any:
            return trap.around(puts)(self, content) if trap.writes % 7 else puts(self, content)

        patch.setattr(FileArtifacts, "put", put)
        yield trap


@pytest.mark.slow  # short form: killed by the system, below
@pytest.mark.parametrize("stores", [(), STORES], ids=["log", "everything"])
def test_killed_at_a_write_and_run_again(
    season: Season, tmp_path: Path, stores: tuple[str, ...]
) -> None:
    killed_at_writes(season, tmp_path, stores, sampled=2, last=4)


@pytest.mark.slow
@pytest.mark.parametrize("stores", [(), STORES], ids=["log", "everything"])
def test_killed_at_many_writes_and_run_again(
    season: Season, tmp_path: Path, stores: tuple[str, ...]
) -> None:
    killed_at_writes(season, tmp_path, stores, sampled=14, last=8)


def killed_at_writes(
    season: Season, tmp_path: Path, stores: tuple[str, ...], sampled: int, last: int
) -> None:
    """Killed before and after writes at random and before and after each of the last ones.

    The last ones are those that set the places, which is where a half-done move must hold.
    """
    old = home(season, tmp_path / "undisturbed")
    new = elsewhere(tmp_path / "undisturbed/new", partitions=3)
    with trapped(None) as trap:
        move(old, new, *stores)
    expected = results(moved_in(old, new, *stores), [OBSERVATIONS])
    assert trap.writes > 20
    moments = list(range(1, trap.writes + 1))
    for number in random.Random(len(stores)).sample(moments[:-last], sampled) + moments[-last:]:
        for after in (False, True):
            folder = tmp_path / f"{number}-{after}"
            old = home(season, folder)
            new = elsewhere(folder / "new", partitions=3)
            with pytest.raises(Killed), trapped(number, after=after):
                move(old, new, *stores)
            move(old, new, *stores)
            service = moved_in(old, new, *stores)
            assert_same_content(old, service)
            assert results(service, [OBSERVATIONS]) == expected
            if number in moments[-last:] and after:
                go_on(season, service)
            shutil.rmtree(folder)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))]
)
def test_killed_by_the_system_again_and_again(season: Season, tmp_path: Path, seed: int) -> None:
    old = home(season, tmp_path)
    new = elsewhere(tmp_path / "new", partitions=3)
    config = tmp_path / "slopewatch.yaml"
    config.write_text(yaml.safe_dump({"data": str(old.data)}))
    options = [part for name in STORES for part in (f"--{name}", new[name])]
    command = [sys.executable, "-m", "services.cli", "--config", str(config)]
    command += ["log", "copy", str(old.log), new["log"], *options]
    random_ = random.Random(seed)
    killed = 0
    for _ in range(5):
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        lock = Path(str(old.state).removeprefix("file://")) / ".lock"
        wait_until(lambda p=process, at=lock: held_by(at, p.pid) or p.poll() is not None)
        time.sleep(random_.uniform(0.0, 2.5))
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
        assert process.returncode in {0, -signal.SIGKILL}, output
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert killed >= 2
    after = moved_in(old, new, *STORES)
    assert_same_content(old, after)
    go_on(season, after)


def held_by(lock: Path, pid: int) -> bool:
    return f"process {pid} " in lock.read_text()


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Onto a cluster


@pytest.mark.slow  # short form: with S3, below
def test_kafka_and_postgresql(
    season: Season, tmp_path: Path, kafka_url: str, postgres_url: str
) -> None:
    old = home(season, tmp_path)
    new = {**elsewhere(tmp_path / "new"), "log": kafka_url, "ledger": postgres_url}
    to_the_cluster(season, old, new, "ledger")


def test_kafka_postgresql_and_s3(
    season: Season, tmp_path: Path, kafka_url: str, postgres_url: str, s3_url: str
) -> None:
    old = home(season, tmp_path)
    notes = open_notes(str(old.memory))
    notes.put("lian/rain.json", b"{}")
    address, _, query = s3_url.partition("?")
    new = {"log": kafka_url, "ledger": postgres_url}
    new |= {name: f"{address}/{name}?{query}" for name in ("state", "artifacts", "memory")}
    to_the_cluster(season, old, new, *STORES, "memory")
    assert open_notes(new["memory"]).get("lian/rain.json") == b"{}"


def test_the_ledger_has_no_number_that_a_copy_would_have_to_continue() -> None:
    """A column that the database counts by itself would need its counter copied."""
    for table in metadata.tables.values():
        assert table.autoincrement_column is None
        assert not any(column.identity or column.server_default for column in table.columns)


def to_the_cluster(season: Season, old: Service, new: dict[str, str], *stores: str) -> None:
    """Killed a few times on the way, then run to its end."""
    with closing(open_log(new["log"])) as log:
        log.create_topics([TopicSpec(topic, 3) for topic in TOPICS])
    for number in (9, 16, 22):
        with trapped(number, after=bool(number % 2)) as trap, pytest.raises(Killed):
            move(old, new, *stores, patience_s=30.0)
        assert trap.writes >= number
    move(old, new, *stores, patience_s=30.0)
    service = moved_in(old, new, *stores)
    assert_same_content(old, service)
    go_on(season, service)


# What is refused


def test_a_running_slopewatch_is_named(season: Season, tmp_path: Path) -> None:
    old = home(season, tmp_path)
    new = elsewhere(tmp_path / "new")
    with (
        Slopewatch(old, roles=("inference",)),
        pytest.raises(SettingsError, match=f"held by process {os.getpid()} "),
    ):
        move(old, new)
    with closing(open_log(new["log"])) as log:
        assert not log.topics()
    move(old, new)


def test_a_running_alerting_is_noticed(season: Season, tmp_path: Path) -> None:
    old = home(season, tmp_path)
    new = elsewhere(tmp_path / "new")
    with Slopewatch(old, roles=("alerting",)) as app:
        app.workers[0].step(0.1)
        with pytest.raises(SlopewatchError, match="another alerting reads"):
            move(old, new)
    move(old, new)


def test_a_site_that_stands_still_stops_the_move(season: Season, tmp_path: Path) -> None:
    old = home(season, tmp_path)
    new = elsewhere(tmp_path / "new")
    lost = Scene(make_site("shan"), MemoryArtifacts(), 9).epoch(MOVED_ON + 1, -9.0, track="X")
    with closing(open_log(str(old.log))) as log:
        append(log, OBSERVATIONS, [lost])
    with pytest.raises(SlopewatchError, match="site shan stands still in inference"):
        move(old, new, *STORES)
    with closing(open_log(new["log"])) as log:
        assert not any(log.end(OBSERVATIONS).values())


def test_another_log_is_never_mixed_with_this_one(season: Season, tmp_path: Path) -> None:
    old = home(season, tmp_path)
    new = elsewhere(tmp_path / "new")
    foreign = Scene(make_site("lian"), MemoryArtifacts(), 5).closed(1)
    with closing(open_log(new["log"])) as log:
        log.create_topics([TopicSpec(topic) for topic in TOPICS])
        append(log, OBSERVATIONS, [foreign])
    with pytest.raises(SlopewatchError, match="other records of site lian"):
        move(old, new)
    with pytest.raises(SettingsError, match="is the log that was used so far"):
        move(old, {"log": str(old.log)})
    with pytest.raises(SettingsError, match="there is no log"):
        copy_log(old, f"sqlite://{tmp_path}/none.db", new["log"], {}, print)


def test_a_log_that_grows_meanwhile_is_noticed_and_taken_along(
    season: Season, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = home(season, tmp_path)
    new = elsewhere(tmp_path / "new", partitions=3)
    look = _moving_log.TopicCopy.check
    left = iter([season.rest[:1]])

    def grow(self: _moving_log.TopicCopy) -> Any:
        append(self.old, OBSERVATIONS, next(left, []))
        return look(self)

    monkeypatch.setattr(_moving_log.TopicCopy, "check", grow)
    with pytest.raises(SlopewatchError, match="grew while it was copied"):
        move(old, new, *STORES)
    move(old, new, *STORES)
    go_on(season, moved_in(old, new, *STORES))


def test_stores_of_something_else_are_refused(season: Season, tmp_path: Path) -> None:
    old = home(season, tmp_path)
    used = home(season, tmp_path / "used")
    say(used, season.world, season.rest)
    new = elsewhere(tmp_path / "new")
    with pytest.raises(SettingsError, match="holds decisions of site"):
        move(old, {**new, "ledger": str(used.ledger)}, "ledger")
    strange = service_in(tmp_path / "strange")
    say(strange, season.world, [Scene(make_site("elsewhere"), season.world).configured()])
    with pytest.raises(SettingsError, match="holds a site elsewhere"):
        move(old, {**new, "state": str(strange.state)}, "state")


def test_claims_of_a_dead_sender_run_out_in_the_new_ledger(season: Season, tmp_path: Path) -> None:
    old = home(season, tmp_path)
    now = datetime.now(tz=LATER.tzinfo)
    with closing(open_ledger(str(old.ledger))) as ledger:
        (claimed,) = ledger.due_notifications(now, 1, "dead", lease_s=600)
    new = elsewhere(tmp_path / "new")
    move(old, new, *STORES)
    with closing(open_ledger(new["ledger"])) as ledger:
        due = {n.id for n in ledger.due_notifications(now, 1000, "new", lease_s=1)}
        assert claimed.id not in due
        late = ledger.due_notifications(now + timedelta(seconds=601), 1000, "new", lease_s=1)
        assert claimed.id in {n.id for n in late}
