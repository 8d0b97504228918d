from __future__ import annotations

import numpy as np
import pytest

from core.evidence import Floats
from core.kalman import TrendState
from services.inference.conditioning import (
    FORECAST_DAYS,
    Named,
    Units,
    Water,
    conditioned_evidence,
    forecast_misses,
    given_to_filter,
    water_of,
)
from services.inference.numerics import hydrology
from services.inference.numerics.conditioned import (
    COEFFICIENT_SD_MM_D,
    STEADY_SD_MM_D,
    TRUST,
    WALK,
    Memory,
    Series,
    change_of,
    conditioned,
)

EPOCHS, YEARS = 110, 4
DAYS = 365 * YEARS


def rain_and_level(seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    day = np.arange(DAYS)
    wet = rng.random(DAYS) < 0.25 + 0.2 * np.cos(2 * np.pi * (day - 190) / 365)
    rain = np.where(wet, rng.gamma(0.7, 14.0, DAYS), 0.0)
    level = 160 + 13 * np.cos(2 * np.pi * day / 365) + rng.normal(0, 0.5, DAYS).cumsum() * 0.1
    return rain, level


def series_of(rate_mm_d: Floats, seed: int, noise_mm: float = 3.0) -> tuple[Units, list]:
    """Units that move at daily `rate_mm_d` (T, S), each at a place of its own."""
    rng = np.random.default_rng(seed)
    units = rate_mm_d.shape[1]
    day = np.repeat(np.arange(5, 5 + 12 * EPOCHS, 12)[:, None], units, axis=1)
    moved = np.cumsum(rate_mm_d, axis=0)[day[:, 0]] + rng.normal(0, noise_mm, (EPOCHS, units))
    begins = np.zeros(day.shape, bool)
    begins[0] = True
    waters = [water_of(0, *rain_and_level(n)) for n in range(units)]
    return Units(day, moved, np.full(moved.shape, noise_mm), begins, np.arange(units)), waters


def driven(place: int, share: Floats) -> Floats:
    """Daily rate of a slope that answers the water of `place` linearly, mm/d."""
    return np.asarray(water_of(0, *rain_and_level(place)).daily @ share)


def response(*names: str) -> Floats:
    share = np.zeros(len(hydrology.FEATURES))
    for name in names:
        share[hydrology.FEATURES.index(name)] = 0.25
    return share


def dense(epoch_day: Floats, observed: Floats, sd: float, features: Floats, cumulative: Floats):
    """Excess rate after the last epoch, its variance and the expected rate, in one stroke."""
    t = (epoch_day - epoch_day[0]).astype(float)
    k, q = float(WALK.decay), float(WALK.intensity)
    start = float(WALK.start_sd) ** 2
    steps = np.diff(t)
    size = len(t)
    transition = [np.array([[1, (1 - np.exp(-k * h)) / k], [0, np.exp(-k * h)]]) for h in steps]
    state = [np.diag([0.0, start])]
    for h, move in zip(steps, transition, strict=True):
        e = np.exp(-k * h)
        noise = np.array(
            [
                [q / k**2 * (h - 2 * (1 - e) / k + (1 - e**2) / (2 * k)), 0],
                [0, q * (1 - e**2) / (2 * k)],
            ]
        )
        noise[0, 1] = noise[1, 0] = q * ((1 - e) / k) ** 2 / 2
        state.append(move @ state[-1] @ move.T + noise)
    cross = np.zeros((size, size, 2, 2))
    for i in range(size):
        cross[i, i] = state[i]
        for j in range(i + 1, size):
            cross[j, i] = transition[j - 1] @ cross[j - 1, i]
            cross[i, j] = cross[j, i].T
    prior = np.full(cumulative.shape[1], COEFFICIENT_SD_MM_D**2)
    prior[0] = STEADY_SD_MM_D**2
    diffuse = 1e7
    shape = cumulative - cumulative[0]
    covariance = cross[:, :, 0, 0] + diffuse + (shape * prior) @ shape.T + sd**2 * np.eye(size)
    with_rate = cross[:, -1, 0, 1]
    with_mean = (shape * prior) @ features[-1]
    weights = np.linalg.solve(covariance, np.stack([with_rate, with_mean], axis=1))
    excess, expected = (observed - observed[0]) @ weights
    variance = state[-1][1, 1] - with_rate @ weights[:, 0]
    return excess, variance, expected


def test_the_filter_is_exact_least_squares() -> None:
    rate = driven(0, response("rain_25d", "deficit_20d"))[:, None] + 0.1
    units, waters = series_of(rate, seed=1)
    water = waters[0]
    rows = units.epoch_day[:, 0]
    features, cumulative = water.daily[rows][:, None], water.cumulative[rows][:, None]
    made = conditioned(
        Series(units.epoch_day, units.observed_mm, units.sd_mm, units.begins, features, cumulative)
    )
    excess, variance, expected = dense(
        rows, units.observed_mm[:, 0], 3.0, features[:, 0], cumulative[:, 0]
    )
    assert made.excess_mm_d[-1, 0] == pytest.approx(excess, abs=2e-6)
    assert made.expected_mm_d[-1, 0] == pytest.approx(expected, abs=2e-6)
    scale = _scale(made.z[1:, 0])
    assert made.excess_sd_mm_d[-1, 0] == pytest.approx(np.sqrt(variance * scale), rel=1e-4)


def _scale(z: Floats) -> float:
    """Scale s^2 after all innovations, from those standardised by the scale before each."""
    misfit, told = TRUST, TRUST
    for one in z:
        misfit += np.clip(one, -3, 3) ** 2 * misfit / told
        told += 1
    return float(misfit / told)


def test_a_unit_alone_has_the_bits_that_it_has_among_others() -> None:
    rates = np.stack([driven(n, response("rain_12d")) + 0.05 * n for n in range(5)], axis=1)
    units, waters = series_of(rates, seed=2)
    together = conditioned_evidence(units, waters)
    for n in range(5):
        one = Units(*(part[:, [n]] for part in units[:4]), np.zeros(1, np.int64))
        alone = conditioned_evidence(one, [waters[n]])
        for name, values in alone.items():
            np.testing.assert_array_equal(values[:, 0], together[name][:, n], err_msg=name)


def test_steady_motion_is_expected_however_fast() -> None:
    units, waters = series_of(np.full((DAYS, 1), 1.5), seed=3)
    said = conditioned_evidence(units, waters)
    late = slice(40, None)
    assert np.abs(said["excess_mm_d"][late]).max() < 0.25
    assert np.abs(np.mean(said["conditioned_z"][late])) < 0.25
    assert said["expected_mm_d"][late].mean() == pytest.approx(1.5, abs=0.1)


def test_an_answer_to_water_is_expected_and_a_runaway_is_not() -> None:
    usual = driven(0, response("rain_25d", "rain_50d", "deficit_45d"))
    onset = 5 + 12 * 100
    days = np.arange(DAYS)
    sudden = np.where(days >= onset, 0.02 * (days - onset), 0.0)
    for extra, out in ((0.0, False), (sudden, True)):
        units, waters = series_of((usual + extra)[:, None], seed=4)
        said = conditioned_evidence(units, waters)
        surely = said["excess_mm_d"] - 1.645 * said["excess_sd_mm_d"]
        assert (surely[40:100] > 0.15).sum() == 0
        assert bool(surely[-1, 0] > 0.15) is out


def test_what_comes_later_changes_no_bit_of_what_was_said() -> None:
    rate = driven(0, response("rain_12d"))[:, None]
    units, waters = series_of(rate, seed=5)
    before = conditioned_evidence(units, waters)
    cut = 70
    observed = units.observed_mm.copy()
    observed[cut:] += 500
    rain, level = rain_and_level(0)
    last = int(units.epoch_day[cut - 1, 0])
    rain[last + 1 :] = 77.0
    level[last + 1 :] = 140.0
    after = conditioned_evidence(units._replace(observed_mm=observed), [water_of(0, rain, level)])
    for name in before:
        np.testing.assert_array_equal(before[name][:cut], after[name][:cut], err_msg=name)
    assert (before["conditioned_z"][cut:] != after["conditioned_z"][cut:]).any()


def test_a_filter_that_begins_anew_takes_no_step_for_motion() -> None:
    units, waters = series_of(np.full((DAYS, 1), 0.2), seed=6)
    observed = units.observed_mm.copy()
    observed[60:] += 900.0
    begins = units.begins.copy()
    begins[60] = True
    moved = units._replace(observed_mm=observed, begins=begins)
    said = conditioned_evidence(moved, waters)
    assert np.isnan(said["conditioned_z"][60, 0])
    assert np.abs(said["excess_mm_d"][61:]).max() < 0.4
    careless = conditioned_evidence(units._replace(observed_mm=observed), waters)
    assert careless["conditioned_z"][60, 0] > 20


def test_nothing_is_said_of_epochs_without_a_measurement() -> None:
    units, waters = series_of(np.full((DAYS, 1), 0.2), seed=7)
    observed = units.observed_mm.copy()
    observed[50] = np.nan
    said = conditioned_evidence(units._replace(observed_mm=observed), waters)
    assert np.isnan(said["conditioned_z"][50, 0])
    assert np.isfinite(said["excess_mm_d"][50, 0])
    wider = said["excess_sd_mm_d"][50, 0] / said["excess_sd_mm_d"][49, 0]
    assert 1.0 < wider < 2.0


def test_no_epochs_give_nothing() -> None:
    empty = np.zeros((0, 2))
    none = np.zeros((0, 2, len(hydrology.FEATURES)))
    made = conditioned(Series(empty.astype(np.int64), empty, empty, empty.astype(bool), none, none))
    assert all(part.shape == (0, 2) for part in made)


def test_change_is_taken_over_thirty_six_days_or_the_next_longer_gap() -> None:
    day = np.array([0, 12, 24, 36, 60])[:, None]
    excess = np.array([0.0, 1.0, 2.0, 3.6, 8.0])[:, None]
    change, sd = change_of(excess, np.full(excess.shape, 0.3), day)
    assert np.isnan(change[:3]).all()
    assert change[3, 0] == pytest.approx(3.6 / 36)
    assert change[4, 0] == pytest.approx((8.0 - 2.0) / 36)
    assert sd[4, 0] == pytest.approx(0.3 * np.sqrt(2) / 36)


def test_the_series_given_to_a_filter_is_found_in_its_gains() -> None:
    days = np.array([0.0, 12.0, 24.0])[:, None]
    moved, rate = np.array([[5.0], [6.0], [8.0]]), np.array([[0.0], [0.1], [0.2]])
    gain = np.array([[np.nan], [0.5], [0.0]])
    given, begins = given_to_filter(days, moved, rate, gain)
    assert given[:2, 0].tolist() == [5.0, 7.0]
    assert np.isnan(given[2, 0])
    assert begins[:, 0].tolist() == [True, False, False]


def test_a_miss_is_measured_in_the_forecasts_own_spread() -> None:
    day = np.array([0, 12, 24, 36])[:, None]
    shape = day.shape
    states = TrendState(
        np.full(shape, 10.0),
        np.full(shape, 0.5),
        np.full(shape, 4.0),
        np.zeros(shape),
        np.full(shape, 0.01),
    )
    observed = np.array([10.0, 16.0, 22.0, 40.0])[:, None]
    begins = np.array([True, False, False, False])[:, None]
    units = Units(day, observed, np.full(shape, 3.0), begins, np.zeros(1, np.int64))
    misses = forecast_misses(units, states, 1e-3)
    assert np.isnan(misses[:2]).all()
    ahead = float(FORECAST_DAYS)
    variance = 4.0 + 0.01 * ahead**2 + 1e-3 * ahead**3 / 3 + 9.0
    assert misses[2, 0] == pytest.approx((22.0 - 22.0) / np.sqrt(variance))
    assert misses[3, 0] == pytest.approx((40.0 - 22.0) / np.sqrt(variance))


def test_no_miss_is_told_across_a_new_beginning() -> None:
    day = np.arange(0, 72, 12)[:, None]
    shape = day.shape
    zero = np.zeros(shape)
    states = TrendState(zero, zero, zero + 1.0, zero, zero + 0.01)
    begins = np.zeros(shape, bool)
    begins[[0, 3]] = True
    units = Units(day, zero + 300.0, zero + 3.0, begins, np.zeros(1, np.int64))
    misses = forecast_misses(units, states, 1e-3)[:, 0]
    assert np.isfinite(misses).tolist() == [False, False, True, False, False, True]


def test_the_scale_does_not_learn_from_a_runaway() -> None:
    units, waters = series_of(np.full((DAYS, 1), 0.2), seed=8)
    observed = units.observed_mm.copy()
    observed[-5:] += np.array([50.0, 120.0, 240.0, 400.0, 700.0])[:, None]
    said = conditioned_evidence(units._replace(observed_mm=observed), waters)
    assert (said["conditioned_z"][-5:, 0] > 5).all()


def test_a_memory_saves_work_and_changes_no_bit() -> None:
    units, waters = series_of(driven(0, response("rain_12d"))[:, None], seed=9)
    memory = Memory(most=1)

    def cut(end: int, source: Units = units) -> Units:
        return Units(*(part[:end] for part in source[:4]), source.place)

    def equal(given: Units, water: Water) -> None:
        said = conditioned_evidence(given, [water], Named(memory, "one"))
        for name, values in conditioned_evidence(given, [water]).items():
            np.testing.assert_array_equal(said[name], values, err_msg=name)

    for end in (40, 41, 60, 60, 59, 80):
        equal(cut(end), waters[0])
    revised = units.observed_mm.copy()
    revised[20] += 5.0
    equal(cut(81, units._replace(observed_mm=revised)), waters[0])
    rain, level = rain_and_level(0)
    rain[100] += 30.0
    equal(cut(82, units._replace(observed_mm=revised)), water_of(0, rain, level))
    conditioned_evidence(cut(30), waters, Named(memory, "another"))
    equal(cut(83), waters[0])
