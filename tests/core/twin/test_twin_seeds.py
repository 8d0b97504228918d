from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from core.twin import SEED_RANGES, Kind, Observed, Truth, fingerprint, observe, simulate

MIXED = [Kind.QUIET, Kind.FAILING, Kind.ABORTED, Kind.STEP, Kind.FAILING, Kind.ABORTED] * 3


def site(record: Truth | Observed, row: int) -> dict[str, bytes]:
    return {name: array[row].tobytes() for name, array in vars(record).items()}


def test_same_seed_same_bytes() -> None:
    first, second = (simulate(range(6), MIXED[:6]) for _ in range(2))
    assert fingerprint(first) == fingerprint(second)
    assert fingerprint(observe(first)) == fingerprint(observe(second))
    assert fingerprint(first) != fingerprint(simulate(range(1, 7), MIXED[:6]))


@pytest.mark.parametrize("noise", ["radar", "white"])
def test_a_site_does_not_depend_on_its_batch(noise: str) -> None:
    batch = simulate(range(7, 25), MIXED)
    seen = observe(batch, noise=noise)  # type: ignore[arg-type]
    for row in (0, 1, 2, 3, 4, 5, 10, 17):
        alone = simulate([7 + row], MIXED[row])
        assert site(alone, 0) == site(batch, row)
        assert site(observe(alone, noise=noise), 0) == site(seen, row)  # type: ignore[arg-type]


def test_batches_are_joined_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = simulate(range(5), Kind.QUIET, years=1)
    monkeypatch.setattr("core.twin.simulation._BATCH", 2)
    assert fingerprint(simulate(range(5), Kind.QUIET, years=1)) == fingerprint(whole)


def test_shapes_and_types() -> None:
    truth = simulate([11, 12], Kind.QUIET, years=2)
    seen = observe(truth)
    assert truth.displacement_mm.shape == (2, 730, 6)
    assert truth.rain_mm.shape == truth.level_m.shape == seen.gauge_mm.shape == (2, 730)
    assert truth.los_factor.shape == truth.distance_m.shape == truth.height_m.shape == (2, 6)
    assert np.all(np.diff(truth.distance_m, axis=1) > 0)
    assert seen.los_mm.shape == seen.sigma_mm.shape == (*seen.epoch_day.shape, 6)
    assert seen.wrapped.dtype == np.bool_
    for name in ("seeds", "onset_day", "failure_day"):
        assert getattr(truth, name).dtype == np.int64


def test_asking_for_a_family_changes_nothing_else() -> None:
    truth = simulate([5], Kind.QUIET)
    same = simulate(
        [5],
        Kind.QUIET,
        hydrology_family=str(truth.hydrology_family[0]),
        drainage=str(truth.drainage[0]),
    )
    assert fingerprint(truth) == fingerprint(same)


def test_seed_ranges_are_disjoint() -> None:
    assert {"development", "calibration", "test", "demo"} <= set(SEED_RANGES)
    for one, other in combinations(SEED_RANGES.values(), 2):
        assert one.stop <= other.start or other.stop <= one.start


@pytest.mark.parametrize(
    "wrong",
    [
        {"runaway_family": "landslip"},
        {"hydrology_family": "sponge"},
        {"drainage": "none"},
        {"hold": frozenset({"wind"})},
        {"years": 0},
    ],
)
def test_unknown_names_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"is not one of|too short"):
        simulate([1], Kind.QUIET, **wrong)  # type: ignore[arg-type]


def test_families_can_be_named_site_by_site() -> None:
    named = simulate(
        [3, 4, 5],
        [Kind.QUIET, Kind.FAILING, Kind.QUIET],
        runaway_family=[None, "voight", None],
        hydrology_family=["buckets", "diffusion", None],
        drainage=["drawdown", "buoyancy", "drawdown"],
    )
    assert named.hydrology_family[:2].tolist() == ["buckets", "diffusion"]
    assert named.drainage.tolist() == ["drawdown", "buoyancy", "drawdown"]
    assert named.runaway_family.tolist() == ["none", "voight", "none"]
    alone = simulate([3], Kind.QUIET, hydrology_family="buckets", drainage="drawdown")
    assert site(alone, 0) == site(named, 0)
    with pytest.raises(ValueError, match="one name a seed"):
        simulate([1, 2], Kind.QUIET, drainage=["drawdown"])


def test_one_kind_a_seed_and_no_negative_seed() -> None:
    with pytest.raises(ValueError, match="one kind a seed"):
        simulate([1, 2], [Kind.QUIET])
    with pytest.raises(ValueError, match="non-negative"):
        simulate([-1], Kind.QUIET)
    with pytest.raises(ValueError, match="quiet sites only"):
        simulate([1], Kind.FAILING, hold=frozenset({"rain"}))
