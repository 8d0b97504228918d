"""A site's own history under a table, and the curve of what a budget buys."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from core.events import ArtifactRef
from core.settings import Site
from core.twin import Kind, Observed, Truth, observe, simulate
from services.alerting.thresholds import Limits, ThresholdTable
from services.inference.points import Points
from services.inference.state import DriverRow, SiteState
from services.inference.timeseries.motion import Layout
from services.inference.track import Entry, Track, Values, add_epoch, new_track
from services.scoring.curves import PEER, RULES, curves, drawn, printed
from services.scoring.levels import rule_levels
from services.scoring.own_history import Episode, OwnHistory, own_history, told
from services.scoring.pool import FLANK_PIXELS, NOISE, Pool, filtered, layout_of
from services.scoring.score import LEADS_DAYS
from services.scoring.search import Found, prepared
from services.scoring.voters import MOTION, voting_rules

TABLE = ThresholdTable("t", {"velocity": Limits(20.0, 60.0, 300.0), "excess": Limits(5.0, 40.0)})
SITE = Site.model_validate(
    {
        "name": "one",
        "area": (0, 0, 1, 1),
        "reference": {"scene_median": True},
        "slope_units": [{"id": "slope", "polygon": [(0, 0), (1, 0), (1, 1)]}],
        "noise": NOISE.model_dump(),
    }
)


def track_of(truth: Truth, seen: Observed) -> Track:
    """A simulated site as the service archives it."""
    batched = layout_of(1, 6)
    shared = np.full(6, (NOISE.atmosphere_sd_mm or 0.0) ** 2)
    points = Points(
        lon=np.zeros(6),
        lat=np.zeros(6),
        unit=np.zeros(6, dtype=np.int64),
        factor=truth.los_factor[0].mean(keepdims=True),
        in_reference=np.zeros(6, dtype=bool),
        shared_mm2=shared,
        shared_unit_mm2=shared[:1],
        layout=Layout(batched.membership[0], batched.limit_mm[0]),
    )
    track = new_track("t", points, ArtifactRef("0" * 64, 1), NOISE)
    for seq, epoch in enumerate(np.flatnonzero(seen.epoch_day[0] >= 0)):
        values = Values(seen.los_mm[0, epoch], seen.sigma_mm[0, epoch])
        track = add_epoch(track, Entry(int(seen.epoch_day[0, epoch]), 0, 0, seq, 0), values, NOISE)
    return track


@pytest.fixture(scope="module")
def failing() -> tuple[Pool, SiteState]:
    truth = simulate([7], Kind.FAILING, years=4)
    seen = observe(truth, flank_pixels=FLANK_PIXELS)
    drivers = tuple(
        DriverRow(quantity, "gauge", day, float(value), 0, 0, day, 0)
        for quantity, values in (("rain", seen.gauge_mm), ("level", seen.level_m))
        for day, value in enumerate(values[0])
    )
    state = SiteState(site=SITE, tracks={"t": track_of(truth, seen)}, drivers=drivers)
    return filtered(truth, seen), state


def test_own_history_has_the_levels_that_a_pool_has(failing: tuple[Pool, SiteState]) -> None:
    pool, state = failing
    history = own_history(SITE, state, TABLE)
    level = rule_levels(pool, voting_rules(TABLE, MOTION))[0]
    days = pool.evidence.epoch_day[0]
    watched = pool.usable[0] & (days >= days[0] + 365)
    above = days[watched & (level > 0)]
    assert len(above) > 3
    assert history.episodes
    start = date(1970, 1, 1).toordinal()
    for one in history.episodes:
        first, last = one.first.toordinal() - start, one.last.toordinal() - start
        inside = watched & (days >= first) & (days <= last)
        assert {first, last} <= set(above.tolist())
        assert level[inside].max() == one.level
        above = above[(above < first) | (above > last)]
    assert not above.size
    end = days[pool.usable[0]][-1]
    assert history.unit_years == pytest.approx((end - days[0] - 365) / 365)


def test_a_second_track_adds_no_unit_years_where_it_overlaps(
    failing: tuple[Pool, SiteState],
) -> None:
    _, state = failing
    both = replace(state, tracks={**state.tracks, "u": replace(state.tracks["t"], name="u")})
    one, two = (own_history(SITE, given, TABLE) for given in (state, both))
    assert one.unit_years == two.unit_years
    assert len(two.episodes) == 2 * len(one.episodes)


def test_a_site_without_a_year_of_epochs_cannot_be_checked() -> None:
    assert own_history(SITE, SiteState(site=SITE), TABLE).first is None
    assert "no check" in told(own_history(SITE, SiteState(site=SITE), TABLE))[0]


def test_what_a_history_cannot_show_is_said() -> None:
    first, last = date(2020, 1, 1), date(2026, 1, 1)
    episode = Episode("slope", "t", date(2021, 3, 4), date(2021, 4, 5), 1)
    lines = told(OwnHistory("one", 6.0, first, last, (episode,)))
    text = "\n".join(lines)
    assert "slope, track t: yellow from 2021-03-04 to 2021-04-05" in text
    assert "yellow: 1 episode, 0.17 a year, at most 0.79 (95 %)" in text
    bound = f"{-math.log(0.05) / 6:.2g}"
    assert f"orange: no episode; 6.0 silent years only bound the rate at {bound} a year" in text
    assert "cannot show" in lines[-1]


def test_the_curve_rises_with_the_budget(pool: Pool) -> None:
    search = prepared(pool, ["velocity", "excess"])
    both = curves(search, Found({"velocity": 0.5, "excess": 0.5}, {}, []), 0.6)
    assert set(both) == {RULES, PEER}
    for points in both.values():
        assert len(points) == 8
        for lead in LEADS_DAYS:
            shares = [point.detected[lead].value for point in points]
            assert shares == sorted(shares)
        assert points[-1].episodes > points[0].episodes
        assert points[-1].detected[7].value > 0
    lines = printed(both)
    assert len(lines) == 17
    assert lines[1].startswith(RULES)
    figure = drawn(both, {"yellow": 0.3}, "Simulated")
    assert len(figure.axes) == len(LEADS_DAYS)


def test_without_rules_that_vote_the_curve_is_flat(pool: Pool) -> None:
    both = curves(prepared(pool, ["velocity"]), Found({}, {}, []), 0.3)
    assert {point.episodes for point in both[RULES]} == {0}
