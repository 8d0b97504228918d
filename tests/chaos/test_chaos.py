"""Kills and stops at random moments change nothing: neither states nor ledger nor what is sent.

What a killed run leaves is compared with an undisturbed run over the same log.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from core.artifacts import open_artifacts
from core.clock import ReplayClock, end_of
from core.errors import SettingsError
from core.eventlog import open_log
from core.events import ALERTS, ASSESSMENTS, OBSERVATIONS, Event, encode
from core.ledger import open_ledger
from core.statestore import open_states
from services.compose import Slopewatch
from tests.chaos.runner import drain, service_in
from tests.pipeline import (
    LATER,
    Scene,
    append,
    day,
    distinct,
    events_of,
    make_site,
    records_of,
    state_differences,
)

SITES = ("lian", "shan", "yuan")
DAYS = 96
ROOT = Path(__file__).parents[2]


class Nursery:
    """Fresh processes to be killed, one after the other."""

    def __init__(self) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.runner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def start(self, kind: str, data: Path) -> int:
        """Begin some work and return its pid once it is under way."""
        assert self.process.stdin is not None
        started = data / "started"
        started.unlink(missing_ok=True)
        self.process.stdin.write(f"{kind} {data}\n")
        self.process.stdin.flush()
        return int(self._line())

    def ended(self) -> int:
        """Wait for its end: 0, or minus the signal that ended it."""
        return int(self._line())

    def run(self, kind: str, data: Path) -> None:
        self.start(kind, data)
        assert self.ended() == 0

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


class Results(NamedTuple):
    ledger: list[bytes]
    outbox: list[object]
    alerts: list[bytes]
    assessments: list[bytes]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with closing(Nursery()) as made:
        yield made


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """A data folder with artifacts and an empty log, and what is to be said on it."""
    data = tmp_path_factory.mktemp("story")
    service = service_in(data)
    artifacts = open_artifacts(str(service.artifacts))
    said: list[Event] = []
    for seed, name in enumerate(SITES):
        watched = day(DAYS // 3).isoformat()
        scene = Scene(make_site(name, watched_from=watched), artifacts, seed)
        late = [scene.epoch(40, -14.0, track="L1", available=end_of(day(90)))]
        late += [scene.epoch(n, -0.3 * n, track="L1") for n in range(30, 80, 6)]
        late += [scene.rain(55, 80.0, available=end_of(day(70)))]
        said += [scene.configured(), *scene.story(DAYS, mm_a_day=-0.3), *late]
    said.sort(key=lambda event: event.available_at)
    return data, said


@pytest.fixture(scope="module")
def prepared(
    story: tuple[Path, list[Event]], nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A folder with the whole story on its log, and a copy of it that was read undisturbed."""
    data, said = story
    unread = tmp_path_factory.mktemp("chaos") / "unread"
    shutil.copytree(data, unread)
    with Slopewatch(service_in(unread), roles=(), clock=ReplayClock(LATER)) as app:
        append(app.log, OBSERVATIONS, said)
    undisturbed = copy(unread, "undisturbed")
    nursery.run("drain", undisturbed)
    return unread, undisturbed


def copy(data: Path, name: str) -> Path:
    return Path(shutil.copytree(data, data.parent / name))


def results(data: Path) -> Results:
    service = service_in(data)
    with (
        closing(open_ledger(str(service.ledger))) as ledger,
        closing(open_log(str(service.log))) as log,
    ):
        assert ledger.verify() == []
        said = {
            topic: [v for site in SITES for v in distinct(records_of(log, topic, site))]
            for topic in (ALERTS, ASSESSMENTS)
        }
        return Results(
            list(ledger.export()), list(ledger.notifications()), said[ALERTS], said[ASSESSMENTS]
        )


def assert_equal(disturbed: Path, undisturbed: Path) -> None:
    """Ledger bytes, outbox rows, what was said, and states with positions left out."""
    assert results(disturbed) == results(undisturbed)
    with (
        closing(open_states(str(service_in(disturbed).state))) as a,
        closing(open_states(str(service_in(undisturbed).state))) as b,
    ):
        assert a.sites() == b.sites() == SITES
        for site in SITES:
            assert state_differences(a, b, site) == []
    assert_numbered(disturbed)


def assert_numbered(data: Path) -> None:
    """Every site's outcomes have the numbers 1 to n, each under one id."""
    with closing(open_log(str(service_in(data).log))) as log:
        for topic in (ASSESSMENTS, ALERTS):
            for site in SITES:
                ids = defaultdict(set)
                for event in events_of(log, topic, site):
                    ids[event.number].add(event.id)
                assert sorted(ids) == list(range(1, len(ids) + 1))
                assert all(len(known) == 1 for known in ids.values())
                assert ids


def disturb(data: Path, nursery: Nursery, seed: int, kills: int) -> dict[str, int]:
    """Kill (and now and then stop) a reader `kills` times while it works, then let one finish."""
    random_ = random.Random(seed)
    counted = {"kills": 0, "before work": 0, "stops": 0, "finished": 0}
    while counted["kills"] < kills:
        pid = nursery.start("drain", data)
        if random_.random() < 0.85:
            wait_for(data / "started")
        time.sleep(random_.uniform(0.0, 0.4))
        if random_.random() < 0.2 and alive(pid):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(random_.uniform(0.0, 0.2))
            os.kill(pid, signal.SIGCONT)
            counted["stops"] += 1
            time.sleep(random_.uniform(0.0, 0.1))
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
        if nursery.ended() == 0:
            counted["finished"] += 1
            break
        counted["kills" if (data / "started").exists() else "before work"] += 1
    nursery.run("drain", data)
    return counted


def alive(pid: int) -> bool:
    """Whether it still works; one that has ended waits to be taken note of."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state != "Z"


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def chaos(prepared: tuple[Path, Path], nursery: Nursery, kills: int) -> None:
    unread, undisturbed = prepared
    hit: dict[str, int] = defaultdict(int)
    for number in range(100):
        data = copy(unread, f"round-{kills}-{number}")
        for what, count in disturb(data, nursery, number, kills - hit["kills"]).items():
            hit[what] += count
        assert_equal(data, undisturbed)
        if hit["kills"] >= kills:
            break
    print(f"{hit['kills']} kills while work was under way, {hit['before work']} before it,")
    print(
        f"{hit['stops']} stops, over {number + 1} logs, {hit['finished']} of them read to the end"
    )
    assert hit["kills"] >= kills
    assert hit["stops"] > 0


def test_kills_and_stops_change_nothing(prepared: tuple[Path, Path], nursery: Nursery) -> None:
    chaos(prepared, nursery, kills=20)


@pytest.mark.slow
def test_many_kills_and_stops_change_nothing(prepared: tuple[Path, Path], nursery: Nursery) -> None:
    chaos(prepared, nursery, kills=150)


def test_ingest_killed_while_it_appends_appends_again_and_nothing_is_taken_twice(
    story: tuple[Path, list[Event]],
    prepared: tuple[Path, Path],
    nursery: Nursery,
) -> None:
    data = Path(shutil.copytree(story[0], prepared[0].parent / "appended"))
    (data / "story.json").write_bytes(b"[" + b",".join(map(encode, story[1])) + b"]")
    random_ = random.Random(5)
    kills = 0
    for _ in range(8):
        pid = nursery.start("append", data)
        wait_for(data / "started")
        time.sleep(random_.uniform(0.0, 0.15))
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
        kills += nursery.ended() != 0
    nursery.run("append", data)
    with closing(open_log(str(service_in(data).log))) as log:
        appended = len(records_of(log, OBSERVATIONS))
    print(f"{kills} kills while appending; {appended} records of {len(story[1])} events")
    assert kills >= 3
    assert appended > len(story[1])
    nursery.run("drain", data)
    assert_equal(data, prepared[1])


def test_a_second_worker_of_one_folder_is_refused_with_the_pid_of_the_first(
    prepared: tuple[Path, Path], nursery: Nursery
) -> None:
    data = copy(prepared[0], "two-workers")
    pid = nursery.start("drain", data)
    wait_for(data / "started")
    with pytest.raises(SettingsError, match=f"held by process {pid} "):
        drain(data)
    assert nursery.ended() == 0
    assert_equal(data, prepared[1])
