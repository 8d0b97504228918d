"""What becomes of the watchdog's process beside `run`."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
import structlog
import yaml

from core.errors import SettingsError, SlopewatchError
from core.settings import Service
from core.telemetry import Telemetry
from core.watchdog import Heartbeats, folder_in, watching_alone
from services.commands import running
from services.compose import ALL, Slopewatch
from services.guard import Guard
from tests.core.test_figures import values
from tests.pipeline import make_site

Run = Callable[[threading.Event], None]


class Process:
    """A watchdog's process that ends when it is told to."""

    def __init__(self, number: int) -> None:
        self.pid = 100 + number
        self.code: int | None = None
        self.terminated = False

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.terminated, self.code = True, 0

    def wait(self) -> int | None:
        return self.code


class App:
    """What `_serve` needs of a slopewatch."""

    def __init__(self, data: Path) -> None:
        self.service = Service(data=data, metrics_port=0)
        self.telemetry = Telemetry()
        self.roles: list[str] = []


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    spawned: list[Process] = []

    def spawn(*_: object) -> Process:
        spawned.append(Process(len(spawned)))
        return spawned[-1]

    monkeypatch.setattr(running, "_spawn_watchdog", spawn)
    return spawned


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(running.time, "monotonic", lambda: now[0])
    return now


def serve(data: Path, monkeypatch: pytest.MonkeyPatch, stop: threading.Event, run: Run) -> None:
    app: Any = App(data)
    monkeypatch.setattr(running, "_loops", lambda *_: [running.Loop("a loop", run, 60.0)])
    running._serve(app, None, None, stop, lambda _: None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("code", "said"), [(None, "watchdog goes on as process 100"), (3, r"ended already.*code 3")]
)
def test_a_run_that_fails_leaves_its_watchdog(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spawned: list[Process],
    code: int | None,
    said: str,
) -> None:
    def broken(stop: threading.Event) -> None:
        spawned[0].code = code
        raise OSError("no space left")

    with pytest.raises(SlopewatchError, match=rf"no space left.*{said}"):
        serve(tmp_path, monkeypatch, threading.Event(), broken)
    assert [one.terminated for one in spawned] == [False]


def test_a_stop_that_was_asked_for_ends_the_watchdog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spawned: list[Process]
) -> None:
    stop = threading.Event()
    serve(tmp_path, monkeypatch, stop, lambda _: stop.set())
    assert [one.terminated for one in spawned] == [True]


def test_run_looks_after_its_watchdog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spawned: list[Process]
) -> None:
    monkeypatch.setattr(running, "RESPAWN_S", 0.0)

    def until_a_second_one(stop: threading.Event) -> None:
        spawned[0].code = 1
        while len(spawned) < 2 and not stop.wait(0.01):
            pass
        stop.set()

    serve(tmp_path, monkeypatch, threading.Event(), until_a_second_one)
    assert [one.terminated for one in spawned] == [False, True]


@pytest.mark.parametrize(("code", "level"), [(1, "error"), (0, "info")])
def test_a_watchdog_that_ended_is_started_at_most_once_a_minute(
    spawned: list[Process], now: list[float], code: int, level: str
) -> None:
    sentry = running._Sentry(Service(), None)
    with structlog.testing.capture_logs() as logs:
        for _ in range(240):
            now[0] += 0.5
            spawned[-1].code = code
            sentry.look()
    assert len(spawned) == 3
    assert [log["log_level"] for log in logs] == [level, level]


def test_a_watchdog_that_cannot_be_started_is_tried_again(
    spawned: list[Process], now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    sentry = running._Sentry(Service(), None)
    spawned[0].code = 1

    def full(*_: object) -> Process:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
        patch.setattr(running, "_spawn_watchdog", full)
        now[0] += 60
        sentry.look()
    assert [log["reason"] for log in logs] == ["No space left on device"]
    now[0] += 60
    sentry.look()
    assert len(spawned) == 2


def test_a_second_watchdog_says_who_watches_and_ends(tmp_path: Path) -> None:
    with (
        watching_alone(folder_in(tmp_path)),
        structlog.testing.capture_logs() as logs,
    ):
        running._watch(Service(data=tmp_path), None, threading.Event(), print, Telemetry())
    (log,) = logs
    assert log["event"].startswith("another watchdog watches this folder (pid ")


@pytest.fixture
def watched(tmp_path: Path) -> Service:
    """A service with a site that has no recipients, and a free port."""
    (tmp_path / "sites").mkdir()
    tree = make_site("dam").model_dump(mode="json", exclude={"recipients"})
    (tmp_path / "sites" / "dam.yaml").write_text(yaml.safe_dump(tree))
    return Service(data=tmp_path, sites=tmp_path / "sites", metrics_port=0).resolved()


def fetch(url: str, page: str) -> str:
    with urllib.request.urlopen(f"{url}/{page}", timeout=10) as answer:
        return str(answer.read().decode())


def watch(service: Service, look: Callable[[str], None]) -> list[str]:
    """Run a watchdog that serves, until `look` has seen what it said at its start."""
    said: list[str] = []
    heard, stop = threading.Event(), threading.Event()

    def hear(line: str) -> None:
        said.append(line)
        heard.set()

    telemetry = Telemetry()
    thread = threading.Thread(
        target=running._watch, args=(service, None, stop, hear, telemetry), kwargs={"serve": True}
    )
    thread.start()
    try:
        assert heard.wait(20)
        look(said[0].split()[-1])
    finally:
        stop.set()
        thread.join(20)
    return said


def test_a_watchdog_of_its_own_shows_that_it_looks(watched: Service) -> None:
    def look(url: str) -> None:
        until = time.monotonic() + 20
        while "slopewatch_watchdog_silent_sites 0.0" not in (metrics := fetch(url, "metrics")):
            assert time.monotonic() < until
            time.sleep(0.02)
        assert "slopewatch_watchdog_last_check_timestamp_seconds 1" in metrics
        assert 'slopewatch_build_info{model="ladder-' in metrics
        assert fetch(url, "healthz") == "ok\n"
        assert fetch(url, "readyz") == "ready"

    (said,) = watch(watched, look)
    assert said.startswith("the watchdog watches; metrics at http://127.0.0.1:")


def test_a_watchdog_without_its_memory_is_not_ready(
    watched: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Guard(watched, None, Telemetry())
    assert guard.missing() == []
    stop = threading.Event()
    unknown = Heartbeats(str(watched.memory)).read("dam")
    monkeypatch.setattr(Heartbeats, "read", lambda *_: unknown._replace(away=True))
    monkeypatch.setattr(stop, "wait", lambda _: stop.set())
    guard.run(stop, lambda _: None)
    (missing,) = guard.missing()
    assert missing.startswith("the memory is out of reach")


def test_a_watchdog_whose_port_is_taken_watches_all_the_same(
    watched: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stop, telemetry = threading.Event(), Telemetry()
        monkeypatch.setattr(stop, "wait", lambda _: stop.set())
        with structlog.testing.capture_logs() as logs:
            running._watch(
                watched.model_copy(update={"metrics_port": port}),
                None,
                stop,
                lambda _: None,
                telemetry,
                serve=True,
            )
    (log,) = [log for log in logs if log["log_level"] == "error"]
    assert log["event"] == "watchdog serves no metrics"
    assert "set metrics_port to a free one" in log["reason"]
    assert telemetry.registry.get_sample_value("slopewatch_watchdog_silent_sites") == 0.0


def test_the_sentry_of_a_run_serves_nothing(
    watched: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[bool] = []
    monkeypatch.setattr(running, "_watch", lambda *_, serve: served.append(serve))
    monkeypatch.setattr(running.signal, "signal", lambda *_: None)
    running.run_services(watched, "watchdog", None, print, sentry=True)
    running.run_services(watched, "watchdog", None, print)
    assert served == [False, True]


def test_the_sentry_is_started_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(running.subprocess, "Popen", commands.append)
    running._spawn_watchdog(Service(data=tmp_path), "dam")
    assert commands[0][-4:] == ["watchdog", "--sentry", "--site", "dam"]


class Serving:
    """A whole `slopewatch run` in a thread, whose projection is at `projection`."""

    def __init__(self, service: Service, role: str | None) -> None:
        roles = [role] if role else ALL
        self.app = Slopewatch(service, roles=roles)
        self.stop = threading.Event()
        self.url = ""
        self.ended: list[str] = []
        self._thread = threading.Thread(target=self._serve, args=(role,))
        self._thread.start()

    def _serve(self, role: str | None) -> None:
        def hear(line: str) -> None:
            self.url = line.split(" at ")[1].split(",", maxsplit=1)[0]

        try:
            running._serve(self.app, role, None, self.stop, hear)
        except SlopewatchError as error:
            self.ended.append(str(error))

    def reads(self, stage: str) -> bool:
        """Whether it holds the partitions of a stage's inbox."""
        lags = values(self.app.telemetry, "slopewatch_log_lag_records")
        return stage in {name for _, name in lags} | {name for name, _ in lags}

    def until(self, so: Callable[[], bool]) -> None:
        until = time.monotonic() + 20
        while not so():
            assert time.monotonic() < until
            assert not self.ended, self.ended
            time.sleep(0.01)

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join(20)
        self.app.close()


@pytest.fixture
def refused(watched: Service, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the projection of `watched` is to be in: a database of something else."""
    monkeypatch.setattr(running.Scheduler, "run", lambda _, stop: stop.wait())
    path = Path(str(watched.projection).removeprefix("sqlite://"))
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE other (a)")
    return path


@pytest.mark.usefixtures("spawned")
def test_dashboards_that_cannot_be_filled_end_no_warning(
    watched: Service, refused: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "AGAIN_S", 0.02)
    monkeypatch.setattr(running.Vitals, "run", lambda *_: 1 / 0)
    with structlog.testing.capture_logs() as logs, Serving(watched, None) as serving:

        def told() -> Counter[str]:
            return Counter(log["loop"] for log in logs if log["log_level"] == "error")

        loops = {"projection-drivers", "projection-motion", "projection-alerts", "vitals"}
        serving.until(lambda: set(told()) == loops and min(told().values()) > 1)
        serving.until(lambda: serving.reads("inference") and serving.reads("alerting"))
        assert not serving.reads("projection-drivers")
        assert fetch(serving.url, "readyz") == "ready"
        refused.unlink()
        serving.until(lambda: serving.reads("projection-drivers"))
    assert serving.ended == []
    reasons = {log["reason"] for log in logs if log["log_level"] == "error"}
    assert any("a database, but not a projection" in reason for reason in reasons)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.usefixtures("refused")
def test_a_projector_of_its_own_ends_where_it_cannot_fill(
    watched: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.Vitals, "run", lambda _, stop: stop.wait())
    with Serving(watched, "projector") as serving:
        serving._thread.join(20)
    (said,) = serving.ended
    assert "a database, but not a projection" in said


def test_a_hung_loop_is_no_longer_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spawned: list[Process]
) -> None:
    stop, hung, asked = threading.Event(), threading.Event(), list[int]()
    monkeypatch.setattr(running, "_loops", lambda *_: [running.Loop("stage", hang, -1.0)])

    def hang(_: threading.Event) -> None:
        hung.wait(20)

    def ask(line: str) -> None:
        url = line.split(" at ")[1].split(",", maxsplit=1)[0]
        threading.Thread(target=look, args=(url,)).start()

    def look(url: str) -> None:
        with requests.Session() as session:
            while True:
                answer = session.get(f"{url}/healthz", timeout=5)
                if answer.status_code == 503:
                    break
        asked.append(answer.text.count("stage has not passed for 0 min"))
        hung.set()
        stop.set()

    app: Any = App(tmp_path)
    running._serve(app, None, None, stop, ask)
    assert asked == [1]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The services that were begun, and never run."""
    served: list[list[str]] = []
    monkeypatch.setattr(running, "_serve", lambda app, *_: served.append(sorted(app.roles)))
    monkeypatch.setattr(running.signal, "signal", lambda *_: None)
    return served


@pytest.mark.parametrize("role", [None, "ingest", "alerting"])
def test_a_broken_site_file_stops_no_service(
    watched: Service, served: list[list[str]], role: str | None
) -> None:
    (watched.sites / "broken.yaml").write_text("name: [")
    with structlog.testing.capture_logs() as logs:
        running.run_services(watched, role, None, print)
    assert served == [sorted([role] if role else ALL)]
    assert any("broken.yaml" in log["reason"] for log in logs if log["log_level"] == "error")
    running.run_services(watched, role, "dam", print)
    with pytest.raises(SettingsError, match=r"broken\.yaml"):
        running.run_services(watched, role, "broken", print)


def test_without_any_site_nothing_is_begun_unless_one_is_known(
    watched: Service, served: list[list[str]]
) -> None:
    file = watched.sites / "dam.yaml"
    text = file.read_text()
    file.write_text("name: [")
    with pytest.raises(SettingsError, match="no site file"):
        running.run_services(watched, "alerting", None, print)
    file.write_text(text)
    with Slopewatch(watched, roles=["ingest"]) as app:
        app.configure(make_site("dam"))
    file.write_text("name: [")
    with structlog.testing.capture_logs() as logs:
        running.run_services(watched, "alerting", None, print)
    assert served == [["alerting"]]
    assert logs[-1]["event"] == "no site file can be read, known sites go on"
    file.unlink()
    watched.sites.rmdir()
    with pytest.raises(SettingsError, match="no site file"):
        running.run_services(watched, "alerting", None, print)
