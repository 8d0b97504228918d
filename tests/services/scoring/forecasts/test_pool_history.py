from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInputError
from core.twin import observe
from services.inference.known import Known
from services.scoring.forecasts.series import PoolHistory
from services.scoring.forecasts.units import as_units
from tests.services.scoring.forecasts.slopes import (
    Slopes,
    issued,
    slopes,
    with_other_future,
    with_other_past,
)

DAYS = st.integers(0, 7 * 365 - 31)


def same(one: Known, other: Known) -> bool:
    """Equal to the bit."""
    pairs = [
        (one.epoch_day, other.epoch_day),
        (one.los_mm, other.los_mm),
        (one.sd_mm, other.sd_mm),
        *zip(one.drivers, other.drivers, strict=True),
        *zip(one.setting, other.setting, strict=True),
    ]
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


@given(day=DAYS)
@settings(max_examples=25, deadline=None)
def test_exactly_the_arrived_epochs_are_known_in_their_order(day: int) -> None:
    pool = slopes()
    known = PoolHistory(pool).known(day)
    for series in range(known.series):
        site, point = divmod(series, 6)
        arrived = (pool.seen.arrival_day[site] <= day) & (pool.seen.epoch_day[site] >= 0)
        count = int(arrived.sum())
        np.testing.assert_array_equal(
            known.epoch_day[:count, series], pool.seen.epoch_day[site, arrived]
        )
        np.testing.assert_array_equal(
            known.los_mm[:count, series], pool.seen.los_mm[site, arrived, point]
        )
        assert np.isnan(known.los_mm[count:, series]).all()
        last = pool.seen.epoch_day[site, arrived][-1] if count else 0
        assert (known.epoch_day[count:, series] == last).all()
        assert (np.diff(known.epoch_day[:, series]) >= 0).all()


def test_an_epoch_that_was_overtaken_is_known_only_once_it_came() -> None:
    seen = slopes().seen
    late = seen.arrival_day.copy()
    late[0, 100] = late[0, 102] + 3
    pool = replace(slopes(), seen=replace(seen, arrival_day=late))
    history = PoolHistory(pool)
    before = history.known(int(late[0, 102]))
    after = history.known(int(late[0, 100]))
    own = seen.epoch_day[0, 100]
    assert own not in before.epoch_day[:, 0]
    assert seen.epoch_day[0, 102] in before.epoch_day[:, 0]
    assert own in after.epoch_day[:, 0]


def test_rain_and_level_come_a_day_late_and_the_rest_was_issued() -> None:
    pool = slopes()
    drivers = PoolHistory(pool).known(1000).drivers
    assert drivers.rain_mm.shape == (1031, 3)
    np.testing.assert_array_equal(drivers.rain_mm[:1000], pool.seen.gauge_mm[:, :1000].T)
    np.testing.assert_array_equal(drivers.level_m[:1000], pool.seen.level_m[:, :1000].T)
    np.testing.assert_array_equal(drivers.rain_mm[1000:], pool.prospects.rain_mm(1000).T)
    np.testing.assert_array_equal(drivers.level_m[1000:], pool.prospects.level_m(1000).T)
    for flags in (drivers.rain_issued, drivers.level_issued):
        assert not flags[:1000].any()
        assert flags[1000:].all()


def test_what_if_knows_the_gauges_ahead_and_true_hydrology_the_rain() -> None:
    pool = slopes()
    what_if = PoolHistory(pool, "what-if").known(1000).drivers
    true = PoolHistory(pool, "true-hydrology").known(1000).drivers
    np.testing.assert_array_equal(what_if.rain_mm, pool.seen.gauge_mm[:, :1031].T)
    np.testing.assert_array_equal(what_if.level_m, pool.seen.level_m[:, :1031].T)
    np.testing.assert_array_equal(true.rain_mm, pool.truth.rain_mm[:, :1031].T)
    operational = PoolHistory(pool).known(1000).drivers
    assert not np.array_equal(operational.rain_mm, what_if.rain_mm)
    assert not np.array_equal(operational.level_m, what_if.level_m)


@pytest.mark.parametrize("noise", ["white-3", "radar"])
def test_an_observation_is_its_target_and_an_error_without_bias(noise: str) -> None:
    pool = slopes(noise=noise)
    history = PoolHistory(pool)
    epoch_day, _, los, _ = history.epochs_until(history.days)
    there = np.maximum(epoch_day, 0)[:, history.place]
    error = los - np.take_along_axis(history.target_mm, there, axis=0)
    assert np.abs(np.nanmean(error, axis=0)).max() < 1e-9
    if noise == "white-3":
        assert np.nanstd(error) == pytest.approx(3.0, rel=0.05)
    steps = np.diff(history.target_mm, axis=0)
    downslope = pool.truth.displacement_mm[1, :, 2]
    expected = np.diff(downslope) * pool.truth.los_factor[1, 2]
    np.testing.assert_allclose(steps[:, 8], expected, atol=1e-9)


def test_cycles_lost_before_the_last_epoch_belong_to_the_series() -> None:
    whole = slopes()
    seen = observe(whole.truth, noise="white", sigma_mm=0.1, flank_pixels=1)
    site, epoch = np.argwhere(seen.wrapped)[0]
    pool = Slopes("white-0.1", whole.truth, seen, issued(seen))
    history = PoolHistory(pool)
    arrival = int(seen.arrival_day[site, epoch])
    series = slice(6 * site, 6 * site + 6)
    after = history.target_on(arrival)[:, series]
    true = history.target_mm[arrival : arrival + 31, series]
    cycles = (after - true) / 27.733
    assert np.abs(cycles).max() == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(cycles, np.rint(cycles), atol=1e-3)
    before = history.target_on(arrival - 1)[:, series]
    np.testing.assert_array_equal(before, history.target_mm[arrival - 1 : arrival + 30, series])


def test_white_noise_keeps_its_stated_sigma_and_radar_gains_atmosphere() -> None:
    white, radar = slopes(noise="white-5"), slopes()
    assert np.nanmax(np.abs(PoolHistory(white).known(900).sd_mm - 5.0)) < 1e-12
    sd = PoolHistory(radar).known(900).sd_mm
    assert np.nanmin(sd) > 3.0


@given(day=st.integers(30, 2400), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_another_future_changes_nothing_that_was_known(day: int, seed: int) -> None:
    pool = slopes()
    other = with_other_future(pool, day, np.random.default_rng(seed))
    assert same(PoolHistory(pool).known(day), PoolHistory(other).known(day))
    knowing = PoolHistory(pool, "what-if").known(day)
    assert not same(knowing, PoolHistory(other, "what-if").known(day))


def test_another_past_changes_what_was_known() -> None:
    pool = slopes()
    other = with_other_past(pool, (200, 700), np.random.default_rng(1))
    assert not same(PoolHistory(pool).known(900), PoolHistory(other).known(900))


def test_all_points_of_a_site_are_one_place_from_toe_to_ridge() -> None:
    known = PoolHistory(slopes()).known(600)
    np.testing.assert_array_equal(known.place, np.repeat([0, 1, 2], 6))
    np.testing.assert_allclose(known.setting.position[:6], np.linspace(0, 1, 6))
    assert (np.diff(known.setting.bank_distance_m.reshape(3, 6), axis=1) > 0).all()


@pytest.mark.parametrize("day", [-1, 7 * 365 - 30])
def test_a_day_without_thirty_days_ahead_is_refused(day: int) -> None:
    with pytest.raises(BadInputError, match="thirty days lie ahead"):
        PoolHistory(slopes()).known(day)


def test_an_unknown_kind_of_drivers_is_refused() -> None:
    with pytest.raises(BadInputError, match="operational"):
        PoolHistory(slopes(), "perfect")  # type: ignore[arg-type]


def test_a_unit_is_the_mean_of_its_points_and_its_noise_shrinks_no_further_than_the_delay() -> None:
    points, units = PoolHistory(slopes(2)), PoolHistory(as_units(slopes(2)))
    many, one = points.known(900), units.known(900)
    np.testing.assert_allclose(one.los_mm[:, 0], many.los_mm[:, :6].mean(axis=1))
    np.testing.assert_allclose(
        units.target_mm[:, 1], points.target_mm[:, 6:].mean(axis=1), atol=1e-9
    )
    own = np.sqrt((many.sd_mm[5, :6] ** 2 - 9.0).mean() / 6)
    np.testing.assert_allclose(one.sd_mm[5, 0], np.hypot(own, 3.0))
    assert one.setting.position.tolist() == [0.5, 0.5]
