"""When feeds last answered is known wherever the memory is, whoever asked them."""

from __future__ import annotations

import re
import threading
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from core.clock import ReplayClock, midnight
from core.events import OBSERVATIONS
from core.notes import open_notes
from core.settings import Service
from core.telemetry import METRICS, Telemetry
from services.compose import Slopewatch
from services.ingest.feed import ASKED_EVERY, DATA
from services.ingest.memory import Memory
from services.vitals.feeds import FeedAges
from services.vitals.service import Vitals
from services.vitals.sites import Sites
from tests.core.test_figures import values
from tests.pipeline import make_site
from tests.services.ingest.test_ingest_service import rows, table

NOW = datetime(2026, 3, 1, 1, tzinfo=UTC)
DAGS = Path(__file__).parents[3] / "dags"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    feeds = [table(tmp_path / "rain.csv", "rain"), table(tmp_path / "level.csv", "level")]
    site = make_site("dam", watched_from="2026-02-01", history_from="2026-01-01", feeds=feeds)
    gone = make_site("gone", feeds=feeds, retired=True)
    (tmp_path / "sites").mkdir()
    for one in (site, gone):
        tree = one.model_dump(mode="json", exclude={"recipients"})
        (tmp_path / "sites" / f"{one.name}.yaml").write_text(yaml.safe_dump(tree))
    return Service(data=tmp_path / "var", sites=tmp_path / "sites").resolved()


def elsewhere(service: Service) -> Telemetry:
    """What another process finds, which has asked nothing and has the memory alone."""
    ingest = SimpleNamespace(memory=Memory(open_notes(str(service.memory))))
    app: Any = SimpleNamespace(telemetry=Telemetry(), service=service, ingest=ingest)
    for figure in FeedAges(app, Sites(service)).look():
        assert not isinstance(figure, str)
        figure.gauge.labels(*figure.labels).set(figure.value)
    return app.telemetry


def test_what_one_process_asked_another_one_knows(service: Service, tmp_path: Path) -> None:
    (tmp_path / "rain.csv").write_text(rows(3))
    with Slopewatch(service, roles=["ingest"], clock=ReplayClock(NOW)) as app:
        (site,) = Sites(service).watched()
        poll = app.ingest.tick(site)
        assert app.log.end(OBSERVATIONS) != app.log.beginning(OBSERVATIONS)
    assert list(poll.failed) == ["table-2"], "there is no file of levels"
    found = elsewhere(service)
    success = values(found, "slopewatch_feed_last_success_timestamp_seconds")
    assert success == {("dam", "table"): NOW.timestamp(), ("dam", "table-2"): 0.0}
    newest = values(found, "slopewatch_feed_newest_valid_timestamp_seconds")
    assert newest == {("dam", "table"): midnight(date(2026, 2, 28)).timestamp()}
    limits = values(found, "slopewatch_feed_stale_after_seconds")
    assert limits[("dam", "table")] == timedelta(hours=30).total_seconds()
    assert limits[("dam", "table-2")] > 0


def test_an_answer_without_news_is_an_answer(service: Service, tmp_path: Path) -> None:
    (tmp_path / "rain.csv").write_text(rows(3))
    clock = ReplayClock(NOW)
    with Slopewatch(service, roles=["ingest"], clock=clock) as app:
        (site,) = Sites(service).watched()
        app.ingest.tick(site)
        clock.sleep(3600)
        assert app.ingest.news([site], "rainfall")["dam"].appended.total() == 0
        (tmp_path / "rain.csv").unlink()
        clock.sleep(3600)
        assert list(app.ingest.news([site], "rainfall")["dam"].failed) == ["table"]
    success = values(elsewhere(service), "slopewatch_feed_last_success_timestamp_seconds")
    assert success[("dam", "table")] == NOW.timestamp() + 3600


def test_feeds_are_asked_as_often_as_the_dags_say() -> None:
    """Limits of staleness stand on it."""
    files = {
        "acquisitions": "poll_acquisitions",
        "rainfall": "poll_rainfall",
        "level": "poll_level",
    }
    assert set(files) == set(DATA)
    for datum in DATA:
        code = (DAGS / f"{files[datum]}.py").read_text()
        if minutes := re.search(r"schedule=timedelta\(minutes=(\d+)\)", code):
            assert ASKED_EVERY[datum] == timedelta(minutes=int(minutes[1]))
        else:
            assert re.search(r'schedule="\d+ \d+ \* \* \*"', code)
            assert ASKED_EVERY[datum] == timedelta(days=1)


def test_a_running_slopewatch_takes_every_look(service: Service, tmp_path: Path) -> None:
    (tmp_path / "rain.csv").write_text(rows(3))
    (tmp_path / "level.csv").write_text(rows(3))
    stop = threading.Event()
    with Slopewatch(service, roles=["ingest", "inference"]) as app:
        vitals = threading.Thread(target=Vitals(app).run, args=(stop,))
        vitals.start()
        until = time.monotonic() + 20
        looks = {"feeds", "forecasts", "certificates", "tokens", "disk", "clock"}
        looks |= {"backup", "projection"}
        name = "slopewatch_vitals_last_success_timestamp_seconds"
        while not values(app.telemetry, "slopewatch_disk_free_bytes"):
            assert time.monotonic() < until
            time.sleep(0.02)
        assert {(one,) for one in looks} == set(values(app.telemetry, name))
        stop.set()
        vitals.join(10)
        assert values(app.telemetry, "slopewatch_disk_free_bytes")[("data",)] > 0
        build = values(app.telemetry, "slopewatch_build_info")
    assert [value for value in build.values()] == [1.0]
    assert ("thresholds", "twin-2") in zip(METRICS[0].labels, next(iter(build)), strict=True)
