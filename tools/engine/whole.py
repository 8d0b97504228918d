"""The whole of slopewatch on this machine, one process a part, begun with empty engines.

Everything lies in one folder: settings in `slopewatch.yaml`, the environment of the services in
`environment` (for `. .engine/environment` in a shell), process ids in `pids.json`.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tools.engine import airflow, groups, kafka, pids, postgres, s3
from tools.engine.airflow import PROGRAMS, Airflow
from tools.engine.kafka import Broker
from tools.engine.pids import Started
from tools.engine.postgres import Postgres
from tools.engine.process import EngineError, Server
from tools.engine.s3 import ObjectStore
from tools.engine.services import Role, Watchdog, slopewatch
from tools.engine.world import World

BUCKET = "slopewatch"
PARTITIONS = 4
ROLES = (("inference", "1"), ("inference", "2"), ("alerting", "1"), ("projector", "1"))
"""Services, and the members of each."""
MARK = "SLOPEWATCH_ENGINE"
"""Environment variable by which everything that was started here is found again."""

Echo = Callable[[str], None]


@dataclass
class Whole:
    """All parts, in a folder."""

    folder: Path
    echo: Echo
    started: list[Started] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def record(self) -> Path:
        """Where the process ids are kept."""
        return self.folder / "pids.json"

    def up(self) -> None:
        """Start everything; on failure end what was started and raise `EngineError`."""
        self._refuse_without_programs()
        self._empty()
        os.environ[MARK] = str(self.folder)
        try:
            self._start_engines()
            self._start_services()
        except BaseException:
            self.started = pids.read(self.record)
            self.down()
            raise

    def down(self) -> None:
        """End everything in the opposite order; what has died already is no trouble."""
        known = pids.read(self.record)
        if not known:
            self.echo("nothing is up")
        for part in reversed(known):
            self.echo(f"{part.name}: {part.end()}")
        if left := groups.kill_marked(MARK, str(self.folder)):
            self.echo(f"left over and killed: {left}")
        Postgres(self.folder / "engines" / "postgres").forget()
        self.record.unlink(missing_ok=True)

    def table(self) -> str:
        """What runs: a line a part."""
        rows = [("what", "address", "pid", "says")]
        rows += [
            (p.name, p.address or "-", str(p.pid) if p.runs else "dead", p.log)
            for p in pids.read(self.record)
        ]
        widths = [max(len(row[n]) for row in rows) for n in range(3)]
        return "\n".join(
            "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]])
            for row in rows
        )

    def _refuse_without_programs(self) -> None:
        lacking = [m for engine in (kafka, postgres, s3, airflow) if (m := engine.missing())]
        if lacking:
            raise EngineError("; ".join(lacking))

    def _empty(self) -> None:
        """Forget what an earlier one left; `make kafka` has a folder of its own beside it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        Postgres(self.folder / "engines" / "postgres").forget()
        for entry in self.folder.iterdir():
            if entry.name == "kafka":
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _start_engines(self) -> None:
        engines = self.folder / "engines"
        broker = Broker(engines / "kafka", detached=True)
        database = Postgres(engines / "postgres", detached=True)
        store = ObjectStore(engines / "s3", detached=True)
        world = World(self.folder / "world", detached=True)
        for server in (broker, database, store, world):
            self._start(server)
        store.create_bucket(BUCKET)
        self._write_settings(broker, database, store, world)
        self._write_environment({**s3.CREDENTIALS, **world.secrets})

    def _start_services(self) -> None:
        environment = self.environment()
        self.echo(slopewatch(environment, "topics", "create").strip())
        self.echo(slopewatch(environment, "ledger", "upgrade").strip())
        self.echo(slopewatch(environment, "projection", "upgrade").strip())
        folder = self.folder / "services"
        for role, member in ROLES:
            self._start(Role(folder, role, member, environment, detached=True))
        self._start(Watchdog(folder, self.folder / "var", environment, detached=True))
        self._start(Airflow(self.folder / "airflow", environment, detached=True))

    def _start(self, server: Server) -> None:
        began = time.monotonic()
        self.echo(f"{server.name} ...")
        server.start()
        self.started.append(pids.started(server))
        pids.write(self.record, self.started)
        self.echo(f"{server.name} is up after {time.monotonic() - began:.0f} s")

    def _write_settings(
        self, broker: Broker, database: Postgres, store: ObjectStore, world: World
    ) -> None:
        tree = {
            "data": str(self.folder / "var"),
            "log": f"kafka://{broker.address}/slopewatch",
            "state": store.url(BUCKET, "state"),
            "artifacts": store.url(BUCKET, "artifacts"),
            "memory": store.url(BUCKET, "memory"),
            "ledger": database.url,
            "projection": database.create_database("projection"),
            "topics": {"partitions": PARTITIONS},
            **json.loads(world.outside.read_bytes()),
        }
        path = self.folder / "slopewatch.yaml"
        path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")

    def _write_environment(self, extra: dict[str, str]) -> None:
        self.settings = {**extra, "SLOPEWATCH_CONFIG": str(self.folder / "slopewatch.yaml")}
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.settings.items()]
        lines.append(f"export PATH={shlex.quote(str(PROGRAMS))}:$PATH")
        (self.folder / "environment").write_text("\n".join([*lines, ""]), encoding="utf-8")

    def environment(self) -> dict[str, str]:
        """Ours without settings of another slopewatch, and what leads to the settings of this."""
        ours = {k: v for k, v in os.environ.items() if k == MARK or not k.startswith("SLOPEWATCH_")}
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        return {**ours, **threads, **self.settings}
