"""One service in a process of its own, to be killed; and the nursery that starts them.

`python -m tests.chaos.engine.part FOLDER` reads lines `ROLE MEMBER` and says the pid of the process
that it started for each. It has opened nothing and has one thread, so its forks are as good as new
and a start costs no imports. The settings are those of `FOLDER/slopewatch.json`; the clock of every
process is the wall clock, moved by the seconds in `FOLDER/offset`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from core.errors import SlopewatchError
from core.events import OBSERVATIONS
from core.settings import Service
from core.telemetry import configure_logging
from services.alerting.sender import Retry
from services.compose import Slopewatch
from services.inference import store
from services.ingest.saying import append as say
from tests.chaos.engine.season import load

CHUNK = 6
LEASE_S = 20.0
SEND_TIMEOUT_S = 5.0
RETRY = Retry(first=timedelta(seconds=1), longest=timedelta(minutes=10))


class SteppedClock:
    """The wall clock, moved by what a file says."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def now(self) -> datetime:
        """Aware UTC time, stepped."""
        return datetime.now(UTC) + timedelta(seconds=float(self._path.read_text() or 0))

    def sleep(self, seconds: float) -> None:
        """Block for `seconds`."""
        time.sleep(seconds)


def service_in(folder: Path) -> Service:
    """The settings that all processes of a run share."""
    return Service.model_validate(msgspec.json.decode((folder / "slopewatch.json").read_bytes()))


def work(folder: Path, role: str, member: str) -> None:
    """Be one service until SIGTERM."""
    store.THIN_EVERY = 16
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.is_set():
        try:
            run(folder, role, member, stop)
        except SlopewatchError as error:
            # A cluster starts a service again that ended because something was out of reach.
            print(f"{role}-{member}: {error}", file=sys.stderr, flush=True)
            stop.wait(1.0)


def run(folder: Path, role: str, member: str, stop: threading.Event) -> None:
    """One life of a service; ends with the first of its threads that fails."""
    clock = SteppedClock(folder / "offset")
    with Slopewatch(service_in(folder), roles=[role], clock=clock, member=member) as app:
        loops: list[Callable[[threading.Event], None]] = [one.run for one in app.workers]
        for worker in app.workers:
            worker._batch = 40
            worker._outlet._timeout_s = SEND_TIMEOUT_S
        if app.sender is not None:
            app.sender._lease_s, app.sender._retry = LEASE_S, RETRY
            loops += [app.run_sender, app.run_upkeep]
        if role == "ingest":
            loops.append(lambda stop: append(app, folder, stop))
        failures: list[Exception] = []

        def guarded(loop: Callable[[threading.Event], None]) -> None:
            try:
                loop(ended)
            except Exception as error:
                failures.append(error)
                ended.set()

        ended = threading.Event()
        threads = [threading.Thread(target=guarded, args=(loop,)) for loop in loops]
        for thread in threads:
            thread.start()
        while not stop.is_set() and not ended.wait(0.1):
            pass
        ended.set()
        for thread in threads:
            thread.join()
        for failure in failures:
            raise failure


def append(app: Slopewatch, folder: Path, stop: threading.Event) -> None:
    """Put the story on the log, a chunk at a time; what was not noted as appended goes again."""
    said = load(folder / "story.json")
    place = folder / "appended"
    pace = float((folder / "pace").read_text())
    while not stop.is_set() and (done := int(place.read_text())) < len(said):
        try:
            say(app.log, OBSERVATIONS, said[done : done + CHUNK])
        except SlopewatchError as error:
            print(f"ingest: {error}", file=sys.stderr, flush=True)
            stop.wait(0.5)
            continue
        written = place.with_suffix(".new")
        written.write_text(str(min(done + CHUNK, len(said))))
        written.replace(place)
        stop.wait(pace)
    stop.wait()


def nursery(folder: Path) -> None:
    """Fork a service for every line, and say its pid."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        role, member = line.split()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            code = 1
            try:
                log = os.open(
                    folder / f"{role}-{member}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT
                )
                os.dup2(log, 1)
                os.dup2(log, 2)
                configure_logging("info")
                work(folder, role, member)
                code = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(code)
        print(pid, flush=True)


if __name__ == "__main__":
    nursery(Path(sys.argv[1]))
