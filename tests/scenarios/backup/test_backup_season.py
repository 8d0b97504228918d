"""Backed up while a season runs, wiped, restored: it ends as if nothing had happened."""

from __future__ import annotations

import random
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from core.errors import (
    UnavailableError,
)
from core.eventlog import open_log
from core.events import ALERTS, ASSESSMENTS, DEAD_LETTERS, OBSERVATIONS
from core.ledger import open_ledger, upgrade
from core.outlet import Outlet
from core.settings import Service, Topics
from core.topics import TOPICS
from services.commands import _backup_log
from services.commands._backup_log import ORDER
from services.commands._moving_files import artifacts_named
from services.commands.backing_up import back_up
from services.commands.restoring import restore
from tests.scenarios.backup.house import (
    HALF,
    STEP,
    House,
    Season,
    addresses,
    go_on,
    halfway,
    left_by,
    lived,
    service_in,
    wipe,
)

pytestmark = pytest.mark.xdist_group("backup")  # one season, one backup for all


def disturbed(season: Season, before: Service, after: Service, to: str, seed: int) -> None:
    """Life goes on between the copies of two stores or topics, and after the backup."""
    chance = random.Random(seed)
    in_files = addresses(before) == addresses(service_in(before.data))
    house = (
        halfway(season, before.data)
        if in_files
        else lived(season, before.data, HALF, **addresses(before))
    )
    told_before = house.heard.copy()
    come = [HALF]

    def live_on(_: str = "") -> None:
        house.hear(season.events[come[-1] : come[-1] + STEP])
        come.append(come[-1] + STEP)
        inference, alerting = house.app.workers
        for worker in (inference, alerting)[: chance.randint(0, 2)]:
            worker.step(0.0)
        if chance.random() < 0.5:
            house.live()

    copy_topic = _backup_log._copy_topic

    def copied(*arguments: Any) -> Any:
        live_on()
        return copy_topic(*arguments)

    with house, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_backup_log, "_copy_topic", copied)
        back_up(before, to, live_on)
        made_until = come[-1]
        for _ in range(2):
            live_on()
        house.live()
    assert HALF < made_until < len(season.events), "the season ended before its backup"
    assert house.heard.total() > told_before.total()
    wipe(before)
    restore(after, to, lambda _: None)
    heard = go_on(season, after)
    everything = house.heard + heard
    assert everything.keys() <= season.left.outbox
    assert not told_before.keys() & heard.keys(), "told before the backup, and again"
    with closing(open_ledger(str(after.ledger))) as ledger:
        ended = {(n.site, n.id): n.outcome for n in ledger.notifications()}
    untold = season.sent.keys() - everything.keys()
    assert {ended[key] for key in untold} <= {"suppressed"}, (
        "not told, nor overtaken by a newer one"
    )
    assert {key for key in ended if ended[key] == "sent"} <= everything.keys()


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))]
)
def test_a_season_goes_on_after_backup_and_restore(
    season: Season, tmp_path: Path, seed: int
) -> None:
    before, after = service_in(tmp_path / "before"), service_in(tmp_path / "after")
    disturbed(season, before, after, str(tmp_path / "backups"), seed)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_season_goes_on_on_kafka_postgresql_and_s3(
    season: Season, tmp_path: Path, kafka_url: str, postgres: Any, postgres_url: str, s3_url: str
) -> None:
    topics = Topics(partitions=3, create=True)
    place, _, query = s3_url.partition("?")
    houses = []
    for name, ledger in (
        ("before", postgres_url),
        ("after", postgres.create_database(f"{postgres_url.rpartition('/')[2]}_after")),
    ):
        stores = {s: f"{place}/{name}/{s}?{query}" for s in ("state", "artifacts", "memory")}
        log = kafka_url.replace("?", f"{name}?")
        made = service_in(tmp_path / name, log=log, ledger=ledger, topics=topics, **stores)
        houses.append(made)
    upgrade(postgres_url)
    disturbed(season, *houses, f"{place}/backups?{query}", 3)


@pytest.mark.slow
def test_a_backup_is_made_beside_a_worker_that_commits_without_pause(
    season: Season, tmp_path: Path
) -> None:
    before, after = service_in(tmp_path / "before"), service_in(tmp_path / "after")
    done, failures = threading.Event(), []
    started = threading.Event()

    def work() -> None:
        try:
            with House(season, before) as house:
                house.hear(season.events[:HALF])
                house.live()
                started.set()
                for event in season.events[HALF:]:
                    house.hear([event])
                    house.app.settle()
                    if done.is_set():
                        return
        except BaseException as error:
            failures.append(error)
            started.set()

    worker = threading.Thread(target=work)
    worker.start()
    started.wait()
    back_up(before, str(tmp_path / "backups"), lambda _: None)
    working = worker.is_alive()
    done.set()
    worker.join()
    assert not failures
    assert working, "the season ended before its backup"
    wipe(before)
    restore(after, str(tmp_path / "backups"), lambda _: None)
    go_on(season, after)


@pytest.mark.parametrize("to_the_end", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_outcomes_that_were_committed_and_never_sent_are_said_after_a_restore(
    season: Season, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to_the_end: bool
) -> None:
    """The machine dies between a commit and its sending; only the state knows the evidence."""
    house = halfway(season, tmp_path / "before")
    send = Outlet.send

    def fail(self: Outlet, topic: str, events: Any) -> Any:
        if topic == ASSESSMENTS:
            raise UnavailableError("the machine dies")
        return send(self, topic, events)

    with house:
        house.hear(season.events[HALF : HALF + 6])
        house.live()
        monkeypatch.setattr(Outlet, "send", fail)
        house.hear(season.events[HALF + 6 : HALF + 20])
        house.app.settle()
        assert house.app.workers[0].parked
        monkeypatch.undo()
        back_up(house.service, str(tmp_path / "backups"), lambda _: None)
        with closing(open_log(str(house.service.log))) as log:
            named = {ref.sha256 for ref in artifacts_named(log, TOPICS)}
    stored = {p.parent.name + p.name for p in (tmp_path / "before/artifacts").glob("*/*")}
    assert stored - named, "nothing was committed that the log does not name"
    wipe(house.service)
    after = service_in(tmp_path / "after")
    restore(after, str(tmp_path / "backups"), lambda _: None)
    if to_the_end:
        go_on(season, after)
        return
    with House(season, after) as again:
        again.live()
    for topic, said in left_by(after).said.items():
        assert said == season.left.said[topic][: len(said)]
    with closing(open_log(str(after.log))) as log:
        assert named < {ref.sha256 for ref in artifacts_named(log, TOPICS)}


def test_every_topic_is_copied_and_each_before_what_it_was_said_of() -> None:
    assert set(ORDER) == set(TOPICS)
    places = [ORDER.index(topic) for topic in (ALERTS, ASSESSMENTS, OBSERVATIONS, DEAD_LETTERS)]
    assert places == sorted(places)
