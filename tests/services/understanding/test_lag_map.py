"""Lags: those of the daily rate, from epochs twelve days apart, and of nothing later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.errors import BadInputError
from core.lags import lag_days
from services.understanding.basis import drawdown
from services.understanding.lagmap import MARGIN_D, LagMap, lag_map
from services.understanding.reading import Reading
from services.understanding.response import SLOWEST_MM_YR
from tests.services.understanding.simple_slope import DAYS, SimpleSlope, later_replaced

RIDGE, TOE = 0, 2


def true_lags(slope: SimpleSlope) -> tuple[float, float]:
    rate = slope.rate_mm_d.T
    fall = drawdown(slope.level_m[:, None])[:, 0]
    return float(lag_days(slope.rain_mm, rate[RIDGE])), float(lag_days(fall, rate[TOE]))


def test_lags_of_known_slopes_are_found(slope: SimpleSlope, slope_reading: Reading) -> None:
    rain, fall = true_lags(slope)
    lags = slope_reading.lags
    assert lags.rain.lag_d[RIDGE] == pytest.approx(rain, abs=4)
    assert lags.drawdown.lag_d[TOE] == pytest.approx(fall, abs=4)
    assert lags.rain.low_d[RIDGE] <= rain <= lags.rain.high_d[RIDGE]
    assert lags.drawdown.low_d[TOE] <= fall <= lags.drawdown.high_d[TOE]
    assert not lags.follows_level[TOE]


def test_a_slower_slope_lags_more() -> None:
    quick, late = (
        lag_map(SimpleSlope(3, delay_d=delay).known(DAYS - 1), draws=40).rain.lag_d[RIDGE]
        for delay in (8.0, 30.0)
    )
    assert late > quick + 5


def test_intervals_hold_the_estimate_and_grow_with_noise(slope_reading: Reading) -> None:
    for one in (slope_reading.lags.rain, slope_reading.lags.drawdown, slope_reading.lags.level):
        known = np.isfinite(one.lag_d)
        assert (one.low_d[known] <= one.lag_d[known]).all()
        assert (one.lag_d[known] <= one.high_d[known]).all()
    noisy = lag_map(SimpleSlope(noise_mm=9.0).known(DAYS - 1), draws=60).rain
    quiet = slope_reading.lags.rain
    assert noisy.high_d[RIDGE] - noisy.low_d[RIDGE] > quiet.high_d[RIDGE] - quiet.low_d[RIDGE]


def test_the_margin_widens_both_ends(slope: SimpleSlope, slope_reading: Reading) -> None:
    bare = lag_map(slope.known(DAYS - 1), margin_d=dict.fromkeys(MARGIN_D, 0.0)).rain
    whole = slope_reading.lags.rain
    np.testing.assert_array_equal(bare.lag_d, whole.lag_d)
    np.testing.assert_allclose(whole.low_d, np.maximum(bare.low_d - MARGIN_D["rain"], 0))


def test_what_is_later_than_the_day_changes_nothing(slope: SimpleSlope) -> None:
    day = 4 * 365
    known = slope.known(day)
    before = lag_map(known, draws=10)
    after = lag_map(later_replaced(known, day), draws=10)
    longer = lag_map(SimpleSlope().known(day), draws=10)
    for one in (after, longer):
        for left, right in zip(before[:3], one[:3], strict=True):
            np.testing.assert_array_equal(left, right)


def test_the_past_does_change_it(slope: SimpleSlope) -> None:
    known = slope.known(4 * 365)
    other = replace(known, los_mm=known.los_mm[::-1] * -1.0)
    assert not np.array_equal(lag_map(known, draws=10).rain, lag_map(other, draws=10).rain)


def test_a_series_does_not_depend_on_its_neighbours(slope: SimpleSlope) -> None:
    known = slope.known(DAYS - 1)
    alone = replace(
        known,
        epoch_day=known.epoch_day[:, 2:],
        los_mm=known.los_mm[:, 2:],
        sd_mm=known.sd_mm[:, 2:],
        place=known.place[2:],
    )
    whole, one = lag_map(known, draws=10), lag_map(alone, draws=10)
    assert whole.rain.lag_d[2] == one.rain.lag_d[0]


def test_the_sign_of_the_line_of_sight_does_not_matter(slope: SimpleSlope) -> None:
    known = slope.known(DAYS - 1)
    turned = replace(known, los_mm=-known.los_mm)
    for left, right in zip(
        lag_map(known, draws=10)[:3], lag_map(turned, draws=10)[:3], strict=True
    ):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_a_series_that_hardly_moves_says_why_it_is_silent() -> None:
    found: LagMap = lag_map(SimpleSlope(slow=0.01).known(DAYS - 1), draws=10)
    assert np.isnan(found.rain.lag_d).all()
    assert all("too little to tell" in reason for reason in found.reason)
    assert SLOWEST_MM_YR > 0


def test_short_records_and_missing_drivers_are_refused(slope: SimpleSlope) -> None:
    with pytest.raises(BadInputError, match="too few"):
        lag_map(slope.known(500))
    known = slope.known(DAYS - 1)
    nothing = known.drivers._replace(level_m=np.full_like(known.drivers.level_m, np.nan))
    with pytest.raises(BadInputError, match="level is unknown on 100 %"):
        lag_map(replace(known, drivers=nothing))


def test_few_epochs_are_a_reason_too(slope: SimpleSlope) -> None:
    known = slope.known(DAYS - 1)
    thin = known.los_mm.copy()
    thin[30:, 1] = np.nan
    found = lag_map(replace(known, los_mm=thin), draws=10)
    assert found.reason[1].startswith("30 epochs")
    assert np.isfinite(found.rain.lag_d[[0, 2]]).all()
