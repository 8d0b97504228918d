"""Surrogates keep what makes a series slow, and tests against them hold their level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter

from core.errors import BadInputError
from core.surrogates import (
    autoregressive,
    discoveries,
    lag_one,
    p_value,
    phase_randomised,
    year_blocks,
)


def slow(rng: np.random.Generator, memory: float, *shape: int) -> NDArray[np.float64]:
    noise = rng.standard_normal((*shape[:-1], shape[-1] + 300))
    return np.asarray(lfilter([1.0], [1.0, -memory], noise, axis=-1)[..., 300:])


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_lag_one_finds_the_memory_without_bias(memory: float) -> None:
    found = lag_one(slow(np.random.default_rng(1), memory, 2000, 100))
    # A white series' estimate is held at 0 from below.
    assert found.mean() == pytest.approx(memory, abs=0.05 if memory == 0 else 0.02)


def test_a_constant_series_has_no_memory() -> None:
    assert lag_one(np.full(50, 3.0)) == 0.0


def test_autoregressive_surrogates_have_the_series_variance_and_memory() -> None:
    rng = np.random.default_rng(2)
    series = 5.0 + 3.0 * slow(rng, 0.8, 400)
    drawn = autoregressive(series, 500, rng)
    assert drawn.shape == (500, 400)
    assert drawn.std() == pytest.approx(series.std(), rel=0.05)
    assert np.median(lag_one(drawn)) == pytest.approx(float(lag_one(series)), abs=0.02)


@pytest.mark.parametrize("length", [200, 201])
def test_phase_randomised_surrogates_keep_mean_and_spectrum(length: int) -> None:
    rng = np.random.default_rng(3)
    series = 2.0 + slow(rng, 0.9, length)
    drawn = phase_randomised(series, 20, rng)
    wanted = np.abs(np.fft.rfft(series))
    np.testing.assert_allclose(np.abs(np.fft.rfft(drawn, axis=1)), np.tile(wanted, (20, 1)))
    np.testing.assert_allclose(drawn.mean(axis=1), series.mean())
    assert np.abs(np.corrcoef(drawn[0], series)[0, 1]) < 0.9


def test_year_blocks_keep_every_year_whole_and_cut_the_rest() -> None:
    series = np.arange(5 * 365 + 100, dtype=float)
    drawn = year_blocks(series, 30, np.random.default_rng(4))
    assert drawn.shape == (30, 5 * 365)
    starts = drawn.reshape(30, 5, 365)[:, :, 0]
    np.testing.assert_array_equal(np.sort(starts, axis=1), np.tile(np.arange(5) * 365.0, (30, 1)))
    np.testing.assert_array_equal(np.diff(drawn.reshape(-1, 365), axis=1), 1.0)
    assert len({tuple(row) for row in starts}) > 10


def test_three_years_are_too_few_to_permute() -> None:
    with pytest.raises(BadInputError, match="3 whole years"):
        year_blocks(np.zeros(3 * 365 + 10), 10, np.random.default_rng(0))


def test_p_values_count_the_observation_itself() -> None:
    null = np.arange(99.0)[:, None]
    np.testing.assert_allclose(p_value(np.array([200.0]), null), [0.01])
    np.testing.assert_allclose(p_value(np.array([-1.0]), null), [1.0])
    np.testing.assert_allclose(p_value(np.array([90.0]), null), [(9 + 1) / 100])


def test_benjamini_hochberg_steps_up() -> None:
    p = np.array([0.04, 0.01, np.nan, 0.02, 0.5])
    # 0.04 > 3/4 0.05, 0.02 <= 2/4 0.05: the two smallest stand.
    np.testing.assert_array_equal(
        discoveries(p, 0.05, dependent=False), [False, True, False, True, False]
    )
    assert not discoveries(p, 0.05).any()
    assert not discoveries(np.array([np.nan]), 0.05).any()


@given(
    p=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    rate=st.floats(0.01, 0.3),
)
@settings(max_examples=80, deadline=None)
def test_allowing_for_dependence_never_finds_more(p: list[float], rate: float) -> None:
    values = np.array(p)
    careful, plain = discoveries(values, rate), discoveries(values, rate, dependent=False)
    assert not (careful & ~plain).any()
    if plain.any():
        assert values[plain].max() <= rate
        assert plain[values <= values[plain].max()].all()
