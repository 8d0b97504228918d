from __future__ import annotations

import json
import runpy
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import SlopewatchError
from core.twin import SEED_RANGES, fingerprint, observe
from core.twin.pools import NOISE_MODES, forecast_pool
from core.twin.pools.figures import PoolChangedError, check_figures
from core.twin.pools.freeze import freeze, frozen_path
from core.twin.pools.plan import load_frozen, role_plan

DAYS = 7 * 365
SIZES = {"training": 192, "development": 64, "test": 64, "events": 24}


def test_every_role_has_its_number_of_sites() -> None:
    assert {role: len(role_plan(load_frozen(), role).seeds) for role in SIZES} == SIZES


def test_pools_keep_to_their_seeds_and_share_none() -> None:
    seeds = {role: set(role_plan(load_frozen(), role).seeds) for role in SIZES}
    for role, own in seeds.items():
        allowed = SEED_RANGES["development" if role in ("training", "development") else "test"]
        assert all(seed in allowed for seed in own)
    assert len(set.union(*seeds.values())) == sum(SIZES.values())


@pytest.mark.parametrize("role", ["training", "development"])
def test_the_second_family_is_never_learned_from(role: str) -> None:
    plan = role_plan(load_frozen(), role)
    assert set(plan.hydrology_family) == {"diffusion"}
    assert set(plan.kind) == {"quiet"}
    assert plan.drainage.count("drawdown") == len(plan.seeds) // 2


def test_the_test_pool_is_balanced_from_its_first_sites_on() -> None:
    plan = role_plan(load_frozen(), "test")
    for sites in (4, 16, 64):
        part = plan.first(sites)
        classes = Counter(zip(part.drainage, part.hydrology_family, strict=True))
        assert set(classes.values()) == {sites // 4}
        assert len(classes) == 4


def test_events_are_what_the_plan_asks_for() -> None:
    plan = role_plan(load_frozen(), "events")
    kinds = Counter(
        family if kind == "failing" else kind
        for kind, family in zip(plan.kind, plan.runaway_family, strict=True)
    )
    assert kinds == {"voight": 6, "weakening": 6, "aborted": 6, "step": 6}
    pool = forecast_pool("events", "white-3")
    assert pool.truth.kind.tolist() == list(plan.kind)
    assert np.all((pool.truth.failure_day >= 0) == (pool.truth.kind == "failing"))


@pytest.mark.parametrize("role", ["training", "test", "events"])
@pytest.mark.parametrize("noise", NOISE_MODES)
def test_pools_come_out_as_they_were_frozen(role: str, noise: str) -> None:
    pool = forecast_pool(role, noise, 8)
    assert pool.truth.rain_mm.shape == pool.seen.gauge_mm.shape == (8, DAYS)
    assert pool.prospects.rain_mm(DAYS - 1).shape == (8, 31)


@pytest.mark.slow
@pytest.mark.parametrize("role", SIZES)
def test_whole_pools_come_out_as_they_were_frozen(role: str) -> None:
    for noise in NOISE_MODES:
        assert len(forecast_pool(role, noise).truth.seeds) == SIZES[role]


def test_the_first_sites_are_those_of_the_whole_pool() -> None:
    few, more = (forecast_pool("development", sites=sites) for sites in (2, 3))
    np.testing.assert_array_equal(few.truth.displacement_mm, more.truth.displacement_mm[:2])
    np.testing.assert_array_equal(few.seen.los_mm, more.seen.los_mm[:2])
    np.testing.assert_array_equal(few.prospects.rain_mm(900), more.prospects.rain_mm(900)[:2])
    again = forecast_pool("development", sites=2)
    assert fingerprint(again.prospects) == fingerprint(few.prospects)


def test_noise_changes_what_is_seen_and_nothing_else() -> None:
    pools = [forecast_pool("development", noise, 2) for noise in NOISE_MODES]
    assert len({fingerprint(pool.truth) for pool in pools}) == 1
    assert len({fingerprint(pool.prospects) for pool in pools}) == 1
    assert len({fingerprint(pool.seen) for pool in pools}) == 3
    stated = [np.nanmean(pool.seen.sigma_mm) for pool in pools[:2]]
    np.testing.assert_allclose(stated, [3.0, 5.0])


@pytest.mark.parametrize("sites", [24, pytest.param(192, marks=pytest.mark.slow)])
def test_quiet_training_sites_lose_no_cycles(sites: int) -> None:
    assert not forecast_pool("training", sites=sites).seen.wrapped.any()


def test_a_changed_twin_is_noticed() -> None:
    pool = forecast_pool("test", "radar", 3)
    moved = pool.truth.displacement_mm.copy()
    moved[1, -1, 4] *= 1 + 1e-5
    changed = replace(pool.truth, displacement_mm=moved)
    with pytest.raises(PoolChangedError, match="last_displacement_mm of site 1"):
        check_figures(load_frozen(), "test", "radar", changed, pool.seen, pool.prospects)
    other = observe(pool.truth, noise="radar", flank_pixels=1)
    with pytest.raises(PoolChangedError, match=r"last_los_mm.*radar"):
        check_figures(load_frozen(), "test", "radar", pool.truth, other, pool.prospects)
    issued = replace(pool.prospects, rain_issued_mm=pool.prospects.rain_issued_mm * 1.1)
    with pytest.raises(PoolChangedError, match="issued"):
        check_figures(load_frozen(), "test", "radar", pool.truth, pool.seen, issued)


def test_what_is_frozen_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "forecast-1.json"
    path.write_text("kept")
    with pytest.raises(SlopewatchError, match="is frozen"):
        freeze(path)
    assert path.read_text() == "kept"
    before = frozen_path().read_bytes()
    with pytest.raises(SystemExit, match="is frozen"):
        runpy.run_module("core.twin.pools", run_name="__main__")
    assert frozen_path().read_bytes() == before


@pytest.mark.slow
def test_freezing_again_gives_the_same_plan(tmp_path: Path) -> None:
    freeze(tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text())
    for role, content in load_frozen()["roles"].items():
        assert again["roles"][role]["plan"] == content["plan"]


def test_unknown_pools_are_refused() -> None:
    with pytest.raises(ValueError, match="'demo' is not one of"):
        forecast_pool("demo")
    with pytest.raises(ValueError, match="'pink' is not one of"):
        forecast_pool("test", "pink", 1)
    for sites in (0, 65):
        with pytest.raises(ValueError, match="the pool has 64"):
            forecast_pool("test", sites=sites)
