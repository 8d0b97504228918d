"""Each DAG is run against the stand-in feeds, and again: readers see what one scheduler gives them.

The story: the history of three sites is taken in while the feeds are 24 days behind; a reconcile
finds what came in the next 12 days; a backfill brings one site up to today, the polls the others.
One more site is new today and has no feeds: only the end of yesterday is said to it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.clock import ReplayClock, SystemClock, end_of
from core.events import DayClosed
from core.settings import Service
from services.compose import Slopewatch
from services.demo.standin import StandIn, StandInSite
from services.schedule import Scheduler
from tests.conftest import ROOT
from tests.services.ingest.outside import FIRST, PLACES, WATCHED, service_in, taken_in, write_site
from tools.engine.airflow import PROGRAMS

pytestmark = [pytest.mark.xdist_group("airflow"), pytest.mark.timeout(900)]

Inputs = dict[str, dict[str, tuple[Any, ...]]]
AGE = timedelta(days=80)
LONGEST_STORY = timedelta(minutes=3)
NAMES = [place.name for place in PLACES]
IDLE = "idle"
WATCHED_NAMES = [*NAMES, IDLE]
NEWS = {"acquisition-found", "displacement-measured", "rainfall-observed", "level-observed"}
STORY = (
    (timedelta(days=24), ("poll_acquisitions",)),
    (timedelta(days=12), ("reconcile",)),
    (timedelta(0), ("backfill", "poll_acquisitions", "poll_rainfall", "poll_level", "close_day")),
)
"""How far the feeds are behind, and what is run then."""

DAGS = ("backfill", "close_day", "poll_acquisitions", "poll_level", "poll_rainfall", "reconcile")


@dataclass
class Runner:
    """`tests.dags.run_dag` in its process."""

    process: subprocess.Popen[str]
    log: Path

    def run(self, dag: str, conf: Mapping[str, str]) -> dict[str, Any]:
        """What became of a run."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"dag": dag, "conf": conf}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, self.log.read_text()[-3000:]
        return dict(json.loads(answer))


@contextmanager
def running(environment: Mapping[str, str], log: Path) -> Iterator[Runner]:
    command = [sys.executable, "-m", "tests.dags.run_dag"]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(environment),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as process,
    ):
        try:
            yield Runner(process, log)
        finally:
            process.kill()


@dataclass
class Lived:
    """What became of the runs of the story, what readers saw after each, and how to run more."""

    runner: Runner
    conf: Mapping[str, Mapping[str, str]]
    by_airflow: Service
    by_scheduler: Service
    runs: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    seen: list[Inputs] = field(default_factory=list)

    def run(self, dag: str) -> dict[str, Any]:
        return self.runner.run(dag, self.conf.get(dag, {}))

    def inputs(self) -> Inputs:
        return taken_in(self.by_airflow, WATCHED_NAMES)

    def brought(self, number: int) -> dict[str, set[str]]:
        """The kinds of inputs that were new with a run, by site."""
        before = self.seen[number - 1] if number else {}
        new = {
            site: {what[-1].NAME for id_, what in inputs.items() if id_ not in before.get(site, {})}
            for site, inputs in self.seen[number].items()
        }
        return {site: kinds for site, kinds in new.items() if kinds}


def a_day_that_lasts() -> datetime:
    """Now, but not shortly before midnight: commands go by the clock of the machine."""
    now = SystemClock().now()
    left = end_of(now.date()) - now
    if left < LONGEST_STORY:
        time.sleep(left.total_seconds() + 1)
    return SystemClock().now()


def dated(place: StandInSite, first_day: date) -> StandInSite:
    """The same place with all its data moved in time."""
    by = first_day - place.first_day
    names = ("pass_days", "epoch_dates", "arrival_dates")
    moved: dict[str, Any] = {n: tuple(day + by for day in getattr(place, n)) for n in names}
    return replace(place, first_day=first_day, **moved)


def write_idle_site(folder: Path, name: str, today: date) -> None:
    tree = {
        "name": name,
        "area": [10.0, 46.0, 10.1, 46.1],
        "reference": {"scene_median": True},
        "slope_units": [{"id": "u", "polygon": [[10, 46], [10.1, 46], [10.05, 46.1]]}],
        "watched_from": today.isoformat(),
        "history_from": today.isoformat(),
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(tree))


def write_settings(service: Service, path: Path) -> None:
    path.write_text(yaml.safe_dump(service.model_dump(mode="json"), sort_keys=False))


@pytest.fixture(scope="module")
def lived(
    airflow_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lived]:
    """The story, told to Airflow and to the embedded scheduler."""
    folder = tmp_path_factory.mktemp("world")
    now = a_day_that_lasts()
    first, watched = now.date() - AGE, now.date() - AGE + (WATCHED - FIRST)
    places = [dated(place, first) for place in PLACES]
    hands = ReplayClock(now - STORY[0][0])
    with StandIn(places, hands) as outside:
        for place in places:
            write_site(folder / "sites", place, outside, watched_from=watched.isoformat())
        write_idle_site(folder / "sites", IDLE, now.date())
        mine, other = (service_in(folder / n, outside.endpoints) for n in ("airflow", "scheduler"))
        write_settings(mine, folder / "slopewatch.yaml")
        environment = {
            **airflow_environment,
            "AIRFLOW__SLOPEWATCH__COMMAND": str(PROGRAMS / "slopewatch"),
            "SLOPEWATCH_CONFIG": str(folder / "slopewatch.yaml"),
        }
        until = (now.date() - timedelta(days=1)).isoformat()
        conf = {"backfill": {"site": NAMES[-1], "since": first.isoformat(), "until": until}}
        with running(environment, folder / "runner.log") as runner:
            story = Lived(runner, conf, mine, other)
            for behind, dags in STORY:
                hands.set(now - behind)
                with Slopewatch(other, roles=["ingest"], clock=ReplayClock(now)) as app:
                    Scheduler(app).tick()
                for dag in dags:
                    story.runs.append((dag, story.run(dag)))
                    story.seen.append(story.inputs())
            yield story


def test_every_task_of_every_run_succeeds(lived: Lived) -> None:
    mapped = {dag: "ask" for dag in DAGS} | {"close_day": "close", "reconcile": "compare"}
    assert {dag for dag, _ in lived.runs} == set(DAGS)
    for dag, became in lived.runs:
        tasks = ["take_in/-1"] if dag == "backfill" else ["groups/-1", f"{mapped[dag]}/0"]
        assert became == {"state": "success", "tasks": dict.fromkeys(tasks, "success")}


def test_each_dag_brings_what_it_is_for(lived: Lived) -> None:
    history, mended, filled, passes, rain, level, closed = (lived.brought(n) for n in range(7))
    slope, others = {"acquisition-found", "displacement-measured"}, NAMES[:-1]
    assert all(history[name] >= NEWS | {"day-closed"} for name in NAMES)
    assert all(mended[name] >= slope for name in NAMES)
    assert filled == {NAMES[-1]: NEWS}
    assert passes == {name: slope for name in others}
    assert rain == {name: {"rainfall-observed"} for name in others}
    assert level == {name: {"level-observed"} for name in others}
    assert closed == {IDLE: {"day-closed"}}


def test_readers_take_in_what_the_embedded_scheduler_gives(lived: Lived) -> None:
    wanted = taken_in(lived.by_scheduler, WATCHED_NAMES)
    assert {site: set(inputs) for site, inputs in lived.seen[-1].items()} == {
        site: set(inputs) for site, inputs in wanted.items()
    }


@pytest.mark.parametrize(
    "dag",
    [
        pytest.param(
            dag, marks=[] if dag in {"backfill", "poll_acquisitions"} else pytest.mark.slow
        )
        for dag in DAGS
    ],
)
def test_a_second_run_changes_nothing_for_readers(lived: Lived, dag: str) -> None:
    before = lived.seen[-1]
    assert lived.run(dag)["state"] == "success"
    assert lived.inputs() == before


def test_days_are_closed_once_each_and_in_order(lived: Lived) -> None:
    inputs = lived.inputs()
    for name in NAMES:
        days = [what[-1].day for what in inputs[name].values() if isinstance(what[-1], DayClosed)]
        assert days == [days[0] + timedelta(days=n) for n in range(len(days))]


def test_a_task_that_cannot_do_its_work_fails(lived: Lived) -> None:
    became = lived.runner.run("backfill", {**lived.conf["backfill"], "site": "unheard-of"})
    assert became == {"state": "failed", "tasks": {"take_in/-1": "failed"}}


@pytest.mark.parametrize(("dag", "task"), [("retrain", "fit"), ("skill_report", "report")])
def test_what_looks_after_forecasts_runs_over_sites_that_are_too_young(
    lived: Lived, dag: str, task: str
) -> None:
    with Slopewatch(lived.by_airflow, roles=["inference"]) as app:
        app.settle()
    before = lived.inputs()
    tasks = ["groups/-1", f"{task}/0"]
    assert lived.run(dag) == {"state": "success", "tasks": dict.fromkeys(tasks, "success")}
    assert lived.inputs() == before


def test_more_than_fifty_sites_are_asked_in_groups(lived: Lived) -> None:
    today = SystemClock().now().date()
    more = [f"more-{n:02}" for n in range(47)]
    for name in more:
        write_idle_site(lived.by_airflow.sites, name, today)
    became = lived.run("close_day")
    tasks = ["groups/-1", "close/0", "close/1"]
    assert became == {"state": "success", "tasks": dict.fromkeys(tasks, "success")}
    closed = taken_in(lived.by_airflow, [*WATCHED_NAMES, *more])
    for name in more:
        days = [what[-1].day for what in closed[name].values() if isinstance(what[-1], DayClosed)]
        assert days == [today - timedelta(days=1)]
