"""Sites that are asked about together get what each would have got alone, for fewer requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.artifacts import MemoryArtifacts
from core.clock import ReplayClock, midnight
from core.eventlog import open_log
from core.events import DEAD_LETTERS, OBSERVATIONS, AcquisitionFound, RainfallObserved
from core.settings import Service, Site, parse_site
from core.telemetry import Telemetry
from core.topics import topic_specs
from services.demo.standin import StandIn, site_tree
from services.ingest import http
from services.ingest.service import Ingest
from services.ingest.window import alike
from tests.pipeline import events_of
from tests.services.ingest.outside import DAYS, FIRST, PLACES, WATCHED

START = midnight(WATCHED + timedelta(days=30))


@pytest.fixture
def clock() -> ReplayClock:
    return ReplayClock(START)


@pytest.fixture
def outside(clock: ReplayClock) -> Iterator[StandIn]:
    with StandIn(PLACES, clock) as running:
        yield running


@pytest.fixture
def ingest(tmp_path: Path, clock: ReplayClock, outside: StandIn) -> Iterator[Ingest]:
    service = Service(data=tmp_path, endpoints=outside.endpoints, memory="memory://").resolved()
    with closing(open_log("memory://")) as log:
        log.create_topics(topic_specs(service))
        made = Ingest(service, log, MemoryArtifacts(), clock, Telemetry())
        made.log = log  # type: ignore[attr-defined]
        yield made


def site(outside: StandIn, number: int, **changes: Any) -> Site:
    tree = site_tree(PLACES[number], outside.base_url, watched_from=WATCHED)
    return parse_site({**tree, "sources": [], **changes})


def events(ingest: Any, kind: type) -> list[Any]:
    return [e for e in events_of(ingest.log, OBSERVATIONS) if isinstance(e.data, kind)]


def test_passes_of_a_group_cost_one_search(ingest: Ingest, outside: StandIn) -> None:
    group = [site(outside, n) for n in range(3)]
    polls = ingest.news(group, "acquisitions")
    assert outside.counts()["cmr"] == 1
    assert [set(poll.appended) for poll in polls.values()] == [{"asf"}] * 3
    own = [len([d for d in place.pass_days if d < START.date()]) for place in PLACES]
    # The first two overlap and see each other's passes, the third sees its own.
    assert [p.appended["asf"] for p in polls.values()] == [own[0] + own[1]] * 2 + [own[2]]
    assert len(events(ingest, AcquisitionFound)) == 2 * (own[0] + own[1]) + own[2]


def test_other_settings_are_another_search(ingest: Ingest, outside: StandIn) -> None:
    bursts = {"feeds": [{"kind": "asf", "product": "BURST"}]}
    ingest.news([site(outside, 0), site(outside, 1, **bursts), site(outside, 2)], "acquisitions")
    assert outside.counts()["cmr"] == 2


def test_a_new_site_forces_no_years_on_the_others(
    ingest: Ingest, outside: StandIn, clock: ReplayClock
) -> None:
    known = [site(outside, n) for n in range(2)]
    ingest.news(known, "acquisitions")
    clock.sleep(timedelta(days=1).total_seconds())
    before = outside.counts()["cmr"]
    ingest.news([*known, site(outside, 2)], "acquisitions")
    assert outside.counts()["cmr"] == before + 2


def test_what_is_asked_together_is_never_twice_as_long_as_needed() -> None:
    today = date(2026, 1, 1)
    shared: dict[int, list[int]] = {}
    for days in range(1500):
        shared.setdefault(alike(today - timedelta(days=days), today), []).append(days)
    assert all(max(days) <= 2 * min(days) for days in shared.values())
    assert len(shared) == 12


@pytest.mark.parametrize(("datum", "endpoint"), [("rainfall", "gsod"), ("level", "usgs")])
def test_sites_that_share_a_station_share_its_request(
    ingest: Ingest, outside: StandIn, datum: Any, endpoint: str
) -> None:
    feeds = site(outside, 0).model_dump()["feeds"]
    polls = ingest.news([site(outside, n, feeds=feeds) for n in range(3)], datum)
    assert outside.counts()[endpoint] == 1
    counts = {poll.appended[endpoint] for poll in polls.values()}
    assert counts == {(START.date() - FIRST).days}


def test_each_site_gets_only_the_days_that_it_asked_for(ingest: Ingest, outside: StandIn) -> None:
    feeds = site(outside, 0).model_dump()["feeds"]
    later = FIRST + timedelta(days=5)
    ingest.news(
        [
            site(outside, 0, feeds=feeds),
            site(outside, 1, feeds=feeds, history_from=later.isoformat()),
        ],
        "rainfall",
    )
    assert outside.counts()["gsod"] == 1
    first = {e.site: e.data.day for e in reversed(events(ingest, RainfallObserved))}
    assert first == {"site-1": FIRST, "site-2": later}


def test_a_failed_search_failed_for_each_site_of_the_group(
    ingest: Any, outside: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "ATTEMPTS", 1)
    group = [site(outside, n) for n in range(3)]
    outside.fail_next(1, 400, "cmr")
    polls = ingest.news(group, "acquisitions")
    assert [set(poll.failed) for poll in polls.values()] == [{"asf"}] * 3
    assert all("refuses the search" in poll.failed["asf"] for poll in polls.values())
    assert outside.counts()["cmr"] == 1
    assert not events(ingest, AcquisitionFound)
    assert not ingest.news(group, "acquisitions")["site-1"].failed


def test_only_what_brings_the_kind_is_asked(ingest: Ingest, outside: StandIn) -> None:
    table = {
        "kind": "table",
        "at": str(outside.base_url) + "/nothing",
        "quantity": "rain",
        "station": "hut",
        "date_column": "day",
        "value_column": "mm",
        "unit": "mm",
    }
    tree = site(outside, 0).model_dump()
    asked = parse_site({**tree, "feeds": [*tree["feeds"], table, {**table, "quantity": "level"}]})
    expected = {
        "acquisitions": ["asf"],
        "rainfall": ["gsod", "table"],
        "level": ["table-2", "usgs"],
    }
    for datum, feeds in expected.items():
        (poll,) = ingest.news([asked], datum).values()  # type: ignore[arg-type]
        assert sorted([*poll.observations, *poll.failed]) == feeds
        assert poll.closed == 0


def test_a_feed_that_cannot_be_opened_is_told_whatever_is_asked(
    ingest: Any, outside: StandIn
) -> None:
    broken = site(outside, 0, feeds=[{"kind": "gsod"}, {"kind": "usgs", "site": "99000001"}])
    for datum in ("acquisitions", "level"):
        (poll,) = ingest.news([broken], datum).values()
        assert "station" in poll.failed["gsod"]
    assert poll.appended == {"usgs": (START.date() - FIRST).days}
    assert not events_of(ingest.log, DEAD_LETTERS)
    assert poll.appended["usgs"] < DAYS
