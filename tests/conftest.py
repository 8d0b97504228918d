"""Fixtures for all tests."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools.engine import kafka as kafka_engine
from tools.engine import postgres as postgres_engine
from tools.engine import s3 as s3_engine

ROOT = Path(__file__).parents[1]
ENGINES = {"kafka", "postgres", "s3", "engines"}
BUCKET = "slopewatch"


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep all tests that use an engine in one process, so that each engine is started once."""
    for item in items:
        if ENGINES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("engines"))


@pytest.fixture(scope="session")
def recorded() -> Path:
    """Folder of real recordings: `recorded/` under $SLOPEWATCH_RECORDED or ../shared.

    Without it a test is skipped on a laptop and fails under CI=true.
    """
    folder = Path(os.environ.get("SLOPEWATCH_RECORDED", ROOT.parent / "shared")) / "recorded"
    if not folder.is_dir():
        go_without(
            f"no recordings at {folder}: set SLOPEWATCH_RECORDED to the folder that holds them"
        )
    return folder


def go_without(reason: str | None) -> None:
    """Skip the test for this reason; on CI nothing may be missing."""
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def engines() -> None:
    """What a test needs that starts engines of its own."""
    for engine in (kafka_engine, postgres_engine, s3_engine):
        go_without(engine.missing())


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real broker: the one at $KAFKA_BOOTSTRAP_SERVERS, else one that is started here."""
    address = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if address:
        yield SimpleNamespace(address=address)
        return
    go_without(kafka_engine.missing())
    with kafka_engine.Broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def kafka_url(kafka: Any) -> str:
    """A log of its own on the broker, with the shortest lease that a broker allows by itself."""
    return f"kafka://{kafka.address}/t{uuid.uuid4().hex[:8]}?lease_s=6"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres_engine.Postgres]:
    """A PostgreSQL server."""
    go_without(postgres_engine.missing())
    with postgres_engine.Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: postgres_engine.Postgres) -> str:
    """An empty database."""
    return postgres.create_database(f"t{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_engine.ObjectStore]:
    """A stand-in for S3 with one bucket."""
    go_without(s3_engine.missing())
    with s3_engine.ObjectStore(tmp_path_factory.mktemp("s3")) as store:
        store.create_bucket(BUCKET)
        yield store


@pytest.fixture
def s3_url(s3: s3_engine.ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place in the bucket."""
    for name, value in s3_engine.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return s3.url(BUCKET, f"t{uuid.uuid4().hex[:8]}")
