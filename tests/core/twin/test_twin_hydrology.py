from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erfc

from core.twin.forcing import MEAN_LEVEL_M
from core.twin.hydrology import draw_ground, heads, recharge
from core.twin.slope import draw_slope

DAYS = 7 * 365


@pytest.mark.parametrize("family", ["diffusion", "buckets"])
def test_the_future_does_not_move_the_water_of_the_past(family: str) -> None:
    rng = np.random.default_rng(8)
    slope, ground = draw_slope(rng), draw_ground(rng, family, "drawdown")
    rain, level = rng.gamma(0.5, 4.0, DAYS), MEAN_LEVEL_M + rng.normal(0, 5, DAYS)
    before = heads(ground, slope, rain, rain, level, keep=DAYS)
    rain[2000:], level[2000:] = 50.0, 175.0
    after = heads(ground, slope, rain, rain, level, keep=DAYS)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one[:, :2000], other[:, :2000], atol=1e-4)
        assert np.abs(one[:, 2000:] - other[:, 2000:]).max() > 1


def test_a_step_of_level_spreads_by_the_erfc_law() -> None:
    rng = np.random.default_rng(9)
    slope, ground = draw_slope(rng), draw_ground(rng, "diffusion", "buoyancy")
    dry = np.zeros(DAYS)
    _, water = heads(ground, slope, dry, dry, np.full(DAYS, MEAN_LEVEL_M + 10), keep=DAYS)
    for day in (50, 200, 1000):
        reach = 2 * np.sqrt(ground.diffusivity_m2_d * (day + 0.5))
        expected = MEAN_LEVEL_M + 10 * erfc(slope.distance_m / reach)
        np.testing.assert_allclose(water[:, day], expected, atol=0.1)


def test_soil_buckets_keep_their_water_balance() -> None:
    rng = np.random.default_rng(10)
    grounds = [draw_ground(rng, family, "drawdown") for family in ("diffusion", "buckets")]
    rain = np.where(rng.random((2, DAYS)) < 0.3, rng.gamma(0.7, 14.0, (2, DAYS)), 0.0)
    through, past = recharge(rain, grounds)
    assert np.all(through >= 0)
    assert np.all(past[0] == 0)
    assert past[1].sum() > 0
    lost = rain.sum(axis=1) - through.sum(axis=1) - past.sum(axis=1)
    assert np.all(lost > 0)
    assert np.all(lost < 2.2 * DAYS + 100)
