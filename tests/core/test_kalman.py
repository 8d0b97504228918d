import array_api_strict as strict
import numpy as np
import pytest
from statsmodels.tsa.statespace.kalman_filter import KalmanFilter
from statsmodels.tsa.statespace.structural import UnobservedComponents

from core.errors import BadInputError
from core.kalman import (
    TrendState,
    compose,
    difference_variance,
    lagged_velocity_covariance,
    predict,
    prediction_transition,
    start,
    transition,
    update,
)

RATE_WALK = 2e-5
NOISE = 4.0


def states_equal(left, right):
    return all(
        np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
        for a, b in zip(left, right, strict=True)
    )


def close(left, right, rtol=1e-12, atol=1e-12):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)


def some_state(rows=5, seed=0):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(rows, 2, 2))
    p = root @ np.swapaxes(root, 1, 2) + 0.1 * np.eye(2)
    return TrendState(
        rng.normal(size=rows) * 20, rng.normal(size=rows), p[:, 0, 0], p[:, 0, 1], p[:, 1, 1]
    )


def matrices(state):
    row = np.stack([state.var_displacement, state.cov_displacement_velocity], -1)
    other = np.stack([state.cov_displacement_velocity, state.var_velocity], -1)
    return np.stack([row, other], -2)


def test_a_steady_noise_free_motion_is_recovered():
    velocity = np.asarray([-0.5, 0.0, 0.02, 3.0])
    state = start(velocity * 0, 1e-6)
    for day in range(12, 241, 12):
        state, _ = update(predict(state, 12.0, 0.0), velocity * day, 1e-6)
    np.testing.assert_allclose(state.velocity_mm_d, velocity, atol=1e-5)
    np.testing.assert_allclose(state.displacement_mm, velocity * 240, atol=1e-3)


def test_the_velocity_prior_is_given_and_kept():
    state = start(np.asarray([1.0, np.nan]), 4.0, velocity_sd_mm_d=2.0)
    assert state.velocity_mm_d[0] == 0.0
    np.testing.assert_array_equal(state.var_velocity, [4.0, 4.0])
    np.testing.assert_array_equal(state.var_displacement, [4.0, np.nan])


def test_two_steps_equal_one():
    state = some_state()
    a, b = np.asarray([1.0, 6.0, 12.0, 24.0, 0.0]), np.asarray([11.0, 0.5, 12.0, 36.0, 7.0])
    twice = predict(predict(state, a, RATE_WALK, 0.1), b, RATE_WALK, 0.1)
    close(twice, predict(state, a + b, RATE_WALK, 0.1))


def test_predict_is_the_matrix_formula():
    state, dt, q, level = some_state(), 12.0, 0.01, 0.2
    f = np.asarray([[1.0, dt], [0.0, 1.0]])
    noise = q * np.asarray([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]]) + np.diag([level * dt, 0.0])
    wanted = f @ matrices(state) @ f.T + noise
    np.testing.assert_allclose(matrices(predict(state, dt, q, level)), wanted, rtol=1e-13)


def test_update_is_the_joseph_form():
    state, r = some_state(), 3.0
    observed = np.asarray([1.0, -20.0, 0.0, 5.0, 9.0])
    after, innovation = update(state, observed, r)
    p = matrices(state)
    gain = p[:, :, 0] / (p[:, 0, 0] + r)[:, None]
    kept = np.eye(2) - gain[:, :, None] * np.asarray([1.0, 0.0])
    wanted = kept @ p @ np.swapaxes(kept, 1, 2) + r * gain[:, :, None] * gain[:, None, :]
    np.testing.assert_allclose(matrices(after), wanted, rtol=1e-12)
    np.testing.assert_allclose(innovation.value_mm, observed - state.displacement_mm)
    np.testing.assert_allclose(innovation.variance_mm2, p[:, 0, 0] + r)
    moved = state.velocity_mm_d + gain[:, 1] * innovation.value_mm
    np.testing.assert_allclose(after.velocity_mm_d, moved)


def test_no_observation_leaves_the_state_bitwise():
    state = some_state()
    after, innovation = update(state, np.full(5, np.nan), 1.0)
    assert states_equal(after, state)
    assert np.all(np.isnan(innovation.value_mm))
    assert np.all(innovation.gain_displacement == 0)
    after, _ = update(state, np.ones(5), np.full(5, np.nan))
    assert states_equal(after, state)
    after, _ = update(state, np.ones(5), np.inf)
    assert states_equal(after, state)


def test_a_row_starts_at_its_first_observation():
    state = start(np.asarray([np.nan, np.nan]), 1.0, velocity_sd_mm_d=1.5)
    carried = predict(state, 12.0, RATE_WALK, 0.5)
    assert states_equal(carried, state)
    after, innovation = update(carried, np.asarray([7.0, np.nan]), 2.0)
    assert np.isnan(innovation.value_mm).all()
    assert np.isnan(innovation.gain_velocity).all()
    first = [float(field[0]) for field in after]
    assert first == [7.0, 0.0, 2.0, 0.0, 2.25]
    assert np.isnan(after.displacement_mm[1])
    assert after.var_velocity[1] == 2.25


def test_a_perfect_observation_of_a_certain_state_is_harmless():
    state = TrendState(*(np.asarray([value]) for value in (1.0, 0.5, 0.0, 0.0, 1.0)))
    after, _ = update(state, np.asarray([1.5]), 0.0)
    assert states_equal(after, state)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_covariance_stays_positive_semidefinite(dtype):
    rng = np.random.default_rng(3)
    rows = 2000
    scale = (10.0 ** rng.uniform(-6, 3, rows)).astype(dtype)
    q = (10.0 ** rng.uniform(-9, 1, rows)).astype(dtype)
    state = start(np.zeros(rows, dtype), scale, velocity_sd_mm_d=100.0)
    for _ in range(200):
        dt = rng.choice([1.0, 6.0, 12.0, 36.0], rows).astype(dtype)
        observed = rng.normal(size=rows).astype(dtype)
        state, _ = update(predict(state, dt, q), observed, scale)
        assert state.var_velocity.dtype == dtype
        assert np.all(state.var_displacement >= 0)
        assert np.all(state.var_velocity >= 0)
        bound = np.sqrt(state.var_displacement) * np.sqrt(state.var_velocity)
        slack = 1 + 8 * np.finfo(dtype).eps
        assert np.all(np.abs(state.cov_displacement_velocity) <= bound * slack)


def simulate(rows, epochs, rng, q=RATE_WALK, noise=NOISE):
    """Truth drawn from the model at irregular steps; the velocity prior is 1 mm/d."""
    dts = rng.choice([6.0, 12.0, 24.0], epochs)
    velocity, displacement = rng.normal(size=rows), np.zeros(rows)
    velocities, observed = [velocity], [displacement + rng.normal(size=rows) * noise**0.5]
    for dt in dts:
        c = np.linalg.cholesky(q * np.asarray([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]]))
        shock = c @ rng.normal(size=(2, rows))
        displacement = displacement + velocity * dt + shock[0]
        velocity = velocity + shock[1]
        velocities.append(velocity)
        observed.append(displacement + rng.normal(size=rows) * noise**0.5)
    return dts, np.asarray(velocities), np.asarray(observed)


def test_squared_normalised_innovations_average_one():
    dts, _, observed = simulate(2000, 30, np.random.default_rng(5))
    state = start(observed[0], NOISE)
    nis = []
    for dt, seen in zip(dts, observed[1:], strict=True):
        state, innovation = update(predict(state, dt, RATE_WALK), seen, NOISE)
        nis.append(innovation.value_mm**2 / innovation.variance_mm2)
    assert np.mean(nis) == pytest.approx(1.0, abs=0.02)
    assert np.mean(nis[0]) == pytest.approx(1.0, abs=0.12)
    assert np.mean(nis[-1]) == pytest.approx(1.0, abs=0.12)


def run(observed, dts, variance, q):
    state = start(observed[0], variance[0])
    for k, dt in enumerate(dts, start=1):
        state, _ = update(predict(state, dt, q), observed[k], variance[k])
    return state


def test_batched_equals_looped():
    rng = np.random.default_rng(7)
    dts, _, observed = simulate(12, 20, rng)
    observed[rng.random(observed.shape) < 0.3] = np.nan
    variance = rng.uniform(1, 9, observed.shape)
    together = run(observed.reshape(21, 3, 4), dts, variance.reshape(21, 3, 4), RATE_WALK)
    for row in range(12):
        alone = run(observed[:, row : row + 1], dts, variance[:, row : row + 1], RATE_WALK)
        picked = TrendState(*(field.reshape(-1)[row : row + 1] for field in together))
        assert states_equal(alone, picked)


def filtered(model, state, observed):
    """Statsmodels' filtered means and covariances from `state` as the first prediction."""
    p = np.ascontiguousarray(matrices(state)[0])
    mean = np.asarray([state.displacement_mm[0], state.velocity_mm_d[0]])
    model.bind(np.ascontiguousarray(observed))
    model.initialize_known(mean, p)
    result = model.filter()
    return result.filtered_state[:, -1], result.filtered_state_cov[:, :, -1]


@pytest.mark.parametrize("peer", ["structural", "integrated"])
def test_it_equals_statsmodels_on_a_regular_grid(peer):
    # UnobservedComponents adds its level and trend shocks once a step, Q = diag(l, t); that is
    # ours for q = 0. With q > 0 its general filter takes our Q, correlated within the step.
    rng = np.random.default_rng(11)
    observed = np.cumsum(rng.normal(size=40)) * 3.0
    observed[[5, 6, 20]] = np.nan
    dt, level = 1.0, 0.7
    q = 0.0 if peer == "structural" else 0.02
    if peer == "structural":
        components = UnobservedComponents(observed, "lltrend")
        components.update([NOISE, level * dt, 0.0])
        model = components.ssm
    else:
        model = KalmanFilter(k_endog=1, k_states=2)
        model["design"] = np.asarray([[1.0, 0.0]])
        model["transition"] = np.asarray([[1.0, dt], [0.0, 1.0]])
        model["selection"] = np.eye(2)
        noise = np.asarray([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        model["state_cov"] = q * noise + np.diag([level * dt, 0.0])
        model["obs_cov"] = np.asarray([[NOISE]])
    first = start(observed[:1], NOISE)
    mean, p = filtered(model, predict(first, dt, q, level), observed[1:])
    state = first
    for value in observed[1:]:
        state, _ = update(predict(state, dt, q, level), np.asarray([value]), NOISE)
    np.testing.assert_allclose([state.displacement_mm[0], state.velocity_mm_d[0]], mean, rtol=1e-9)
    np.testing.assert_allclose(matrices(state)[0], p, rtol=1e-9, atol=1e-12)


def passage_over(dts, observed, split):
    """Filter; return the states at `split` and at the end, and the transition between."""
    state = start(observed[0], NOISE)
    earlier, passage = state, None
    for k, dt in enumerate(dts, start=1):
        state, innovation = update(predict(state, dt, RATE_WALK), observed[k], NOISE)
        if k == split:
            earlier = state
        if k > split:
            step = transition(dt, innovation)
            passage = step if passage is None else compose(step, passage)
    return earlier, state, passage


def test_the_lagged_covariance_is_that_of_the_joint_errors():
    # Independent account: both errors as linear maps of all noises since the start.
    dts = np.asarray([12.0, 6.0, 12.0, 24.0, 6.0, 12.0])
    observed = np.zeros((7, 1))
    observed[5] = np.nan
    split = 3
    earlier, later, passage = passage_over(dts, observed, split)
    size = 2 + 3 * len(dts)
    error = np.zeros((2, size))
    error[0, 0], error[1, 1] = NOISE**0.5, 1.0
    p = error @ error.T
    at = {}
    for k, dt in enumerate(dts, start=1):
        f = np.asarray([[1.0, dt], [0.0, 1.0]])
        q = RATE_WALK * np.asarray([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        error = f @ error
        error[:, 3 * k - 1 : 3 * k + 1] = np.linalg.cholesky(q)
        p = f @ p @ f.T + q
        if np.isfinite(observed[k, 0]):
            gain = p[:, :1] / (p[0, 0] + NOISE)
            error = (np.eye(2) - gain @ np.asarray([[1.0, 0.0]])) @ error
            error[:, 3 * k + 1] = -gain[:, 0] * NOISE**0.5
            p = error @ error.T
        at[k] = error
    np.testing.assert_allclose(matrices(later)[0], p, rtol=1e-10)
    joint = at[len(dts)] @ at[split].T
    shared = lagged_velocity_covariance(earlier, passage)
    np.testing.assert_allclose(shared, joint[1, 1], rtol=1e-10)
    wanted = np.sum((at[len(dts)][1] - at[split][1]) ** 2)
    np.testing.assert_allclose(difference_variance(earlier, later, passage), wanted, rtol=1e-10)


def test_the_variance_of_the_velocity_change_is_seen_in_simulation():
    dts, truth, observed = simulate(40_000, 8, np.random.default_rng(13))
    earlier, later, passage = passage_over(dts, observed, 5)
    error = (later.velocity_mm_d - earlier.velocity_mm_d) - (truth[8] - truth[5])
    variance = difference_variance(earlier, later, passage)
    assert np.var(error) == pytest.approx(variance[0], rel=0.03)


def test_a_prediction_alone_carries_the_error_by_f():
    state = some_state()
    dt = np.full(5, 12.0)
    later = predict(state, dt, 0.5)
    passage = prediction_transition(dt)
    np.testing.assert_allclose(difference_variance(state, later, passage), 0.5 * 12.0)
    unseen = transition(12.0, update(later, np.full(5, np.nan), 1.0)[1])
    close(unseen, passage)


def test_a_row_that_started_in_between_has_no_lagged_covariance():
    state = start(np.asarray([np.nan]), 1.0)
    after, innovation = update(state, np.asarray([3.0]), 1.0)
    passage = transition(12.0, innovation)
    assert np.isnan(difference_variance(state, after, passage)).all()


def test_what_cannot_be_is_refused():
    state = some_state()
    with pytest.raises(BadInputError, match="back in time"):
        predict(state, -1.0, 0.0)
    with pytest.raises(BadInputError, match="back in time"):
        predict(state, np.asarray([1.0, 1.0, 1.0, -1.0, 1.0]), 0.0)
    with pytest.raises(BadInputError, match="back in time"):
        predict(state, float("nan"), 0.0)
    with pytest.raises(BadInputError, match="random walk"):
        predict(state, 1.0, -1e-6)
    with pytest.raises(BadInputError, match="random walk"):
        predict(state, 1.0, 0.0, np.full(5, np.nan))
    with pytest.raises(BadInputError, match="negative variance"):
        update(state, np.ones(5), -1.0)


def test_it_follows_the_array_api():
    rng = np.random.default_rng(17)
    dts, _, observed = simulate(6, 6, rng)
    observed[0, 0] = observed[3, 2] = np.nan
    numpy = passage_over(dts.tolist(), observed, 3)
    other = passage_over(dts.tolist(), [strict.asarray(row) for row in observed], 3)
    for a, b in zip(numpy, other, strict=True):
        close(a, b)
    spread = difference_variance(*other)
    assert spread.__array_namespace__() is strict
    np.testing.assert_allclose(np.asarray(spread), difference_variance(*numpy))
