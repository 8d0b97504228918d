"""Everything that dashboards ask, asked: a season on real engines answers every query."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import go_without
from tools.dashboards.asked import Reader
from tools.dashboards.filled import Pace, panels, queries
from tools.dashboards.season import Season, season
from tools.dashboards.written import FOLDER
from tools.engine import prometheus
from tools.engine.postgres import Postgres

BOARDS: list[dict[str, Any]] = [json.loads(p.read_text()) for p in sorted(FOLDER.glob("*.json"))]
PACE = Pace(scrape_s=1.0, points=2000)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Season]:
    go_without(prometheus.missing())
    with season(tmp_path_factory.mktemp("season"), postgres) as now:
        yield now


@pytest.mark.timeout(600)
def test_every_query_of_every_panel_brings_data(lived: Season) -> None:
    asked, empty = 0, []
    with lived.sql() as projection:
        for board in BOARDS:
            reader = Reader(board, lived.prometheus, projection, pace=PACE)
            for query in queries(board):
                asked += 1
                if reader.answer(query).empty:
                    empty.append(query.name)
    shown = sum(1 for board in BOARDS for _ in panels(board))
    print(f"panels={shown} queries={asked} empty={len(empty)}")
    assert empty == []


def test_what_went_wrong_in_the_season_is_seen(lived: Season) -> None:
    """The faults are real, not queries that answer zero whatever happens."""
    seen = {
        "a blind site": 'slopewatch:coverage_units{site="quarry", coverage="blind"} == 2',
        "a stale site": 'slopewatch:coverage_units{site="scarp", coverage="stale"} == 2',
        "a bad row": 'sum(slopewatch_feed_rejections_total{site="quarry", feed=~"table.*"}) > 0',
        "a record nobody can read": 'slopewatch_dead_letters_total{stage="inference"} == 1',
        "a record from a newer release": 'slopewatch:site_parked{site="quarry"} == 1',
        "a webhook out of order": f'slopewatch:outbox_waiting{{site="{lived.failing}"}} > 0',
        "tries that failed": 'slopewatch_notifications_total{outcome="retried"} > 0',
        "mails that arrived": 'slopewatch_notifications_total{outcome="sent"} > 0',
        "a slope at red": f'slopewatch:alert_units{{site="{lived.failing}", level="red"}} == 1',
        "alarms about it": 'ALERTS{alertname="DeadLetters", alertstate="firing"}',
    }
    missing = [what for what, expr in seen.items() if lived.figure(expr) is None]
    assert missing == []
