"""Reads a prepared log to its end, as a service would, and exits: `runner.py DATA [--deadlines]`.

It thins snapshots far more often than a service does, so that kills meet that too.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from core.settings import Service, Thinning
from core.telemetry import configure_logging
from services.compose import Slopewatch
from services.inference import store

BATCH = 20


def service_in(data: Path) -> Service:
    thinning = Thinning(checkpoints=4, every=10, snapshots=2)
    return Service(data=data, thinning=thinning, backoff_s=0.05).resolved()


def drain(data: Path, marker: Path | None = None) -> int:
    """Read until nothing is left; `marker` is touched when the work begins."""
    store.THIN_EVERY = 8
    quiet = 0
    total = 0
    with Slopewatch(service_in(data), roles=("inference", "alerting")) as app:
        for worker in app.workers:
            worker._batch = BATCH
        if marker is not None:
            marker.touch()
        while quiet < 2:
            read = sum(worker.step(0.0) for worker in app.workers)
            parked = any(worker.parked for worker in app.workers)
            total += read
            quiet = 0 if read or parked else quiet + 1
            if parked:
                time.sleep(0.05)
    return total


if __name__ == "__main__":
    print(drain(Path(sys.argv[1]), Path(sys.argv[1]) / "started"))
