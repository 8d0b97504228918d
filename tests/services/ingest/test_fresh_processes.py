"""Any process may ask, any number of times: readers take in what one scheduler would give them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from core.clock import ReplayClock, midnight
from core.events import OBSERVATIONS, DeadLettered, ReleaseActivated, SiteConfigured
from core.settings import Service, load_site
from services.commands import news
from services.compose import Slopewatch
from services.demo.standin import StandIn
from services.schedule import Scheduler
from tests.pipeline import events_of
from tests.services.ingest.outside import (
    PLACES,
    WATCHED,
    appended,
    asking,
    service_in,
    taken_in,
    write_site,
)

NAMES = [place.name for place in PLACES]
TASKS = ("acquisitions", "rainfall", "level", "close-days")
ROUNDS = [midnight(WATCHED) + timedelta(hours=13 * n) for n in range(6)]
GROUPS = [",".join(NAMES), *NAMES]


@pytest.fixture
def outside() -> Iterator[Any]:
    """The outside, as of its `hands`."""
    hands = ReplayClock(ROUNDS[0])
    with StandIn(PLACES, hands) as running:
        running.hands = hands  # type: ignore[attr-defined]
        yield running


@pytest.fixture
def sites(tmp_path: Path, outside: StandIn) -> Path:
    for place in PLACES:
        write_site(tmp_path / "sites", place, outside)
    return tmp_path / "sites"


def task(
    service: Service, what: str, group: str | None, now: datetime, monkeypatch: Any
) -> list[str]:
    """One task in a process of its own: what it says, and a last line when it failed."""
    told: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(
            news,
            "Slopewatch",
            lambda *args, **named: Slopewatch(*args, **named, clock=ReplayClock(now)),
        )
        if what == "close-days":
            well = news.close_days(service, group, told.append)
        else:
            well = news.ask_for_news(service, what, group, told.append)
    return told if well else [*told, "FAILED"]


# An example takes seconds: a failing one is shown as it is.
@settings(derandomize=True, deadline=None, max_examples=5, database=None, phases=[Phase.generate])
@given(data=st.data())
def test_tasks_in_any_order_give_what_one_scheduler_gives(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("world")
    monkeypatch = pytest.MonkeyPatch()
    hands = ReplayClock(ROUNDS[0])
    with StandIn(PLACES, hands) as outside:
        for place in PLACES:
            write_site(folder / "sites", place, outside)
        once = service_in(folder / "once", outside.endpoints)
        many = service_in(folder / "many", outside.endpoints)
        clock = ReplayClock(ROUNDS[0])
        every = [(what, group) for what in TASKS for group in NAMES]
        with Slopewatch(once, roles=["ingest"], clock=clock) as app:
            scheduler = Scheduler(app)
            for now in ROUNDS:
                hands.set(now)
                clock.set(now)
                scheduler.tick()
                tasks = data.draw(st.permutations(every))
                again = data.draw(st.lists(st.sampled_from(TASKS), max_size=2))
                forgets = data.draw(st.booleans())
                before = folder / "before"
                if Path(many.data / "memory").exists() and forgets:
                    shutil.copytree(many.data / "memory", before)
                for what, group in tasks:
                    assert task(many, what, group, now, monkeypatch)[-1] != "FAILED"
                if before.exists():
                    # As if the next ones had read their notes before the last ones wrote theirs.
                    shutil.rmtree(many.data / "memory")
                    before.rename(many.data / "memory")
                for what in again:
                    assert task(many, what, None, now, monkeypatch)[-1] != "FAILED"
        assert taken_in(many, NAMES) == taken_in(once, NAMES)


def test_a_group_of_sites_gives_what_a_task_a_site_gives(
    tmp_path: Path, sites: Path, outside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, all_ = (service_in(tmp_path / n, outside.endpoints) for n in ("one", "all"))
    for now in ROUNDS:
        outside.hands.set(now)
        for what in TASKS:
            for name in NAMES:
                task(one, what, name, now, monkeypatch)
            task(all_, what, ",".join(NAMES), now, monkeypatch)
    assert taken_in(all_, NAMES) == taken_in(one, NAMES)


def test_a_second_run_of_a_task_appends_nothing(
    tmp_path: Path, sites: Path, outside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_in(tmp_path / "var", outside.endpoints)
    for what in TASKS:
        task(service, what, None, ROUNDS[0], monkeypatch)
    given_once = appended(service)
    for what in TASKS:
        assert "FAILED" not in task(service, what, None, ROUNDS[0], monkeypatch)
    assert appended(service) == given_once


def test_lost_notes_cost_repeats_alone(
    tmp_path: Path, sites: Path, outside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, lost = (service_in(tmp_path / n, outside.endpoints) for n in ("kept", "lost"))
    for now in ROUNDS[:3]:
        outside.hands.set(now)
        for service in (kept, lost):
            for what in TASKS:
                task(service, what, None, now, monkeypatch)
    shutil.rmtree(lost.data / "memory")
    for service in (kept, lost):
        for what in TASKS:
            assert "FAILED" not in task(service, what, None, ROUNDS[2], monkeypatch)
    assert appended(lost) > appended(kept)
    found, wanted = taken_in(lost, NAMES), taken_in(kept, NAMES)
    for name in NAMES:
        news_ = {k: v for k, v in found[name].items() if k not in wanted[name]}
        assert {type(v[-1]) for v in news_.values()} <= {SiteConfigured, ReleaseActivated}
        assert {k: v for k, v in found[name].items() if k in wanted[name]} == wanted[name]


def said_of(service: Service, kind: type) -> list[Any]:
    with asking(service, ROUNDS[0]) as app:
        found = [e for e in events_of(app.log, OBSERVATIONS) if isinstance(e.data, kind)]
    return list({e.id: e.data for e in found}.values())


def test_settings_that_go_back_and_forth_are_taken_each_time(
    tmp_path: Path, outside: StandIn
) -> None:
    service = service_in(tmp_path / "var", outside.endpoints)
    titles = ["A", "B", "A", "B", "B", "A"]
    for title in titles:
        write_site(tmp_path / "sites", PLACES[0], outside, title=title)
        with asking(service, ROUNDS[0]) as app:
            app.configure(load_site(tmp_path / "sites" / "site-1.yaml"))
    differences = [data.difference for data in said_of(service, SiteConfigured)]
    changes = ["title: A -> B", "title: B -> A"] * 2
    assert differences == [(), *((change,) for change in changes)]


@pytest.mark.parametrize("titles", [["A"], ["A", "B"], ["A", "B", "A"]])
def test_two_tasks_that_find_the_same_change_say_the_same(
    tmp_path: Path, outside: StandIn, titles: list[str]
) -> None:
    service = service_in(tmp_path / "var", outside.endpoints)
    for title in titles:
        write_site(tmp_path / "sites", PLACES[0], outside, title=title)
        site = load_site(tmp_path / "sites" / "site-1.yaml")
        with asking(service, ROUNDS[0]) as one, asking(service, ROUNDS[0]) as two:
            # Both have read the notes when the first one writes its own.
            note = one.ingest.memory.settings(site.name)
            release = one.ingest.memory.release(site.name)
            one.configure(site)
            one.activate_release([site])
            two.clock.set(ROUNDS[0] + timedelta(seconds=3))  # type: ignore[attr-defined]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(two.ingest.memory, "settings", lambda _, n=note: n)
                patch.setattr(two.ingest.memory, "release", lambda _, n=release: n)
                two.configure(site)
                two.activate_release([site])
    assert len(said_of(service, SiteConfigured)) == len(titles)
    assert len(said_of(service, ReleaseActivated)) == 1


def test_a_change_leaves_the_first_watched_day_alone(tmp_path: Path, outside: StandIn) -> None:
    service = service_in(tmp_path / "var", outside.endpoints)
    for title, now in (("A", ROUNDS[0]), ("B", ROUNDS[0] + timedelta(days=9))):
        write_site(tmp_path / "sites", PLACES[0], outside, title=title, watched_from=None)
        with asking(service, now) as app:
            app.configure(load_site(tmp_path / "sites" / "site-1.yaml"))
    first, second = said_of(service, SiteConfigured)
    assert (first.watched_from, second.watched_from) == (ROUNDS[0].date(), None)


def test_a_damaged_note_is_a_lost_one(
    tmp_path: Path, sites: Path, outside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_in(tmp_path / "var", outside.endpoints)
    for what in TASKS:
        task(service, what, None, ROUNDS[0], monkeypatch)
    before = taken_in(service, NAMES)
    for path in (service.data / "memory").rglob("*"):
        if path.is_file():
            path.write_bytes(b'{"id": 3')
    for what in TASKS:
        assert "FAILED" not in task(service, what, None, ROUNDS[0], monkeypatch)
    # The day is the same, and so are the first words of each site.
    assert taken_in(service, NAMES) == before


def test_what_the_log_finds_too_large_stops_nothing_else(
    tmp_path: Path, sites: Path, outside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = service_in(tmp_path / "plain", outside.endpoints)
    limit = 640
    url = f"sqlite://{tmp_path}/small.db?max_record_bytes={limit}"
    small = service_in(tmp_path / "small", outside.endpoints, log=url)
    for service in (plain, small):
        for what in TASKS:
            told = task(service, what, "site-1", ROUNDS[0], monkeypatch)
            assert "FAILED" not in told
    wanted, found = (taken_in(s, NAMES)["site-1"] for s in (plain, small))
    missing = {v[-1].NAME for k, v in wanted.items() if k not in found}
    assert missing == {"acquisition-found"}
    with asking(small, ROUNDS[0]) as app:
        letters = [e.data for e in events_of(app.log, "dead-letters")]
        assert len(letters) == len(wanted) - len(found) > 0
        for letter in letters:
            assert isinstance(letter, DeadLettered)
            assert letter.code == "R12"
            assert str(limit) in letter.reason
            assert letter.artifact is not None
            assert b"acquisition-found" in app.artifacts.get(letter.artifact)
    task(small, "acquisitions", "site-1", ROUNDS[0], monkeypatch)
    with asking(small, ROUNDS[0]) as app:
        assert len(events_of(app.log, "dead-letters")) == len(letters)
