"""One Apache Kafka broker in KRaft mode; its jars come from Maven Central and are kept in a cache.

`python -m tools.engine.kafka run FOLDER [PORT]` runs one in the foreground, `... fetch` only
fetches the jars.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.engine.process import HOST, EngineError, Server, free_port, listens

VERSION = "4.2.0"
POM = Path(__file__).parent / "kafka-pom.xml"
JAVA_OPTIONS = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def missing() -> str | None:
    """What this machine lacks to run a broker; None when nothing."""
    lacking = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if _cache().is_dir() and lacking == ["mvn"]:
        lacking = []
    return f"no {' and no '.join(lacking)} on this machine" if lacking else None


def fetch() -> Path:
    """The folder of the jars, fetched when they are not there."""
    jars = _cache()
    if not jars.is_dir():
        jars.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=jars.parent) as fresh:
            command = ["mvn", "-B", "-q", "-f", str(POM), "dependency:copy-dependencies"]
            command += [f"-DoutputDirectory={fresh}/jars", "-DincludeScope=runtime"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise EngineError(f"Maven cannot fetch Kafka: {done.stdout[-500:]}")
            if not jars.exists():
                Path(fresh, "jars").rename(jars)
    return jars


class Broker(Server):
    """A broker and controller in one process, without TLS or logins."""

    name = "kafka"

    def __init__(self, folder: Path, port: int | None = None, *, detached: bool = False) -> None:
        super().__init__(folder, port, detached=detached)
        self._controller = free_port()

    def prepare(self) -> None:
        """Write the settings and format the data folder."""
        conf = self.folder / "server.properties"
        conf.write_text(self._properties())
        if not (self.folder / "data" / "meta.properties").exists():
            command = [*_java(), "kafka.tools.StorageTool", "format", "-t", _cluster_id()]
            command += ["-c", str(conf)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise EngineError(f"Kafka's data folder cannot be made: {done.stderr[-500:]}")

    def command(self) -> Sequence[str]:
        """The JVM."""
        return [*_java(), "kafka.Kafka", str(self.folder / "server.properties")]

    def answers(self) -> bool:
        """Whether topics can be listed."""
        if not listens(self.port):
            return False
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        try:
            admin = KafkaAdminClient(bootstrap_servers=self.address, request_timeout_ms=3000)
        except KafkaError:
            return False
        try:
            admin.list_topics()
        except KafkaError:
            return False
        finally:
            admin.close()
        return True

    def _properties(self) -> str:
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{HOST}:{self._controller}",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{HOST}:{self._controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.folder / "data",
            "auto.create.topics.enable": "false",
            "message.max.bytes": 16 << 20,
            "num.network.threads": 2,
            "num.io.threads": 2,
            "log.cleaner.enable": "false",
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            # A broker that was killed is registered again when its last session has ended.
            "broker.session.timeout.ms": 1500,
            "broker.heartbeat.interval.ms": 300,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 500,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "slopewatch" / f"kafka-{VERSION}"


def _java() -> list[str]:
    return ["java", *JAVA_OPTIONS, "-cp", f"{fetch()}/*"]


def _cluster_id() -> str:
    """16 bytes as Kafka writes them; the first is 0, for an id may not begin with a dash."""
    return base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")


def main() -> None:
    """Fetch the jars; run a broker until it is interrupted."""
    task, *rest = sys.argv[1:]
    try:
        fetch()
        if task == "run":
            _run(Path(rest[0]).resolve(), int(rest[1]) if rest[1:] else None)
    except EngineError as error:
        sys.exit(f"kafka: {error}")


def _run(folder: Path, port: int | None) -> None:
    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    with Broker(folder, port) as broker:
        print(f"for the settings:  log: kafka://{broker.address}/slopewatch")
        print(f"its own log: {broker.log}; ctrl-c ends it", flush=True)
        signal.sigwait(stop)


if __name__ == "__main__":
    main()
