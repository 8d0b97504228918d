"""Rain, level and passes in tables; and how a stage that looks on gets along with its inbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.eventlog import EventLog
from core.events import ALERTS, DEAD_LETTERS, OBSERVATIONS, encode
from tests.pipeline import (
    Scene,
    append,
    append_raw,
    day,
    end_of,
    events_of,
    make_site,
    timedelta,
)
from tests.services.projector.looking import Looking, named


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/projection.db"


@pytest.fixture
def scene(empty: EventLog, artifacts: Any) -> Scene:
    return Scene(make_site("ridge"), artifacts)


def test_a_later_vintage_of_a_day_replaces_the_one_before(
    url: str, empty: EventLog, scene: Scene
) -> None:
    late = end_of(day(9))
    said = [scene.rain(1, 4.0), scene.rain(2, 5.0), scene.level(1, 170.0)]
    again = [scene.rain(1, 7.5, late), scene.rain(2, None, late), scene.level(1, 171.0, late)]
    append(empty, OBSERVATIONS, [scene.configured(), *said, *again, *said])
    with Looking(url, empty, scene.artifacts) as looking:
        looking.drain()
    assert [(r.day, r.rain_mm, r.available_at) for r in named(url, "rain")] == [
        (day(1), 7.5, late),
        (day(2), None, late),
    ]
    assert [(r.level_m, r.feed, r.station) for r in named(url, "reservoir")] == [
        (171.0, "gauge", "l1")
    ]


def test_a_pass_has_the_time_at_which_it_ended(url: str, empty: EventLog, scene: Scene) -> None:
    append(empty, OBSERVATIONS, [scene.configured(), scene.found(3)])
    with Looking(url, empty, scene.artifacts) as looking:
        looking.drain()
    (row,) = named(url, "passes")
    assert row.at == end_of(day(2)) + timedelta(hours=10)
    assert (row.path, row.direction, row.platform, row.scene) == (44, "ASCENDING", "S1A", "S1-3")
    assert row.available_at == row.at + timedelta(hours=3)


def test_what_inference_does_not_take_makes_no_row_and_no_dead_letter(
    url: str, empty: EventLog, scene: Scene
) -> None:
    stranger = Scene(make_site("stranger"), scene.artifacts)
    append(empty, OBSERVATIONS, [stranger.rain(1, 3.0), scene.rain(1, 4.0)])
    append(empty, OBSERVATIONS, [scene.configured(), scene.rain(30, 5.0, end_of(day(10)))])
    append_raw(empty, OBSERVATIONS, "ridge", b"no event", b"{}")
    append(empty, OBSERVATIONS, [scene.rain(2, 6.0)])
    with Looking(url, empty, scene.artifacts) as looking:
        looking.drain()
        assert looking.parked() == {}
    assert [(row.site, row.day) for row in named(url, "rain")] == [("ridge", day(2))]
    assert events_of(empty, DEAD_LETTERS) == []


def test_a_newer_version_parks_its_site_until_the_upgrade(
    url: str, empty: EventLog, scene: Scene
) -> None:
    newer = json.loads(encode(scene.rain(2, 6.0)))
    newer["type"] = newer["type"].replace(".v1", ".v9")
    other = Scene(make_site("other"), scene.artifacts)
    append(empty, OBSERVATIONS, [scene.configured(), scene.rain(1, 4.0)])
    append_raw(empty, OBSERVATIONS, "ridge", json.dumps(newer).encode())
    append(empty, OBSERVATIONS, [scene.rain(3, 4.0), other.configured(), other.rain(1, 1.0)])
    with Looking(url, empty, scene.artifacts) as looking:
        looking.drain()
        assert "upgrade slopewatch" in looking.parked()["ridge"]
    assert [(r.site, r.day) for r in named(url, "rain")] == [("other", day(1)), ("ridge", day(1))]


def test_a_stranger_on_the_alerts_is_no_site(url: str, empty: EventLog, scene: Scene) -> None:
    append(empty, ALERTS, [scene.rain(1, 4.0)])
    append_raw(empty, ALERTS, "ridge", b"no event")
    with Looking(url, empty, scene.artifacts) as looking:
        looking.drain()
        assert looking.parked() == {}
        assert looking.projection.sites("projection-alerts") == []
    assert events_of(empty, DEAD_LETTERS) == []
