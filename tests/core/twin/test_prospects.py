from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.twin import Kind, Observed, Truth, observe, simulate
from core.twin.forcing import draw_rain, level_rule, read_gauge
from core.twin.prospects import (
    Prospects,
    climate_gauge_mm,
    draw_climate_gauge,
    hit_probability,
    prospects,
)
from core.twin.seeds import Purpose, site_rng

YEARS = 3
DAYS = YEARS * 365


@pytest.fixture(scope="module")
def truth() -> Truth:
    return simulate(range(30), Kind.QUIET, years=YEARS)


@pytest.fixture(scope="module")
def seen(truth: Truth) -> Observed:
    return observe(truth)


@pytest.fixture(scope="module")
def issued(truth: Truth, seen: Observed) -> Prospects:
    return prospects(truth, seen)


def test_probability_falls_from_nine_tenths_to_nothing_at_day_ten() -> None:
    probability = hit_probability()
    np.testing.assert_allclose(probability[[0, 5, 10, 30]], [0.9, 0.45, 0.0, 0.0])
    assert np.all(np.diff(probability) <= 0)


def test_rain_forecasts_lose_their_skill_to_the_climate(seen: Observed, issued: Prospects) -> None:
    rain = np.stack([issued.rain_mm(day) for day in range(DAYS - 30)], axis=1)
    skill = []
    for ahead in range(12):
        come = seen.gauge_mm[:, ahead : DAYS - 30 + ahead]
        season = climate_gauge_mm(np.arange(ahead, DAYS - 30 + ahead))
        if ahead >= 10:
            np.testing.assert_array_equal(rain[:, :, ahead], np.tile(season, (30, 1)))
            continue
        anomaly = np.sqrt(rain[:, :, ahead]) - np.sqrt(season)
        skill.append(np.corrcoef(anomaly.ravel(), (np.sqrt(come) - np.sqrt(season)).ravel())[0, 1])
    assert 0.7 < skill[0] < 0.95
    assert np.all(np.diff(skill) < 0)
    assert 0 < skill[9] < 0.15


def test_rain_forecasts_are_not_biased(seen: Observed, issued: Prospects) -> None:
    for ahead in (0, 4, 20):
        rain = np.mean([issued.rain_mm(day)[:, ahead] for day in range(DAYS - 30)])
        assert rain == pytest.approx(seen.gauge_mm.mean(), rel=0.05)


def test_climate_draws_have_the_law_of_a_gauge() -> None:
    day = np.tile(np.arange(365), (400, 1))
    drawn = draw_climate_gauge(np.random.default_rng(3), day)
    gauge = read_gauge(np.random.default_rng(4), draw_rain(np.random.default_rng(5), 400 * 365))
    assert np.mean(drawn == 0) == pytest.approx(np.mean(gauge == 0), abs=0.01)
    assert drawn.mean() == pytest.approx(gauge.mean(), rel=0.03)
    assert drawn.mean() == pytest.approx(climate_gauge_mm(np.arange(365)).mean(), rel=0.02)
    tail = [np.quantile(rain[rain > 0], [0.5, 0.9]) for rain in (drawn, gauge)]
    np.testing.assert_allclose(tail[0], tail[1], rtol=0.05)


def test_a_forecast_uses_no_reading_beyond_its_tenth_day(truth: Truth, seen: Observed) -> None:
    day = 700
    gauge = seen.gauge_mm.copy()
    gauge[:, day + 10 :] = 77.0
    changed = prospects(truth, replace(seen, gauge_mm=gauge))
    same = prospects(truth, seen)
    for before in (day - 5, day):
        np.testing.assert_array_equal(changed.rain_mm(before), same.rain_mm(before))
    assert np.any(changed.rain_mm(day + 1) != same.rain_mm(day + 1))


def test_issues_differ_by_site_and_day_alone(truth: Truth, issued: Prospects) -> None:
    alone = simulate([7], Kind.QUIET, years=YEARS)
    np.testing.assert_array_equal(
        prospects(alone, observe(alone)).rain_mm(400)[0], issued.rain_mm(400)[7]
    )
    assert np.any(issued.rain_mm(400)[7, 1:9] != issued.rain_mm(401)[7, :8])


def test_the_plan_knows_yesterdays_level_and_no_later_one(truth: Truth, seen: Observed) -> None:
    day = 600
    level = seen.level_m.copy()
    level[:, day:] = 170.0
    changed = prospects(truth, replace(seen, level_m=level)).level_m(day)
    np.testing.assert_array_equal(changed, prospects(truth, seen).level_m(day))
    level[:, day - 1] = 160.0
    moved = prospects(truth, replace(seen, level_m=level)).level_m(day)
    departure = 160.0 - level_rule()[(day - 1) % 365]
    rule = level_rule()[(day + np.arange(31)) % 365]
    expected = np.clip(rule + departure * 0.97 ** np.arange(1, 32), 145.0, 175.5)
    np.testing.assert_allclose(moved, np.tile(expected, (30, 1)))


def test_the_plan_beats_the_rule_and_errs(seen: Observed, issued: Prospects) -> None:
    days = range(1, DAYS - 30)
    plan = np.stack([issued.level_m(day) for day in days], axis=1)
    rule = level_rule()
    for ahead, furthest in ((3, 1.3), (30, 2.5)):
        come = seen.level_m[:, 1 + ahead : DAYS - 30 + ahead]
        error = np.sqrt(np.mean((plan[:, :, ahead] - come) ** 2))
        by_rule = rule[np.arange(1 + ahead, DAYS - 30 + ahead) % 365]
        assert 0.3 < error < furthest
        assert error < 1.01 * np.sqrt(np.mean((by_rule - come) ** 2))


def test_the_ends_of_the_record_have_forecasts_too(issued: Prospects) -> None:
    for day in (0, DAYS - 1):
        assert np.isfinite(issued.rain_mm(day)).all()
        assert np.isfinite(issued.level_m(day)).all()
    np.testing.assert_allclose(issued.level_m(0)[0], level_rule()[:31])
    for day in (-1, DAYS):
        with pytest.raises(ValueError, match="nothing was issued"):
            issued.rain_mm(day)
        with pytest.raises(ValueError, match="nothing was issued"):
            issued.level_m(day)


def test_prospects_have_a_stream_of_their_own() -> None:
    draws = {site_rng(5, purpose).random() for purpose in Purpose}
    assert len(draws) == len(Purpose)
