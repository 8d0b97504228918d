"""A season on the laptop's engines and on the cluster's: the same decisions, byte for byte."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from core.artifacts import open_artifacts
from core.clock import ReplayClock
from core.events import ALERTS, ASSESSMENTS, OBSERVATIONS, AlertChanged, Event
from core.ledger import open_ledger, upgrade
from core.settings import Service, Topics
from core.statestore import open_states
from services.compose import Slopewatch
from tests.pipeline import (
    LATER,
    Scene,
    append,
    day,
    distinct,
    events_of,
    make_site,
    records_of,
    state_differences,
)

SITES = ("adit", "berm", "crag")
DAYS = 90


class Left(NamedTuple):
    """What a season leaves behind."""

    export: list[bytes]
    outbox: list[object]
    said: list[bytes]
    alerts: int


def story(folder: Path) -> list[Event]:
    artifacts = open_artifacts(f"file://{folder}/artifacts")
    said: list[Event] = []
    for seed, name in enumerate(SITES):
        scene = Scene(make_site(name, watched_from=day(20).isoformat()), artifacts, seed)
        late = [scene.epoch(40, -14.0, track="L1", available=None)]
        said += [scene.configured(), *scene.story(DAYS, mm_a_day=-0.25 - 0.1 * seed), *late]
    return sorted(said, key=lambda event: event.available_at)


def play(service: Service, said: list[Event]) -> Left:
    """Live through the season in pieces, as polls would bring it."""
    with Slopewatch(service, roles=("inference", "alerting"), clock=ReplayClock(LATER)) as app:
        for start in range(0, len(said), 97):
            append(app.log, OBSERVATIONS, said[start : start + 97])
            app.settle()
        assert [worker.parked for worker in app.workers] == [{}, {}]
        told = [
            value
            for topic in (ASSESSMENTS, ALERTS)
            for site in SITES
            for value in distinct(records_of(app.log, topic, site))
        ]
        alerts = [e for e in events_of(app.log, ALERTS) if isinstance(e.data, AlertChanged)]
    with closing(open_ledger(str(service.ledger))) as ledger:
        assert ledger.verify() == []
        return Left(list(ledger.export()), list(ledger.notifications()), told, len(alerts))


@pytest.mark.timeout(300)
def test_a_season_ends_alike_on_sqlite_and_on_kafka_postgresql_and_s3(
    tmp_path: Path, kafka_url: str, postgres_url: str, s3_url: str
) -> None:
    said = story(tmp_path)
    artifacts = f"file://{tmp_path}/artifacts"
    laptop = Service(data=tmp_path / "laptop", artifacts=artifacts).resolved()
    cluster = Service(
        data=tmp_path / "cluster",
        artifacts=artifacts,
        log=kafka_url,
        ledger=postgres_url,
        state=s3_url,
        topics=Topics(partitions=4, create=True),
    ).resolved()
    upgrade(postgres_url)
    small, large = play(laptop, said), play(cluster, said)
    assert small.alerts > 0
    assert small == large
    with (
        closing(open_states(str(laptop.state))) as a,
        closing(open_states(str(cluster.state))) as b,
    ):
        assert a.sites() == b.sites() == SITES
        assert [state_differences(a, b, site) for site in SITES] == [[], [], []]
    print(f"{len(said)} events, {len(small.export)} decisions, {small.alerts} alerts: equal")
