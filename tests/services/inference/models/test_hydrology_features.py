import numpy as np
import pytest

from services.inference.known import Drivers
from services.inference.numerics import hydrology as hy

DAYS = 900


def drivers(rain=None, level=None, issued_from=DAYS):
    rng = np.random.default_rng(0)
    rain = rng.gamma(0.3, 12.0, (DAYS, 2)) if rain is None else rain
    level = 160.0 + rng.normal(0, 0.3, (DAYS, 2)).cumsum(axis=0) if level is None else level
    issued = np.repeat((np.arange(DAYS) >= issued_from)[:, None], rain.shape[1], axis=1)
    return Drivers(0, rain, level, issued, issued.copy())


@pytest.mark.parametrize("mean", [*hy.RAIN_MEANS_D, *hy.LEVEL_MEANS_D])
@pytest.mark.parametrize("filtered", [hy.exponential_filter, hy.gamma_filter])
def test_filters_keep_the_sum_and_have_the_mean_lag_they_name(filtered, mean):
    pulse = np.zeros((1200, 1))
    pulse[0] = 1.0
    response = filtered(pulse, mean, np.zeros(1))[:, 0]
    assert response.sum() == pytest.approx(1.0, abs=1e-6)
    assert (response * np.arange(1200)).sum() == pytest.approx(mean, rel=1e-4)


def test_a_feature_of_a_day_knows_nothing_later():
    given = drivers()
    changed = drivers(given.rain_mm.copy(), given.level_m.copy())
    changed.rain_mm[600:], changed.level_m[600:] = 80.0, 175.0
    assert np.array_equal(hy.daily(given)[:600], hy.daily(changed)[:600])
    assert not np.array_equal(hy.daily(given)[600:], hy.daily(changed)[600:])


def test_a_steady_world_has_steady_features():
    rain, level = np.full((DAYS, 1), 4.0), np.full((DAYS, 1), 160.0)
    daily = dict(zip(hy.FEATURES, hy.daily(drivers(rain, level))[:, 0].T, strict=True))
    for name in hy.FEATURES[1:10]:
        assert daily[name] == pytest.approx(1.0 if name.startswith("rain") else 0.0, abs=1e-12)
    assert (daily["steady"] == 1).all()


def test_a_falling_level_leaves_water_behind():
    level = (175.0 - 0.5 * np.arange(DAYS))[:, None]
    daily = dict(
        zip(hy.FEATURES, hy.daily(drivers(np.zeros((DAYS, 1)), level))[-1, 0], strict=True)
    )
    for mean in hy.LEVEL_MEANS_D:
        assert daily[f"deficit_{mean:.0f}d"] == pytest.approx(0.5 * mean / hy.DEFICIT_SCALE_M)
    assert daily["level_change"] == pytest.approx(-0.5 / hy.CHANGE_SCALE_M)


def test_unknown_rain_is_the_climate_of_the_observed_days_alone():
    season = 5.0 + 4.0 * np.cos(2 * np.pi * np.arange(DAYS) / hy.YEAR_D)
    rain = np.repeat(season[:, None], 2, axis=1)
    rain[850:, 0] = np.nan
    rain[840:850, 0] = 1000.0
    got = hy.fill_rain(drivers(rain, issued_from=840))
    assert got[850:, 0] == pytest.approx(season[850:], abs=0.2)
    assert np.array_equal(got[:850], rain[:850])


def test_an_unknown_level_is_held():
    level = np.linspace(150.0, 170.0, DAYS)[:, None].repeat(2, axis=1)
    level[:10, 0], level[500:510, 0], level[880:, 0] = np.nan, np.nan, np.nan
    level[:, 1] = np.nan
    got = hy.fill_level(drivers(np.zeros((DAYS, 2)), level))
    assert (got[:10, 0] == level[10, 0]).all()
    assert (got[500:510, 0] == level[499, 0]).all()
    assert (got[880:, 0] == level[879, 0]).all()
    assert (got[:, 1] == 0).all()
    assert np.isfinite(hy.daily(drivers(np.full((DAYS, 2), np.nan), level))).all()


def test_it_says_how_much_was_filled():
    given = drivers()
    given.rain_mm[750:810, 0] = np.nan
    given.level_m[870 - 15 :, 1] = np.nan
    said = hy.filled(given, DAYS - 31)
    assert said.rain_past == pytest.approx([60 / 120, 0.0])
    assert said.level_past == pytest.approx([0.0, 15 / 120])
    assert said.rain_ahead == pytest.approx([0.0, 0.0])
    assert said.level_ahead == pytest.approx([0.0, 1.0])
