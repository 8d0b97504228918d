from __future__ import annotations

import numpy as np
import pytest

from core.twin.forcing import (
    YEAR_DAYS,
    draw_level_parts,
    draw_rain_by_year,
    lay_floods,
    level_rule,
    level_target,
    steer_level,
)
from core.twin.futures import draw_level_futures, draw_rain_futures
from core.twin.pools import SimulatedPool, forecast_pool
from core.twin.prospects import climate_gauge_mm, hit_probability
from core.twin.seeds import Purpose, site_rng
from core.twin.simulation import SPIN_UP_YEARS

SPIN_UP_D = SPIN_UP_YEARS * YEAR_DAYS
DAY = 900


@pytest.fixture(scope="module")
def pool() -> SimulatedPool:
    return forecast_pool("development", sites=20)


def issued(number_mm: float, day: int = DAY) -> np.ndarray:
    """A forecast with one number behind every day of it."""
    probability = hit_probability()
    climate = climate_gauge_mm(day + np.arange(31))
    return np.asarray(probability * number_mm + (1 - probability) * climate)


def test_rain_without_a_forecast_has_the_climate_of_the_site() -> None:
    rng = np.random.default_rng(1)
    rain = draw_rain_futures(rng, 20_000, DAY, 3.0, 1.0, None)
    past, factor = draw_rain_by_year(np.random.default_rng(2), 4000 * YEAR_DAYS)
    past = (past.reshape(-1, YEAR_DAYS) / factor[:, None])[:, DAY % YEAR_DAYS + 1 :][:, :30]
    np.testing.assert_allclose(rain[:, 10:].mean(), past[:, 10:].mean(), rtol=0.05)
    np.testing.assert_allclose((rain > 0)[:, 10:].mean(), (past > 0)[:, 10:].mean(), atol=0.01)
    together = ((rain[:, 10:-1] > 0) & (rain[:, 11:] > 0)).mean()
    assert together == pytest.approx(((past[:, 10:-1] > 0) & (past[:, 11:] > 0)).mean(), abs=0.01)


def test_a_wet_forecast_makes_wet_and_a_dry_one_dry() -> None:
    wet, plain, dry = (
        draw_rain_futures(np.random.default_rng(3), 4000, DAY, 0.0, 1.0, forecast)
        for forecast in (issued(40.0), None, issued(0.0))
    )
    assert np.mean(wet[:, 0] > 0) > 0.85
    assert np.mean(dry[:, 0] > 0) < 0.5 * np.mean(plain[:, 0] > 0)
    assert np.median(wet[wet[:, 0] > 0, 0]) > 3 * np.median(plain[plain[:, 0] > 0, 0])
    for rain in (wet, dry):
        assert rain[:, 15:].mean() == pytest.approx(plain[:, 15:].mean(), rel=0.05)


def test_true_rain_is_one_of_its_futures(pool: SimulatedPool) -> None:
    ties = np.random.default_rng(0)
    ranks, gains = [], []
    for row in range(20):
        seed = int(pool.truth.seeds[row])
        rain, factor = draw_rain_by_year(site_rng(seed, Purpose.RAIN), 10 * YEAR_DAYS)
        for day in range(150 + 11 * row, 2500, 120):
            today = SPIN_UP_D + day
            state = (99, today, float(rain[today]), float(factor[today // YEAR_DAYS]))
            forecast = pool.prospects.rain_mm(day)[row]
            members = draw_rain_futures(np.random.default_rng(day), *state, forecast)
            blind = draw_rain_futures(np.random.default_rng(day), *state, None)
            came = rain[today + 1 : today + 31]
            pairs = []
            for days in (slice(0, 1), slice(0, 5), slice(0, 9), slice(10, 30)):
                total, truth = members[:, days].sum(axis=1), came[days].sum()
                equal = (total == truth).sum() + 1
                pairs.append(((total < truth).sum() + ties.random() * equal) / 100)
            ranks.append(pairs)
            roots = [np.sqrt(m[:, :3].sum(axis=1)).mean() for m in (members, blind)]
            gains.append([(root - np.sqrt(came[:3].sum())) ** 2 for root in roots])
    ranks, (told, untold) = np.array(ranks), np.mean(gains, axis=0)
    count = len(ranks)
    assert count > 350
    inside = ((ranks >= 0.05) & (ranks <= 0.95)).mean(axis=0)
    np.testing.assert_allclose(inside, 0.9, atol=3 * np.sqrt(0.09 / count))
    np.testing.assert_allclose(ranks.mean(axis=0), 0.5, atol=3 * np.sqrt(1 / 12 / count))
    assert told < 0.75 * untold


def test_levels_go_on_from_the_last_one() -> None:
    parts = draw_level_parts(site_rng(11, Purpose.LEVEL), 10 * YEAR_DAYS)
    days = np.arange(10 * YEAR_DAYS)
    laid = lay_floods(parts.floods, 0, len(days))
    level = steer_level(level_target(days, parts.wander_m, laid)[None])[0]
    futures = draw_level_futures(np.random.default_rng(4), 500, DAY, level[DAY], parts)
    assert futures.shape == (500, 30)
    change = np.diff(np.column_stack([np.full(500, level[DAY]), futures]), axis=1)
    assert change.min() >= -1.2 - 1e-9
    assert change.max() <= 2.5 + 1e-9
    assert futures.std(axis=0)[0] < futures.std(axis=0)[29]


def test_floods_begin_in_their_season_alone_and_at_their_rate() -> None:
    parts = draw_level_parts(site_rng(12, Purpose.LEVEL), 10 * YEAR_DAYS)
    quiet = parts._replace(wander_m=np.zeros_like(parts.wander_m), floods=[])
    rule = level_rule()

    def above_rule(day: int) -> np.ndarray:
        futures = draw_level_futures(np.random.default_rng(5), 4000, day, rule[day % 365], quiet)
        return np.asarray(futures - rule[(day + np.arange(1, 31)) % 365])

    assert above_rule(20).max() < 5.0
    summer = above_rule(190)
    assert summer.max() > 8.0
    # Thirty days at 2.2 in a season of 84: more than half of the futures see a flood.
    flooded = (summer.max(axis=1) > 3.0).mean()
    assert flooded == pytest.approx(1 - np.exp(-30 * 2.2 / 84), abs=0.12)


def test_a_flood_that_has_begun_takes_its_course() -> None:
    parts = draw_level_parts(site_rng(12, Purpose.LEVEL), 10 * YEAR_DAYS)
    pulse = np.array([4.0, 8.0, 6.0, 4.0, 2.0, 0.0])
    day = 20
    still = parts._replace(wander_m=np.zeros_like(parts.wander_m), floods=[])
    flooded = still._replace(floods=[(day, pulse)])
    with_flood, without = (
        draw_level_futures(np.random.default_rng(6), 100, day, 160.0, one)
        for one in (flooded, still)
    )
    assert np.all(with_flood[:, 0] >= without[:, 0])
    later = still._replace(floods=[(day + 1, pulse)])
    np.testing.assert_array_equal(
        draw_level_futures(np.random.default_rng(6), 100, day, 160.0, later), without
    )
