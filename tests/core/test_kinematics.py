import math

import array_api_strict as strict
import numpy as np
import pytest
from scipy import special, stats

from core import kinematics
from core.errors import BadInputError
from core.kalman import compose, predict, start, transition, update


def filtered(observed, dt=12.0, q=1e-4, noise=1.0, lag=3):
    """Last two states three epochs apart and what carries the error between them."""
    state = start(observed[0], noise)
    states, steps = [state], []
    for seen in observed[1:]:
        state, innovation = update(predict(state, dt, q), seen, noise)
        states.append(state)
        steps.append(transition(dt, innovation))
    passage = steps[-lag]
    for step in steps[len(steps) - lag + 1 :]:
        passage = compose(step, passage)
    return states[-1 - lag], states[-1], passage


def test_units_of_velocity():
    assert kinematics.mm_yr_from_mm_d(1.0) == 365.25
    assert kinematics.mm_d_from_mm_yr(kinematics.mm_yr_from_mm_d(0.3)) == pytest.approx(0.3)


def test_an_accelerating_slope_is_told_from_a_steady_one():
    day = np.arange(0.0, 361.0, 12.0)[:, None]
    observed = np.concatenate([-0.2 * day, -0.2 * day - 0.5 * 0.01 * day**2], axis=1)
    found = kinematics.acceleration(*filtered(observed, q=0.01, noise=0.01))
    np.testing.assert_allclose(found.value_mm_d2, [0.0, -0.01], atol=2e-4)
    assert np.all(found.sd_mm_d2 > 0)


def test_the_sd_of_acceleration_falls_with_the_lag_squared_for_a_random_walk():
    observed = np.zeros((20, 1))
    change = kinematics.acceleration(*filtered(observed), lag_days=1.0)
    per_day = kinematics.acceleration(*filtered(observed))
    np.testing.assert_allclose(change.sd_mm_d2 / 36.0, per_day.sd_mm_d2)


def test_no_acceleration_before_the_start():
    observed = np.full((6, 1), np.nan)
    observed[4:] = 1.0
    found = kinematics.acceleration(*filtered(observed))
    assert np.isnan(found.value_mm_d2).all()
    assert np.isnan(found.sd_mm_d2).all()


def test_a_lag_must_be_positive():
    with pytest.raises(BadInputError, match="lag"):
        kinematics.acceleration(*filtered(np.zeros((6, 1))), lag_days=0.0)


def test_erfc_is_right_to_fourteen_digits_into_the_tail():
    x = np.linspace(-8.0, 26.0, 40_001)
    np.testing.assert_allclose(kinematics.erfc(x), special.erfc(x), rtol=1e-14)
    edge = kinematics.erfc(np.asarray([np.inf, -np.inf, np.nan, 0.0, 1e300]))
    np.testing.assert_allclose(edge, [0.0, 2.0, np.nan, 1.0, 0.0], rtol=1e-14)


def test_probabilities_are_the_gaussian_ones_far_out():
    z = np.asarray([-37.0, -20.0, -5.0, -1.0, 0.0, 2.0, 8.0])
    below = kinematics.probability_below(-z * 3.0 + 1.0, 3.0, 1.0)
    np.testing.assert_allclose(below, stats.norm.cdf(z), rtol=1e-12)
    above = kinematics.probability_above(z * 3.0 + 1.0, 3.0, 1.0)
    np.testing.assert_allclose(above, stats.norm.cdf(z), rtol=1e-12)


def test_a_certain_rate_is_on_one_side():
    mean = np.asarray([0.0, 1.0, 2.0, np.nan])
    wanted = [1.0, 0.5, 0.0, np.nan]
    np.testing.assert_allclose(kinematics.probability_below(mean, 0.0, 1.0), wanted)
    mixed = kinematics.probability_below(mean, np.asarray([0.0, 1.0, 0.0, 1.0]), 1.0)
    np.testing.assert_allclose(mixed, [1.0, 0.5, 0.0, np.nan])


def test_inverse_velocity_is_only_for_what_moves():
    found = kinematics.inverse_velocity(np.asarray([2.0, 0.0, -1.0, np.nan]))
    np.testing.assert_array_equal(found, [0.5, np.nan, np.nan, np.nan])


def test_it_follows_the_array_api():
    x = np.linspace(-5, 9, 50)
    found = kinematics.erfc(strict.asarray(x))
    assert found.__array_namespace__() is strict
    np.testing.assert_allclose(np.asarray(found), kinematics.erfc(x), rtol=1e-15)
    p = kinematics.probability_above(strict.asarray(x), 2.0, 1.0)
    np.testing.assert_allclose(np.asarray(p), stats.norm.sf((1.0 - x) / 2.0), rtol=1e-12)
    moving = kinematics.inverse_velocity(strict.asarray([2.0, -1.0]))
    assert float(moving[0]) == 0.5
    assert math.isnan(float(moving[1]))
    observed = [strict.asarray(row) for row in np.zeros((6, 2))]
    here = kinematics.acceleration(*filtered(np.zeros((6, 2))))
    there = kinematics.acceleration(*filtered(observed))
    np.testing.assert_allclose(np.asarray(there.sd_mm_d2), here.sd_mm_d2)
