"""Shares of rain and level: closed forms, known slopes, years left out, gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.understanding.along_slope import along_slope
from services.understanding.basis import held
from services.understanding.gradients import integrated_gradients, rain_share_of_gradients
from services.understanding.reading import Reading
from services.understanding.response import _steps
from services.understanding.shares import (
    Ablation,
    inflation,
    rain_share_of,
    shapley_rain_share,
)


def effects(rain: float, level: float, both: float = 0.0) -> Ablation:
    """Rates of two unlike effects and their product, by what is alive."""
    day = np.arange(730)
    one, other = rain * np.sin(day / 9), level * np.sin(day / 23)
    joint = both * np.sin(day / 9) * np.sin(day / 23)
    zero = np.zeros(730)
    return Ablation(one + other + joint, one, other, zero)


def test_an_effect_without_rival_has_everything() -> None:
    assert shapley_rain_share(effects(1, 0)) == pytest.approx(1.0)
    assert shapley_rain_share(effects(0, 1)) == pytest.approx(0.0)
    assert np.isnan(shapley_rain_share(effects(0, 0)))


def test_unlike_effects_share_by_their_variance() -> None:
    rates = effects(1, 1)
    only = np.array([np.var(rates.rain_only), np.var(rates.level_only)])
    assert shapley_rain_share(rates, window_days=1) == pytest.approx(only[0] / only.sum(), abs=0.02)


def test_shares_of_the_drivers_sum_to_one_whatever_they_do_together() -> None:
    rates = effects(1.0, 0.7, 2.0)
    turned = Ablation(rates.both, rates.level_only, rates.rain_only, rates.neither)
    assert shapley_rain_share(rates) + shapley_rain_share(turned) == pytest.approx(1.0)


@given(
    rates=arrays(np.float64, (4, 40), elements=st.floats(-5, 5, width=32)),
    shift=st.floats(-3, 3),
    scale=st.floats(0.5, 4),
)
@settings(max_examples=60, deadline=None)
def test_units_and_offsets_do_not_matter(rates: np.ndarray, shift: float, scale: float) -> None:
    plain = shapley_rain_share(Ablation(*rates))
    other = shapley_rain_share(Ablation(*(scale * rates + shift)))
    if np.isfinite(plain) and abs(plain) < 1e3:
        assert other == pytest.approx(plain, abs=1e-6, rel=1e-6)


def test_nothing_explained_is_nothing_said() -> None:
    found = rain_share_of(np.array([0.0, 1.0]), np.array([0.0, 3.0]), np.array([0.0, 4.0]))
    np.testing.assert_allclose(found, [np.nan, 0.5 * (0.75 + 0.75)])


def test_known_slopes_get_their_drivers(slope_reading: Reading) -> None:
    ridge, middle, toe = slope_reading.shares.rain
    assert ridge > 0.8
    assert toe < 0.2
    assert toe < middle < ridge
    np.testing.assert_allclose(slope_reading.shares.rain + slope_reading.shares.level, 1.0)
    assert np.all(np.diff(slope_reading.rain_share) < 0)


def test_a_driver_held_repeats_itself_every_year_and_keeps_its_mean() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((4 * 365, 2))
    still = held(values, 0)
    np.testing.assert_allclose(still.mean(axis=0), values.mean(axis=0))
    np.testing.assert_allclose(still[3], still[3 + 366 + 365], atol=0.6)
    np.testing.assert_allclose(held(still, 0), still)
    assert still.std() < 0.7 * values.std()


def test_a_free_step_stands_behind_every_gap() -> None:
    use = np.array([1, 1, 0, 0, 1, 1, 0, 1], dtype=bool)
    steps = _steps(use)
    np.testing.assert_array_equal(np.stack(steps), [[0, 0, 1, 1, 1], [0, 0, 0, 0, 1]])
    assert _steps(np.ones(5, bool)) == []
    assert _steps(np.array([0, 1, 1], bool)) == []
    assert _steps(np.array([1, 1, 0], bool)) == []


def test_inflation_of_unlike_drivers_is_one_and_of_like_ones_large() -> None:
    rng = np.random.default_rng(1)
    rain = rng.gamma(0.5, 4, (3000, 1))
    level = np.cumsum(rng.normal(size=(3000, 1)), axis=0)
    assert (inflation(rain, level) < 2).all()
    alike = 100 - np.cumsum(rain - rain.mean(), axis=0)
    assert inflation(rain, alike)[0, 0] > 20
    assert np.isnan(inflation(rain, np.ones_like(rain))).all()


def test_points_of_a_slope_are_seen_together() -> None:
    distance = np.array([60.0, 160, 260, 360, 460, 560])
    share = np.array([0.3, 0.0, 0.4, 0.5, 1.0, 0.8])
    place = np.zeros(6, np.int64)
    pooled = along_slope(share, distance, place)
    assert (np.diff(pooled) > 0).all()
    assert np.abs(pooled - share).max() < 0.35
    order = np.array([3, 0, 5, 1, 4, 2])
    np.testing.assert_allclose(along_slope(share[order], distance[order], place), pooled[order])


def test_slopes_keep_their_own_mind() -> None:
    distance = np.tile(np.array([60.0, 160, 260, 360, 460, 560]), 2)
    share = np.repeat([0.05, 0.95], 6)
    pooled = along_slope(share, distance, np.repeat([0, 1], 6))
    assert pooled[:6].mean() < 0.5 < pooled[6:].mean()


def test_without_distances_shares_stay_as_they_were() -> None:
    share = np.array([0.2, np.nan, 0.9, 0.4])
    distance = np.array([np.nan, 100.0, 200.0, 300.0])
    np.testing.assert_array_equal(along_slope(share, distance, np.zeros(4, np.int64)), share)


def test_integrated_gradients_account_for_the_whole_change() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    rain, level = rng.random((5, 30)), rng.random((5, 30))
    still = np.zeros((5, 30)), np.full((5, 30), 0.5)
    weight = torch.as_tensor(rng.random(30))

    def predict(rain_mm, level_m):  # type: ignore[no-untyped-def]
        return torch.tanh(rain_mm @ weight / 8) - 2 * (level_m**2).sum(dim=1)

    found = integrated_gradients(predict, (rain, level), still, steps=200)
    assert np.abs(found.missing).max() < 1e-3
    np.testing.assert_allclose(
        found.level.sum(axis=1), -2 * (level**2 - 0.25).sum(axis=1), atol=1e-3
    )


def test_gradients_give_a_driver_that_does_nothing_no_share() -> None:
    pytest.importorskip("torch")
    rain, level = np.ones((4, 3)), np.ones((4, 3))
    still = np.zeros((4, 3)), np.zeros((4, 3))
    alone = integrated_gradients(lambda r, _: r.sum(dim=1), (rain, level), still, steps=4)
    assert rain_share_of_gradients(alone) == 1.0
    even = integrated_gradients(lambda r, x: (r - x).sum(dim=1), (rain, level), still, steps=4)
    assert rain_share_of_gradients(even) == pytest.approx(0.5)
