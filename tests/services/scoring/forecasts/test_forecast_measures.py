from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from services.scoring.forecasts.measures import correlation, crps_mm, diebold_mariano
from services.scoring.forecasts.resample import cells, draws, interval, root_ratio_percent


@pytest.mark.parametrize(("error", "sd"), [(0.0, 1.0), (1.3, 0.7), (-4.0, 2.5)])
def test_crps_is_the_integral_of_squared_probability(error: float, sd: float) -> None:
    def squared(x: float) -> float:
        return float((norm.cdf(x, error, sd) - (x >= 0)) ** 2)

    whole = quad(squared, -40, 0)[0] + quad(squared, 0, 40)[0]
    assert crps_mm(np.array(error), np.array(sd)) == pytest.approx(whole, abs=1e-6)


def test_crps_of_a_certain_forecast_is_its_error() -> None:
    np.testing.assert_array_equal(crps_mm(np.array([-2.0, 3.0]), np.zeros(2)), [2.0, 3.0])


def test_correlation_is_pearsons_and_nothing_without_variation() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3))
    y = x + rng.normal(size=(50, 3))
    expected = np.corrcoef(x.ravel(), y.ravel())[0, 1]
    assert correlation(x, y) == pytest.approx(expected)
    assert np.isnan(correlation(np.zeros((50, 3)), y))


def test_diebold_mariano_finds_the_better_model_and_rarely_one_where_there_is_none() -> None:
    rng = np.random.default_rng(1)
    loss = rng.gamma(1.0, 1.0, (180, 200))
    other = rng.gamma(1.0, 1.0, (180, 200))
    even = diebold_mariano(loss, other, 10)
    assert even.sites == 200
    assert even.better + even.worse < 32
    assert diebold_mariano(loss, other + 0.5, 10).better > 190
    assert diebold_mariano(loss + 0.5, other, 10).worse > 190


def test_diebold_mariano_counts_overlapping_forecasts_for_less() -> None:
    rng = np.random.default_rng(2)
    white = rng.normal(size=(190, 400))
    slow = np.cumsum(white, axis=0)
    slow = (slow[10:] - slow[:-10]) / np.sqrt(10)
    none = np.zeros_like(slow)
    with_lags, without = diebold_mariano(slow, none, 20), diebold_mariano(slow, none, 0)
    assert without.better + without.worse > 2 * (with_lags.better + with_lags.worse)


def test_diebold_mariano_leaves_out_sites_where_a_model_is_silent() -> None:
    loss = np.ones((30, 4))
    loss[3, 1] = np.nan
    assert diebold_mariano(loss, np.ones((30, 4)), 5).sites == 3


def test_cells_hold_every_value_once() -> None:
    values = np.arange(24.0).reshape(4, 6)
    values[1, 2] = np.nan
    made = cells(values, np.array([0, 0, 1, 2]), sites=2, blocks=3)
    np.testing.assert_array_equal(made.number, [[5, 3, 3], [6, 3, 3]])
    assert made.total[1, 2] == 21 + 22 + 23
    assert made.total.sum() == np.nansum(values)
    assert made.means(draws(2, 3, 10))[0] == pytest.approx(np.nanmean(values))


def test_intervals_widen_where_sites_differ_and_cover_a_true_mean() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(60):
        site, block = rng.normal(size=(1, 20, 1)), rng.normal(size=(15, 1, 1))
        value = site + block + rng.normal(size=(15, 20, 1))
        made = cells(value.reshape(15, 20), np.arange(15), 20, 15)
        found = interval(made.means(draws(20, 15, 200, seed=int(rng.integers(1000)))))
        inside += found.low <= 0 <= found.high
    assert inside >= 50


def test_a_difference_of_equal_models_is_nothing_in_every_resample() -> None:
    rng = np.random.default_rng(4)
    squared = rng.gamma(1.0, 1.0, (12, 8))
    drawn = draws(4, 6, 50)
    made = cells(squared, np.repeat(np.arange(6), 2), 4, 6).means(drawn)
    quarter = cells(0.81 * squared, np.repeat(np.arange(6), 2), 4, 6).means(drawn)
    found = interval(root_ratio_percent(quarter, made))
    np.testing.assert_allclose(found, -10.0, atol=1e-9)
