from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from core.errors import SettingsError, UnavailableError
from core.notes import Notes, open_notes
from core.watchdog import LOCK_NAME, MEMORY_NAME, Heartbeats, Watchdog, folder_in, watching_alone

START = datetime(2026, 3, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Wall:
    """A wall clock that may also go backwards."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        raise AssertionError("the watchdog waits on its stop event")


class World:
    """A folder, a clock, and what was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder_in(folder)
        self.beats = Heartbeats(f"file://{folder}/memory")
        self.note = folder / "memory" / "heartbeat" / "a"
        self.clock = Wall()
        self.told: list[tuple[str, str]] = []
        self.heard: list[bool] = []

    def watchdog(self, *sites: str) -> Watchdog:
        def notify(site: str, sentence: str, heard: bool) -> None:
            self.told.append((site, sentence))
            self.heard.append(heard)

        return Watchdog(self.folder, self.beats, sites or ("a",), 26, notify, self.clock)

    def beat(self, site: str = "a") -> None:
        day = (self.clock.time - timedelta(days=1)).date()
        self.beats.beat(site, day, self.clock.time)

    def later(self, hours: float) -> None:
        self.clock.time += hours * HOUR


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_healthy_site_stays_silent(world: World) -> None:
    dog = world.watchdog()
    for _ in range(10):
        world.beat()
        for _ in range(24):
            assert dog.check() == []
            world.later(1)


def test_days_not_closed_wake_it_once_a_day(world: World) -> None:
    world.beat()
    dog = world.watchdog()
    told_after = []
    for hour in range(80):
        if dog.check():
            told_after.append(hour)
        world.later(1)
    assert told_after == [27, 51, 75]
    assert world.told[0] == (
        "a",
        "Site a is silent: no closed day has reached alerting for 27 h (limit 26 h); the last was "
        "2026-02-28. Until it is heard again, count on no warning of motion there: no alarm is not "
        "safety.",
    )


def test_return_of_the_beats_is_told_once(world: World) -> None:
    world.beat()
    dog = world.watchdog()
    world.later(30)
    assert len(dog.check()) == 1
    world.beat()
    assert dog.check() == ["Site a is heard again: the day 2026-03-01 was closed."]
    assert dog.check() == []
    world.later(27)
    assert "is silent" in dog.check()[0]


def test_site_that_never_closed_a_day(world: World) -> None:
    dog = world.watchdog()
    assert dog.check() == []
    world.later(27)
    assert "none ever did" in dog.check()[0]


def test_restart_neither_repeats_nor_starts_anew(world: World) -> None:
    for hour in range(60):
        world.watchdog().check()
        assert len(world.told) == (hour >= 27) + (hour >= 51)
        world.later(1)


def test_one_silent_site_among_healthy_ones(world: World) -> None:
    for site in "abc":
        world.beat(site)
    dog = world.watchdog("a", "b", "c")
    world.later(30)
    for site in "ac":
        world.beat(site)
    dog.check()
    assert [site for site, _ in world.told] == ["b"]


def test_clock_set_back_delays_by_one_limit_at_most(world: World) -> None:
    world.later(24 * 365)
    world.beat()
    dog = world.watchdog()
    assert dog.check() == []
    world.later(-24 * 365)
    assert dog.check() == []
    world.later(27)
    assert len(dog.check()) == 1


def test_beat_of_the_future_does_not_hide_silence(world: World) -> None:
    world.beats.beat("a", date(2030, 1, 1), START + timedelta(days=1000))
    dog = world.watchdog()
    dog.check()
    world.later(27)
    assert len(dog.check()) == 1


def test_clock_set_back_after_telling_is_no_return_of_beats(world: World) -> None:
    world.beat()
    dog = world.watchdog()
    world.later(30)
    assert len(dog.check()) == 1
    world.later(-20)
    assert dog.check() == []
    world.later(23)
    assert dog.check() == []
    world.later(4)
    assert "is silent" in dog.check()[0]


def test_clock_set_forward_tells(world: World) -> None:
    world.beat()
    dog = world.watchdog()
    world.later(24 * 365)
    assert len(dog.check()) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"site":"a"}',
        b'{"site":"b","day":"2026-02-28","at":"2026-03-01T01:00:00Z"}',
        b'{"site":"a","day":"2026-02-28","at":"2026-03-01T01:00:00"}',
        b" " * (2 << 20),
    ],
)
def test_corrupt_file_counts_as_silent_and_says_so(world: World, content: bytes) -> None:
    world.beat()
    dog = world.watchdog()
    assert dog.check() == []
    world.note.write_bytes(content)
    (sentence,) = dog.check()
    assert "heartbeat is damaged" in sentence
    assert dog.check() == []
    world.later(1)
    world.beat()
    assert "heard again" in dog.check()[0]


def test_a_memory_of_this_machine_that_cannot_be_read_counts_as_silent(world: World) -> None:
    world.note.parent.parent.mkdir()
    world.note.parent.touch()
    assert "cannot be read" in world.watchdog().check()[0]


def test_a_folder_in_place_of_the_note_is_no_heartbeat(world: World) -> None:
    world.note.mkdir(parents=True)
    dog = world.watchdog()
    assert dog.check() == []
    world.later(27)
    assert "none ever did" in dog.check()[0]


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a":{"beat_at":null,"since":"2026-03-01"}}'])
def test_corrupt_memory_is_begun_anew(world: World, content: bytes) -> None:
    world.beat()
    world.later(30)
    world.watchdog().check()
    (world.folder / MEMORY_NAME).write_bytes(content)
    assert len(world.watchdog().check()) == 1


def test_memory_without_offset_is_forgotten(world: World) -> None:
    world.beat()
    world.folder.mkdir()
    (world.folder / MEMORY_NAME).write_text(
        json.dumps({"a": {"beat_at": None, "since": "2026-03-01T00:00:00"}})
    )
    assert world.watchdog().check() == []


def test_what_could_not_be_told_is_tried_again_and_stops_no_other(world: World) -> None:
    fails = {"a"}
    told = []

    def notify(site: str, sentence: str, heard: bool) -> None:
        if site in fails:
            raise OSError(f"{site}: mail to duty@example.org failed")
        told.append(site)

    dog = Watchdog(world.folder, world.beats, ("a", "b"), 26, notify, world.clock)
    dog.check()
    world.later(27)
    with structlog.testing.capture_logs() as logs:
        dog.check()
    assert told == ["b"]
    assert "@" not in str(logs)
    fails.clear()
    dog.check()
    assert told == ["b", "a"]


def test_disk_that_takes_nothing_does_not_stop_it(world: World, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    world.folder = blocked / "heartbeat"
    world.beats = Heartbeats(f"file://{blocked}/memory")
    dog = world.watchdog()
    told_after = []
    for hour in range(50):
        if dog.check():
            told_after.append(hour)
        world.later(1)
    assert told_after == [0, 24, 48]


def test_beat_is_written_whole(world: World) -> None:
    world.beat()
    world.later(24)
    world.beat()
    assert [path.name for path in world.note.parent.iterdir()] == ["a"]
    assert json.loads(world.note.read_bytes()) == {
        "site": "a",
        "day": "2026-03-01",
        "at": "2026-03-02T01:00:00Z",
    }


@pytest.mark.parametrize("site", ["", "../a", "a/b", "a.b", "a" * 65])
def test_bad_site_name_touches_no_file(world: World, site: str) -> None:
    with pytest.raises(SettingsError, match="not the name of a site"):
        world.beats.beat(site, date(2026, 3, 1), START)
    with pytest.raises(SettingsError, match="not the name of a site"):
        world.watchdog(site)


def test_run_checks_until_it_is_stopped(world: World) -> None:
    world.beat()
    world.later(27)
    stop = threading.Event()

    def notify(site: str, sentence: str, heard: bool) -> None:
        stop.set()

    dog = Watchdog(world.folder, world.beats, ("a",), 26, notify, world.clock)
    thread = threading.Thread(target=dog.run, args=(stop, 0.01))
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def test_two_do_not_watch_one_folder(world: World) -> None:
    with watching_alone(world.folder) as first, watching_alone(world.folder) as second:
        assert (first, second) == (None, f"pid {os.getpid()}")
        with watching_alone(world.folder, "a") as one_site:
            assert one_site is None
    with watching_alone(world.folder) as after:
        assert after is None


def test_a_killed_one_leaves_no_lock(world: World) -> None:
    hold = (
        "import sys, pathlib, core.watchdog as w\n"
        "with w.watching_alone(pathlib.Path(sys.argv[1])): print('holds', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(world.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "holds\n"
        with watching_alone(world.folder) as holder:
            assert holder == f"pid {other.pid}"
        other.kill()
    with watching_alone(world.folder) as holder:
        assert holder is None
        assert (world.folder / LOCK_NAME).read_text() == f"pid {os.getpid()}"


def test_a_lock_that_cannot_be_taken_stops_no_watch(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with watching_alone(tmp_path / "file") as holder:
        assert holder is None


def test_the_lock_of_a_site_stays_in_its_folder(world: World) -> None:
    with pytest.raises(SettingsError), watching_alone(world.folder, "../a"):
        pass


def test_own_errors_are_logged_with_their_sentence(world: World) -> None:
    def notify(site: str, sentence: str, heard: bool) -> None:
        raise UnavailableError("nobody could be told")

    dog = Watchdog(world.folder, world.beats, ("a",), 26, notify, world.clock)
    dog.check()
    world.later(27)
    with structlog.testing.capture_logs() as logs:
        assert [dog.check(), dog.check()] == [[], []]
    assert [(log["log_level"], log["reason"]) for log in logs] == [
        ("error", "nobody could be told")
    ] * 2


class Bucket(Heartbeats):
    """A memory on another machine, which may be out of reach."""

    def __init__(self, folder: Path) -> None:
        super().__init__("s3://memory")
        self.notes = open_notes(f"file://{folder}/memory")
        self.is_away = False
        self.asked = 0

    def _opened(self) -> Notes:
        self.asked += 1
        if self.is_away:
            raise UnavailableError("s3://memory: no answer")
        return self.notes


def test_a_memory_that_is_away_for_a_while_wakes_nobody(world: World, tmp_path: Path) -> None:
    world.beats = bucket = Bucket(tmp_path)
    for site in "ab":
        world.beat(site)
    dog = world.watchdog("a", "b")
    assert (dog.check(), dog.away) == ([], False)
    bucket.is_away, bucket.asked = True, 0
    world.later(20)
    assert (dog.check(), dog.away, dog.silent) == ([], True, frozenset())
    assert bucket.asked == 1, "each site would wait as long as the first"
    bucket.is_away = False
    for site in "ab":
        world.beat(site)
    world.later(20)
    assert (dog.check(), dog.away) == ([], False)


def test_a_memory_that_stays_away_is_told(world: World, tmp_path: Path) -> None:
    world.beats = bucket = Bucket(tmp_path)
    world.beat()
    dog = world.watchdog()
    dog.check()
    bucket.is_away = True
    world.later(27)
    (sentence,) = dog.check()
    assert "its heartbeat has been out of reach, or none came, for 27 h (limit 26 h)" in sentence
    assert dog.silent == {"a"}
    bucket.is_away = False
    world.beat()
    assert "heard again" in dog.check()[0]
    assert (dog.silent, dog.away) == (frozenset(), False)


def test_a_memory_of_which_nobody_knows_what_it_is_is_a_fault_of_the_settings(
    world: World,
) -> None:
    world.beats = Heartbeats("ftp://memory")
    with pytest.raises(SettingsError):
        world.watchdog().check()
