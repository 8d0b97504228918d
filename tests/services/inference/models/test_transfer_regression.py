import numpy as np
import pytest

from services.inference.numerics import residual_filter as rf
from services.inference.numerics import transfer_regression as tr
from services.inference.numerics.transfer_regression import Candidates, Choice, Samples


def covariance_of(days, decay, intensity, variance):
    """Dense covariance of an epoch's values less the first, by the process itself."""
    walk = rf.stationary(intensity, decay)
    count = days.size
    steps = [rf.step(walk, float(gap)) for gap in np.diff(days)]
    state = np.zeros((count, 2, 2 * count))
    state[0, 1, 0] = float(walk.start_sd)
    for row, move in enumerate(steps, start=1):
        carry = np.array([[1.0, float(move.reach)], [0.0, float(move.kept)]])
        state[row] = carry @ state[row - 1]
        noise = np.array([[move.noise_dd, move.noise_dr], [move.noise_dr, move.noise_rr]], float)
        state[row, :, 2 * row : 2 * row + 2] = np.linalg.cholesky(noise)
    shape = state[:, 0] @ state[:, 0].T
    return shape[1:, 1:] + np.diag(variance[1:]) + variance[0]


@pytest.mark.parametrize(("decay", "intensity"), [(0.0, 1e-3), (0.02, 5e-3)])
def test_it_is_dense_generalised_least_squares(decay, intensity):
    rng = np.random.default_rng(2)
    days = np.cumsum(rng.integers(6, 30, 30))
    columns = rng.normal(size=(30, 3)).cumsum(axis=0)
    variance = rng.uniform(1.0, 9.0, 30)
    shown = columns @ [0.5, -0.3, 0.2] + rng.normal(0.0, 2.0, 30)
    fit = tr.fit(
        Samples(days[:, None], shown[:, None], variance[:, None], columns[:, None, :]),
        Choice(np.array([decay]), np.array([intensity]), np.array([0.4])),
    )
    noise = covariance_of(days, decay, intensity, variance)
    x, y = columns[1:] - columns[0], shown[1:] - shown[0]
    prior = np.diag(1.0 / np.array([tr.STEADY_SD_MM_D, 0.4, 0.4]) ** 2)
    inverse = np.linalg.inv(x.T @ np.linalg.solve(noise, x) + prior)
    dense = inverse @ (x.T @ np.linalg.solve(noise, y))
    assert fit.coefficients[0] == pytest.approx(dense, rel=1e-8)
    assert fit.covariance[0] / fit.scale[0] == pytest.approx(inverse, rel=1e-7)

    spread = noise + x @ np.linalg.inv(prior) @ x.T
    misfit = y @ np.linalg.solve(spread, y)
    assert fit.scale[0] == pytest.approx((tr.TRUST + misfit) / (tr.TRUST + 29))
    expected = -0.5 * ((tr.TRUST + 29) * np.log(tr.TRUST + misfit) + np.linalg.slogdet(spread)[1])
    assert fit.log_likelihood[0] == pytest.approx(expected, rel=1e-9)


def test_the_likelihood_finds_memory_and_strength_of_the_residual():
    rng = np.random.default_rng(5)
    days, series = np.arange(0, 2400, 12), 12
    move = rf.step(rf.stationary(2e-2, 1 / 20), 12.0)
    root = np.linalg.cholesky(
        np.array([[move.noise_dd, move.noise_dr], [move.noise_dr, move.noise_rr]], float)
    )
    d, r = np.zeros(series), rng.normal(0.0, np.sqrt(2e-2 * 10), series)
    shown = np.empty((days.size, series))
    for row in range(days.size):
        shown[row] = d + rng.normal(0.0, 1.0, series)
        noise = root @ rng.normal(size=(2, series))
        d, r = d + float(move.reach) * r + noise[0], float(move.kept) * r + noise[1]
    chosen = tr.choose(
        Samples(
            np.repeat(days[:, None], series, 1),
            shown,
            np.ones(shown.shape),
            np.zeros((*shown.shape, 1)),
        ),
        np.zeros(series, np.int64),
        Candidates((0.0, 1 / 200, 1 / 20), (1e-4, 2e-2, 1.0), (0.1,)),
    )
    assert (chosen.decay[0], chosen.intensity[0]) == (1 / 20, 2e-2)


def test_one_wild_series_does_not_choose_for_its_slope():
    rng = np.random.default_rng(7)
    days = np.repeat(np.arange(0, 1800, 12)[:, None], 3, axis=1)
    shown = -0.1 * days + rng.normal(0.0, 1.0, days.shape)
    candidates = Candidates((1 / 100,), (1e-5, 1e-4, 1e-3, 1e-2, 1e-1), (0.1,))
    group = np.zeros(3, np.int64)

    def chosen(values):
        columns = days[..., None].astype(float)
        return tr.choose(Samples(days, values, np.ones(days.shape), columns), group, candidates)

    shown[:, 0] += 1e3 * rng.normal(size=150).cumsum()
    assert chosen(shown).intensity[0] == 1e-5
