from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.lags import lag_days, smooth


def test_lag_of_a_shifted_series_is_its_shift() -> None:
    rng = np.random.default_rng(4)
    driver = rng.gamma(0.7, 5.0, (3, 1500))
    for shift in (0, 7, 33):
        rate = np.roll(driver, shift, axis=1) + rng.normal(0, 0.5, driver.shape)
        np.testing.assert_array_equal(lag_days(driver, rate), shift)


def test_lag_of_nothing_is_nan_and_short_series_are_refused() -> None:
    driver = np.random.default_rng(4).random((2, 500))
    driver[1] = 1.0
    lag = lag_days(driver, np.random.default_rng(5).random((2, 500)))
    assert np.isfinite(lag[0])
    assert np.isnan(lag[1])
    with pytest.raises(ValueError, match="a year"):
        lag_days(driver[:, :200], driver[:, :200])


def test_smoothing_is_the_mean_of_each_window() -> None:
    series = np.random.default_rng(6).normal(size=(2, 40))
    by_hand = [[row[start : start + 15].mean() for start in range(26)] for row in series]
    np.testing.assert_allclose(smooth(series, 15), by_hand, atol=1e-12)


@given(st.floats(0.1, 100.0), st.floats(-50.0, 50.0), st.integers(0, 60))
def test_lag_has_no_unit_and_no_zero(scale: float, offset: float, shift: int) -> None:
    driver = np.random.default_rng(7).gamma(0.7, 5.0, 800)
    rate = scale * np.roll(driver, shift) + offset
    assert lag_days(driver, rate) == shift
    assert lag_days(scale * driver + offset, np.roll(driver, shift)) == shift


def test_a_spread_kernel_lags_by_its_mean() -> None:
    driver = np.random.default_rng(8).gamma(0.7, 5.0, 4000)
    kernel = np.zeros(21)
    kernel[8:13] = 0.2
    assert lag_days(driver, np.convolve(driver, kernel)[:4000]) == 10
