"""Reconcile: what was due, found, processed and told, over a log; and asking again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.artifacts import open_artifacts
from core.clock import ReplayClock, end_of
from core.events import OBSERVATIONS
from core.settings import Service
from services import compose
from services.commands import reconciling
from services.compose import Slopewatch
from tests.pipeline import Scene, append, day, make_site

TODAY = end_of(day(61)) + timedelta(hours=6)


@pytest.fixture
def service(tmp_path, monkeypatch):
    """Two sites of one partition; the second one's history came after the first one's news."""
    monkeypatch.setattr(compose, "SystemClock", lambda: ReplayClock(TODAY))
    made = Service(data=tmp_path, sites=tmp_path / "sites").resolved()
    made = made.model_copy(update={"topics": made.topics.model_copy(update={"partitions": 1})})
    artifacts = open_artifacts(str(made.artifacts))
    made.sites.mkdir()
    with Slopewatch(made, roles=("inference", "alerting"), clock=ReplayClock(TODAY)) as app:
        for name, gone in (("dam", {24, 36}), ("hill", set())):
            site = make_site(name, feeds=[], sources=[], watched_from=day(0).isoformat())
            (made.sites / f"{name}.yaml").write_text(site.model_dump_json())
            scene = Scene(site, artifacts)
            said = [scene.configured()]
            for number in range(0, 61, 12):
                if number != 24:
                    said.append(scene.found(number))
                if number not in gone:
                    said.append(scene.epoch(number))
            said += [scene.closed(number) for number in range(61)]
            append(app.log, OBSERVATIONS, sorted(said, key=lambda e: e.available_at))
            app.settle()
    return made


def test_it_says_what_is_missing_and_what_was_never_processed(service):
    told: list[str] = []
    assert reconciling.reconcile(service, None, 60, told.append)
    dam = next(line for line in told if line.startswith("dam: ") and "passes due" in line)
    hill = next(line for line in told if line.startswith("hill: ") and "passes due" in line)
    assert "4 found, 3 processed" in dam
    assert f"not found: {day(24)} on orbit 44 ascending" in dam
    assert f"no displacement: {day(36)} on orbit 44 ascending" in dam
    assert "no displacement" not in hill
    assert "dam: asked again" in " ".join(told)
    assert "hill: 0 notifications delivered" in told


def test_a_site_without_a_file_is_named_and_fails_the_run(service):
    told: list[str] = []
    assert not reconciling.reconcile(service, "dam,gone", 60, told.append)
    assert any(line.startswith("gone: no readable site file") for line in told)
    assert any(line.startswith("dam: ") for line in told)


def test_twice_changes_nothing(service):
    def end() -> dict[int, int]:
        with Slopewatch(service, roles=()) as app:
            return app.log.end(OBSERVATIONS)

    reconciling.reconcile(service, None, 60, lambda _: None)
    before = end()
    reconciling.reconcile(service, None, 60, lambda _: None)
    assert end() == before
    assert datetime.now(UTC) > TODAY
