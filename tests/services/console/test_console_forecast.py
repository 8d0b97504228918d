"""Where forecasts show: dashed ahead of the filter, with who spoke and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from core.artifacts import MemoryArtifacts
from core.clock import ReplayClock, end_of
from core.kalman import predict
from services.console import panels
from services.console.plots import date_of, day_of
from services.console.view import ForecastView, SiteView, TrackView
from services.view import view_site
from tests.pipeline import Bench, Scene, day, make_site
from tests.services.console.test_console_page import LAST, check, make_track, make_unit, show
from tests.services.console.test_console_page import make_site as page_site

AHEAD = np.array([0.0, 1, 3, 6, 12, 24, 30])


def with_forecast(**changes) -> SiteView:
    track = make_track()
    mm = track.day_mm[-1] - 0.3 * AHEAD
    made = ForecastView(
        day=day_of(LAST) + AHEAD,
        mm=mm,
        low_mm=mm - 5 - AHEAD,
        high_mm=mm + 5 + AHEAD,
        model="kalman_transfer",
        reason="lowest error of 9 models",
    )
    said = replace(made, **changes)
    return page_site(make_unit(tracks=(replace(track, forecast=said),)))


def test_a_forecast_is_drawn_ahead_and_told_with_its_model() -> None:
    site = with_forecast()
    assert panels.window_of(site).last >= LAST + timedelta(days=30)
    panel = panels.displacement(site.units[0], panels.window_of(site))
    assert [s for s in panel.shapes if "ahead" in s.css]
    page = show(site)
    assert "forecast by kalman_transfer, 90 % band" in page
    assert "lowest error of 9 models" in page
    assert f"{LAST + timedelta(days=12)}" in page
    assert "a fallback" not in page
    assert "a fallback, kalman_transfer" in show(with_forecast(stepped_down=True))
    check(page)


def test_hostile_reasons_stay_text() -> None:
    page = show(with_forecast(reason="<script>alert(1)</script>"))
    assert "<script>alert(1)" not in page


def test_without_a_forecast_nothing_is_drawn_ahead() -> None:
    unit = make_unit()
    site = page_site(unit)
    assert panels.forecast_rows(unit.tracks[0]) == []
    assert panels.window_of(site).last < LAST + timedelta(days=30)
    assert "Forecast as a table" not in show(site)


@pytest.mark.parametrize("model", [None, {"kind": "kalman"}])
def test_the_page_shows_the_last_forecast_on_the_track_s_zero(tmp_path: Path, model) -> None:
    with Bench(tmp_path, artifacts=MemoryArtifacts()) as bench:
        site = make_site("lian", model=model)
        scene = Scene(site, bench.artifacts)
        bench.run([scene.configured(), *scene.story(30)])
        state = bench.inference_state("lian")
        clock = ReplayClock(end_of(day(29)))
        view = view_site(site, bench.states, bench.ledger, bench.artifacts, clock)
    tracks: list[TrackView] = [t for unit in view.units for t in unit.tracks]
    assert len(tracks) == 4
    ahead = view.units[0].tracks[0].forecast
    assert ahead is not None
    assert date_of(ahead.day[0]) == day(29)
    track = state.tracks["A44"]
    since = float(day_of(day(29)) - track.days[-1])
    now = predict(track.motion.units, since, site.noise.rate_walk_mm2_d3)
    moved = now.displacement_mm[0] + now.velocity_mm_d[0] * AHEAD
    np.testing.assert_allclose(ahead.mm, moved, rtol=1e-9)
    assert (ahead.low_mm < ahead.mm).all()
    assert ahead.reason == "no model was fitted yet"
