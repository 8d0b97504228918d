import array_api_strict as strict
import numpy as np
import pytest
from scipy import special

from core.errors import BadInputError
from services.inference.timeseries import noise


@pytest.mark.parametrize("looks", [1, 4.5, 20, 300])
@pytest.mark.parametrize("coherence", [0.0, 0.3, 0.7, 0.95])
def test_the_density_is_one(looks, coherence):
    phase = np.linspace(-np.pi, np.pi, 20_001)
    assert np.trapezoid(noise.phase_density(phase, coherence, looks), phase) == pytest.approx(1.0)


def test_the_density_is_the_published_form():
    phase, g, looks = np.linspace(-3, 3, 31), 0.6, 5
    b = g * np.cos(phase)
    gamma = special.gamma(looks + 0.5) / special.gamma(looks)
    wanted = gamma * (1 - g**2) ** looks * b / (2 * np.sqrt(np.pi) * (1 - b**2) ** (looks + 0.5))
    wanted += (1 - g**2) ** looks / (2 * np.pi) * special.hyp2f1(looks, 1, 0.5, b**2)
    np.testing.assert_allclose(noise.phase_density(phase, g, looks), wanted, rtol=1e-9)


@pytest.mark.parametrize(("coherence", "looks"), [(0.0, 3), (0.2, 1), (0.4, 5), (0.6, 20)])
def test_the_variance_is_that_of_simulated_speckle(coherence, looks):
    rng = np.random.default_rng(8)
    shape = (40_000, looks)
    one, other = (rng.normal(size=shape) + 1j * rng.normal(size=shape) for _ in range(2))
    second = coherence * one + np.sqrt(1 - coherence**2) * other
    phase = np.angle(np.sum(second * np.conj(one), axis=1))
    found = noise.phase_variance(np.asarray([coherence]), looks)[0]
    assert np.mean(phase**2) == pytest.approx(found, rel=0.03)


def test_the_single_look_variance_is_the_closed_form():
    g = np.asarray([0.0, 0.1, 0.5, 0.9])
    wanted = np.pi**2 / 3 - np.pi * np.arcsin(g) + np.arcsin(g) ** 2 - special.spence(1 - g**2) / 2
    np.testing.assert_allclose(noise.phase_variance(g, 1), wanted, rtol=1e-4)


def test_it_falls_with_coherence_and_looks_and_meets_the_bound():
    g = np.linspace(0, 1, 201)
    few, many = noise.phase_variance(g, 3), noise.phase_variance(g, 30)
    assert few[0] == pytest.approx(np.pi**2 / 3)
    assert np.all(np.diff(few[:-1]) < 0)
    assert np.all(many[1:] < few[1:])
    assert np.all(few > 0)
    high = np.asarray([0.8, 0.95])
    bound = noise.cramer_rao_variance(high, 200)
    np.testing.assert_allclose(noise.phase_variance(high, 200), bound, rtol=0.01)
    assert np.isinf(noise.cramer_rao_variance(np.zeros(1), 5))[0]


def test_no_coherence_is_no_variance_and_shapes_are_kept():
    found = noise.phase_variance(np.asarray([[np.nan, 0.5], [-0.1, 1.2]]), 5)
    assert found.shape == (2, 2)
    assert np.isnan(found[0, 0])
    assert found[1, 0] == pytest.approx(np.pi**2 / 3)
    assert found[1, 1] == noise.phase_variance(np.ones(1), 5)[0]
    with pytest.raises(BadInputError, match="looks"):
        noise.phase_variance(np.ones(1), 0)


def test_the_atmosphere_grows_with_distance():
    km = np.asarray([0.0, 0.5, 1.0, 1.5, 5.0, 12.0])
    found = noise.atmosphere_variance_mm2(km)
    assert found[0] == 0.0
    assert np.sqrt(found[2]) == pytest.approx(2.5)
    assert 4.0 < np.sqrt(found[4]) < 8.0
    assert found[2] / found[1] == pytest.approx(2 ** (5 / 3))
    assert found[5] / found[4] == pytest.approx((12 / 5) ** (2 / 3))
    just = noise.atmosphere_variance_mm2(np.asarray([1.5 - 1e-9, 1.5 + 1e-9]))
    assert just[0] == pytest.approx(just[1])


@pytest.mark.parametrize("crossover", [0.25, 1.0, 3.0])
def test_the_atmosphere_is_as_given_at_one_kilometre(crossover):
    found = noise.atmosphere_variance_mm2(np.ones(1), sd_at_1km_mm=1.5, crossover_km=crossover)
    assert found[0] == pytest.approx(1.5**2)


def test_an_atmosphere_that_cannot_be_is_refused():
    with pytest.raises(BadInputError, match="atmosphere"):
        noise.atmosphere_variance_mm2(np.ones(1), crossover_km=0.0)


def test_it_follows_the_array_api():
    g = np.asarray([[0.1, np.nan], [0.5, 0.9]])
    found = noise.phase_variance(strict.asarray(g), 7)
    np.testing.assert_allclose(np.asarray(found), noise.phase_variance(g, 7))
    km = np.asarray([0.2, 4.0])
    found = noise.atmosphere_variance_mm2(strict.asarray(km))
    np.testing.assert_allclose(np.asarray(found), noise.atmosphere_variance_mm2(km))
    assert np.isinf(np.asarray(noise.cramer_rao_variance(strict.asarray([0.0, 0.5]), 7))[0])
