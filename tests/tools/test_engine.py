"""The engines start, are killed, come back with their data, and say why they do not start."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from core.notes import open_notes
from tests.conftest import go_without
from tools.engine import kafka as kafka_engine
from tools.engine import postgres as postgres_engine
from tools.engine import s3 as s3_engine
from tools.engine.kafka import Broker
from tools.engine.postgres import Postgres
from tools.engine.process import EngineError, free_port, listens
from tools.engine.s3 import ObjectStore

pytestmark = pytest.mark.usefixtures("engines")


def topics(broker: Broker) -> list[str]:
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    try:
        return sorted(admin.list_topics())
    finally:
        admin.close()


def test_a_broker_that_was_killed_comes_back_with_its_topics_at_its_address(tmp_path):
    with Broker(tmp_path) as broker:
        admin = KafkaAdminClient(bootstrap_servers=broker.address)
        admin.create_topics([NewTopic("kept", 1, 1)])
        admin.close()
        address = broker.address
        broker.kill()
        assert not listens(broker.port)
        broker.start()
        assert broker.address == address
        assert topics(broker) == ["kept"]
    assert not listens(broker.port)


def query(server: Postgres, text: str) -> str:
    command = ["psql", "--no-psqlrc", "-At", "-c", text, server.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_postgresql_keeps_what_was_committed_when_it_is_killed(tmp_path):
    with Postgres(tmp_path) as server:
        query(server, "create table kept as select 7 as number")
        with subprocess.Popen(
            ["psql", "-c", "select pg_sleep(60)", server.url], stderr=subprocess.DEVNULL
        ) as busy:
            while query(server, "select count(*) from pg_stat_activity where state='active'") < "2":
                time.sleep(0.05)
            server.kill()
            assert busy.wait(30) != 0
        server.start()
        assert query(server, "select number from kept") == "7"
        server.restart()
        assert query(server, "show fsync") == "on"


def test_postgresql_is_no_process_of_root_and_serves_this_machine_alone(tmp_path):
    with Postgres(tmp_path) as server:
        status = Path(f"/proc/{server.pid}/status").read_text()
        user = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1]
        assert user != "0"
        assert query(server, "show listen_addresses") == "127.0.0.1"
        other = server.create_database("other")
        assert server.create_database("other") == other != server.url


def test_the_object_store_gives_back_what_it_was_given(tmp_path, monkeypatch):
    for name, value in s3_engine.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with ObjectStore(tmp_path) as store:
        store.create_bucket("bucket")
        store.create_bucket("bucket")
        notes = open_notes(store.url("bucket", "prefix"))
        notes.put("name", b"content")
        assert open_notes(store.url("bucket", "prefix")).get("name") == b"content"
        assert open_notes(store.url("bucket", "other")).get("name") is None


@pytest.mark.parametrize("engine", [Broker, Postgres, ObjectStore])
def test_a_taken_port_is_told(engine, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = engine(tmp_path, taken.getsockname()[1])
        with pytest.raises(EngineError, match=rf"{server.name} .* {server.address} is in use"):
            server.start()
        assert not server.runs


def test_a_server_that_ends_at_once_is_told_with_its_last_words(tmp_path):
    class Broken(ObjectStore):
        def command(self):
            return [*super().command(), "--no-such-option"]

    with pytest.raises(EngineError, match=r"s3 does not start; it said last: .*--no-such-option"):
        Broken(tmp_path).start()


def test_a_server_does_not_outlive_the_process_that_started_it(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from tools.engine.s3 import ObjectStore;"
        f"s = ObjectStore(Path({str(tmp_path)!r}), {(port := free_port())}); s.start();"
        "print('up', flush=True); time.sleep(60)"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        assert listens(port)
        parent.kill()
    deadline = time.monotonic() + 20
    while listens(port):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("engine", [kafka_engine, postgres_engine, s3_engine])
def test_what_is_missing_skips_a_test_on_a_laptop_and_fails_it_on_ci(engine, monkeypatch):
    assert engine.missing() is None
    monkeypatch.setenv("CI", "")
    go_without(None)
    with pytest.raises(pytest.skip.Exception, match="no Java"):
        go_without("no Java")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Java"):
        go_without("no Java")


def test_postgresql_needs_no_folder_that_is_open_to_others(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with Postgres(closed / "postgres") as server:
        query(server, "create table kept as select 7 as number")
        server.stop()
        server.start()
        assert query(server, "select number from kept") == "7"
        data = (closed / "postgres" / "data").resolve()
        assert data.is_dir()
    assert not data.exists()
    assert closed.stat().st_mode & 0o777 == 0o700
