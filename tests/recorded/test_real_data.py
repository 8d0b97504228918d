"""Real stacks from their files to verdicts, through the services."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml

from core.events import ALERTS, ASSESSMENTS, AlertChanged, DayClosed, Event, StateUpdated
from core.kinematics import mm_yr_from_mm_d
from core.settings import Service
from services.commands.logs import events
from services.compose import Slopewatch, load_sites
from services.inference.pairs import stack_report
from services.inference.points import read_points
from services.inference.store import read_state

REPOSITORY = Path(__file__).parents[2]
MEXICO = REPOSITORY / "examples" / "mexico-city" / "site.yaml"


def backfilled(folder: Path, tree: dict[str, object], since: date, until: date) -> Slopewatch:
    """A slopewatch that has taken the history of one site in."""
    sites = folder / "sites"
    sites.mkdir()
    (sites / "site.yaml").write_text(yaml.safe_dump(tree))
    app = Slopewatch(Service(data=folder / "var", sites=sites).resolved())
    site = load_sites(app.service)[0]
    app.configure(site)
    app.activate_release([site])
    poll = app.ingest.backfill(site, since, until)
    assert not poll.failed
    app.settle()
    assert not any(worker.parked for worker in app.workers)
    return app


@pytest.fixture(scope="module")
def mexico(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slopewatch]:
    tree = yaml.safe_load(MEXICO.read_text())
    tree["sources"][0]["folder"] = str(recorded.parent / "data" / "pyrate_cropA_s1")
    folder = tmp_path_factory.mktemp("mexico")
    with backfilled(folder, tree, date(2018, 1, 1), date(2018, 8, 15)) as app:
        yield app


def said(app: Slopewatch, topic: str) -> list[Event]:
    return list(events(app.log, topic, "mexico-city"))


def test_every_interferogram_becomes_part_of_an_epoch(mexico: Slopewatch) -> None:
    epochs = [e.data for e in said(mexico, ASSESSMENTS) if isinstance(e.data, StateUpdated)]
    days = [e.epoch for e in epochs if e.reason == "epoch"]
    assert len(days) == 13
    assert (min(days), max(days)) == (date(2018, 1, 6), date(2018, 7, 17))


def test_the_stack_fits_together_as_published(mexico: Slopewatch) -> None:
    from core.events import OBSERVATIONS, InterferogramReady

    pairs = [e.data for e in said(mexico, OBSERVATIONS) if isinstance(e.data, InterferogramReady)]
    site = load_sites(mexico.service)[0]
    points = read_points(mexico.artifacts.get(pairs[0].points), site)
    assert points.in_reference.sum() == 300
    median = stack_report(pairs, mexico.artifacts, np.ones_like(points.in_reference))
    firm = stack_report(pairs, mexico.artifacts, points.in_reference)
    assert (median.pairs, median.epochs, median.pixels) == (30, 13, 5882)
    assert median.residual_rms_rad == pytest.approx(0.276, abs=5e-4)
    assert firm.residual_rms_rad == pytest.approx(0.344, abs=2e-3)
    assert median.triplets == 24


def test_the_east_subsides_surely_and_the_west_does_not(mexico: Slopewatch) -> None:
    assert mexico.ledger is not None
    alerts = [e.data for e in said(mexico, ALERTS) if isinstance(e.data, AlertChanged)]
    rises = [(a.unit, a.level) for a in alerts if a.level != a.previous_level]
    assert rises == [("east", "yellow")]
    last = {a.unit: {v.rule: v for v in a.votes} for a in alerts}
    east, west = last["east"], last["west"]
    assert east["velocity"].figures["probability_yellow"] >= 0.99
    assert west["velocity"].figures["probability_yellow"] < 0.5
    for unit in (east, west):
        assert unit["cusum"].level == "blue"
        assert not unit["cusum"].calibrated


def test_verdicts_of_history_notify_nobody(mexico: Slopewatch) -> None:
    assert mexico.ledger is not None
    assert mexico.ledger.notifications() == []
    alerts = [e.data for e in said(mexico, ALERTS) if isinstance(e.data, AlertChanged)]
    assert all(a.historical for a in alerts)
    for decision in mexico.ledger.decisions("mexico-city"):
        assert msgspec.json.decode(decision.body)["facts"]["historical"]


def test_rates_agree_with_the_batch_ones(mexico: Slopewatch) -> None:
    assert mexico.states is not None
    repository = mexico.states.open("mexico-city")
    track = read_state(repository, mexico.artifacts).tracks["t005a"]
    repository.close()
    west, east = mm_yr_from_mm_d(track.motion.units.velocity_mm_d)
    sd = mm_yr_from_mm_d(track.motion.units.var_velocity**0.5)
    assert abs(west) < 2 * sd[0]
    assert -300 < east < -150


def test_kirishima_comes_in_by_mintpy(recorded: Path, tmp_path: Path) -> None:
    data = recorded.parent / "data" / "kirishima_mintpy"
    tree = {
        "name": "kirishima",
        "area": [130.80, 31.85, 130.95, 31.97],
        "watched_from": "2020-01-01",
        "history_from": "2015-01-01",
        "reference": {"scene_median": True},
        "slope_units": [
            {
                "id": "crater",
                "polygon": [[130.86, 31.90], [130.90, 31.90], [130.90, 31.94], [130.86, 31.94]],
                "flank_pixels": None,
            }
        ],
        "sources": [
            {
                "kind": "mintpy",
                "folder": str(data),
                "track": "d23",
                "mean_rate": True,
                "dem": "height.tif",
                "every": 4,
            }
        ],
    }
    with backfilled(tmp_path, tree, date(2015, 1, 1), date(2017, 12, 31)) as app:
        found = list(events(app.log, ASSESSMENTS, "kirishima"))
        epochs = [e for e in found if isinstance(e.data, StateUpdated) and e.data.reason == "epoch"]
        assert [e.data.epoch for e in epochs] == [date(2015, 2, 9), date(2017, 9, 18)]
        closed = [e.data for e in found if isinstance(e.data, DayClosed)]
        assert closed[-1].epochs == {"d23": date(2017, 9, 18)}
        assert epochs[-1].data.units[0].measured_points > 50


def test_ci_has_the_recordings(recorded: Path) -> None:
    """Where CI runs, their absence is a failure: the fixture sees to it."""
    assert recorded.is_dir() or "CI" not in os.environ
