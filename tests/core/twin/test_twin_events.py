from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from core.twin import Kind, Truth, observe, simulate
from core.twin.runaway import Ramp, draw_ramp, extra_rate, voight_prefactor
from core.twin.seeds import Purpose, site_rng

SEEDS = range(40)
DAYS = 4 * 365


@pytest.fixture(scope="module")
def quiet() -> Truth:
    return simulate(SEEDS, Kind.QUIET)


@pytest.fixture(scope="module")
def voight() -> Truth:
    return simulate(SEEDS, Kind.FAILING, runaway_family="voight")


@pytest.fixture(scope="module")
def weakening() -> Truth:
    return simulate(SEEDS, Kind.FAILING, runaway_family="weakening")


def unit_rate(truth: Truth) -> NDArray[np.float64]:
    return np.diff(truth.displacement_mm, axis=1, prepend=0.0).mean(axis=2)


def test_quiet_sites_have_no_event(quiet: Truth) -> None:
    assert np.all(quiet.onset_day == -1)
    assert np.all(quiet.failure_day == -1)
    assert np.all(quiet.runaway_family == "none")
    assert np.all(quiet.displacement_mm[:, 0] == 0)
    assert np.all(np.diff(quiet.displacement_mm, axis=1) > 0)


def test_voight_failures_come_in_the_last_year_after_a_long_quiet(voight: Truth) -> None:
    assert np.all(voight.failure_day >= DAYS - 365)
    assert np.all(voight.failure_day < DAYS)
    assert np.all(voight.onset_day >= 0.6 * DAYS)
    duration = voight.failure_day - voight.onset_day
    assert duration.min() >= 20
    assert duration.max() <= 240
    assert 0.25 < np.mean(duration <= 90) < 0.75


def test_a_voight_site_is_quiet_before_onset_and_continuous_at_it(
    quiet: Truth, voight: Truth
) -> None:
    for row, onset in enumerate(voight.onset_day):
        np.testing.assert_array_equal(
            voight.displacement_mm[row, :onset], quiet.displacement_mm[row, :onset]
        )
        extra = unit_rate(voight)[row, onset : onset + 2] - unit_rate(quiet)[row, onset : onset + 2]
        assert extra[0] == pytest.approx(0.0, abs=1e-9)
        assert 0 < extra[1] < 0.25


def test_the_ramp_obeys_its_law() -> None:
    ramp = draw_ramp(site_rng(3, Purpose.RUNAWAY), DAYS)
    assert 1.6 <= ramp.alpha <= 2.3
    rate = np.full((6, DAYS), 0.5)
    prefactor = voight_prefactor(0.5, ramp)
    velocity = 0.5 + extra_rate(rate, ramp)[1:-5]
    growth = np.diff(velocity)
    middle = np.sqrt(velocity[1:] * velocity[:-1])
    np.testing.assert_allclose(growth, prefactor * middle**ramp.alpha, rtol=0.02)


def test_inverse_velocity_is_a_line_at_alpha_two() -> None:
    ramp = Ramp(900, 100, 2.0, np.ones(6), 0.5, 10.0)
    velocity = 0.5 + extra_rate(np.full((6, DAYS), 0.5), ramp)[1:-2]
    left = 100 - np.arange(1, 98) + 0.5
    np.testing.assert_allclose(1 / velocity, 2.0 * left / 100, rtol=0.02)


@pytest.mark.parametrize("family", ["voight", "weakening"])
def test_nothing_moves_or_is_seen_after_failure(
    family: str, request: pytest.FixtureRequest
) -> None:
    truth: Truth = request.getfixturevalue(family)
    seen = observe(truth)
    for row in np.flatnonzero(truth.failure_day >= 0):
        failure = truth.failure_day[row]
        assert np.all(np.diff(truth.displacement_mm[row, failure - 1 :], axis=0) == 0)
        assert seen.epoch_day[row].max() < failure


def test_weakening_failures_emerge(quiet: Truth, weakening: Truth) -> None:
    failed = weakening.failure_day >= 0
    assert failed.mean() >= 0.9
    assert np.all(weakening.kind[failed] == Kind.FAILING)
    assert np.all(weakening.kind[~failed] == Kind.ABORTED)
    assert np.all(weakening.onset_day >= 0.6 * DAYS)
    assert np.mean(weakening.failure_day[failed] >= DAYS - 365) >= 0.95
    for row, onset in enumerate(weakening.onset_day):
        np.testing.assert_allclose(
            weakening.displacement_mm[row, :onset], quiet.displacement_mm[row, :onset]
        )
    assert unit_rate(weakening).max() <= 100
    assert np.median(unit_rate(weakening)[failed].max(axis=1)) > 50


@pytest.mark.parametrize("family", ["voight", "weakening"])
def test_aborted_ramps_speed_up_and_calm_down(family: str, quiet: Truth) -> None:
    truth = simulate(SEEDS, Kind.ABORTED, runaway_family=family)
    stopped = truth.failure_day < 0
    assert stopped.mean() >= 0.9
    extra = unit_rate(truth)[stopped] - unit_rate(quiet)[stopped]
    assert np.median(extra.max(axis=1)) > 0.5
    if family == "voight":
        assert np.all(extra[:, -1] <= extra.max(axis=1))
        assert np.median(extra[:, -1] / extra.max(axis=1)) < 0.5


def test_a_storm_step_ends() -> None:
    quiet, stepped = simulate(SEEDS, Kind.QUIET), simulate(SEEDS, Kind.STEP)
    assert np.all(stepped.failure_day == -1)
    for row, day in enumerate(stepped.onset_day):
        assert stepped.rain_mm[row, day : day + 3].sum() > 150
        before = stepped.rain_mm[row, :day]
        np.testing.assert_array_equal(before, quiet.rain_mm[row, :day])
        rate = unit_rate(stepped)[row]
        assert rate[day : day + 10].sum() > 10
        assert rate[day + 80 :].max(initial=0.0) < 0.5 * rate[day:].max()


def test_an_event_needs_two_years() -> None:
    assert simulate([1], Kind.FAILING, years=2).failure_day.shape == (1,)
    with pytest.raises(ValueError, match="too short"):
        simulate([1], Kind.FAILING, years=1)
