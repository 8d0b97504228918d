from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.twin import continuation
from core.twin.continuation import continuations
from core.twin.pools import SimulatedPool, forecast_pool
from core.twin.simulation import SPIN_UP_YEARS

SPIN_UP_D = SPIN_UP_YEARS * 365
FAMILIES = [("diffusion", "drawdown"), ("diffusion", "buoyancy"), ("buckets", "drawdown")]


@pytest.fixture(scope="module")
def pool() -> SimulatedPool:
    return forecast_pool("development", sites=20)


def continued(pool: SimulatedPool, row: int, day: int, members: int) -> np.ndarray:
    truth = pool.truth
    return continuations(
        int(truth.seeds[row]),
        str(truth.hydrology_family[row]),
        str(truth.drainage[row]),
        day,
        members,
        pool.prospects.rain_mm(day)[row],
    )


def come(pool: SimulatedPool, row: int, day: int) -> np.ndarray:
    motion = pool.truth.displacement_mm[row]
    return np.asarray(motion[day : day + 31] - motion[day])


@pytest.mark.parametrize("row", [0, 1])
def test_with_the_true_future_the_truth_goes_on(pool: SimulatedPool, row: int) -> None:
    truth = pool.truth
    site = continuation._open_site(
        int(truth.seeds[row]), "diffusion", str(truth.drainage[row]), years=7
    )
    np.testing.assert_array_equal(site.rain_mm[SPIN_UP_D:], truth.rain_mm[row])
    np.testing.assert_array_equal(site.level_m[SPIN_UP_D:], truth.level_m[row])
    for day in (3, 800, 2400):
        ahead = slice(SPIN_UP_D + day + 1, SPIN_UP_D + day + 31)
        rain, level = site.rain_mm[None, ahead], site.level_m[None, ahead]
        motion = np.cumsum(continuation._rates(site, SPIN_UP_D + day, rain, level)[0], axis=0)
        np.testing.assert_allclose(motion, come(pool, row, day)[1:], atol=1e-5)


def test_the_second_family_goes_on_as_well() -> None:
    test = forecast_pool("test", sites=4)
    row = int(np.flatnonzero(test.truth.hydrology_family == "buckets")[0])
    site = continuation._open_site(
        int(test.truth.seeds[row]), "buckets", str(test.truth.drainage[row]), years=7
    )
    ahead = slice(SPIN_UP_D + 901, SPIN_UP_D + 931)
    rain, level = site.rain_mm[None, ahead], site.level_m[None, ahead]
    motion = np.cumsum(continuation._rates(site, SPIN_UP_D + 900, rain, level)[0], axis=0)
    np.testing.assert_allclose(motion, come(test, row, 900)[1:], atol=1e-5)


def test_they_start_from_the_day_and_never_go_uphill(pool: SimulatedPool) -> None:
    motion = continued(pool, 0, 1000, 50)
    assert motion.shape == (50, 31, 6)
    assert np.all(motion[:, 0] == 0)
    assert np.all(np.diff(motion, axis=1) > 0)
    spread = motion.std(axis=0).mean(axis=1)
    assert spread[30] > spread[12] > spread[3]


@pytest.mark.parametrize("sites", [8, pytest.param(20, marks=pytest.mark.slow)])
def test_the_truth_is_one_of_them(pool: SimulatedPool, sites: int) -> None:
    """Rank of what came among the members: uniform if both have one law."""
    ties = np.random.default_rng(0)
    ranks = []
    for row in range(sites):
        for day in range(150 + 11 * row, 2500, 180):
            members, truth = continued(pool, row, day, 99).mean(axis=2), come(pool, row, day)
            truth = truth.mean(axis=1)
            # A dormant slope creeps alike in every future, up to rounding.
            below = (members < truth - 1e-5).sum(axis=0)
            equal = (np.abs(members - truth) <= 1e-5).sum(axis=0)
            ranks.append((below + ties.random(31) * (equal + 1)) / 100)
    ranks = np.array(ranks)
    assert len(ranks) > 12 * sites
    error = np.sqrt(0.09 / len(ranks))
    for ahead in (1, 6, 12, 24, 30):
        inside = (ranks[:, ahead] >= 0.05) & (ranks[:, ahead] <= 0.95)
        assert inside.mean() == pytest.approx(0.9, abs=3 * error)
        assert ranks[:, ahead].mean() == pytest.approx(0.5, abs=3 * np.sqrt(1 / 12 / len(ranks)))


def test_what_comes_later_changes_nothing(
    pool: SimulatedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, today = 1000, SPIN_UP_D + 1000
    before = continued(pool, 1, day, 20)
    site = continuation._open_site(
        int(pool.truth.seeds[1]), "diffusion", str(pool.truth.drainage[1]), 7
    )
    changed = {
        name: np.concatenate([getattr(site, name)[: today + 1], np.full(2000, 99.0)])
        for name in ("rain_mm", "level_m", "through_mm", "past_mm", "soil_mm")
    }
    parts = site.level_parts
    later = parts._replace(
        wander_m=np.concatenate([parts.wander_m[: today + 1], np.full(2000, 9.0)]),
        floods=[flood for flood in parts.floods if flood[0] <= today],
    )
    factor = site.year_factor.copy()
    factor[today // 365 + 1 :] = 7.0
    other = replace(site, level_parts=later, year_factor=factor, **changed)
    monkeypatch.setattr(continuation, "_open_site", lambda *_: other)
    np.testing.assert_array_equal(continued(pool, 1, day, 20), before)
    past = site.level_m.copy()
    past[today - 20 : today + 1] += 2.0
    monkeypatch.setattr(continuation, "_open_site", lambda *_: replace(site, level_m=past))
    assert np.any(continued(pool, 1, day, 20) != before)


def test_they_are_drawn_once_for_a_day(pool: SimulatedPool) -> None:
    np.testing.assert_array_equal(continued(pool, 2, 500, 9), continued(pool, 2, 500, 9))
    assert np.any(continued(pool, 2, 500, 9) != continued(pool, 2, 501, 9))
    assert continued(pool, 2, 2554, 3).shape == (3, 31, 6)


def test_senseless_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="outside the record of 2555 days"):
        continuations(5, "diffusion", "drawdown", 2555, 3)
    with pytest.raises(ValueError, match="at least one"):
        continuations(5, "diffusion", "drawdown", 10, 0)
    with pytest.raises(ValueError, match="give 31 days"):
        continuations(5, "diffusion", "drawdown", 10, 3, np.zeros(30))
