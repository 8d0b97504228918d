"""Does the twin behave like the landslides it stands for? Bounds come from field observation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from core import kalman
from core.lags import lag_days
from core.twin import Kind, Truth, observe, simulate

TOE, RIDGE = 0, 5
NEAR_BANK_M = 75.0


def rates(truth: Truth) -> NDArray[np.float64]:
    return np.diff(truth.displacement_mm, axis=1, prepend=0.0)


def drawdown_rate(truth: Truth) -> NDArray[np.float64]:
    return -np.diff(truth.level_m, axis=1, prepend=truth.level_m[:, :1])


def may_to_september(truth: Truth) -> NDArray[np.float64]:
    """Share of the motion in May to September, (S, P)."""
    day_of_year = np.arange(truth.rain_mm.shape[1]) % 365
    summer = (day_of_year >= 120) & (day_of_year < 273)
    rate = rates(truth)
    return np.asarray(rate[:, summer].sum(axis=1) / rate.sum(axis=1))


def test_yearly_rain(drawdown: Truth) -> None:
    yearly = drawdown.rain_mm.sum(axis=1) / 4
    assert 1000 < yearly.mean() < 1150
    inside = (yearly > 900) & (yearly < 1250)
    assert inside.mean() > 0.75
    assert drawdown.rain_mm.max() <= 200


def test_rain_falls_in_the_monsoon(drawdown: Truth) -> None:
    by_day = drawdown.rain_mm.reshape(-1, 365).mean(axis=0)
    assert by_day[120:243].sum() > 0.5 * by_day.sum()
    assert by_day[:59].sum() < 0.08 * by_day.sum()


def test_level_rates_are_within_0_3_m_of_the_real_ones(drawdown: Truth) -> None:
    quantiles = np.percentile(np.diff(drawdown.level_m, axis=1), [1, 5, 95, 99])
    np.testing.assert_allclose(quantiles, [-1.03, -0.63, 0.88, 1.81], atol=0.3)
    assert drawdown.level_m.min() >= 145.0
    assert drawdown.level_m.max() <= 175.5


def test_monthly_level_follows_the_real_one(drawdown: Truth) -> None:
    by_day = drawdown.level_m.reshape(-1, 365).mean(axis=0)
    monthly = [by_day[int(m * 30.4) : int(m * 30.4 + 30.4)].mean() for m in range(12)]
    real = [172, 169, 166, 162, 156, 147, 153, 150, 156, 171, 175, 174]
    np.testing.assert_allclose(monthly, real, atol=4.5)


def test_rain_reaches_the_ridge_in_10_to_22_days(drawdown: Truth) -> None:
    lag = lag_days(drawdown.rain_mm, rates(drawdown)[:, :, RIDGE])
    assert 12 <= np.median(lag) <= 20
    assert np.mean((lag >= 10) & (lag <= 22)) >= 0.85


def test_drawdown_reaches_the_toe_in_8_to_36_days(drawdown: Truth) -> None:
    near = drawdown.distance_m[:, TOE] < NEAR_BANK_M
    lag = lag_days(drawdown_rate(drawdown)[near], rates(drawdown)[near, :, TOE])
    assert 8 <= np.median(lag) <= 20
    assert np.mean((lag >= 8) & (lag <= 36)) >= 0.8


def test_buoyancy_sites_answer_the_reservoir_at_once(buoyancy: Truth) -> None:
    lag = lag_days(drawdown_rate(buoyancy), rates(buoyancy)[:, :, TOE])
    assert np.percentile(lag, 90) <= 7


def test_los_rates_are_those_of_known_slopes(drawdown: Truth) -> None:
    los = (drawdown.displacement_mm[:, -1] * drawdown.los_factor).mean(axis=1) / 4
    assert -150 < np.median(los) < -30
    assert np.mean((los > -150) & (los < -30)) >= 0.95
    assert np.all(np.abs(drawdown.los_factor) > 0.2)


def test_drawdown_sites_move_from_may_to_september(drawdown: Truth) -> None:
    share = may_to_september(drawdown)
    assert np.mean(share.mean(axis=1) >= 0.6) >= 0.95
    assert np.median(share[:, TOE]) >= 0.6


def test_buoyancy_toes_move_outside_summer(drawdown: Truth, buoyancy: Truth) -> None:
    assert np.median(may_to_september(buoyancy)[:, TOE]) < 0.45


@pytest.mark.parametrize("family", ["diffusion", "buckets"])
def test_no_trend_is_left_by_the_spin_up(family: str) -> None:
    truth = simulate(range(200), Kind.QUIET, years=6, hydrology_family=family)
    yearly = rates(truth).mean(axis=2).reshape(200, 6, 365).sum(axis=2)
    yearly /= yearly.mean(axis=1, keepdims=True)
    year = np.arange(6) - 2.5
    trend = (yearly * year).sum(axis=1) / (year**2).sum()
    error = trend.std(ddof=1) / np.sqrt(len(trend))
    assert abs(trend.mean()) < 3 * error
    assert abs(trend.mean()) < 0.015


def test_second_family_is_a_different_slope_with_the_same_habits() -> None:
    truth = simulate(range(60), Kind.QUIET, drainage="drawdown", hydrology_family="buckets")
    share = may_to_september(truth)
    assert np.mean(share.mean(axis=1) >= 0.6) >= 0.95
    lag = lag_days(truth.rain_mm, rates(truth)[:, :, RIDGE])
    assert np.mean((lag >= 10) & (lag <= 22)) >= 0.75
    toe = lag_days(drawdown_rate(truth), rates(truth)[:, :, TOE])
    assert 8 <= np.median(toe) <= 36
    other = simulate(range(60), Kind.QUIET, drainage="drawdown", hydrology_family="diffusion")
    np.testing.assert_array_equal(truth.rain_mm, other.rain_mm)
    assert np.abs(truth.displacement_mm - other.displacement_mm).max() > 10


def test_a_filter_that_knows_the_law_is_as_wrong_as_it_says(drawdown: Truth) -> None:
    """Steady motion in white noise: normalised innovations are white with variance one."""
    rate = np.random.default_rng(11).normal(0.0, 1.0, (100, 1, 6))
    days = np.arange(drawdown.displacement_mm.shape[1])[None, :, None]
    steady = replace(drawdown, displacement_mm=rate * days, los_factor=np.ones((100, 6)))
    seen = observe(steady, noise="white", sigma_mm=3.0, flank_pixels=10)
    state = kalman.start(seen.los_mm[:, 0], 9.0, velocity_sd_mm_d=1.0)
    innovations = []
    for epoch in range(1, seen.epoch_day.shape[1]):
        step = np.maximum(np.diff(seen.epoch_day[:, epoch - 1 : epoch + 1]), 0)
        state, innovation = kalman.update(
            kalman.predict(state, step, 0.0), seen.los_mm[:, epoch], 9.0
        )
        innovations.append(innovation.value_mm / np.sqrt(innovation.variance_mm2))
    normalised = np.array(innovations)
    used = np.isfinite(normalised)
    assert used.sum() > 60_000
    error = np.sqrt(2 / used.sum())
    assert np.mean(normalised[used] ** 2) == pytest.approx(1.0, abs=3 * error)
    both = used[1:] & used[:-1]
    assert np.mean(normalised[1:][both] * normalised[:-1][both]) == pytest.approx(0, abs=3 * error)


def test_a_pool_of_seven_years_keeps_the_habits_of_four(drawdown: Truth) -> None:
    longer = simulate(range(40), Kind.QUIET, years=7, drainage="drawdown")
    yearly = [
        truth.displacement_mm[:40, -1].mean() / y for truth, y in ((longer, 7), (drawdown, 4))
    ]
    assert yearly[0] == pytest.approx(yearly[1], rel=0.05)
    assert np.mean(may_to_september(longer).mean(axis=1) >= 0.6) >= 0.95


def test_rain_drives_the_ridge_and_level_the_toe() -> None:
    seeds = range(40)
    full = rates(simulate(seeds, Kind.QUIET, drainage="drawdown"))
    still = {
        name: rates(simulate(seeds, Kind.QUIET, drainage="drawdown", hold=frozenset({name})))
        for name in ("rain", "level")
    }
    effect = {name: np.abs(full - rate).mean(axis=1) for name, rate in still.items()}
    level_share = effect["level"] / (effect["level"] + effect["rain"])
    assert np.median(level_share[:, TOE]) > 0.6
    assert np.median(level_share[:, RIDGE]) < 0.4
