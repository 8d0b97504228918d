"""Forecasts whose answer is known, and standard deviations that must be honest."""

import numpy as np
import pytest

from core import plugins
from services.inference.model import MODELS
from services.inference.numerics import hydrology, recent

DAY = 1300
AHEAD = np.arange(31)


def forecast(name, history, day=DAY, **settings):
    module = plugins.load(MODELS, name)
    model = module.open(module.Settings(**settings))
    return model.forecast(model.fit(history, day), history.known(day))


def expected(rate_mm_d, history, day=DAY):
    moved = np.cumsum(rate_mm_d)
    return moved[day : day + 31] - moved[history.epoch_day[0, 0]]


@pytest.mark.parametrize("name", ["linear", "persistence_rate", "last_year"])
def test_a_steady_series_is_continued_exactly(name, make_history):
    rate = np.full(1400, -0.25)
    history = make_history(rate)
    path = forecast(name, history)
    assert path.displacement_mm == pytest.approx(
        np.repeat(expected(rate, history)[:, None], 2, 1), abs=1e-9
    )


@pytest.mark.parametrize("name", ["kalman", "harmonic", "transfer", "kalman_transfer"])
def test_a_steady_series_is_continued_nearly(name, make_history):
    rate = np.full(1400, -0.25)
    history = make_history(rate)
    path = forecast(name, history)
    assert path.displacement_mm == pytest.approx(
        np.repeat(expected(rate, history)[:, None], 2, 1), abs=0.3
    )
    assert (path.sd_mm < 3.0).all()


def test_persistence_stays_where_the_slope_was_last_seen(make_history):
    history = make_history(np.full(1400, 0.3))
    path = forecast("persistence", history)
    last = history.known(DAY).los_mm[-1]
    assert (path.displacement_mm == last).all()
    away = np.abs(path.displacement_mm[:, 0] - expected(np.full(1400, 0.3), history))
    assert path.sd_mm[[12, 24], 0] == pytest.approx(away[[12, 24]], rel=0.4)
    assert (np.diff(path.sd_mm, axis=0) > -1e-9).all()


@pytest.mark.parametrize("pairs", [1, 3])
def test_the_rate_is_taken_over_the_pairs_asked_for(pairs, make_history):
    history = make_history(0.0)
    history.los_mm[:, 0] = np.where(np.arange(len(history.los_mm)) % 2 == 0, 0.0, 6.0)
    known = history.known(DAY)
    path = forecast("persistence_rate", history, pairs=pairs)
    day, shown = known.epoch_day[:, 0], known.los_mm[:, 0]
    rate = (shown[-1] - shown[-1 - pairs]) / (day[-1] - day[-1 - pairs])
    assert path.displacement_mm[:, 0] == pytest.approx(
        shown[-1] + rate * (DAY + AHEAD - day[-1]), abs=1e-9
    )


def test_a_line_does_not_follow_outliers(make_history):
    rate = np.full(1400, 0.2)
    history = make_history(rate)
    clean = expected(rate, history)
    history.los_mm[-22::5] += 60.0
    path = forecast("linear", history)
    assert path.displacement_mm[:, 0] == pytest.approx(clean, abs=3.0)


def test_last_year_is_repeated(make_history):
    rate = 0.2 + 0.6 * np.cos(2 * np.pi * np.arange(1400) / 365.0)
    history = make_history(rate)
    path = forecast("last_year", history)
    assert path.displacement_mm[:, 0] == pytest.approx(expected(rate, history), abs=2.0)


def test_a_wave_of_the_year_is_learned(make_history):
    rate = 0.2 + 0.6 * np.cos(2 * np.pi * np.arange(1400) / hydrology.YEAR_D)
    history = make_history(rate)
    path = forecast("harmonic", history)
    assert path.displacement_mm[:, 0] == pytest.approx(expected(rate, history), abs=1.0)


@pytest.mark.parametrize("name", ["transfer", "kalman_transfer"])
def test_a_known_response_to_rain_is_recovered(name, make_history):
    history = make_history(0.0, sd_mm=0.3)
    daily = hydrology.daily(history.known(1369).drivers)[:1400, 0]
    column = hydrology.FEATURES.index("rain_12d")
    rate = 0.1 + 0.8 * daily[:, column]
    rain = make_history(np.concatenate([rate, np.zeros(1400 - rate.size)]), sd_mm=0.3)
    module = plugins.load(MODELS, name)
    model = module.open(module.Settings())
    parameters = model.fit(rain, DAY)
    coefficients = parameters["coefficients"][0]
    assert coefficients[column] == pytest.approx(0.8, abs=0.12)
    others = np.delete(np.arange(1, 10), column - 1)
    assert np.abs(coefficients[others]).max() < 0.15
    path = model.forecast(parameters, rain.known(DAY))
    assert path.displacement_mm[:, 0] == pytest.approx(expected(rate, rain), abs=1.0)


def test_the_daily_rates_add_up_to_the_path(tiny_pool):
    module = plugins.load(MODELS, "kalman_transfer")
    model = module.open(module.Settings(rounds=1))
    parameters, known = model.fit(tiny_pool, DAY), tiny_pool.known(DAY)
    path, rate = model.forecast(parameters, known), model.daily_rate(parameters, known)
    assert path.displacement_mm[0] + np.cumsum(rate[1:], axis=0) == pytest.approx(
        path.displacement_mm[1:], abs=1e-9
    )


def test_hydrology_helps_and_the_sd_is_of_the_size_of_the_error(tiny_pool):
    error = {}
    for name in ("kalman", "kalman_transfer"):
        module = plugins.load(MODELS, name)
        model = module.open(module.Settings())
        parameters = model.fit(tiny_pool, 1399)
        days = range(1399, 1399 + 365, 30)
        paths = [model.forecast(parameters, tiny_pool.known(day)) for day in days]
        off = np.array(
            [p.displacement_mm - tiny_pool.target_on(d) for p, d in zip(paths, days, strict=True)]
        )
        error[name] = np.sqrt((off[:, 12] ** 2).mean())
        z = off / np.array([p.sd_mm for p in paths])
        assert 0.5 < np.sqrt((z**2).mean()) < 2.0
    assert error["kalman_transfer"] < 0.9 * error["kalman"]


def test_the_standard_deviation_grows_ahead(tiny_pool):
    for name in ("kalman", "gaussian_process"):
        sd_mm = forecast(name, tiny_pool).sd_mm
        assert (sd_mm[30] > sd_mm[0]).all()


def test_only_earlier_days_are_asked_for_and_only_few(make_history):
    history = make_history(0.1)
    for name in ("persistence", "linear", "kalman", "kalman_transfer"):
        history.asked.clear()
        module = plugins.load(MODELS, name)
        module.open(module.Settings()).fit(history, DAY)
        assert max(history.asked) == DAY
        assert len(history.asked) < 40


def test_values_between_epochs_are_linear_and_nan_outside(make_history):
    history = make_history(np.full(1400, 0.5))
    history.los_mm[50, 1] = np.nan
    known = history.known(DAY)
    days = np.array([[3.0, 3.0], [603.0, 603.0], [609.5, 600.0], [2.0, 5000.0]])
    got = recent.interpolated(known, days)
    assert got[:3] == pytest.approx(0.5 * (days[:3] - 3.0))
    assert np.isnan(got[3]).all()
