"""Real engines, sinks that can go away, and the services as processes that can be killed."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec

from core.eventlog import EventLog, open_log
from core.events import ASSESSMENTS, OBSERVATIONS
from core.ledger import open_ledger, upgrade
from core.settings import Service, Smtp, Topics
from core.topics import topic_specs
from services.demo.sinks import SmtpSink, WebhookSink
from tests.chaos.engine.season import load
from tools.engine.kafka import Broker
from tools.engine.postgres import Postgres
from tools.engine.s3 import ObjectStore

ROOT = Path(__file__).parents[3]
SECRET_NAME = "SLOPEWATCH_CHAOS_SECRET"
PARTS = (
    ("ingest", "0"),
    ("inference", "0"),
    ("inference", "1"),
    ("alerting", "0"),
    ("alerting", "1"),
)
LEASE_S = 3
PARTITIONS = 4
Part = tuple[str, str]


class Cluster:
    """Everything that runs; `folder` holds data, settings and the logs of all processes."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.broker = stack.enter_context(Broker(folder / "kafka"))
        self.postgres = stack.enter_context(Postgres(folder / "postgres"))
        self.store = stack.enter_context(ObjectStore(folder / "s3"))
        os.environ[SECRET_NAME] = secrets.token_hex(16)
        os.environ.update(AWS_ACCESS_KEY_ID="chaos", AWS_SECRET_ACCESS_KEY="chaos")
        self.mail = stack.enter_context(SmtpSink(folder / "mail"))
        self.hook = stack.enter_context(WebhookSink(folder / "hook", os.environ[SECRET_NAME]))
        self.sinks_up = True
        self.service = self._settings()
        self.pids: dict[Part, int] = {}
        (folder / "offset").write_text("0")
        (folder / "appended").write_text("0")

    @property
    def recipients(self) -> list[dict[str, object]]:
        """Who is told, by mail and by webhook."""
        return [
            {"id": "duty", "notifier": {"kind": "email", "to": ["duty@example.org"]}},
            {
                "id": "room",
                "notifier": {
                    "kind": "webhook",
                    "url": self.hook.url,
                    "secret_env": SECRET_NAME,
                    "allow_private": True,
                },
            },
        ]

    def _settings(self) -> Service:
        bucket = "chaos"
        self.store.create_bucket(bucket)
        where = f"?endpoint={self.store.endpoint}&region=us-east-1"
        service = Service(
            data=self.folder / "var",
            log=f"kafka://{self.broker.address}/chaos?lease_s={LEASE_S}",
            state=f"s3://{bucket}/state{where}",
            artifacts=f"file://{self.folder}/artifacts",
            ledger=self.postgres.create_database("ledger"),
            topics=Topics(partitions=PARTITIONS, create=True),
            smtp=Smtp(host="127.0.0.1", port=self.mail.port, security="none", timeout_s=5),
            backoff_s=0.3,
        ).resolved()
        upgrade(str(service.ledger))
        with closing(open_log(str(service.log))) as log:
            log.create_topics(topic_specs(service))
        content = msgspec.json.encode(service.model_dump(mode="json"))
        (self.folder / "slopewatch.json").write_bytes(content)
        return service

    # Processes

    def open_nursery(self) -> None:
        """Start what starts the services."""
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.engine.part", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self.stack.callback(self._close_nursery)

    def start(self, part: Part) -> None:
        """Start a service, unless it runs."""
        if part in self.pids and alive(self.pids[part]):
            return
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(" ".join(part) + "\n")
        self._nursery.stdin.flush()
        self.pids[part] = int(self._nursery.stdout.readline())

    def signal(self, part: Part, number: signal.Signals) -> None:
        """Send a signal to a service that runs."""
        if alive(self.pids[part]):
            os.kill(self.pids[part], number)

    def end_one(self, part: Part) -> None:
        """Kill a service and wait until it is gone."""
        self.signal(part, signal.SIGKILL)
        wait_until(lambda: not alive(self.pids[part]), 10, "a killed process is gone")

    def end(self) -> None:
        """Ask all services to end, and wait for it."""
        for part in self.pids:
            self.signal(part, signal.SIGTERM)
        wait_until(lambda: not any(map(alive, self.pids.values())), 60, "the services end")

    def _close_nursery(self) -> None:
        for pid in self.pids.values():
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.close()
        self._nursery.wait(timeout=30)
        self._nursery.stdout.close()

    def finish(self, parts: Iterable[Part], patience_s: float) -> None:
        """Keep these services running, as a supervisor does, until all is read and sent."""
        kept = tuple(parts)

        def settled() -> bool:
            for part in kept:
                self.start(part)
            return self.settled()

        wait_until(settled, patience_s, "all is read and sent")

    # The outside

    def shut_sinks(self) -> None:
        """Mail and webhook answer no more."""
        if self.sinks_up:
            self.mail.__exit__()
            self.hook.__exit__()
            self.sinks_up = False

    def open_sinks(self) -> None:
        """They answer again, at the same places, with all that they had received."""
        if not self.sinks_up:
            self.mail.__enter__()
            self.hook.__enter__()
            self.sinks_up = True

    def step_clocks(self, seconds: float) -> None:
        """Move the clock of every service."""
        path = self.folder / "offset"
        new = path.with_suffix(".new")
        new.write_text(str(float(path.read_text()) + seconds))
        new.replace(path)

    # How far it is

    def appended(self) -> tuple[int, int]:
        """How many of the story's events are on the log, of how many."""
        return int((self.folder / "appended").read_text()), len(load(self.folder / "story.json"))

    def settled(self) -> bool:
        """Whether all is read, by both stages, and every notification has ended."""
        done, of = self.appended()
        if done < of:
            return False
        with closing(open_log(str(self.service.log))) as log:
            for topic, group in ((OBSERVATIONS, "inference"), (ASSESSMENTS, "alerting")):
                if not _read_to_the_end(log, topic, group):
                    return False
        with closing(open_ledger(str(self.service.ledger))) as ledger:
            return all(row.outcome != "queued" for row in ledger.notifications())


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """All of it, ended at the end whatever happens."""
    with ExitStack() as stack:
        made = Cluster(folder, stack)
        # Opened last, so that it is closed first; sinks that are shut must not be closed twice.
        stack.callback(made.open_sinks)
        yield made


def _read_to_the_end(log: EventLog, topic: str, group: str) -> bool:
    """Whether a group has noted the end of every partition that holds anything."""
    with closing(log.consumer(topic, group, "onlooker")) as onlooker:
        return all((onlooker.committed(p) or 0) >= end for p, end in log.end(topic).items())


def alive(pid: int) -> bool:
    """Whether the process is there, running or stopped."""
    return Path(f"/proc/{pid}").exists()


def wait_until(holds: Callable[[], bool], patience_s: float, what: str) -> None:
    """Look now and then; an error when it does not come true in time."""
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"within {patience_s:g} s it did not happen that {what}")
        time.sleep(0.2)
