"""Wavelet coherence against closed forms, the peer, unrelated series and the twin's own lags."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from core.errors import BadInputError
from core.surrogates import discoveries
from core.twin import Kind, Truth, observe, simulate
from core.wavelet import (
    PERIOD_PER_SCALE,
    coherence,
    newest_safe,
    periods,
    phase_lag,
    resample_rates,
    safe_times,
    significance,
    step_means,
    transform,
)

STEP = 12.0
LENGTH = 210
Floats = NDArray[np.float64]


def slow(rng: np.random.Generator, memory: float, count: int) -> Floats:
    noise = rng.standard_normal((count, LENGTH + 200))
    return np.asarray(lfilter([1.0], [1.0, -memory], noise, axis=1)[:, 200:])


def waves(lag_d: float, noise: float = 0.05) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(8)
    time = np.arange(LENGTH) * STEP
    first, second = (
        np.cos(2 * np.pi * (time - shift) / 365) + 0.5 * np.cos(2 * np.pi * (time - shift) / 90)
        for shift in (0.0, lag_d)
    )
    return first + noise * rng.normal(size=LENGTH), second + noise * rng.normal(size=LENGTH)


def test_transform_of_a_sinusoid_peaks_at_its_period_with_its_phase() -> None:
    time = np.arange(LENGTH) * STEP
    period = periods(LENGTH, STEP, 24.0)
    spectrum = transform(np.cos(2 * np.pi * (time - 33.0) / 180.0), period, STEP)
    middle = LENGTH // 2
    assert period[np.abs(spectrum[:, middle]).argmax()] == pytest.approx(180.0, rel=0.03)
    row = np.abs(period - 180.0).argmin()
    phase = np.angle(spectrum[row, middle])
    wanted = 2 * np.pi * (time[middle] - 33.0) / 180.0
    assert np.angle(np.exp(1j * (phase - wanted))) == pytest.approx(0.0, abs=0.02)


def test_transform_and_coherence_are_those_of_pycwt() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # escapes in its docstrings, when it is compiled
        pycwt = pytest.importorskip("pycwt")
    first, second = slow(np.random.default_rng(3), 0.6, 2)
    step = 0.08
    period = 36.0 * 2 ** (np.arange(54) * step)
    smallest = period[0] / PERIOD_PER_SCALE
    centred = (first - first.mean()) / first.std()
    peer = pycwt.cwt(centred, STEP, step, smallest, 53, pycwt.Morlet(6))[0]
    np.testing.assert_allclose(transform(centred, period, STEP), peer, atol=1e-7)
    # pycwt smooths over 1.2 octaves of scales.
    seen = coherence(first, second, STEP, period, window_octaves=1.2)
    theirs = pycwt.wct(
        first, second, STEP, dj=step, s0=smallest, J=53, sig=False, wavelet=pycwt.Morlet(6)
    )[0]
    np.testing.assert_allclose(seen.coherence, theirs, atol=1e-6)


@pytest.mark.parametrize("lag_d", [-15.0, 0.0, 20.0])
def test_the_lag_of_sinusoids_is_found(lag_d: float) -> None:
    first, second = waves(lag_d)
    seen = coherence(first, second, STEP, np.geomspace(85, 380, 60))
    lag = phase_lag(seen, STEP)
    for wave in (90.0, 365.0):
        row = np.abs(seen.period_d - wave).argmin()
        assert seen.whole[row] > 0.98
        assert lag.lag_d[row] == pytest.approx(lag_d, abs=1.0)
        assert lag.low_d[row] - 1 <= lag_d <= lag.high_d[row] + 1
        assert lag.high_d[row] - lag.low_d[row] < 6


def test_coherence_of_a_series_with_itself_is_one_and_in_phase() -> None:
    first = slow(np.random.default_rng(1), 0.5, 3)
    seen = coherence(first, 4.0 * first + 2.0, STEP)
    np.testing.assert_allclose(seen.coherence, 1.0)
    assert np.nanmax(np.abs(phase_lag(seen, STEP).lag_d)) < 1e-6


def test_coherence_lies_between_zero_and_one_and_is_symmetric() -> None:
    first, second = slow(np.random.default_rng(2), 0.7, 2)
    seen, turned = (coherence(a, b, STEP) for a, b in ((first, second), (second, first)))
    assert (seen.coherence >= 0).all()
    assert (seen.coherence <= 1).all()
    np.testing.assert_allclose(seen.coherence, turned.coherence)
    np.testing.assert_allclose(phase_lag(seen, STEP).lag_d, -phase_lag(turned, STEP).lag_d)


def test_a_batch_gives_what_its_pairs_give_alone() -> None:
    first, second = np.split(slow(np.random.default_rng(4), 0.5, 6), 2)
    together = coherence(first, second, STEP)
    for row in range(3):
        alone = coherence(first[row], second[row], STEP)
        np.testing.assert_allclose(together.coherence[row], alone.coherence, rtol=1e-12)
        np.testing.assert_allclose(together.whole[row], alone.whole, rtol=1e-12)


def test_no_period_below_36_days_is_read_from_12_day_steps() -> None:
    first, second = slow(np.random.default_rng(5), 0.5, 2)
    assert periods(LENGTH, STEP)[0] == 36.0
    with pytest.raises(BadInputError, match="below 36 d"):
        coherence(first, second, STEP, np.array([30.0, 60.0]))


def test_unusable_series_are_refused() -> None:
    first, second = slow(np.random.default_rng(5), 0.5, 2)
    with pytest.raises(BadInputError, match="constant"):
        coherence(first, np.ones(LENGTH), STEP)
    with pytest.raises(BadInputError, match="NaN"):
        coherence(first, np.where(second > 2, np.nan, second), STEP)


def test_the_cone_of_influence_keeps_the_ends_out() -> None:
    period = periods(LENGTH, STEP)
    safe = safe_times(period, LENGTH, STEP)
    assert safe.any(axis=1).all()
    assert not safe[:, 0].any()
    assert (np.diff(safe.sum(axis=1)) <= 0).all()
    span = (safe.sum(axis=1)[-1] + 1) * STEP
    assert span >= period[-1]


def test_what_is_read_at_the_right_edge_is_hardly_touched_by_the_future() -> None:
    first, second = slow(np.random.default_rng(6), 0.6, 2)
    shorter = LENGTH - 40
    period = periods(shorter, STEP)
    now = coherence(first[:shorter], second[:shorter], STEP, period)
    newest = newest_safe(now)
    assert (newest >= 0).all()
    assert (np.diff(newest) <= 0).all()
    assert newest[0] == shorter - 6
    # The record's own mean and spread are taken out, so compare with the same ones.
    other = np.random.default_rng(7).standard_normal((2, LENGTH))
    other[:, :shorter] = first[:shorter], second[:shorter]
    parts = [p - p[:shorter].mean() for p in other]
    later = coherence(parts[0], parts[1], STEP, period)
    rows = np.arange(len(period))
    change = np.abs(now.coherence[rows, newest] - later.coherence[rows, newest])
    end = np.abs(now.coherence[:, -1] - later.coherence[:, shorter - 1])
    assert np.median(change) < 0.1
    assert np.median(change) < 0.6 * np.median(end)


def test_significance_is_seeded_and_needs_the_memory_of_the_series() -> None:
    first, second = slow(np.random.default_rng(9), 0.7, 2)
    seen = coherence(first, second, STEP, np.geomspace(36, 300, 12))
    one, two = (significance(first, second, seen, STEP, surrogates=120, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.threshold, two.threshold)
    np.testing.assert_array_equal(one.p, two.p)
    assert (one.threshold > 0.5).all()
    assert (one.p >= 1 / 121).all()


def test_at_most_one_in_twenty_unrelated_pairs_stands() -> None:
    rng = np.random.default_rng(10)
    period = np.geomspace(36, 500, 12)
    stands, area = [], []
    for seed in range(20):
        first, second = slow(rng, rng.uniform(0.2, 0.85), 2)
        seen = coherence(first, second, STEP, period)
        told = significance(first, second, seen, STEP, surrogates=100, seed=seed)
        stands.append(bool(discoveries(told.p, dependent=False).any()))
        area.append((seen.coherence > told.threshold[:, None])[seen.safe].mean())
    # Binomial(20, 0.05) is above 4 in 0.3 % of runs.
    assert sum(stands) <= 4
    assert 0.02 < np.mean(area) < 0.09


def test_pairs_with_a_common_rhythm_stand_at_its_period() -> None:
    first, second = waves(10.0, noise=0.7)
    seen = coherence(first, second, STEP, np.geomspace(36, 500, 24))
    told = significance(first, second, seen, STEP, surrogates=200)
    stands = discoveries(told.p, dependent=False)
    for wave in (90.0, 365.0):
        assert stands[np.abs(seen.period_d - wave).argmin()]
    assert not stands[:3].any()


def test_resampled_rates_are_true_increments() -> None:
    day = np.array([3, 15, 27, 63, 75], dtype=np.int64)
    moved = np.array([[0.0, 0.0], [12.0, 1.0], [12.0, 2.0], [48.0, 5.0], [60.0, 6.0]])
    rates = resample_rates(day, moved)
    assert (rates.first_day, rates.step_d) == (3, 12)
    np.testing.assert_allclose(rates.rate_mm_d[0], [1.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(rates.rate_mm_d.sum(axis=1) * 12, moved[-1])


def test_step_means_cover_the_days_of_the_increment() -> None:
    rates = resample_rates(np.array([3, 27], dtype=np.int64), np.array([[0.0], [1.0]]))
    driver = np.zeros(40)
    driver[4] = driver[15] = 12.0
    driver[3] = 100.0
    np.testing.assert_allclose(step_means(driver, 0, rates), [2.0, 0.0])
    with pytest.raises(BadInputError, match="does not cover"):
        step_means(driver[:20], 0, rates)


@pytest.fixture(scope="module")
def slopes() -> Truth:
    return simulate(range(16), Kind.QUIET, years=7, drainage="drawdown")


def twin_lags(truth: Truth, sigma_mm: float, at: list[float]) -> tuple[Floats, Floats]:
    """Lags of ridges behind rain from epochs and from daily truth, (sites, periods) each."""
    seen = observe(truth, noise="white", sigma_mm=sigma_mm, flank_pixels=12)
    found = []
    for site in range(len(truth.seeds)):
        use = seen.epoch_day[site] >= 0
        los = seen.los_mm[site, use, 5:] / truth.los_factor[site, 5]
        rates = resample_rates(seen.epoch_day[site, use], los)
        rain = step_means(truth.rain_mm[site], 0, rates)
        daily = np.diff(truth.displacement_mm[site, :, 5], prepend=0.0)
        lags = [
            phase_lag(coherence(rain, motion, STEP, np.array(at)), STEP).lag_d
            for motion in (rates.rate_mm_d[0], step_means(daily, 0, rates))
        ]
        found.append(lags)
    both = np.array(found)
    return both[:, 0], both[:, 1]


def test_the_twins_lag_at_a_year_is_found_within_four_days(slopes: Truth) -> None:
    seen, true = twin_lags(slopes, 3.0, [355.0, 365.0])
    off = np.abs(seen - true)
    assert np.median(off) <= 2.0
    assert np.mean(off <= 4.0) >= 0.9


def test_the_twins_lag_at_60_to_120_days_is_found_within_a_fifth(slopes: Truth) -> None:
    seen, true = twin_lags(slopes, 0.3, [60.0, 75.0, 95.0, 120.0])
    relative = np.abs(seen - true) / np.abs(true)
    assert np.median(relative, axis=0).max() <= 0.2
    middle, wanted = np.median(seen, axis=0), np.median(true, axis=0)
    assert (np.abs(middle - wanted) <= 0.2 * wanted).all()
