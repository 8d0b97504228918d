"""What the ledger says of each site, as gauges, from the first day to the last."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from core.artifacts import reference
from core.clock import ReplayClock, end_of, midnight
from core.errors import UnavailableError
from core.events import ASSESSMENTS, OBSERVATIONS, OperatorCommanded
from core.settings import Service, Site
from core.telemetry import METRICS, Telemetry
from services.compose import Slopewatch
from services.gauges import AlertGauges, Standing
from tests.core.test_figures import values
from tests.pipeline import Scene, append, day, make_site

DAYS = 36
MM_A_DAY = -1.0
LOOKED = "vitals_last_success_timestamp_seconds"
OF_SITES = [m.name for m in METRICS if m.labels[:1] == ("site",)]


class Life:
    """A site whose toe and head move away at a mm a day and more."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.site = site
        self.clock = ReplayClock(midnight(day(0)))
        roles = ("inference", "alerting")
        self.app = Slopewatch(Service(data=folder).resolved(), roles=roles, clock=self.clock)
        self.scene = Scene(site, self.app.artifacts)
        append(self.app.log, OBSERVATIONS, [self.scene.configured()])
        self.app.activate_release([site])

    def live(self, first: int, last: int) -> None:
        self.clock.set(end_of(day(last)))
        append(self.app.log, OBSERVATIONS, self.scene.story(last + 1, MM_A_DAY, first))
        self.app.settle()
        self.clock.sleep(61)
        self.app.gauge()

    def shown(self, name: str) -> dict[tuple[str, ...], float]:
        return values(self.app.telemetry, f"slopewatch_{name}")

    def cancel(self) -> None:
        for unit in ("toe", "head"):
            data = OperatorCommanded(command="cancel", operator="li", unit=unit, reason="snow")
            now = self.clock.now()
            event = self.scene.event(data, now, now, f"cancel/{unit}")
            append(self.app.log, ASSESSMENTS, [event])
        self.app.settle()
        self.clock.sleep(61)
        self.app.gauge()


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path, make_site("dam"))
    with life.app:
        yield life


def seconds(day_: date) -> float:
    return end_of(day_).timestamp()


def test_what_is_awaited_and_when_the_site_goes_blind(life: Life) -> None:
    assert life.shown("next_pass_timestamp_seconds") == {}
    life.live(0, DAYS)
    assert life.shown("next_pass_timestamp_seconds") == {("dam",): seconds(day(DAYS + 12))}
    assert life.shown("repeat_seconds") == {("dam",): 12 * 86_400.0}
    last_measured = day(DAYS)
    blind = last_measured + timedelta(days=4 * 12 + 1)
    assert life.shown("blind_from_timestamp_seconds") == {("dam",): seconds(blind)}
    assert life.shown("last_day_closed_timestamp_seconds") == {("dam",): seconds(day(DAYS))}
    life.clock.set(end_of(day(DAYS + 49)))
    quiet = [life.scene.closed(number) for number in range(DAYS + 1, DAYS + 49)]
    append(life.app.log, OBSERVATIONS, quiet)
    life.app.settle()
    life.app.gauge()
    assert life.shown("coverage_units")[("dam", "blind")] == 0
    assert life.shown("next_pass_timestamp_seconds") == {("dam",): seconds(day(DAYS + 12))}
    append(life.app.log, OBSERVATIONS, [life.scene.closed(DAYS + 49)])
    life.app.settle()
    life.app.gauge()
    assert life.shown("coverage_units")[("dam", "blind")] == 2
    assert life.shown("last_day_closed_timestamp_seconds") == {("dam",): seconds(blind)}
    assert life.shown("blind_from_timestamp_seconds") == {}


def test_what_alerts_there_were_and_what_they_may_cost(life: Life) -> None:
    life.live(0, DAYS)
    raised = life.shown("alerts_raised")
    assert raised[("dam", "yellow")] == 2
    assert set(life.shown("alerts_false").values()) == {0.0}
    budget = life.shown("false_alarm_budget")
    assert budget == pytest.approx(
        {("dam", "yellow"): 0.6, ("dam", "orange"): 0.2, ("dam", "red"): 0.02}
    )
    life.cancel()
    assert life.shown("alerts_false") == raised


def test_what_is_not_delivered(life: Life) -> None:
    life.app.gauge()
    life.live(0, 4)
    assert life.shown("outbox_waiting") == {("dam",): 0.0}
    assert life.shown("outbox_oldest_timestamp_seconds") == {}
    life.live(5, DAYS)
    assert life.app.ledger is not None
    waiting = life.app.ledger.notifications("dam")
    assert life.shown("outbox_waiting") == {("dam",): float(len(waiting))}
    oldest = min(row.created_at for row in waiting).timestamp()
    assert life.shown("outbox_oldest_timestamp_seconds") == {("dam",): oldest}


def test_a_retired_site_shows_no_more_than_what_is_not_delivered(life: Life) -> None:
    life.live(0, DAYS)
    now = life.clock.now()
    event = life.scene.configured(now, life.site.model_copy(update={"retired": True}))
    retired = type(event.data)(settings=event.data.settings, retired=True)
    append(life.app.log, OBSERVATIONS, [life.scene.event(retired, now, now, "retired")])
    life.app.settle()
    life.clock.sleep(61)
    life.app.gauge()
    left = {name for name in OF_SITES if values(life.app.telemetry, name)}
    assert left <= {"slopewatch_outbox_waiting", "slopewatch_outbox_oldest_timestamp_seconds"}


def test_a_site_that_is_tried_out_spends_no_budget(tmp_path: Path) -> None:
    life = Life(tmp_path, make_site("dam", test=True))
    with life.app:
        life.live(0, DAYS)
        assert life.shown("alert_units")[("dam", "blue")] < 2
        assert set(life.shown("alerts_raised").values()) == {0.0}


def test_a_ledger_out_of_reach_leaves_no_old_figure_and_tells(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = life.clock.now().timestamp()
    assert life.shown(LOOKED) == {("alerts",): began}
    life.live(0, 4)
    looked = life.clock.now().timestamp()
    assert life.shown(LOOKED) == {("alerts",): looked}
    levels, raised = life.shown("alert_units"), life.shown("alerts_raised")

    def away() -> None:
        raise UnavailableError("the ledger is away")

    with monkeypatch.context() as patch:
        patch.setattr(life.app.ledger, "waiting", away)
        life.clock.sleep(5)
        with pytest.raises(UnavailableError, match="the ledger is away"):
            life.app.gauge()
    assert not {name for name in OF_SITES if values(life.app.telemetry, name)}
    assert life.shown(LOOKED) == {("alerts",): looked}
    life.app.gauge()
    assert (life.shown("alert_units"), life.shown("alerts_raised")) == (levels, raised)
    assert life.shown(LOOKED) == {("alerts",): looked + 5}


def test_a_log_out_of_reach_takes_away_only_what_it_says(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.live(0, 4)

    def away(_: str) -> None:
        raise UnavailableError("the log is away")

    monkeypatch.setattr(life.app.log, "beginning", away)
    life.clock.sleep(61)
    with pytest.raises(UnavailableError, match="the log is away"):
        life.app.gauge()
    assert life.shown("alert_units")
    assert life.shown("alerts_raised") == {}


def test_what_cannot_be_read_of_one_site_costs_no_other(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.live(0, 4)
    app, telemetry = life.app, Telemetry()
    assert app.ledger is not None
    gauges = AlertGauges(telemetry, app.ledger, app.log, app.artifacts, life.clock)
    began = life.clock.now().timestamp()
    (state,) = Standing(app.ledger).sites().values()
    missing = reference(b"nowhere")
    both = {"a": replace(state, table=missing), "b": state, "c": replace(state, settings=missing)}
    monkeypatch.setattr(app.ledger, "sites", list)
    life.clock.sleep(5)
    standing: Any = SimpleNamespace(sites=lambda: both)
    gauges.refresh(standing)
    assert set(values(telemetry, "slopewatch_repeat_seconds")) == {("a",), ("b",)}
    budget = values(telemetry, "slopewatch_false_alarm_budget")
    assert {site for site, _ in budget} == {"b", "c"}
    assert values(telemetry, f"slopewatch_{LOOKED}") == {("alerts",): began}
    standing.sites = lambda: {"b": state}
    gauges.refresh(standing)
    assert values(telemetry, f"slopewatch_{LOOKED}") == {("alerts",): began + 5}


def test_a_memory_out_of_reach_keeps_no_gauge_and_no_deadline_back(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.live(0, 2)
    life.app.telemetry.day_closed.clear()
    stop, passed = threading.Event(), []

    def away() -> None:
        raise UnavailableError("the memory is away")

    monkeypatch.setattr(life.app, "heartbeat", away)
    monkeypatch.setattr(life.app, "pass_deadlines", lambda: passed.append(1) or stop.set())
    life.app.run_upkeep(stop)
    assert passed == [1]
    assert life.shown("last_day_closed_timestamp_seconds") == {("dam",): seconds(day(2))}
