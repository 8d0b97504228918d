"""MUSEnetC as a function of the drivers: the forecast that is served, and what drivers gave it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.errors import BadInputError
from services.inference.known import Known
from services.inference.models import kalman_transfer, musenet
from services.inference.musenet.expectation import expect
from services.inference.musenet.inputs import gather
from services.inference.numerics import hydrology
from services.understanding.basis import of_year
from services.understanding.gradients import integrated_gradients
from services.understanding.network_forecast import WINDOW_D, Asked, WholeForecast, asked
from services.understanding.network_shares import ablated, network_shares
from services.understanding.shares import rain_share_of
from tests.services.understanding.simple_slope import DAYS, SimpleSlope

torch = pytest.importorskip("torch", reason="the extra slopewatch[torch] is not installed")

from services.inference.musenet.checkpoint import WEIGHTS, read_ensemble  # noqa: E402
from services.inference.musenet.network import MUSEnetC  # noqa: E402

DAY = 5 * 365


@pytest.fixture(scope="module")
def networks() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield read_ensemble(WEIGHTS, "default")
    torch.set_num_threads(before)


class Issue:
    """One issue day of the simple slope."""

    def __init__(self, slope: SimpleSlope, day: int = DAY) -> None:
        base = kalman_transfer.open(kalman_transfer.Settings(rounds=1))
        self.parameters = base.fit(slope, 4 * 365)
        self.known: Known = slope.known(day)
        self.base = expect(base, self.parameters, self.known)
        self.question: Asked = asked(self.known, self.base)


@pytest.fixture(scope="module")
def issue(slope: SimpleSlope) -> Issue:
    return Issue(slope)


def tensors(windows: Any) -> list[Any]:
    return [torch.from_numpy(np.ascontiguousarray(part)) for part in windows]


def told(known: Known, question: Asked) -> Known:
    """The same where drivers of the window are the usual ones."""
    now = known.day - known.drivers.first_day
    rows = slice(now - 119, now + 31)
    rain = hydrology.fill_rain(known.drivers).copy()
    level = hydrology.fill_level(known.drivers).copy()
    rain[rows], level[rows] = question.usual.rain_mm[:1].T, question.usual.level_m[:1].T
    return replace(known, drivers=known.drivers._replace(rain_mm=rain, level_m=level))


def test_with_the_drivers_as_told_it_is_the_forecast_that_is_served(
    networks: Any, issue: Issue
) -> None:
    path = musenet.MUSEnet(read_ensemble(WEIGHTS, "default"))
    served = path.forecast(issue.parameters, issue.known).displacement_mm
    ours = WholeForecast(networks, issue.question)(*tensors(issue.question.drivers)).numpy()
    np.testing.assert_allclose(ours, served[30] - served[0], atol=1e-3)


def test_other_drivers_reach_the_network_as_a_record_of_them_would(
    networks: Any, issue: Issue
) -> None:
    usual = issue.question.usual
    fall = np.where(np.arange(WINDOW_D) < 60, 0.0, -9.0)  # in one day: more than is told
    question = issue.question._replace(usual=usual._replace(level_m=usual.level_m + fall))
    forecast = WholeForecast(networks, question)
    other = told(issue.known, question)
    features = hydrology.daily(other.drivers)
    now = other.day - other.drivers.first_day
    wet, ahead = forecast._expected(*tensors(question.usual))
    np.testing.assert_allclose(wet[0], features[now : now + 31, 0, 1:10], atol=1e-9)
    rate = features[now : now + 31, 0] @ issue.base.coefficients
    was = issue.base.features[now : now + 31, 0] @ issue.base.coefficients
    np.testing.assert_allclose(
        ahead.numpy().T - question.ahead_mm.T, np.cumsum((rate - was)[1:], axis=0), atol=1e-9
    )
    shown = gather(other, issue.base._replace(features=features))
    rain, level = tensors(question.usual)
    np.testing.assert_allclose(forecast._rain_steps(rain)[0], shown.rain[0], atol=1e-9)
    off = (forecast._level_steps(level)[0].numpy() - shown.level[0]).reshape(WINDOW_D, 3)
    # The record's own mean level moves a little with the window, the same on every day.
    np.testing.assert_allclose(off - off[0], 0.0, atol=1e-9)
    np.testing.assert_allclose(off[0], [0.0, 0.0, 0.0], atol=0.05)
    filtered = shown.statics[:, 7 : 7 + 27]
    np.testing.assert_allclose(forecast._shown(wet, ahead)[:, 7 : 7 + 27], filtered, atol=1e-9)


def test_contributions_add_up_to_the_change_of_the_forecast(networks: Any, issue: Issue) -> None:
    question = issue.question
    forecast = WholeForecast(networks, question)
    given = integrated_gradients(forecast, question.drivers, question.usual, steps=96)
    change = (forecast(*tensors(question.drivers)) - forecast(*tensors(question.usual))).numpy()
    assert np.abs(change).max() > 0.5
    assert given.rain.shape == given.level.shape == (3, WINDOW_D)
    added = given.rain.sum(axis=1) + given.level.sum(axis=1)
    np.testing.assert_allclose(added, change, atol=1e-3 * max(1.0, np.abs(change).max()))


def test_where_the_network_says_nothing_contributions_are_those_of_the_expectation(
    networks: Any, issue: Issue
) -> None:
    question = issue.question
    silent = WholeForecast([MUSEnetC(networks[0].shape)], question)
    given = integrated_gradients(silent, question.drivers, question.usual, steps=1)
    np.testing.assert_allclose(given.missing, 0.0, atol=1e-9)
    rain, level = tensors(question.drivers)
    no_rain, no_level = tensors(question.usual)
    both = silent(rain, level)
    np.testing.assert_allclose(given.rain.sum(axis=1), (both - silent(no_rain, level)), atol=1e-9)
    np.testing.assert_allclose(given.level.sum(axis=1), (both - silent(rain, no_level)), atol=1e-9)


def test_ablation_of_drivers_as_usual_changes_nothing(networks: Any, issue: Issue) -> None:
    usual = issue.question._replace(usual=issue.question.drivers)
    np.testing.assert_array_equal(ablated(WholeForecast(networks, usual), usual), 0.0)
    off = ablated(WholeForecast(networks, issue.question), issue.question)
    assert np.abs(off).min(axis=1).max() > 0
    assert np.isfinite(rain_share_of(*(off**2))).all()


def test_nothing_later_than_the_issue_day_is_used(slope: SimpleSlope, issue: Issue) -> None:
    other = SimpleSlope()
    other.rain_mm[DAY:], other.level_m[DAY:] = 999.0, -50.0
    other.los_mm[other.epoch_day > DAY - 2] = 1e6
    again = Issue(other)
    for left, right in zip(issue.question, again.question, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_day_of_the_year_that_was_hardly_seen_takes_its_neighbour() -> None:
    values = np.arange(365.0)[:, None]
    assert of_year(values, 0, np.array([365])) == 364.0
    assert of_year(values, 0, np.array([370]))[0, 0] in (4.0, 5.0)


def test_forecasts_of_a_slope_answer_to_what_moves_it(slope: SimpleSlope, networks: Any) -> None:
    found = network_shares(slope, DAYS - 1, every_d=60, steps=4)
    assert len(found.issue_days) == 13
    for share in (found.ablation, found.gradients):
        assert share[0] > 0.6
        assert share[2] < 0.4
        assert share[0] > share[1] > share[2]
    assert (found.missing_mm < 0.05).all()


def test_a_short_record_is_refused(slope: SimpleSlope) -> None:
    with pytest.raises(BadInputError, match="issue days after the first two years are too few"):
        network_shares(slope, 850)
