from __future__ import annotations

import numpy as np
import pytest

from services.scoring.replica import rules
from services.scoring.replica.level_rule import LevelRule, fit_level_rule, forecast_level_rule
from services.scoring.replica.stack import FIRST_LABEL_D, TRAIN_D, Stack
from services.scoring.replica.windows import LAGS_D, TEST, TRAIN, scaled, windows


@pytest.mark.parametrize("reading", ["R1", "R2"])
def test_the_one_liner_is_exact_on_a_line(counted: Stack, reading: str) -> None:
    made = windows(counted, reading, 400, 500)
    np.testing.assert_allclose(rules.one_liner(made), made.label_mm)


def test_the_one_liner_of_r1_fails_only_on_the_day_after_an_epoch(stack: Stack) -> None:
    made = windows(stack, "R1")
    miss = np.abs(rules.one_liner(made) - made.label_mm).max(axis=1)
    day = np.arange(FIRST_LABEL_D, FIRST_LABEL_D + len(miss))
    assert miss[day % 12 != 1].max() < 1e-9
    assert miss[day % 12 == 1].min() > 1e-3


@pytest.mark.parametrize("reading", ["R1", "R2"])
def test_persistence_is_off_by_one_lag_of_motion(counted: Stack, reading: str) -> None:
    made = windows(counted, reading, 400, 500)
    np.testing.assert_allclose(made.label_mm - rules.persistence(made), LAGS_D[reading][0])


@pytest.mark.parametrize("relative", [False, True])
def test_ridge_finds_a_linear_law_of_its_inputs(stack: Stack, relative: bool) -> None:
    made = windows(stack, "R2")
    rain, level = (np.repeat(block, 6, axis=1) for block in (made.rain_mm, made.level_m))
    newest = made.deformation_mm[..., 0]
    law = newest + 0.5 * (newest - made.deformation_mm[..., 3]) + 0.02 * rain[..., 4]
    law = law + 0.1 * (level[..., 0] - level[..., 9])
    data = scaled(made._replace(label_mm=law), relative=relative)
    np.testing.assert_allclose(rules.ridge(data), law[TEST], atol=1e-3)


def test_ridge_learns_nothing_from_the_test_part(stack: Stack) -> None:
    made = windows(stack, "R1")
    label = made.label_mm.copy()
    label[TEST] += 50.0
    data = scaled(made, relative=True)
    changed = scaled(made._replace(label_mm=label), relative=True)
    np.testing.assert_array_equal(rules.ridge(changed), rules.ridge(data))


def _by_rule(stack: Stack, rule: LevelRule) -> Stack:
    """The stack if every point moved as the rule says, from some zero of its own."""
    level = np.repeat(stack.level_m, stack.points, axis=1)
    rate = rule.rate_mm_d_m * np.clip(rule.critical_level_m - level, 0.0, None)
    moved = np.concatenate([np.zeros_like(rate[:1]), np.cumsum(rate, axis=0)[:-1]])
    return stack._replace(label_mm=moved + np.linspace(-5.0, 5.0, rate.shape[1]))


@pytest.fixture
def rule() -> LevelRule:
    return LevelRule(np.linspace(-0.09, 0.03, 12), np.linspace(150.0, 172.0, 12))


def test_the_level_rule_recovers_its_own_parameters(stack: Stack, rule: LevelRule) -> None:
    found = fit_level_rule(_by_rule(stack, rule))
    np.testing.assert_allclose(found.rate_mm_d_m, rule.rate_mm_d_m, rtol=1e-3)
    np.testing.assert_allclose(found.critical_level_m, rule.critical_level_m, atol=0.01)


@pytest.mark.parametrize("reading", ["R1", "R2"])
def test_the_level_rule_forecasts_what_moves_by_it(
    stack: Stack, rule: LevelRule, reading: str
) -> None:
    made = windows(_by_rule(stack, rule), reading)
    np.testing.assert_allclose(forecast_level_rule(rule, made), made.label_mm, atol=1e-9)


def test_the_level_rule_is_fitted_to_the_training_part(stack: Stack) -> None:
    label, level = stack.label_mm.copy(), stack.level_m.copy()
    label[FIRST_LABEL_D + TRAIN_D :] = 0.0
    level[FIRST_LABEL_D + TRAIN_D :] = 0.0
    one, other = (
        fit_level_rule(stack),
        fit_level_rule(stack._replace(label_mm=label, level_m=level)),
    )
    np.testing.assert_array_equal(one, other)
    assert windows(stack, "R1").label_mm[TRAIN].shape[0] == TRAIN_D
