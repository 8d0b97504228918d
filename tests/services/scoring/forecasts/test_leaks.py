"""The ways in which forecasts have been scored on what they could not have known, one test each.

Atmospheric filters, re-inverted series and points selected on the whole stack are not met here: a
pool's epochs are what had been processed when they arrived.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import pytest

from core import plugins
from core.twin import SEED_RANGES
from core.twin.pools import forecast_pool
from core.twin.pools.plan import load_frozen, role_plan
from services.inference.known import Known
from services.inference.model import HORIZONS_D, MODELS, Model, Parameters, Path
from services.scoring.forecasts.folds import folds
from services.scoring.forecasts.issue import issue
from services.scoring.forecasts.models import Field, field
from services.scoring.forecasts.series import PoolHistory
from tests.services.scoring.forecasts.slopes import (
    Slopes,
    slopes,
    with_other_future,
)

ORIGIN, DAY = 1000, 1060


@cache
def opened_or_not(name: str) -> Field:
    return field((name,))


def opened(name: str) -> Model:
    if name == "musenet" and find_spec("torch") is None:
        pytest.skip("torch is an extra")
    found = opened_or_not(name)
    assert not found.absent
    return found.models[0]


class Answer(NamedTuple):
    """Of the untouched pool."""

    parameters: Parameters
    path: Path


@cache
def pool() -> Slopes:
    return slopes(2)


@cache
def answer(name: str) -> Answer:
    history, model = PoolHistory(pool()), opened(name)
    parameters = model.fit(history, ORIGIN)
    return Answer(parameters, model.forecast(parameters, history.known(DAY)))


def bits(parameters: Parameters) -> dict[str, bytes]:
    return {name: np.asarray(value).tobytes() for name, value in parameters.items()}


@pytest.mark.parametrize("name", plugins.names(MODELS))
def test_another_future_changes_no_bit_of_the_parameters(name: str) -> None:
    model, before = opened(name), answer(name)
    other = PoolHistory(with_other_future(pool(), ORIGIN, np.random.default_rng(8)))
    assert bits(model.fit(other, ORIGIN)) == bits(before.parameters)


@pytest.mark.parametrize("name", plugins.names(MODELS))
def test_another_plan_changes_a_forecast_that_reads_drivers_and_no_other(name: str) -> None:
    model, before = opened(name), answer(name)
    wet, low = dict(pool().prospects.rain), dict(pool().prospects.level)
    wet[DAY] = wet[DAY] + 60.0
    low[DAY] = low[DAY] - np.linspace(0, 25, 31)
    told = replace(pool().prospects, rain=wet, level=low)
    known = PoolHistory(replace(pool(), prospects=told)).known(DAY)
    path = model.forecast(before.parameters, known)
    unmoved = np.array_equal(path.displacement_mm, before.path.displacement_mm, equal_nan=True)
    assert unmoved == (not model.needs)


def test_inputs_are_measured_epochs_and_never_interpolated() -> None:
    known = PoolHistory(pool()).known(DAY)
    for series in range(known.series):
        measured = np.isfinite(known.los_mm[:, series])
        site = known.place[series]
        days = known.epoch_day[measured, series]
        assert np.isin(days, pool().seen.epoch_day[site]).all()
        assert np.unique(days).size == days.size
        assert np.diff(days).min() >= 12


def test_an_epoch_is_no_input_before_it_arrives() -> None:
    history = PoolHistory(pool())
    epoch, arrival, _, _ = history.epochs_until(history.days)
    row = int(np.searchsorted(epoch[:, 0], ORIGIN))
    day, came = int(epoch[row, 0]), int(arrival[row, 0])
    assert came > day
    for asked_on in range(day, came):
        assert day not in history.known(asked_on).epoch_day[:, 0]
    assert day in history.known(came).epoch_day[:, 0]


def test_past_epochs_never_change_their_values() -> None:
    history = PoolHistory(pool())
    early, late = history.known(ORIGIN), history.known(ORIGIN + 700)
    for series in (0, 7, 11):
        then = dict(zip(late.epoch_day[:, series], late.los_mm[:, series], strict=True))
        for day, value in zip(early.epoch_day[:, series], early.los_mm[:, series], strict=True):
            assert np.isnan(value) or then[day] == value


def test_drivers_ahead_are_what_had_been_issued_on_that_day() -> None:
    frozen = forecast_pool("development", "radar", 2)
    for day in (1399, 1700):
        drivers = PoolHistory(frozen).known(day).drivers
        np.testing.assert_array_equal(drivers.rain_mm[day:], frozen.prospects.rain_mm(day).T)
        np.testing.assert_array_equal(drivers.level_m[day:], frozen.prospects.level_m(day).T)
        assert not np.array_equal(drivers.rain_mm[day:], frozen.seen.gauge_mm[:, day : day + 31].T)


def test_forecasts_differ_where_the_future_is_known() -> None:
    frozen = forecast_pool("development", "radar", 2)
    model = opened("transfer")
    operational = issue(model, PoolHistory(frozen), folds()[:1], 180)
    what_if = issue(model, PoolHistory(frozen, "what-if"), folds()[:1], 180)
    assert not np.array_equal(operational.displacement_mm, what_if.displacement_mm)


def test_all_points_of_a_site_are_on_one_side_and_no_seed_is_on_two() -> None:
    seeds = {
        role: set(role_plan(load_frozen(), role).seeds)
        for role in ("training", "development", "test", "events")
    }
    for one, other in (("training", "development"), ("training", "test"), ("development", "test")):
        assert not seeds[one] & seeds[other]
    assert seeds["test"] <= set(SEED_RANGES["test"])
    assert (seeds["training"] | seeds["development"]) <= set(SEED_RANGES["development"])
    families = {role: set(role_plan(load_frozen(), role).hydrology_family) for role in seeds}
    assert families["training"] == families["development"] == {"diffusion"}
    assert families["test"] == {"diffusion", "buckets"}


def test_the_split_is_by_arrival_with_parameters_that_stand_still() -> None:
    fits, asked_on = [], []

    class Notes:
        name = "notes"
        needs: frozenset[str] = frozenset()

        def fit(self, history: PoolHistory, day: int) -> Parameters:
            fits.append(day)
            known = history.known(day)
            return {"last": known.epoch_day.max(initial=0)}

        def forecast(self, parameters: Parameters, known: Known) -> Path:
            asked_on.append((int(parameters["last"]), int(known.epoch_day.max()), known.day))
            return Path(np.zeros((31, known.series)), np.ones((31, known.series)))

    issue(Notes(), PoolHistory(pool()), folds(), 60)  # type: ignore[arg-type]
    for last, carried, day in asked_on:
        origin = max(fold for fold in fits if fold <= day)
        assert last <= origin
        assert carried <= day
    assert any(carried > last for last, carried, _ in asked_on)


def test_the_furthest_horizon_lies_within_the_record() -> None:
    last = folds()[-1].issue_days()[-1]
    assert last + max(HORIZONS_D) < 7 * 365
