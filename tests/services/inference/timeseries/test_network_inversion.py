import time
from datetime import date, timedelta

import array_api_strict as strict
import numpy as np
import pytest

from core.errors import BadInputError
from services.inference.timeseries.links import Pair
from services.inference.timeseries.network import design_matrix, epochs_of, invert

FIRST = date(2018, 1, 6)


def day(number):
    return FIRST + timedelta(days=12 * number)


def network(epochs=8, reach=3):
    return [
        Pair(day(i), day(j))
        for i in range(epochs)
        for j in range(i + 1, min(epochs, i + 1 + reach))
    ]


def noisy(pairs, pixels, seed=0, gaps=0.2):
    rng = np.random.default_rng(seed)
    epochs = epochs_of(pairs)
    truth = np.cumsum(rng.normal(size=(len(epochs), pixels)) * 2, axis=0)
    phase = design_matrix(pairs, epochs) @ truth + rng.normal(size=(len(pairs), pixels)) * 0.3
    phase[rng.random(phase.shape) < gaps] = np.nan
    variance = 10.0 ** rng.uniform(-3, 2, phase.shape)
    return truth - truth[0], phase, variance


def by_lstsq(pairs, phase, weights):
    """One pixel by orthogonal decomposition: epochs (first is 0), inverse normal matrix, rms."""
    epochs = epochs_of(pairs)
    a = design_matrix(pairs, epochs)[:, 1:]
    ok = np.isfinite(phase) & (weights > 0)
    root = np.sqrt(weights[ok])
    x, _, rank, _ = np.linalg.lstsq(a[ok] * root[:, None], phase[ok] * root, rcond=None)
    residual = phase[ok] - a[ok] @ x
    cofactor = np.linalg.pinv(a[ok].T @ (weights[ok][:, None] * a[ok]))
    return x, rank == a.shape[1], residual, cofactor


def test_noise_free_phases_come_back_with_their_sign():
    pairs = [Pair(day(0), day(1)), Pair(day(1), day(2)), Pair(day(0), day(2))]
    found = invert(np.asarray([[1.0], [2.0], [3.0]]), pairs)
    assert found.epochs == (day(0), day(1), day(2))
    np.testing.assert_allclose(found.phase[:, 0], [0.0, 1.0, 3.0], atol=1e-12)
    np.testing.assert_allclose(found.residual_rms, 0.0, atol=1e-12)
    assert found.connected.all()


def test_a_pair_may_be_listed_the_other_way_round():
    pairs = [Pair(day(1), day(0)), Pair(day(1), day(2))]
    found = invert(np.asarray([[-1.0], [2.0]]), pairs, np.ones((2, 1)))
    np.testing.assert_allclose(found.phase[:, 0], [0.0, 1.0, 3.0])
    np.testing.assert_allclose(found.sigma[:, 0] ** 2, [0.0, 1.0, 2.0])


@pytest.mark.parametrize("weighted", [True, False])
def test_each_pixel_is_its_own_least_squares(weighted):
    pairs = network()
    _, phase, variance = noisy(pairs, 60)
    variance[3, 5] = np.nan
    weights = 1 / np.nan_to_num(variance, nan=np.inf) if weighted else np.ones_like(phase)
    found = invert(phase, pairs, variance if weighted else None)
    disconnected = 0
    for pixel in range(60):
        x, full, residual, cofactor = by_lstsq(pairs, phase[:, pixel], weights[:, pixel])
        assert bool(found.connected[pixel]) == full
        if not full:
            disconnected += 1
            assert np.isnan(found.phase[:, pixel]).any()
            continue
        np.testing.assert_allclose(found.phase[1:, pixel], x, atol=1e-8)
        np.testing.assert_allclose(found.residual_rms[pixel], np.sqrt(np.mean(residual**2)))
        assert found.pairs_used[pixel] == residual.size
        sigma = np.sqrt(np.diag(cofactor))
        if not weighted:
            sigma = sigma * np.sqrt(np.sum(residual**2) / (residual.size - x.size))
        np.testing.assert_allclose(found.sigma[1:, pixel], sigma, rtol=1e-6)
    assert 0 < disconnected < 40


def test_grouped_pixels_equal_those_solved_one_by_one():
    pairs = network(20, 4)
    _, phase, _ = noisy(pairs, 500, gaps=0.0)
    phase[5, :200] = np.nan
    phase[[1, 30], 100:350] = np.nan
    phase[:, 400:] = np.where(np.random.default_rng(1).random((70, 100)) < 0.3, np.nan, 1.0)
    grouped = invert(phase, pairs)
    single = invert(phase, pairs, np.ones_like(phase), scale_by_residual=True)
    column = invert(phase, pairs, np.ones((70, 1)), scale_by_residual=True)
    for other in (single, column):
        np.testing.assert_allclose(grouped.phase, other.phase, atol=1e-10)
        np.testing.assert_allclose(grouped.sigma, other.sigma, atol=1e-10)
        np.testing.assert_array_equal(grouped.connected, other.connected)
        np.testing.assert_allclose(grouped.residual_rms, other.residual_rms, atol=1e-10)


def test_epochs_that_no_chain_reaches_are_nan_and_the_others_stand():
    pairs = [Pair(day(0), day(1)), Pair(day(2), day(3)), Pair(day(1), day(2))]
    phase = np.asarray([[1.0, 1.0], [5.0, 5.0], [2.0, np.nan]])
    found = invert(phase, pairs, np.ones((3, 2)))
    np.testing.assert_allclose(found.phase[:, 0], [0.0, 1.0, 3.0, 8.0])
    np.testing.assert_allclose(found.phase[:, 1], [0.0, 1.0, np.nan, np.nan])
    np.testing.assert_allclose(found.sigma[:, 1], [0.0, 1.0, np.nan, np.nan])
    np.testing.assert_array_equal(found.connected, [True, False])
    np.testing.assert_array_equal(found.pairs_used, [3, 1])


def test_a_pixel_without_data_has_no_answer():
    found = invert(np.full((2, 1), np.nan), [Pair(day(0), day(1)), Pair(day(1), day(2))])
    np.testing.assert_array_equal(found.phase[:, 0], [0.0, np.nan, np.nan])
    assert np.isnan(found.residual_rms).all()
    assert not found.connected.any()


def test_without_redundancy_the_residual_gives_no_sigma():
    found = invert(np.ones((1, 1)), [Pair(day(0), day(1))])
    assert np.isnan(found.sigma[1, 0])
    assert invert(np.ones((1, 1)), [Pair(day(0), day(1))], np.full((1, 1), 4.0)).sigma[1, 0] == 2.0


def test_sigma_is_what_the_variances_promise():
    pairs = network(6, 3)
    rng = np.random.default_rng(4)
    variance = rng.uniform(0.1, 2.0, (len(pairs), 1))
    phase = rng.normal(size=(len(pairs), 20_000)) * np.sqrt(variance)
    found = invert(phase, pairs, variance)
    np.testing.assert_allclose(found.phase[1:].std(axis=1), found.sigma[1:, 0], rtol=0.03)
    scaled = invert(phase, pairs, variance * 7.0, scale_by_residual=True)
    mean_square = np.mean(scaled.sigma[1:] ** 2, axis=1)
    np.testing.assert_allclose(np.sqrt(mean_square), found.sigma[1:, 0], rtol=0.03)


def test_what_cannot_be_inverted_is_refused():
    pair = Pair(day(0), day(1))
    with pytest.raises(BadInputError, match="no pair"):
        invert(np.zeros((0, 3)), [])
    with pytest.raises(BadInputError, match="one date"):
        invert(np.zeros((1, 3)), [Pair(day(0), day(0))])
    with pytest.raises(BadInputError, match="shape"):
        invert(np.zeros((2, 3)), [pair])
    with pytest.raises(BadInputError, match="not positive"):
        invert(np.zeros((1, 3)), [pair], np.asarray([[1.0, 0.0, 1.0]]))


def test_it_follows_the_array_api():
    pairs = network()
    _, phase, variance = noisy(pairs, 80)
    for spread in (None, variance):
        here = invert(phase, pairs, spread)
        there = invert(
            strict.asarray(phase), pairs, None if spread is None else strict.asarray(spread)
        )
        for a, b in zip(here[1:], there[1:], strict=True):
            assert b.__array_namespace__() is strict
            np.testing.assert_allclose(np.asarray(b), a, atol=1e-9)


def test_a_slope_of_thousands_of_pixels_takes_well_under_seconds():
    pairs = network(13, 3)[:30]
    _, phase, variance = noisy(pairs, 5882, gaps=0.05)
    begin = time.perf_counter()
    invert(phase, pairs, variance)
    assert time.perf_counter() - begin < 5.0  # about 0.15 s on an idle machine
