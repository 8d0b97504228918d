"""A service of this release, or of a made-up newer one, in a process of its own.

`python -m tests.scenarios.upgrade_runner old|new FOLDER MEMBER` runs inference and alerting with
the settings of `FOLDER/service.json` until SIGTERM, and keeps `FOLDER/MEMBER.json` up to date: a
`Status` by stage. The newer release is this code with `rainfall observed` in version 2,
in that process alone.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from core.events import EVENT_TYPES, UPCASTERS, RainfallObserved
from core.settings import Service
from core.telemetry import configure_logging
from services.compose import Slopewatch


class NewRainfallObserved(RainfallObserved, frozen=True, kw_only=True):
    """Rain as the newer release has it: it also says how the gauge was read."""

    VERSION = 2
    read_by: str | None = None


class Status(msgspec.Struct):
    """Why sites of a stage stand still, and which partitions its worker reads."""

    parked: dict[str, str] = {}
    partitions: list[int] = []


def become_newer() -> None:
    """Make this process one of the newer release."""
    EVENT_TYPES[NewRainfallObserved.NAME] = NewRainfallObserved
    UPCASTERS[NewRainfallObserved.NAME, 1] = _with_reader


def _with_reader(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "read_by": None}


def serve(folder: Path, member: str) -> None:
    """Run both stages until SIGTERM; a stage that fails ends the process with its error."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    failures: list[Exception] = []
    service = Service.model_validate(msgspec.json.decode((folder / "service.json").read_bytes()))

    def guarded(run: Callable[[threading.Event], None]) -> None:
        try:
            run(stop)
        except Exception as error:
            failures.append(error)
            stop.set()

    with Slopewatch(service, roles=("inference", "alerting"), member=member) as app:
        threads = [threading.Thread(target=guarded, args=(w.run,)) for w in app.workers]
        for thread in threads:
            thread.start()
        while not stop.wait(0.1):
            status = {
                worker._stage.name: Status(
                    parked={name: p.reason for name, p in worker.parked.items()},
                    partitions=sorted(worker._next),
                )
                for worker in app.workers
            }
            _write(folder / f"{member}.json", msgspec.json.encode(status))
        for thread in threads:
            thread.join()
    for failure in failures:
        raise failure


def _write(path: Path, content: bytes) -> None:
    written = path.with_suffix(".new")
    written.write_bytes(content)
    written.replace(path)


if __name__ == "__main__":
    configure_logging("info")
    if sys.argv[1] == "new":
        become_newer()
    serve(Path(sys.argv[2]), sys.argv[3])
