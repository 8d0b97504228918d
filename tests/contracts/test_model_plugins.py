"""What every forecast model keeps to; new ones are found by themselves."""

from dataclasses import replace
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest

from core import plugins
from core.errors import SettingsError
from core.settings import Tree
from core.twin.pools import SimulatedPool, forecast_pool
from services.inference.known import FURTHEST_D
from services.inference.model import MODELS
from services.scoring.forecasts.series import PoolHistory

DAY = 1300
NEEDS_TORCH = {"musenet"}

model_name = pytest.mark.parametrize("name", plugins.names(MODELS))


class Until:
    """A history that refuses to be asked for a day later than `day`."""

    first_day = 0

    def __init__(self, history, day):
        self.history, self.day = history, day

    def known(self, day):
        assert day <= self.day, f"asked for day {day}, fitted on day {self.day}"
        return self.history.known(day)


def opened(name):
    if name in NEEDS_TORCH and find_spec("torch") is None:
        pytest.skip("torch is an extra")
    module = plugins.load(MODELS, name)
    return module.open(module.Settings())


@cache
def pool() -> SimulatedPool:
    return forecast_pool("development", "white-3", 2, check=False)


@cache
def forecast_of(name, future="as it was", past="as it was"):
    """Path of a model whose record was changed after, or up to, what was known on `DAY`."""
    model, history = opened(name), PoolHistory(changed(pool(), future, past))
    parameters = model.fit(Until(history, DAY), DAY)
    return parameters, history.known(DAY), model.forecast(parameters, history.known(DAY))


def changed(simulated, future, past):
    """The pool with other epochs, rain and level after `DAY`, or before."""
    seen, issued = simulated.seen, simulated.prospects
    los, rain, level = seen.los_mm.copy(), seen.gauge_mm.copy(), seen.level_m.copy()
    ahead, plan = issued.rain_issued_mm.copy(), issued.level_known_m.copy()
    later = (seen.arrival_day > DAY) & (seen.epoch_day >= 0)
    if future == "replaced":
        los[later] = 777.0
        rain[:, DAY:], level[:, DAY:] = 55.0, 199.0
        ahead[:, DAY + 1 :], plan[:, DAY + 1 :] = 44.0, 188.0
    if past == "replaced":
        earlier = (seen.arrival_day <= DAY) & (seen.epoch_day > 0)
        los[earlier] = -0.7 * los[earlier] + np.sin(seen.epoch_day[earlier])[:, None]
    return replace(
        simulated,
        seen=replace(seen, los_mm=los, gauge_mm=rain, level_m=level),
        prospects=replace(issued, rain_issued_mm=ahead, level_known_m=plan),
    )


def test_the_models_are_found():
    assert {"persistence", "kalman", "kalman_transfer"} <= set(plugins.names(MODELS))


@model_name
def test_it_says_what_it_is(name):
    module = plugins.load(MODELS, name)
    assert len((module.__doc__ or "").strip().splitlines()) > 1
    assert (module.open.__doc__ or "").strip()


@model_name
def test_its_settings_are_described_and_unknown_ones_refused(name):
    settings = plugins.load(MODELS, name).Settings
    assert issubclass(settings, Tree)
    assert all(field.description for field in settings.model_fields.values())
    with pytest.raises(SettingsError, match="no_such_setting"):
        plugins.settings(MODELS, {"kind": name, "no_such_setting": 1})


@model_name
def test_it_has_its_name_and_says_what_it_needs(name):
    model = opened(name)
    assert model.name == name
    assert model.needs <= {"rain", "level"}


@model_name
def test_its_path_has_every_day_and_series(name):
    _, known, path = forecast_of(name)
    assert path.displacement_mm.shape == path.sd_mm.shape == (FURTHEST_D + 1, known.series)
    assert np.isfinite(path.displacement_mm).all()
    assert (path.sd_mm > 0).all()


@model_name
def test_its_parameters_travel_without_pickle(name):
    from core.artifacts import pack, unpack

    parameters, known, path = forecast_of(name)
    again = opened(name).forecast(unpack(pack(parameters)), known)
    assert np.array_equal(again.displacement_mm, path.displacement_mm)
    assert np.array_equal(again.sd_mm, path.sd_mm)


@model_name
def test_replacing_all_that_was_not_known_changes_no_bit(name):
    _, _, path = forecast_of(name)
    _, _, other = forecast_of(name, future="replaced")
    assert path.displacement_mm.tobytes() == other.displacement_mm.tobytes()
    assert path.sd_mm.tobytes() == other.sd_mm.tobytes()


@model_name
def test_replacing_the_past_changes_the_forecast(name):
    _, _, path = forecast_of(name)
    _, _, other = forecast_of(name, past="replaced")
    assert (np.abs(path.displacement_mm - other.displacement_mm) > 0.1).any(axis=0).all()


@model_name
def test_a_series_without_epochs_or_with_wild_values_harms_no_other(name):
    parameters, known, path = forecast_of(name)
    los = known.los_mm.copy()
    los[:, 0] = np.nan
    los[3::7, 1] = np.inf
    los[4::9, 1] = 1e300
    los[:-3, 2] = np.nan
    said = opened(name).forecast(parameters, replace(known, los_mm=los))
    assert np.isnan(said.displacement_mm[:, 0]).all()
    assert np.isnan(said.sd_mm[:, 0]).all()
    if name not in NEEDS_TORCH | {"boosting"}:  # these look at the slope's other series
        assert np.array_equal(said.displacement_mm[:, 3:], path.displacement_mm[:, 3:])


@model_name
def test_it_fits_a_record_of_hardly_any_epochs(name):
    model, history = opened(name), PoolHistory(pool())
    for day in (15, 40, 75):
        path = model.forecast(model.fit(Until(history, day), day), history.known(day))
        spoke = np.isfinite(path.displacement_mm)
        assert (np.isfinite(path.sd_mm) == spoke).all()
