"""One season for all tests of the projector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from core.artifacts import MemoryArtifacts
from core.eventlog import EventLog, open_log
from tests.pipeline import TOPICS, Bench
from tests.services.projector.looking import Rows, look, season


@pytest.fixture(scope="package")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A log with what happened at one slope; nobody writes to it any more."""
    with Bench(tmp_path_factory.mktemp("season")) as made:
        season(made, "ridge")
        yield made


@pytest.fixture(scope="package")
def whole(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """The rows of a projection that read the log in one go."""
    return look(f"sqlite://{tmp_path_factory.mktemp('whole')}/projection.db", bench)


@pytest.fixture
def empty() -> Iterator[EventLog]:
    """A log of a test's own."""
    with closing(open_log("memory://")) as log:
        log.create_topics(TOPICS)
        yield log


@pytest.fixture
def artifacts() -> MemoryArtifacts:
    return MemoryArtifacts()
