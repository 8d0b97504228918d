"""Backed up while a season runs, wiped, restored: it ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from core.artifacts import FileArtifacts, MemoryArtifacts
from core.clock import ReplayClock, end_of
from core.errors import (
    BadInputError,
    NewerVersionError,
    SettingsError,
    SlopewatchError,
    UnavailableError,
)
from core.eventlog import open_log
from core.eventlog._sql_producer import SqliteProducer
from core.events import ALERTS, ASSESSMENTS, DEAD_LETTERS, OBSERVATIONS, Event, encode
from core.ledger import open_ledger, upgrade
from core.ledger.ledger import Ledger
from core.notes import open_notes
from core.objects import Objects
from core.outlet import Outlet
from core.settings import Service, Topics
from core.statestore import open_states
from core.statestore.repository import IcechunkSite
from core.telemetry import Telemetry
from core.topics import TOPICS
from services.alerting.message import Message
from services.alerting.sender import Sender
from services.cli import app as command_line
from services.commands import _backup_log, backing_up
from services.commands._backup_log import ORDER
from services.commands._backup_place import Manifest, Vault
from services.commands._moving_files import artifacts_named
from services.commands.backing_up import back_up
from services.commands.restoring import restore, verify
from services.compose import Slopewatch
from tests.pipeline import (
    LATER,
    POINTS,
    Scene,
    append,
    append_raw,
    day,
    distinct,
    make_site,
    records_of,
    state_differences,
)

SITES = ("lian", "shan")
DAYS = 20
HALF = 60
STEP = 2
RATES = (-1.0, -2.0, -4.0)
Sent = Counter[tuple[str, str]]


class Killed(BaseException):
    """What a process feels of its end, as far as a process feels it."""


class Ear:
    """A recipient that counts what it hears."""

    def __init__(self, heard: Sent, site: str) -> None:
        self.heard, self.site = heard, site

    def send(self, message: Message, key: str) -> tuple[str, list[str]]:
        self.heard[self.site, key] += 1
        return "heard", []


class Left(NamedTuple):
    """What a season leaves behind."""

    export: list[bytes]
    outbox: set[tuple[str, str]]
    said: dict[str, list[bytes]]


class Season(NamedTuple):
    """All events of a season with what they name, and what an undisturbed run made of them."""

    events: list[Event]
    world: MemoryArtifacts
    whole: Service
    left: Left
    sent: Sent


class House:
    """A running slopewatch: both stages and a sender, in this process."""

    def __init__(self, season: Season, service: Service) -> None:
        self.season, self.service = season, service
        self.heard: Sent = Counter()
        self.app = Slopewatch(
            service, roles=("inference", "alerting"), clock=ReplayClock(LATER), member="1"
        )

    def hear(self, events: list[Event]) -> None:
        """Ingest: artifacts, then the events that name them."""
        for event in events:
            for ref in refs_of(event):
                self.app.artifacts.put(self.season.world.get(ref))
        append(self.app.log, OBSERVATIONS, events)

    def live(self) -> None:
        """Read all, and tell what there is to tell."""
        self.app.settle()
        assert [worker.parked for worker in self.app.workers] == [{}, {}]
        tell(self.service, self.heard)

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_: object) -> None:
        self.app.close()


def refs_of(event: Event) -> list[Any]:
    from services.commands._moving_files import _refs

    return list(_refs(msgspec.json.decode(encode(event))))


def service_in(data: Path, **changes: Any) -> Service:
    made = Service(data=data, sites=data.parent / f"{data.name}-sites").resolved()
    return made.model_copy(update=changes)


def tell(service: Service, heard: Sent) -> None:
    with closing(open_ledger(str(service.ledger))) as ledger:
        outbox = Sender(ledger, lambda site, _: Ear(heard, site), Telemetry())
        with closing(outbox):
            while outbox.step(LATER):
                pass


def left_by(service: Service) -> Left:
    with (
        closing(open_ledger(str(service.ledger))) as ledger,
        closing(open_log(str(service.log))) as log,
    ):
        assert ledger.verify() == []
        said = {
            f"{topic}/{site}": distinct(records_of(log, topic, site))
            for topic in (ASSESSMENTS, ALERTS)
            for site in SITES
        }
        rows = {(n.site, n.id) for n in ledger.notifications()}
        return Left(list(ledger.export()), rows, said)


def differing_states(a: Service, b: Service) -> dict[str, list[str]]:
    with (
        closing(open_states(str(a.state))) as first,
        closing(open_states(str(b.state))) as second,
    ):
        assert first.sites() == second.sites() == SITES
        found = {site: state_differences(first, second, site) for site in SITES}
        return {site: names for site, names in found.items() if names}


def story(scene: Scene) -> list[Event]:
    """Both units go faster step by step, the head behind the toe; an epoch comes late."""
    said = [scene.configured()]
    toe = np.arange(POINTS) < POINTS // 2 + 1
    for number in range(DAYS):
        steps = [max(0, number - since) for since in (0, 10, 14)]
        later = [max(0, number - since) for since in (2, 12, 16)]
        moved = np.where(toe, np.dot(steps, RATES), np.dot(later, RATES))
        said.append(scene.epoch(number, values=scene.values(moved, noise_mm=0.2)))
        said += [scene.rain(number, float(number % 7))] if number % 4 == 0 else []
        said.append(scene.closed(number))
    late = scene.epoch(4, 0.0, track="L1", available=end_of(day(12)))
    return [*said, late]


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Season:
    folder = tmp_path_factory.mktemp("season")
    world = MemoryArtifacts()
    events: list[Event] = []
    for seed, name in enumerate(SITES):
        events += story(Scene(make_site(name), world, seed))
    events.sort(key=lambda event: event.available_at)
    whole = service_in(folder / "whole")
    empty = Left([], set(), {})
    with House(Season(events, world, whole, empty, Counter()), whole) as house:
        for start in range(0, len(events), 3 * STEP):
            house.hear(events[start : start + 3 * STEP])
            house.live()
    left = left_by(whole)
    assert len(left.export) > 6
    assert house.heard.total() > 8
    assert set(house.heard.values()) == {1}
    return Season(events, world, whole, left, house.heard)


def lived(season: Season, folder: Path, count: int, **changes: Any) -> House:
    """A house that has lived through the first `count` events."""
    house = House(season, service_in(folder, **changes))
    house.hear(season.events[:count])
    house.live()
    return house


def go_on(season: Season, service: Service) -> Sent:
    """Ingest asks again for what the log lacks; what was told, after comparing with the whole."""
    with House(season, service) as house:
        known = {record.value for record in records_of(house.app.log, OBSERVATIONS)}
        missing = [event for event in season.events if encode(event) not in known]
        for start in range(0, len(missing), 3 * STEP):
            house.hear(missing[start : start + 3 * STEP])
            house.live()
    assert left_by(service) == season.left
    assert differing_states(service, season.whole) == {}
    return house.heard


# The whole of it


def disturbed(season: Season, before: Service, after: Service, to: str, seed: int) -> None:
    """Life goes on between the copies of two stores or topics, and after the backup."""
    chance = random.Random(seed)
    house = lived(season, before.data, HALF, **addresses(before))
    told_before = house.heard.copy()
    come = [HALF]

    def live_on(_: str = "") -> None:
        house.hear(season.events[come[-1] : come[-1] + STEP])
        come.append(come[-1] + STEP)
        inference, alerting = house.app.workers
        for worker in (inference, alerting)[: chance.randint(0, 2)]:
            worker.step(0.0)
        if chance.random() < 0.5:
            house.live()

    copy_topic = _backup_log._copy_topic

    def copied(*arguments: Any) -> Any:
        live_on()
        return copy_topic(*arguments)

    with house, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_backup_log, "_copy_topic", copied)
        back_up(before, to, live_on)
        made_until = come[-1]
        for _ in range(2):
            live_on()
        house.live()
    assert HALF < made_until < len(season.events), "the season ended before its backup"
    assert house.heard.total() > told_before.total()
    wipe(before)
    restore(after, to, lambda _: None)
    heard = go_on(season, after)
    everything = house.heard + heard
    assert everything.keys() <= season.left.outbox
    assert not told_before.keys() & heard.keys(), "told before the backup, and again"
    with closing(open_ledger(str(after.ledger))) as ledger:
        ended = {(n.site, n.id): n.outcome for n in ledger.notifications()}
    untold = season.sent.keys() - everything.keys()
    assert {ended[key] for key in untold} <= {"suppressed"}, (
        "not told, nor overtaken by a newer one"
    )
    assert {key for key in ended if ended[key] == "sent"} <= everything.keys()


def addresses(service: Service) -> dict[str, Any]:
    names = ("log", "state", "ledger", "artifacts", "memory", "topics")
    return {name: getattr(service, name) for name in names}


def wipe(service: Service) -> None:
    """The machine is gone; what lies elsewhere is left to whoever runs it."""
    shutil.rmtree(service.data)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))]
)
def test_a_season_goes_on_after_backup_and_restore(
    season: Season, tmp_path: Path, seed: int
) -> None:
    before, after = service_in(tmp_path / "before"), service_in(tmp_path / "after")
    disturbed(season, before, after, str(tmp_path / "backups"), seed)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_season_goes_on_on_kafka_postgresql_and_s3(
    season: Season, tmp_path: Path, kafka_url: str, postgres: Any, postgres_url: str, s3_url: str
) -> None:
    topics = Topics(partitions=3, create=True)
    place, _, query = s3_url.partition("?")
    houses = []
    for name, ledger in (
        ("before", postgres_url),
        ("after", postgres.create_database(f"{postgres_url.rpartition('/')[2]}_after")),
    ):
        stores = {s: f"{place}/{name}/{s}?{query}" for s in ("state", "artifacts", "memory")}
        log = kafka_url.replace("?", f"{name}?")
        made = service_in(tmp_path / name, log=log, ledger=ledger, topics=topics, **stores)
        houses.append(made)
    upgrade(postgres_url)
    disturbed(season, *houses, f"{place}/backups?{query}", 3)


@pytest.mark.slow
def test_a_backup_is_made_beside_a_worker_that_commits_without_pause(
    season: Season, tmp_path: Path
) -> None:
    before, after = service_in(tmp_path / "before"), service_in(tmp_path / "after")
    done, failures = threading.Event(), []
    started = threading.Event()

    def work() -> None:
        try:
            with House(season, before) as house:
                house.hear(season.events[:HALF])
                house.live()
                started.set()
                for event in season.events[HALF:]:
                    house.hear([event])
                    house.app.settle()
                    if done.is_set():
                        return
        except BaseException as error:
            failures.append(error)
            started.set()

    worker = threading.Thread(target=work)
    worker.start()
    started.wait()
    back_up(before, str(tmp_path / "backups"), lambda _: None)
    working = worker.is_alive()
    done.set()
    worker.join()
    assert not failures
    assert working, "the season ended before its backup"
    wipe(before)
    restore(after, str(tmp_path / "backups"), lambda _: None)
    go_on(season, after)


def test_outcomes_that_were_committed_and_never_sent_are_said_after_a_restore(
    season: Season, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine dies between a commit and its sending; only the state knows the evidence."""
    house = lived(season, tmp_path / "before", HALF)
    send = Outlet.send

    def fail(self: Outlet, topic: str, events: Any) -> Any:
        if topic == ASSESSMENTS:
            raise UnavailableError("the machine dies")
        return send(self, topic, events)

    with house:
        monkeypatch.setattr(Outlet, "send", fail)
        house.hear(season.events[HALF : HALF + 30])
        house.app.settle()
        assert house.app.workers[0].parked
        monkeypatch.undo()
        back_up(house.service, str(tmp_path / "backups"), lambda _: None)
        with closing(open_log(str(house.service.log))) as log:
            named = {ref.sha256 for ref in artifacts_named(log, TOPICS)}
    stored = {p.parent.name + p.name for p in (tmp_path / "before/artifacts").glob("*/*")}
    assert stored - named, "nothing was committed that the log does not name"
    wipe(house.service)
    after = service_in(tmp_path / "after")
    restore(after, str(tmp_path / "backups"), lambda _: None)
    go_on(season, after)


def test_every_topic_is_copied_and_each_before_what_it_was_said_of() -> None:
    assert set(ORDER) == set(TOPICS)
    places = [ORDER.index(topic) for topic in (ALERTS, ASSESSMENTS, OBSERVATIONS, DEAD_LETTERS)]
    assert places == sorted(places)


# One backup for many tests


class Kept(NamedTuple):
    """A house that stands still, and a backup of it."""

    service: Service
    place: Path
    name: str
    heard: Sent


@pytest.fixture(scope="module")
def kept(season: Season, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("kept")
    with lived(season, folder / "home", HALF) as house:
        append_raw(house.app.log, OBSERVATIONS, "lian", b"\xff no event", b"[")
        append_raw(house.app.log, OBSERVATIONS, "nobody", b"{}")
        house.app.settle()
    open_notes(str(house.service.memory)).put("days/lian", b'{"closed":"2022-02-01"}')
    house.service.sites.mkdir()
    (house.service.sites / "lian.yaml").write_text("name: lian\n")
    name = back_up(house.service, str(folder / "backups"), lambda _: None)
    return Kept(house.service, folder / "backups", name, house.heard)


@pytest.fixture
def place(kept: Kept, tmp_path: Path) -> Path:
    """A copy of the backup, to be spoilt."""
    return Path(shutil.copytree(kept.place, tmp_path / "backups"))


def test_a_restore_brings_all_back(season: Season, kept: Kept, tmp_path: Path) -> None:
    after = service_in(tmp_path / "after", topics=Topics(partitions=3))
    said: list[str] = []
    restore(after, str(kept.place), said.append)
    assert any("0 records are to be read again" in line for line in said)
    assert left_by(after) == left_by(kept.service)
    with closing(open_log(str(after.log))) as log, closing(open_log(str(kept.service.log))) as old:
        for topic in TOPICS:
            assert log.topics()[topic].partitions == 3
            for site in (*SITES, "nobody"):
                values = [record.value for record in records_of(old, topic, site)]
                assert [record.value for record in records_of(log, topic, site)] == values
    assert open_notes(str(after.memory)).get("days/lian") == b'{"closed":"2022-02-01"}'
    assert open_notes(str(after.memory)).get(backing_up.BEGUN) is None
    assert (after.sites / "lian.yaml").read_text() == "name: lian\n"
    heard = go_on(season, after)
    assert set((kept.heard + heard).values()) == {1}
    assert kept.heard + heard == season.sent
    with closing(open_log(str(after.log))) as log:
        assert len(records_of(log, DEAD_LETTERS)) == 3, "a dead letter came twice"


def test_site_files_are_kept_where_their_folder_cannot_be_written(
    kept: Kept, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    after = service_in(tmp_path / "after", sites=tmp_path / "file/sites")
    said: list[str] = []
    restore(after, str(kept.place), said.append)
    assert (after.data / "restored-sites/lian.yaml").read_text() == "name: lian\n"
    assert any("cannot be written" in line for line in said)


def test_a_second_backup_costs_what_is_new(
    season: Season, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_backup_log, "SEGMENT_RECORDS", 5)
    home = service_in(Path(shutil.copytree(kept.service.data, tmp_path / "home")))
    vault = str(tmp_path / "backups")
    first = back_up(home, vault, lambda _: None)
    segments = set(segments_of(Vault(vault).read(first)))
    reads: list[int] = []
    read = _backup_log._segments

    def counted(*arguments: Any) -> Any:
        reads.append(arguments[-2] - arguments[-3])
        return read(*arguments)

    monkeypatch.setattr(_backup_log, "_segments", counted)
    with House(season, home) as house:
        house.hear(season.events[HALF : HALF + 3])
        house.live()
    said: list[str] = []
    second = back_up(home, vault, said.append)
    manifest = Vault(vault).read(second)
    assert 0 < sum(reads) < sum(topic.records for topic in manifest.log.values()) / 2
    later = set(segments_of(manifest))
    assert len(segments) > 20
    assert len(segments - later) <= 4 * len(SITES)
    assert any(line.startswith("artifacts: 0 of") for line in said)
    assert verify(vault, None, lambda _: None) == second
    assert verify(vault, first, lambda _: None) == first


def segments_of(manifest: Manifest) -> Iterator[str]:
    for topic in manifest.log.values():
        for partition in topic.partitions:
            yield from (segment.piece.sha256 for segment in partition.segments)


def test_old_backups_go_and_the_others_stay_whole(kept: Kept, tmp_path: Path) -> None:
    home = service_in(Path(shutil.copytree(kept.service.data, tmp_path / "home")))
    vault = str(tmp_path / "backups")
    pieces: list[set[str]] = []
    names = []
    for hour in range(3):
        open_notes(str(home.memory)).put("changing", str(hour).encode())
        moment = LATER.replace(hour=hour)
        names.append(back_up(home, vault, lambda _: None, keep=2, clock=lambda m=moment: m))
        pieces.append(set(Vault(vault).there()))
    assert Vault(vault).names() == names[1:]
    assert pieces[0] - pieces[2], "what only the removed one named is there still"
    for name in names[1:]:
        verify(vault, name, lambda _: None)
    with pytest.raises(SlopewatchError, match="holds no backup that begins with"):
        verify(vault, names[0], lambda _: None)
    with pytest.raises(SettingsError, match="one backup at least"):
        back_up(home, vault, lambda _: None, keep=0)


def test_a_lost_ledger_is_restored_beside_the_others(
    season: Season, kept: Kept, tmp_path: Path
) -> None:
    home = service_in(Path(shutil.copytree(kept.service.data, tmp_path / "home")))
    with House(season, home) as house:
        house.hear(season.events[HALF : HALF + 10])
        house.live()
    left = left_by(home)
    assert left.export != left_by(kept.service).export
    vault = str(kept.place)
    with pytest.raises(SettingsError, match=r"ledger: .* holds site lian already"):
        restore(home, vault, lambda _: None, only=["ledger"])
    for path in home.data.glob("ledger.db*"):
        path.unlink()
    restore(home, vault, lambda _: None, only=["ledger"])
    with House(season, home) as again:
        again.live()
    assert left_by(home) == left
    assert (kept.heard + again.heard).keys() >= house.heard.keys()


def test_a_store_is_restored_beside_its_own_log_only(kept: Kept, tmp_path: Path) -> None:
    strange = service_in(tmp_path / "strange")
    with Slopewatch(strange, roles=()):
        pass
    with pytest.raises(SettingsError, match="another log than the one that was backed up"):
        restore(strange, str(kept.place), lambda _: None, only=["state"])
    with pytest.raises(SettingsError, match="together with all other stores"):
        restore(strange, str(kept.place), lambda _: None, only=["log"])
    with pytest.raises(SettingsError, match="no store disk"):
        restore(strange, str(kept.place), lambda _: None, only=["disk"])


# Killed and run again


class Trap:
    """Ends the process, so to say, at its `number`-th lasting write."""

    def __init__(self, number: int | None) -> None:
        self.left = number
        self.writes = 0

    def around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def trapped(*arguments: Any, **named: Any) -> Any:
            self.writes += 1
            if self.writes == self.left:
                raise Killed
            return method(*arguments, **named)

        return trapped


@contextmanager
def trapped(number: int | None, *methods: tuple[type, str]) -> Iterator[Trap]:
    trap = Trap(number)
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in methods:
            patch.setattr(owner, name, trap.around(getattr(owner, name)))
        yield trap


def moments(writes: int, count: int) -> list[int]:
    """Some moments at random, and the last but one."""
    return [*sorted(random.Random(writes).sample(range(1, writes - 1), count)), writes - 1]


@pytest.mark.parametrize("count", [0, pytest.param(20, marks=pytest.mark.slow)])
def test_a_backup_that_was_killed_is_none_and_is_run_again(
    kept: Kept, tmp_path: Path, count: int
) -> None:
    with trapped(None, (Objects, "put")) as trap:
        back_up(kept.service, str(tmp_path / "undisturbed"), lambda _: None)
    vault = str(tmp_path / "backups")
    for number in moments(trap.writes, count):
        with pytest.raises(Killed), trapped(number, (Objects, "put")):
            back_up(kept.service, vault, lambda _: None)
        assert Vault(vault, makes=True).names() == []
        with pytest.raises(SlopewatchError, match="holds no backup"):
            restore(service_in(tmp_path / "none"), vault, lambda _: None)
        shutil.rmtree(vault, ignore_errors=True)
    with pytest.raises(Killed), trapped(trap.writes, (Objects, "put")):
        back_up(kept.service, vault, lambda _: None)
    name = back_up(kept.service, vault, lambda _: None)
    assert verify(vault, None, lambda _: None) == name


LASTING = (
    (IcechunkSite, "commit"),
    (SqliteProducer, "flush"),
    (FileArtifacts, "put"),
    (Ledger, "copy_into"),
    (Ledger, "set_places"),
    (Objects, "put"),
    (Objects, "delete"),
)


@pytest.mark.parametrize("count", [0, pytest.param(25, marks=pytest.mark.slow)])
def test_a_restore_that_was_killed_is_run_again(
    season: Season, kept: Kept, tmp_path: Path, count: int
) -> None:
    with trapped(None, *LASTING) as trap:
        restore(service_in(tmp_path / "undisturbed"), str(kept.place), lambda _: None)
    assert trap.writes > 20
    for number in moments(trap.writes, count):
        after = service_in(tmp_path / f"after-{number}")
        with pytest.raises(Killed), trapped(number, *LASTING):
            restore(after, str(kept.place), lambda _: None)
        assert_nothing_is_told(after)
        restore(after, str(kept.place), lambda _: None)
        assert left_by(after) == left_by(kept.service)
    if count:
        go_on(season, after)


def assert_nothing_is_told(service: Service) -> None:
    """What a half-made house would tell, its own restore would tell again."""
    heard: Sent = Counter()
    tell(service, heard)
    assert not heard


# What is refused


def spoil(folder: Path, prefix: str, change: Callable[[bytes], bytes | None]) -> Path:
    """Change the largest file below `folder/prefix`, or remove it."""
    path = max((folder / prefix).rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    content = change(path.read_bytes())
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "is damaged"),
        (lambda content: content + b" ", "is damaged"),
        (lambda _: None, "is missing"),
    ],
    ids=["a bit", "longer", "gone"],
)
def test_a_spoilt_piece_is_named(
    place: Path, change: Callable[[bytes], bytes | None], told: str
) -> None:
    path = spoil(place, "pieces", change)
    with pytest.raises(BadInputError, match=told) as caught:
        verify(str(place), None, lambda _: None)
    assert str(path) in str(caught.value)


def test_nothing_is_restored_of_a_truncated_backup_and_the_next_one_mends_it(
    kept: Kept, place: Path, tmp_path: Path
) -> None:
    path = spoil(place, "pieces", lambda content: content[:-7])
    after = service_in(tmp_path / "after")
    with pytest.raises(BadInputError, match="is damaged: remove it, then back up again"):
        restore(after, str(place), lambda _: None)
    assert not after.data.exists()
    path.unlink()
    back_up(kept.service, str(place), lambda _: None)
    verify(str(place), None, lambda _: None)


@pytest.mark.slow
def test_every_piece_is_looked_at(place: Path) -> None:
    for path in sorted((place / "pieces").glob("*/*")):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(BadInputError, match="is damaged"):
            verify(str(place), None, lambda _: None)
        path.write_bytes(content)
    verify(str(place), None, lambda _: None)


def rewritten(place: Path, name: str, **changes: Any) -> None:
    """The manifest with other content, under a name that fits it."""
    vault = Vault(str(place))
    manifest = msgspec.structs.replace(vault.read(name), **changes)
    vault.forget(name)
    vault.write(manifest)


def test_a_changed_manifest_is_none(kept: Kept, place: Path) -> None:
    spoil(place, "manifests", lambda content: content.replace(b"lian", b"liam"))
    with pytest.raises(BadInputError, match="use another backup"):
        verify(str(place), None, lambda _: None)


def test_a_newer_release_made_it(kept: Kept, place: Path) -> None:
    rewritten(place, kept.name, format=2)
    with pytest.raises(NewerVersionError, match="upgrade slopewatch"):
        verify(str(place), None, lambda _: None)
    with pytest.raises(NewerVersionError, match="upgrade slopewatch"):
        back_up(kept.service, str(place), lambda _: None)


def test_a_state_of_a_newer_release_is_not_restored(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.commands._backup_check.STATE_VERSION", 1)
    with pytest.raises(NewerVersionError, match="the state of site lian has version 2"):
        restore(service_in(tmp_path / "after"), str(kept.place), lambda _: None)
    assert not (tmp_path / "after").exists()


def test_parts_of_two_backups_do_not_make_one(
    season: Season, kept: Kept, place: Path, tmp_path: Path
) -> None:
    """Ledger and states of later than the log: a site would have read what is not there."""
    home = service_in(Path(shutil.copytree(kept.service.data, tmp_path / "home")))
    with House(season, home) as house:
        house.hear(season.events[HALF : HALF + 20])
        house.live()
    old = Vault(str(place)).read(kept.name)
    later = back_up(home, str(place), lambda _: None)
    rewritten(place, later, log=old.log)
    with pytest.raises(SlopewatchError, match="the log in the backup ends before"):
        verify(str(place), Vault(str(place)).names()[-1], lambda _: None)
    short = msgspec.structs.replace(old.log[OBSERVATIONS].partitions[0], begin=-1)
    topic = msgspec.structs.replace(old.log[OBSERVATIONS], partitions=(short,))
    rewritten(place, kept.name, log={**old.log, OBSERVATIONS: topic})
    with pytest.raises(SlopewatchError, match="are missing"):
        verify(str(place), kept.name[:16], lambda _: None)


def test_a_file_that_leads_elsewhere_is_not_written(
    kept: Kept, place: Path, tmp_path: Path
) -> None:
    manifest = Vault(str(place)).read(kept.name)
    rewritten(place, kept.name, files={**manifest.files, "../../outside": ()})
    with pytest.raises(BadInputError, match="leads elsewhere"):
        verify(str(place), None, lambda _: None)


def test_backups_of_two_slopewatches_are_never_mixed(
    season: Season, kept: Kept, place: Path, tmp_path: Path
) -> None:
    other = MemoryArtifacts()
    scene = Scene(make_site("lian"), other, 77)
    events = [scene.configured(), *scene.story(20, mm_a_day=-2.0)]
    stranger = Season(events, other, season.whole, season.left, Counter())
    with (
        lived(stranger, tmp_path / "stranger", len(events)) as house,
        pytest.raises(SettingsError, match="holds backups of another slopewatch"),
    ):
        back_up(house.service, str(place), lambda _: None)
    after = service_in(tmp_path / "after")
    restore(after, str(place), lambda _: None)
    assert back_up(after, str(place), lambda _: None), "its own backups go on after a restore"


def test_only_empty_stores_are_restored_into(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = service_in(Path(shutil.copytree(kept.service.data, tmp_path / "home")))
    for store, told in (
        ("ledger.db", "site lian"),
        ("state", "site lian"),
        ("artifacts", "artifact "),
        ("memory", "note "),
        ("log.db", "records of "),
    ):
        after = service_in(tmp_path / f"after-{store}")
        after.data.mkdir()
        (shutil.copytree if (home.data / store).is_dir() else shutil.copyfile)(
            home.data / store, after.data / store
        )
        with pytest.raises(SettingsError, match=f"holds {told}.* into empty stores only"):
            restore(after, str(kept.place), lambda _: None)
    with (
        Slopewatch(home, roles=("inference",)),
        pytest.raises(SettingsError, match=f"held by process {os.getpid()} "),
    ):
        restore(home, str(kept.place), lambda _: None)


def test_a_restore_under_way_is_finished_first(kept: Kept, place: Path, tmp_path: Path) -> None:
    after = service_in(tmp_path / "after")
    with pytest.raises(Killed), trapped(3, (Ledger, "set_places"), (IcechunkSite, "commit")):
        restore(after, str(place), lambda _: None)
    with pytest.raises(SettingsError, match="a restore was begun here"):
        back_up(after, str(tmp_path / "elsewhere"), lambda _: None)
    with pytest.raises(SettingsError, match="another restore was begun here"):
        restore(after, str(place), lambda _: None, only=["artifacts"])
    restore(after, str(place), lambda _: None)


def test_what_cannot_be_backed_up_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="artifacts is memory://"):
        back_up(service_in(tmp_path / "a", artifacts="memory://"), str(tmp_path / "b"), print)
    with pytest.raises(SettingsError, match="nothing was watched here yet"):
        back_up(service_in(tmp_path / "a"), str(tmp_path / "b"), print)
    with pytest.raises(SettingsError, match="there is no folder"):
        verify(str(tmp_path / "none"), None, print)


def test_a_damaged_artifact_is_told_and_left_out(kept: Kept, tmp_path: Path) -> None:
    home = service_in(Path(shutil.copytree(kept.service.data, tmp_path / "home")))
    spoil(home.data, "artifacts", lambda content: content[:-1])
    said: list[str] = []
    back_up(home, str(tmp_path / "backups"), said.append)
    assert sum("is damaged" in line for line in said) == 1
    verify(str(tmp_path / "backups"), None, said.append)
    assert any("was damaged when it was backed up" in line for line in said)


# The command line


def test_the_commands(kept: Kept, tmp_path: Path) -> None:
    run = CliRunner()
    home, new = tmp_path / "home.yaml", tmp_path / "new.yaml"
    home.write_text(yaml.safe_dump({"data": str(kept.service.data)}))
    new.write_text(yaml.safe_dump({"data": str(tmp_path / "new")}))
    place = str(tmp_path / "backups")

    def asked(config: Path, *words: str) -> str:
        done = run.invoke(command_line, ["--config", str(config), *words])
        assert done.exit_code == 0, done.output
        return done.output

    assert "is whole" in asked(home, "backup", f"--to={place}", "--keep=7")
    assert "2 sites" in asked(home, "backup", "list", f"--from={place}")
    assert "can be restored" in asked(home, "backup", "verify", f"--from={place}")
    assert "start the services" in asked(new, "restore", f"--from={place}")
    without = run.invoke(command_line, ["--config", str(home), "backup"])
    assert without.exit_code == 2
    assert "say where to" in without.output
