"""A worker of the toy stage in a process of its own: `python -m tests.contracts.kafka_worker`."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import closing

from core.artifacts import MemoryArtifacts
from core.clock import SystemClock
from core.eventlog import open_log
from core.telemetry import Telemetry
from core.worker import Worker
from tests.core.toy_stage import Toy, Words


class Telling(Worker[Words]):
    def on_assigned(self, partitions: set[int]) -> None:
        super().on_assigned(partitions)
        print(f"holds {sorted(partitions)}", flush=True)


def main(url: str, member: str) -> None:
    """Run until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with closing(open_log(url)) as log:
        Telling(log, Toy(), MemoryArtifacts(), SystemClock(), Telemetry(), member=member).run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
