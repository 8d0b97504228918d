"""True lags and shares of the twin, and how estimates are scored against them."""

from __future__ import annotations

import numpy as np
import pytest

from core.lags import lag_days
from core.twin import Kind, simulate
from core.twin.pools import forecast_pool
from services.scoring.attribution import (
    LagScore,
    lag_margins,
    rates_of,
    reservoir_lags,
    score_bands,
    score_lags,
    spearman,
    true_lags,
    true_rain_share,
)
from services.scoring.forecasts.series import PoolHistory
from services.understanding.along_slope import along_slope
from services.understanding.lagmap import LagMap, Lags, lag_map
from services.understanding.network_shares import network_shares
from services.understanding.shares import driver_shares

NOTHING = np.zeros(4)


def lags(found: list[float], reach: float = 2.0, correlation: float = 0.5) -> Lags:
    middle = np.array(found)
    return Lags(middle, middle - reach, middle + reach, np.full(len(found), correlation))


def test_lags_are_scored_where_there_are_any() -> None:
    true = np.array([10.0, 12.0, 60.0, 5.0])
    score = score_lags(lags([11.0, 20.0, 60.0, np.nan]), true, np.array([True, True, True, True]))
    assert score == LagScore(3, 1.0, pytest.approx(2 / 3), 4.0, pytest.approx(1 / 3), 1.0)
    assert score_lags(lags([11.0, 20.0, 60.0, 1.0]), true, np.arange(4) == 1).covered == 0.0


def test_margins_make_four_of_five_intervals_cover() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(20, 5, 400)
    bare = Lags(np.full(400, 20.0), np.full(400, 19.0), np.full(400, 21.0), np.zeros(400))
    found = LagMap(bare, bare, bare, ("",) * 400)
    half = np.arange(400) < 200
    margin = lag_margins(found, dict.fromkeys(("rain", "drawdown", "level"), true), half)["rain"]
    inside = np.abs(true - 20) <= 1 + margin
    assert inside[half].mean() >= 0.8
    assert inside[~half].mean() == pytest.approx(0.8, abs=0.08)


def test_the_lag_behind_the_reservoir_is_that_of_what_is_followed() -> None:
    found = LagMap(
        lags([1.0, 1.0]), lags([5.0, 5.0], correlation=0.4),
        Lags(np.full(2, 30.0), NOTHING[:2], NOTHING[:2], np.array([0.2, 0.9])), ("", ""),
    )  # fmt: skip
    np.testing.assert_array_equal(found.follows_level, [False, True])
    np.testing.assert_array_equal(found.reservoir().lag_d, [5.0, 30.0])
    true = {"drawdown": np.array([6.0, 7.0]), "level": np.array([33.0, 34.0])}
    np.testing.assert_array_equal(reservoir_lags(found, true), [6.0, 34.0])


def test_spearman_knows_ranks_ties_and_nothing() -> None:
    assert spearman(np.array([1.0, 2, 3]), np.array([10.0, 20, 900])) == pytest.approx(1.0)
    assert spearman(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1.0)
    assert np.isnan(spearman(np.ones(3), np.arange(3.0)))


def test_bands_hold_their_points_and_a_perfect_estimate_gains() -> None:
    rng = np.random.default_rng(1)
    distance = np.tile(np.array([60.0, 160, 270, 380, 480, 590]), (30, 1))
    distance += rng.uniform(0, 20, distance.shape)
    true = np.clip(distance / 800 + rng.normal(0, 0.2, (30, 1)), 0, 1)
    rough = true + rng.normal(0, 0.3, true.shape)
    bands = score_bands(true, rough, true, distance)
    assert [band.series for band in bands] == [30, 90, 60, 180]
    for band in bands:
        assert band.pooled == pytest.approx(1.0)
        assert band.each < 1.0
        assert band.gain_low <= 1 - band.distance <= band.gain_high
    assert bands[-1].distance > 0.5


def test_true_lags_are_those_of_the_daily_rate() -> None:
    truth = simulate(range(2), Kind.QUIET, years=4)
    found = true_lags(truth, 1200)
    rate = np.diff(truth.displacement_mm[1, :1200, 5])
    assert found["rain"].shape == (12,)
    wanted = lag_days(truth.rain_mm[1, :1200], np.concatenate([rate[:1], rate]))
    assert found["rain"][11] == wanted
    np.testing.assert_allclose(
        rates_of(truth)[:, :, 1:].sum(axis=2), truth.displacement_mm[:, -1], atol=1e-6
    )


def test_true_shares_rise_with_the_distance_from_the_bank() -> None:
    truth = simulate(range(12), Kind.QUIET, years=4, drainage="drawdown")
    share = true_rain_share(truth)
    assert np.median(share[:, 0]) < 0.2
    assert np.median(share[:, 5]) > 0.7
    assert np.all(np.diff(np.median(share, axis=0)) > 0)


def test_events_have_no_counterfactual() -> None:
    truth = simulate([1], Kind.FAILING, years=3)
    with pytest.raises(ValueError, match="quiet"):
        true_rain_share(truth)


def _estimate(sites: int) -> tuple[PoolHistory, LagMap, np.ndarray]:
    history = PoolHistory(forecast_pool("development", "radar", sites))
    known = history.known(history.days - 31)
    own = driver_shares(known).rain
    pooled = along_slope(own, known.setting.bank_distance_m, known.place)
    return history, lag_map(known, draws=60), pooled


@pytest.mark.slow
def test_estimates_from_epochs_come_near_the_twin() -> None:
    history, found, pooled = _estimate(2)
    truth = history.pool.truth
    true = true_lags(truth, history.days - 30)
    ends = np.isin(np.tile(np.arange(6), history.sites), [0, 5])
    rain = score_lags(found.rain, true["rain"], ends)
    assert rain.median_error_d <= 4
    assert spearman(pooled, true_rain_share(truth).ravel()) > 0.7


def _network_rank(sites: int, every_d: int) -> float:
    """Rank correlation of the shares in MUSEnetC's forecasts with the true ones."""
    history = PoolHistory(forecast_pool("development", "radar", sites))
    found = network_shares(history, history.days - 31, every_d=every_d, steps=2)
    true = true_rain_share(history.pool.truth).ravel()
    return min(spearman(part, true) for part in (found.ablation, found.gradients))


def test_forecasts_of_the_network_answer_to_the_drivers_that_move_the_slope() -> None:
    pytest.importorskip("torch", reason="the extra slopewatch[torch] is not installed")
    assert _network_rank(3, 120) > 0.3


@pytest.mark.slow
def test_forecasts_of_the_network_rank_the_points_of_many_slopes() -> None:
    pytest.importorskip("torch", reason="the extra slopewatch[torch] is not installed")
    assert _network_rank(12, 120) > 0.6


@pytest.mark.slow
def test_lags_are_within_four_days_and_four_of_five_intervals_cover() -> None:
    history, found, pooled = _estimate(30)
    truth = history.pool.truth
    true = true_lags(truth, history.days - 30)
    point = np.tile(np.arange(6), history.sites)
    for lags_of, wanted, use in (
        (found.rain, true["rain"], point == 5),
        (found.drawdown, true["drawdown"], point == 0),
    ):
        score = score_lags(lags_of, wanted, use)
        assert score.median_error_d <= 4
        assert score.covered >= 0.75
    shape = (history.sites, history.points)
    bands = score_bands(
        true_rain_share(truth), pooled.reshape(shape), pooled.reshape(shape), truth.distance_m
    )
    assert all(band.pooled > band.distance for band in bands[1:])
