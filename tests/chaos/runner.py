"""Works on a data folder as a service would and exits, so that tests can kill it.

`python -m tests.chaos.runner drain DATA` reads the log to its end; `append DATA` puts the story of
`DATA/story.json` on the log as ingest does. Without arguments it is a nursery: for each such line
on its input it starts a fresh process, says its pid, and how it ended (a signal is negative).
The nursery has opened nothing and has one thread, so that its forks are as good as new.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from core.events import OBSERVATIONS, decode
from core.settings import Service, Thinning
from services.compose import Slopewatch
from services.inference import store
from services.ingest.saying import append as say

BATCH = 10
PACE_S = 0.005
"""So long the appender rests after each step, that a kill finds it at work."""
THIN_EVERY = 8
"""Far more often than a service does, so that kills meet that too."""


def service_in(data: Path) -> Service:
    thinning = Thinning(checkpoints=4, every=10, snapshots=2)
    return Service(data=data, thinning=thinning, backoff_s=0.05).resolved()


def drain(data: Path) -> None:
    """Read until nothing is left and no site stands still."""
    store.THIN_EVERY = THIN_EVERY
    with Slopewatch(service_in(data), roles=("inference", "alerting")) as app:
        for worker in app.workers:
            worker._batch = BATCH
        (data / "started").touch()
        quiet = 0
        while quiet < 2:
            read = sum(worker.step(0.0) for worker in app.workers)
            parked = [worker.parked for worker in app.workers if worker.parked]
            quiet = 0 if read or parked else quiet + 1
            if parked and not read:
                time.sleep(0.05)


def append(data: Path) -> None:
    """Put the whole story on the log, from its start, in small steps, whatever is there already."""
    said = msgspec.json.decode((data / "story.json").read_bytes(), type=list[msgspec.Raw])
    events = [decode(bytes(raw)) for raw in said]
    with Slopewatch(service_in(data), roles=("ingest",)) as app:
        (data / "started").touch()
        for start in range(0, len(events), 5):
            say(app.log, OBSERVATIONS, events[start : start + 5])
            time.sleep(PACE_S)


WORK = {"drain": drain, "append": append}


def nursery() -> None:
    for line in sys.stdin:
        kind, data = line.split()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                WORK[kind](Path(data))
                code = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(code)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        nursery()
    else:
        WORK[sys.argv[1]](Path(sys.argv[2]))
