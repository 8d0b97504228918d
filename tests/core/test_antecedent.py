"""Sums and changes over days before, against loops that do it one day at a time."""

from __future__ import annotations

import numpy as np
import pytest

from core.antecedent import change_rate, window_sum


def series(seed: int, shape: tuple[int, ...] = (60,)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.gamma(0.5, 12.0, shape)
    values[rng.random(shape) < 0.2] = np.nan
    return values


@pytest.mark.parametrize(("days", "before"), [(1, 0), (3, 0), (15, 3), (70, 2)])
def test_a_sum_is_that_of_its_known_days(days: int, before: int) -> None:
    daily = series(1)
    found = window_sum(daily, days, before)
    for today in range(len(daily)):
        wanted = [t for t in range(today - before - days + 1, today - before + 1)]
        known = [daily[t] for t in wanted if t >= 0 and np.isfinite(daily[t])]
        assert found.total[today] == pytest.approx(sum(known), abs=1e-12)
        assert found.unknown[today] == days - len(known)


def test_neither_batch_nor_the_start_of_the_record_changes_a_bit() -> None:
    batch = series(2, (3, 2, 60))
    whole = window_sum(batch, 15, 3)
    one = window_sum(batch[2, 1], 15, 3)
    late = window_sum(batch[2, 1, 20:], 15, 3)
    np.testing.assert_array_equal(one.total, whole.total[2, 1])
    np.testing.assert_array_equal(late.total[18:], one.total[38:])
    assert window_sum(np.zeros(0), 3).total.shape == (0,)


@pytest.mark.parametrize(("days", "held"), [(7, 2), (1, 0), (10, 9)])
def test_a_change_is_between_the_last_known_levels(days: int, held: int) -> None:
    level = 150 + series(3)
    found = change_rate(level, days, held)
    for today in range(len(level)):
        now, then = (
            next((t for t in range(day, day - held - 1, -1) if t >= 0 and level[t] > 0), None)
            for day in (today, today - days)
        )
        assert np.isnan(found.level[today]) == (now is None)
        if now is None or then is None:
            assert np.isnan(found.rate[today])
        else:
            assert found.level[today] == level[now]
            assert found.rate[today] == pytest.approx((level[now] - level[then]) / (now - then))


def test_a_steady_fall_is_its_own_rate_whatever_is_missing() -> None:
    level = 170 - 0.8 * np.arange(40.0)
    level[[8, 9, 20, 33]] = np.nan
    np.testing.assert_allclose(change_rate(level, 7, 2).rate[9:], -0.8, rtol=1e-12)
    batch = np.stack([level, level[::-1]])
    np.testing.assert_array_equal(change_rate(batch, 7, 2).rate[0], change_rate(level, 7, 2).rate)
