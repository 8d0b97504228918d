from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import gamma, hyp2f1, spence

from core.twin import Kind, Truth, observe, simulate
from core.twin.radar import AMBIGUITY_MM, phase_noise, wrap_increments


def test_acquisitions_have_gaps_and_arrive_late(drawdown: Truth) -> None:
    seen = observe(drawdown)
    assert len(set(seen.epoch_day[:, 0])) > 5
    for row in range(len(drawdown.seeds)):
        used = seen.epoch_day[row] >= 0
        days = seen.epoch_day[row, used]
        assert np.all(np.diff(days) % 12 == 0)
        assert np.sum(np.diff(days) >= 24) >= 1
        latency = seen.arrival_day[row, used] - days
        assert latency.min() >= 1
        assert latency.max() <= 7
        assert np.all(seen.arrival_day[row, ~used] == -1)
        assert np.isnan(seen.los_mm[row, ~used]).all()
        assert np.isfinite(seen.los_mm[row, used]).all()
        assert np.all(seen.los_mm[row, 0] == 0)
    share = (seen.epoch_day >= 0).mean()
    assert 0.88 < share < 0.94
    latency = (seen.arrival_day - seen.epoch_day)[seen.epoch_day >= 0]
    assert np.mean(latency <= 3) > 0.85


def test_six_day_repeat_doubles_the_epochs(drawdown: Truth) -> None:
    six = (observe(drawdown, repeat_days=6).epoch_day >= 0).sum()
    assert six == pytest.approx(2 * (observe(drawdown).epoch_day >= 0).sum(), rel=0.05)


def test_the_gauge_misses_and_errs_without_bias(drawdown: Truth) -> None:
    gauge = observe(drawdown).gauge_mm
    wet = drawdown.rain_mm > 0
    assert np.all(gauge[~wet] == 0)
    assert np.mean(gauge[wet] == 0) == pytest.approx(0.2, abs=0.01)
    ratio = np.log(gauge[gauge > 0] / drawdown.rain_mm[gauge > 0])
    assert ratio.std() == pytest.approx(0.5, rel=0.02)
    assert gauge.sum() / drawdown.rain_mm.sum() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("sigma_mm", [3.0, 5.0])
def test_white_noise_is_what_it_says(drawdown: Truth, sigma_mm: float) -> None:
    noisy = observe(drawdown, noise="white", sigma_mm=sigma_mm)
    clean = observe(drawdown, noise="white", sigma_mm=0.0)
    used = noisy.epoch_day >= 0
    np.testing.assert_array_equal(noisy.epoch_day, clean.epoch_day)
    error = noisy.los_mm - clean.los_mm
    spread = np.sqrt(np.nanmean(np.nanvar(error, axis=1, ddof=1)))
    # The first epoch's error is the offset of the whole series, so it adds no scatter of its own.
    assert spread == pytest.approx(sigma_mm, rel=0.03)
    assert np.all(noisy.sigma_mm[used] == sigma_mm)


def test_without_noise_and_wrapping_the_radar_sees_the_projection(drawdown: Truth) -> None:
    clean = observe(drawdown, noise="white", sigma_mm=0.0)
    checked = 0
    for row in range(len(drawdown.seeds)):
        used = clean.epoch_day[row] >= 0
        first_loss = int(clean.wrapped[row].argmax()) if clean.wrapped[row].any() else used.sum()
        days = clean.epoch_day[row, used][:first_loss]
        motion = drawdown.displacement_mm[row, days] - drawdown.displacement_mm[row, days[0]]
        expected = motion * drawdown.los_factor[row]
        np.testing.assert_allclose(clean.los_mm[row, : len(days)], expected, atol=1e-9)
        checked += len(days)
    assert checked > 1000


@given(arrays(np.float64, (12, 6), elements=st.floats(-500, 500)))
def test_wrapped_increments_stay_within_a_quarter_wave(motion: np.ndarray) -> None:
    seen, lost = wrap_increments(motion)
    steps = np.diff(seen, axis=0)
    assert np.all(steps <= AMBIGUITY_MM / 2 + 1e-9)
    assert np.all(steps > -AMBIGUITY_MM / 2 - 1e-9)
    cycles = (motion - seen) / AMBIGUITY_MM
    np.testing.assert_allclose(cycles, np.rint(cycles), atol=1e-9)
    assert not lost[0]
    slow = np.abs(np.diff(motion, axis=0)).max(axis=1) < AMBIGUITY_MM / 2
    assert not np.any(lost[1:] & slow)
    np.testing.assert_array_equal(lost[1:], (np.diff(cycles, axis=0).round() != 0).any(axis=1))


def test_a_flank_of_several_pixels_carries_more_motion(drawdown: Truth) -> None:
    share = [observe(drawdown, flank_pixels=pixels).wrapped.mean() for pixels in (1, 2, 3)]
    assert share[0] > share[1] >= share[2]
    motion = np.array([[0.0], [20.0], [80.0]])
    seen, lost = wrap_increments(motion, flank_pixels=2)
    np.testing.assert_allclose(seen[:, 0], [0.0, 20.0, 80.0 - 2 * AMBIGUITY_MM])
    assert lost.tolist() == [False, False, True]


def test_a_quarter_wave_itself_is_not_wrapped() -> None:
    motion = np.array([[0.0], [AMBIGUITY_MM / 2], [0.0]])
    seen, _ = wrap_increments(motion)
    np.testing.assert_allclose(seen[:, 0], [0.0, AMBIGUITY_MM / 2, AMBIGUITY_MM])


def test_failures_run_past_the_limit_of_c_band() -> None:
    truth = simulate(range(40), Kind.FAILING, runaway_family="weakening")
    seen = observe(truth)
    lost = [
        seen.wrapped[row][seen.epoch_day[row] >= truth.failure_day[row] - 30].any()
        for row in np.flatnonzero(truth.failure_day >= 0)
    ]
    assert np.mean(lost) > 0.8


@pytest.mark.parametrize("coherence", [0.2, 0.5, 0.8, 0.95])
def test_single_look_phase_noise_has_the_theoretical_spread(coherence: float) -> None:
    drawn = phase_noise(np.random.default_rng(1), np.full(200_000, coherence), looks=1.0)
    arc = np.arcsin(coherence)
    variance = np.pi**2 / 3 - np.pi * arc + arc**2 - spence(1 - coherence**2) / 2
    assert drawn.std() == pytest.approx(np.sqrt(variance), rel=0.03)
    assert np.abs(drawn).max() <= np.pi


@pytest.mark.parametrize("coherence", [0.15, 0.4, 0.75])
@pytest.mark.parametrize("looks", [2.0, 5.0, 20.0])
def test_multilook_phase_noise_has_the_theoretical_spread(coherence: float, looks: float) -> None:
    """The density of Lee et al. (1994), integrated over the cycle."""
    drawn = phase_noise(np.random.default_rng(2), np.full(100_000, coherence), looks)
    phase = np.linspace(-np.pi, np.pi, 4001)
    beta = coherence * np.cos(phase)
    share = (1 - coherence**2) ** looks
    density = share / (2 * np.pi) * hyp2f1(looks, 1.0, 0.5, beta**2)
    scale = gamma(looks + 0.5) / (2 * np.sqrt(np.pi) * gamma(looks))
    density += share * scale * beta / (1 - beta**2) ** (looks + 0.5)
    assert np.trapezoid(density, phase) == pytest.approx(1.0, abs=1e-6)
    spread = np.sqrt(np.trapezoid(density * phase**2, phase))
    assert drawn.std() == pytest.approx(spread, rel=0.03)


def test_many_looks_reach_the_bound() -> None:
    drawn = phase_noise(np.random.default_rng(1), np.full(100_000, 0.7), looks=40.0)
    assert drawn.std() == pytest.approx(np.sqrt((1 - 0.49) / (2 * 40 * 0.49)), rel=0.03)


def test_radar_noise_is_shared_by_the_unit_and_seasonal(drawdown: Truth) -> None:
    radar, clean = observe(drawdown), observe(drawdown, noise="white", sigma_mm=0.0)
    used = radar.epoch_day >= 0
    error = radar.los_mm - clean.los_mm
    error = (error - np.nanmean(error, axis=1, keepdims=True))[used]
    shared = error.mean(axis=1)
    shared_sd = shared.std()
    own_sd = (error - shared[:, None]).std()
    stated = np.sqrt(np.mean(radar.sigma_mm[used] ** 2))
    assert 1.5 < shared_sd < 6.0
    assert stated < np.sqrt(shared_sd**2 + own_sd**2)
    assert 0.8 < stated < 5.0
    season = np.cos(2 * np.pi * (radar.epoch_day[used] - 196) / 365)
    by_height = error[:, 5] - error[:, 0]
    assert np.corrcoef(season, by_height)[0, 1] > 0.15


def test_every_wrong_request_is_refused(drawdown: Truth) -> None:
    with pytest.raises(ValueError, match="cannot observe"):
        observe(drawdown, noise="pink")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot observe"):
        observe(drawdown, repeat_days=3)
    with pytest.raises(ValueError, match="cannot observe"):
        observe(drawdown, flank_pixels=0)
