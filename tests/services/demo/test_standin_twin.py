"""Sites of the twin as stand-in sites: geometry, days, and the whole way through the clients."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest
import shapely

from core import plugins
from core.artifacts import MemoryArtifacts
from core.clock import ReplayClock, midnight
from core.geometry import UnitVector, downslope_unit_vector, los_factor
from core.settings import Service, parse_site
from core.twin import SEED_RANGES, observe, simulate
from services.demo.standin import StandIn, from_twin, site_tree
from services.ingest.feed import FEEDS, SOURCES, Observation

FIRST = date(2021, 1, 1)


@pytest.fixture(scope="module")
def twin():
    truth = simulate([next(iter(SEED_RANGES.values()))[0], 3, 11], "quiet", years=2)
    return truth, observe(truth, flank_pixels=2)


def test_every_point_sees_the_slope_as_the_twin_says(twin):
    truth, observed = twin
    for index in range(3):
        site = from_twin(truth, observed, index, f"bank-{index}", FIRST)
        downslope = downslope_unit_vector(site.slope.slope_deg, site.slope.aspect_deg)
        for point, factor in zip(site.points, truth.los_factor[index], strict=True):
            assert math.hypot(*point.los) == pytest.approx(1)
            assert los_factor(UnitVector(*point.los), downslope) == pytest.approx(factor)
            assert np.dot(point.los, (-0.61, -0.14, 0.78)) > 0.95
        assert 10 < site.slope.slope_deg < 25
        assert 0 <= site.slope.aspect_deg < 40


def test_points_lie_in_the_unit_uphill_of_the_bank_and_off_the_firm_ground(twin):
    truth, observed = twin
    sites = [from_twin(truth, observed, index, f"bank-{index}", FIRST) for index in range(3)]
    for site, distance in zip(sites, truth.distance_m, strict=True):
        unit = shapely.Polygon(site.slope.polygon)
        area, firm = shapely.box(*site.area), shapely.box(*site.slope.firm_ground)
        assert area.contains(unit)
        assert area.contains(firm)
        assert not firm.intersects(unit)
        assert all(unit.contains(shapely.Point(p.lon, p.lat)) for p in site.points)
        a, b = site.points[0], site.points[-1]
        east = (b.lon - a.lon) * 111_195 * math.cos(math.radians(31))
        north = (b.lat - a.lat) * 111_195
        assert math.hypot(east, north) == pytest.approx(distance[-1] - distance[0], rel=0.01)
        downhill = math.degrees(math.atan2(-east, -north)) % 360
        assert downhill == pytest.approx(site.slope.aspect_deg, abs=0.5)
    boxes = [shapely.box(*site.area) for site in sites]
    assert not boxes[0].intersects(boxes[1])


def test_passes_go_on_where_epochs_are_lost(twin):
    truth, observed = twin
    site = from_twin(truth, observed, 0, "bank", FIRST)
    assert set(site.epoch_dates) < set(site.pass_days)
    assert set(np.diff([day.toordinal() for day in site.pass_days])) == {12}
    assert site.epoch_dates[0] == FIRST + timedelta(days=int(observed.epoch_day[0, 0]))
    assert site.pass_days[-1] < FIRST + timedelta(days=len(site.rain_mm))


def test_clients_read_a_whole_site_file(twin):
    truth, observed = twin
    stands = [from_twin(truth, observed, index, f"bank-{index}", FIRST) for index in range(3)]
    recipient = {"id": "town", "notifier": {"kind": "webhook", "url": "http://127.0.0.1:9/"}}
    now = midnight(FIRST) + timedelta(days=400)
    with StandIn(stands, ReplayClock(now)) as outside:
        service = Service(endpoints=outside.endpoints)
        for index, stand in enumerate(stands):
            tree = site_tree(stand, outside.base_url, recipients=[recipient], watched_from=FIRST)
            site = parse_site(tree)
            assert site.simulated
            assert site.repeat_days == 12
            assert site.slope_units[0].flank_pixels == 2
            assert site.rules == ()  # every rule
            counts = {}
            for package, given in ((FEEDS, site.feeds), (SOURCES, site.sources)):
                for one in given:
                    settings = plugins.settings(package, one.model_dump())
                    feed = plugins.load(package, one.kind).open(settings, service)
                    found = list(feed.poll(site, FIRST, now.date(), MemoryArtifacts()))
                    assert all(isinstance(item, Observation) for item in found), found
                    counts[one.kind] = len(found)
            arrived = (observed.arrival_day[index] >= 0) & (observed.arrival_day[index] <= 400)
            known = sum(midnight(day) + timedelta(hours=17) < now for day in stand.pass_days)
            assert counts == {"asf": known, "gsod": 400, "usgs": 400, "table": arrived.sum()}
