"""A season in which everything that dashboards show comes to pass, on real engines.

Simulated slopes are asked for by `slopewatch run ingest`, thought through by inference and alerting
and written to PostgreSQL by the projector, each a process of its own that Prometheus scrapes. One
site goes blind, one is stale, a table has a bad row, a webhook is out of order, a record cannot be
read and one comes from a newer release. Everything listens on 127.0.0.1 alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pg8000.native
import yaml

from core.artifacts import open_artifacts
from core.clock import SystemClock, end_of, midnight
from core.eventlog import open_log
from core.events import OBSERVATIONS, DayClosed, Event, encode, observation_id
from core.settings import Service
from core.statestore import open_states_to_read
from services.compose import append_observation
from services.demo.cast import STORY, Cast, Slope, cast_of
from services.demo.standin import from_twin
from services.demo.world import outside_world
from services.inference.issuing.fitting import fit_site, fitted_event
from services.inference.state import day_number
from services.inference.store import read_state
from tools.dashboards.outside import dead_webhook, small_site
from tools.engine.postgres import USER, Postgres
from tools.engine.process import HOST, EngineError, Server
from tools.engine.prometheus import Prometheus
from tools.engine.services import Role, slopewatch

RULES = Path(__file__).parents[2] / "helm" / "slopewatch" / "rules"
DATABASE = "season"
BLIND, STALE = "quarry", "scarp"
YEARS = 2
WATCHED_FOR = timedelta(days=180)
BEFORE_FAILURE = timedelta(days=3)
HISTORY = timedelta(days=420)
"""What is taken in of each slope; the simulation is longer."""
SPEEDS = {"yellow": 250.0, "orange": 330.0, "red": 420.0}
"""Limits of a rule of the failing slope's own, mm a year downslope, so that it is seen at each."""
TOKEN = "SLOPEWATCH_NIGHT_DESK_TOKEN"
STILL_S = 4
PATIENCE_S = 240.0


@dataclass(frozen=True)
class Season:
    """What runs, and how to ask it."""

    prometheus: Prometheus
    database: Postgres
    environment: dict[str, str]
    failing: str

    @contextmanager
    def sql(self) -> Iterator[pg8000.native.Connection]:
        """A connection to the projection."""
        port = self.database.port
        with closing(pg8000.native.Connection(USER, HOST, DATABASE, port)) as connection:
            connection.run("SET TIME ZONE 'UTC'")
            yield connection

    def figure(self, expr: str) -> float | None:
        """The one value of `expr` now, None where there is none."""
        found = self.prometheus.instant(expr, time.time())
        return float(found[0]["value"][1]) if found else None


@contextmanager
def season(
    folder: Path, database: Postgres, slopes: Sequence[Slope] = STORY.slopes[:1]
) -> Iterator[Season]:
    """Live through it; when this is entered all has been read and shown. The first slope fails."""
    cast = cast_for_now(slopes)
    places = {
        slope.title: from_twin(cast.truth, cast.observed, i, slope.name, cast.story.first_day)
        for i, slope in enumerate(cast.story.slopes)
    }
    with ExitStack() as stack:
        world = outside_world(folder, places, cast.story.watched_from, SystemClock())
        service, _, _ = stack.enter_context(world)
        webhook = stack.enter_context(dead_webhook(folder))
        _add_trouble(service, folder, slopes[0].name, webhook.url)
        environment = _environment(service, folder, database, webhook.token)
        starters = stack.enter_context(ThreadPoolExecutor(8))
        roles = {
            role: Role(folder / role, role, "1", environment)
            for role in ("ingest", "inference", "alerting")
        }
        # Only who watches certificates trusts the one of the webhook: to send there fails.
        trusting = {**environment, "SSL_CERT_FILE": str(webhook.certificate)}
        late = {
            "projector": Role(folder / "projector", "projector", "1", trusting),
            "watchdog": Role(folder / "watchdog", "watchdog", "1", environment),
        }
        targets = {name: role.address for name, role in {**roles, **late}.items()}
        prometheus = Prometheus(folder / "prometheus", targets, sorted(RULES.glob("*.yaml")))
        _start(stack, starters, [prometheus, *roles.values()])
        now = Season(prometheus, database, environment, slopes[0].name)
        sites = len(places) + 2
        until = midnight(datetime.now(UTC).date()).timestamp()
        closed = f"count(slopewatch_last_day_closed_timestamp_seconds >= {until}) == {sites}"
        _wait(lambda: now.figure(closed) is not None, "all days are closed")
        _fit(service, now.failing)
        fitted = 'slopewatch_events_handled_total{stage="inference", type="forecaster-fitted"}'
        _wait(lambda: now.figure(fitted) is not None, "models are fitted")
        _append_trouble(service)
        _acknowledge(environment, slopes[0].name)
        # Looks are taken at once and then seldom: what they look at must be there before.
        _start(stack, starters, list(late.values()))
        _wait(lambda: _all_shown(now), "all is read and shown")
        yield now


def cast_for_now(slopes: Sequence[Slope]) -> Cast:
    """The slopes, dated so that the first one fails in a few days."""
    story = replace(STORY, slopes=tuple(slopes), years=YEARS)
    today = SystemClock().now().date()
    failure = cast_of(story).failure(0)
    if failure is None:
        raise ValueError("the first slope does not fail")
    first_day = today + BEFORE_FAILURE - (failure - story.first_day)
    return cast_of(replace(story, first_day=first_day, watched_from=today - WATCHED_FOR))


def _add_trouble(service: Service, folder: Path, failing: str, webhook: str) -> None:
    """Two more sites that cannot be seen well; a third recipient and another rule for the first."""
    today = SystemClock().now().date()
    small_site(
        service.sites, folder, BLIND, "Quarry, north face (simulated)", today - timedelta(days=60)
    )
    small_site(
        service.sites, folder, STALE, "Scarp above the road (simulated)", today - timedelta(days=30)
    )
    path = service.sites / f"{failing}.yaml"
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    notifier = {"kind": "webhook", "url": webhook, "secret_env": TOKEN, "allow_private": True}
    tree["recipients"].append({"id": "night-desk", "notifier": notifier})
    speed = {"kind": "velocity", "component": "downslope", "thresholds_mm_per_year": SPEEDS}
    tree["history_from"] = (today - HISTORY).isoformat()
    tree["rules"] = [{"kind": "excess"}, {"kind": "cusum"}, {**speed, "hits": 1, "of": 1}]
    path.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _environment(service: Service, folder: Path, database: Postgres, token: str) -> dict[str, str]:
    """Settings of the season, and the environment that names them."""
    settings = msgspec.to_builtins(service.model_dump(mode="json"))
    settings["projection"] = database.create_database(DATABASE)
    path = folder / "slopewatch.json"
    path.write_bytes(msgspec.json.encode(settings))
    return {
        **os.environ,
        "SLOPEWATCH_CONFIG": str(path),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        TOKEN: token,
    }


def _start(stack: ExitStack, starters: ThreadPoolExecutor, servers: Sequence[Server]) -> None:
    """Start all at once, by threads that live as long as the servers."""
    for server in servers:
        server.start_s = PATIENCE_S
        stack.callback(server.stop)
    started = [starters.submit(server.start) for server in servers]
    for one in started:
        one.result()


def _fit(service: Service, site: str) -> None:
    """Fit the simplest model, which is enough to have a day of it."""
    artifacts = open_artifacts(str(service.artifacts))
    with (
        closing(open_states_to_read(str(service.state))) as states,
        closing(states.open(site)) as repository,
    ):
        state = read_state(repository, artifacts)
        if state.last_closed is None:
            raise EngineError(f"no day of {site} is closed")
        day = day_number(state.last_closed)
        fit = fit_site(state, day, names=["persistence"])
    event = fitted_event(site, day, fit, artifacts, SystemClock().now())
    with closing(open_log(str(service.log))) as log:
        append_observation(log, event)


def _append_trouble(service: Service) -> None:
    """What no reader can use, and what only a newer release can."""
    today = SystemClock().now()
    day = today.date() - timedelta(days=1)
    data = DayClosed(day=day)
    closed = Event(
        id=observation_id(BLIND, f"closed/{day}", data),
        site=BLIND,
        source="season",
        valid_time=end_of(day),
        available_at=today,
        processed_at=today,
        data=data,
    )
    newer = encode(closed).replace(b"day-closed.v1", b"day-closed.v99")
    with closing(open_log(str(service.log))) as log:
        producer = log.producer()
        for value in (b"not an event", newer):
            producer.send(OBSERVATIONS, BLIND, value)
        producer.close()


def _acknowledge(environment: dict[str, str], site: str) -> None:
    """An officer answers the alert of the failing slope."""
    said = ("--operator", "duty officer", "--reason", "road closed, geologist on the way")
    slopewatch(environment, "alerts", "acknowledge", "--site", site, *said)


def _all_shown(now: Season) -> bool:
    """Whether every reader has read everything that it can, and every look was taken."""
    wanted = (
        "slopewatch_clock_skew_seconds",  # of the last look
        "slopewatch_watchdog_last_check_timestamp_seconds",
        "slopewatch_alerts_raised",
        "slopewatch:recipients_unreachable",  # looked at once a minute
        "sum(slopewatch_log_lag_records) == 0",
        _as_far("projection-drivers", "inference"),
        _as_far("projection-motion", "alerting"),
        f"sum(increase(slopewatch_commits_total[{STILL_S}s])) == 0",
        'slopewatch_events_handled_total{stage="projection-alerts", type="alert-handled"}',
    )
    return all(now.figure(expr) is not None for expr in wanted)


def _as_far(stage: str, other: str) -> str:
    """PromQL that has a value once a stage has handled as much as the other of the same inbox.

    What is parked counts again at each try, so a few may be missing.
    """
    handled = "sum(slopewatch_events_handled_total{{stage={!r}}})"
    return f"{handled.format(stage)} >= {handled.format(other)} - 5"


def _wait(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not ready():
        if time.monotonic() > deadline:
            raise EngineError(f"the season waits in vain until {what}")
        time.sleep(0.25)
