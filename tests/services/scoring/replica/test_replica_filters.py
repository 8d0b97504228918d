from __future__ import annotations

import numpy as np
import pytest

from services.scoring.replica.filters import START_D, arima, fit_filter, run_filter
from services.scoring.replica.stack import FIRST_LABEL_D, TRAIN_D, Stack


def _regression(label: np.ndarray, step: int, variance: float, day: int) -> float:
    """Bayesian line through `label` (K,), rate 0 +- 1 mm/d before the first, seen on `day`."""
    days = step * np.arange(len(label))
    design = np.stack([np.ones(len(label)), days], axis=1)
    precision = design.T @ design / variance + np.diag([0.0, 1.0])
    level, rate = np.linalg.solve(precision, design.T @ label / variance)
    return float(level + rate * day)


@pytest.mark.parametrize("step", [1, 12])
def test_without_a_walk_the_filter_is_a_regression_line(step: int) -> None:
    rng = np.random.default_rng(3)
    label = rng.normal(0.0, 2.0, (8 * step, 1)) + 0.1 * np.arange(8 * step)[:, None]
    known, _ = run_filter(label, step, np.array([0.0]), np.array([4.0]))
    for phase in {0, step - 1}:
        line = label[phase::step, 0]
        for row in range(2, 8):
            day = phase + step * row
            before = _regression(line[:row], step, 4.0, step * row)
            after = _regression(line[: row + 1], step, 4.0, step * row)
            assert known.forecast_mm[day, 0] == pytest.approx(before, abs=1e-9)
            assert known.filtered_mm[day, 0] == pytest.approx(after, abs=1e-9)


def test_one_step_of_the_filter_in_closed_form() -> None:
    walk, variance = 0.01, 4.0
    known, likelihood = run_filter(
        np.array([[0.0], [6.0], [0.0]]), 1, np.array([walk]), np.array([variance])
    )
    spread = variance + 1.0 + walk / 3.0
    gain = spread / (spread + variance)
    pull = (1.0 + walk / 2.0) / (spread + variance)
    assert known.forecast_mm[1, 0] == 0.0
    assert known.filtered_mm[1, 0] == pytest.approx(6.0 * gain)
    assert known.forecast_mm[2, 0] == pytest.approx(6.0 * (gain + pull))
    total = spread + variance
    assert likelihood[1, 0] == pytest.approx(-0.5 * (np.log(total) + 36.0 / total))
    assert np.isnan(likelihood[0, 0])


def test_variances_of_a_grid_are_run_at_once(stack: Stack) -> None:
    label = stack.label_mm[:100]
    wide = [np.broadcast_to(np.array([[a], [b]]), (2, 12)) for a, b in ((1e-4, 1e-2), (9.0, 1.0))]
    both, _ = run_filter(label, 12, *wide)
    for row in range(2):
        alone, _ = run_filter(label, 12, wide[0][row], wide[1][row])
        np.testing.assert_array_equal(both.forecast_mm[:, row], alone.forecast_mm)


@pytest.mark.parametrize(("reading", "step"), [("R1", 1), ("R2", 12)])
def test_the_filter_forecasts_from_what_lies_a_step_before(
    stack: Stack, reading: str, step: int
) -> None:
    day = FIRST_LABEL_D + TRAIN_D + 100
    label = stack.label_mm.copy()
    label[day - step + 1 :] += 500.0
    row = day - START_D
    two = [s[:, :2] for s in (stack.label_mm, label)]
    one, other = (fit_filter(stack._replace(label_mm=values), reading) for values in two)
    np.testing.assert_array_equal(other.forecast_mm[: row + 1], one.forecast_mm[: row + 1])
    assert (other.forecast_mm[row + 1] != one.forecast_mm[row + 1]).any()


@pytest.mark.parametrize(
    ("reading", "step"), [pytest.param("R1", 1, marks=pytest.mark.slow), ("R2", 12)]
)
def test_arima_goes_on_along_a_line(reading: str, step: int) -> None:
    rng = np.random.default_rng(5)
    day = np.arange(2000.0)[:, None]
    label = 0.2 * day + rng.normal(0.0, 1e-3, day.shape)
    known, _ = run_filter(label, step, np.array([1e-3]), np.array([1e-6]))
    forecast, failed = arima(known, reading)
    assert failed in (0, 1)
    np.testing.assert_allclose(forecast[1000:], label[1000:], atol=0.02)


def test_arima_sees_no_later_day(stack: Stack) -> None:
    known = fit_filter(stack._replace(label_mm=stack.label_mm[:, :1]), "R2")
    later = known.filtered_mm.copy()
    day = 1600
    later[day - 11 :] += 500.0
    one, other = (arima(k, "R2")[0] for k in (known, known._replace(filtered_mm=later)))
    np.testing.assert_allclose(other[12 : day + 1], one[12 : day + 1], atol=1e-9)
    assert np.abs(other[day + 1] - one[day + 1]).max() > 1.0
