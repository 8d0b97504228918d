"""e-LOND: its levels are those of the formula, few of the named are false, and it finds some."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import BadInputError
from core.online_fdr import DECAY, e_lond, weights

Q = 0.1


def test_weights_are_positive_fall_and_sum_to_one() -> None:
    found = weights(2_000)
    assert np.all(found > 0)
    assert np.all(np.diff(found) < 0)
    partial = 1 - (np.arange(1, 2_001) + 1.0) ** -DECAY
    assert np.cumsum(found) == pytest.approx(partial, rel=1e-12)
    assert weights(2) == pytest.approx([1 - 2**-0.25, 2**-0.25 - 3**-0.25], rel=1e-14)


def test_levels_follow_what_was_named_before() -> None:
    weight = weights(5)
    stream = [0.0, 1e9, 1.0, 1e9, 0.0]
    assert [one.level for one in e_lond(stream, Q)] == pytest.approx(
        [Q * weight[0], Q * weight[1], 2 * Q * weight[2], 2 * Q * weight[3], 3 * Q * weight[4]]
    )
    assert [one.named for one in e_lond(stream, Q)] == [False, True, False, True, False]


def test_an_e_value_is_named_from_its_limit_on() -> None:
    limit = 1.0 / (Q * float(weights(1)[0]))
    assert e_lond([limit], Q)[0].named
    assert not e_lond([np.nextafter(limit, 0)], Q)[0].named


def test_no_level_passes_q_even_where_all_are_named() -> None:
    tested = e_lond([1e12] * 5000, Q)
    assert all(one.named for one in tested)
    assert max(one.level for one in tested) <= Q


@pytest.mark.parametrize("q", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_that_is_none_is_refused(q: float) -> None:
    with pytest.raises(BadInputError, match="between 0 and 1"):
        e_lond([1.0], q)


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_what_is_no_e_value_is_refused(value: float) -> None:
    with pytest.raises(BadInputError, match="at least 0"):
        e_lond([1.0, value], Q)
    assert e_lond([], Q) == []


def likelihood_ratios(
    random: np.random.Generator, changed: np.ndarray, shared: float, shift: float
) -> np.ndarray:
    """E-values exp(d z - d^2 / 2) of units whose z share the part `shared` of their variance."""
    common = random.normal() * np.sqrt(shared)
    z = common + random.normal(size=changed.size) * np.sqrt(1 - shared) + shift * changed
    return np.asarray(np.exp(shift * z - shift**2 / 2))


@pytest.mark.parametrize("shared", [0.0, 0.5, 0.99])
def test_few_of_the_named_are_false_however_units_hang_together(shared: float) -> None:
    random = np.random.default_rng(6)
    changed = np.arange(40) % 4 == 0
    false, found = [], []
    for _ in range(500):
        e_values = likelihood_ratios(random, changed, shared, shift=3.0)
        named = np.array([one.named for one in e_lond(e_values, Q)])
        false.append((named & ~changed).sum() / max(1, named.sum()))
        found.append(named[changed].mean())
    assert np.mean(false) <= Q
    assert np.mean(found) > 0.1


def adversary(random: np.random.Generator, changed: np.ndarray) -> float:
    """False among the named where each unchanged e-value is 1 / its level as often as it may be."""
    stream: list[float] = []
    for is_changed in changed:
        level = e_lond([*stream, 0.0], Q)[-1].level
        stream.append(1e9 if is_changed else float(random.random() < level) / level)
    named = np.array([one.named for one in e_lond(stream, Q)])
    return float((named & ~changed).sum() / max(1, named.sum()))


@pytest.mark.parametrize("every", [3, 100])
def test_the_promise_is_kept_against_e_values_that_use_all_of_it(every: int) -> None:
    random = np.random.default_rng(7)
    changed = np.arange(1, 41) % every == 0
    false = [adversary(random, changed) for _ in range(200)]
    assert 0 < np.mean(false) <= Q


def test_where_at_most_one_unchanged_unit_can_look_changed_the_levels_sum_to_the_rate() -> None:
    """The worst dependence there is: the chance that one is named is the sum of all levels."""
    levels = [one.level for one in e_lond([0.0] * 2000, Q)]
    assert 0.8 * Q < sum(levels) <= Q
    for place in (0, 7, 1999):
        stream = [1 / level if i == place else 0.0 for i, level in enumerate(levels)]
        assert [one.named for one in e_lond(stream, Q)].index(True) == place
