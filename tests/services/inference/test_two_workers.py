"""Two workers that both believe a site is theirs: only one can commit on a given state."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.artifacts import open_artifacts
from core.clock import ReplayClock
from core.eventlog import EventLog, open_log
from core.events import ASSESSMENTS, OBSERVATIONS, decode
from core.statestore import open_states
from core.telemetry import Telemetry
from core.worker import Worker
from services.inference.service import InferenceStage
from tests.pipeline import (
    LATER,
    TOPICS,
    Bench,
    Scene,
    append,
    distinct,
    make_site,
    records_of,
    state_differences,
)

DAYS = 60
BATCH = 4


class SplitGroup:
    """A log whose every member owns all partitions, as one does that was stopped for too long."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def consumer(self, topic: str, group: str, member: str, **options: Any) -> Any:
        return self._log.consumer(topic, f"{group}-{member}", member, **options)


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_the_loser_drops_what_it_thought_and_catches_up(
    tmp_path: Path, s3_url: str, held: ExitStack
) -> None:
    artifacts = open_artifacts(s3_url.replace("?", "/artifacts?"))
    scene = Scene(make_site("lian"), artifacts)
    said = [scene.configured(), *scene.story(DAYS)]
    undisturbed = held.enter_context(Bench(tmp_path, artifacts=artifacts))
    undisturbed.run(said)

    log = held.enter_context(closing(open_log("memory://?max_record_bytes=4000000")))
    log.create_topics(TOPICS)
    append(log, OBSERVATIONS, said)
    clock = ReplayClock(LATER)
    stores = [held.enter_context(closing(open_states(s3_url))) for _ in "ab"]
    workers = [
        Worker(
            SplitGroup(log),
            InferenceStage(states, artifacts),
            artifacts,
            clock,
            Telemetry(),
            member=member,
            batch=BATCH,
            backoff=timedelta(seconds=1),
        )
        for member, states in zip("ab", stores, strict=True)
    ]
    lost = _race(workers, clock)
    for worker in workers:
        held.callback(worker.close)

    assert lost > 5
    assert state_differences(stores[0], undisturbed.states, "lian") == []
    given = [decode(value) for value in distinct(records_of(log, ASSESSMENTS, "lian"))]
    expected = distinct(records_of(undisturbed.log, ASSESSMENTS, "lian"))
    assert sorted((e.number, e.id) for e in given) == [
        (e.number, e.id) for e in map(decode, expected)
    ]


def _race(workers: list[Worker[Any]], clock: ReplayClock) -> int:
    """Let them take turns at random until both have read everything; how often one lost."""
    turns = random.Random(11)
    conflicts, quiet = 0, 0
    while quiet < 20:
        worker = turns.choice(workers)
        before = worker.parked.get("lian")
        read = worker.step(0.0)
        now = worker.parked.get("lian")
        if now is not None and now != before:
            assert "another session committed first" in now.reason
            conflicts += 1
        quiet = 0 if read or now else quiet + 1
        clock.sleep(turns.uniform(0.0, 2.0))
    return conflicts
