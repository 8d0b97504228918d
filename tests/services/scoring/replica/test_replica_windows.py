from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.twin import SEED_RANGES, Truth
from services.scoring.replica.stack import (
    FIRST_LABEL_D,
    LABELS_END_D,
    SITE_SEEDS,
    STEP_D,
    Stack,
    interpolate_daily,
    smooth_epochs,
    stack_of,
)
from services.scoring.replica.windows import TEST, TRAIN, Windows, calendar, scaled, windows


def test_the_split_is_the_published_one(stack: Stack) -> None:
    made = windows(stack, "R1")
    assert made.label_mm[TRAIN].shape == (1090, 12)
    assert made.label_mm[TEST].shape == (558, 12)
    assert set(SITE_SEEDS) <= set(SEED_RANGES["development"])


def test_r1_has_thirty_daily_lags_from_yesterday(counted: Stack) -> None:
    made = windows(counted, "R1", 400, 402)
    assert made.deformation_mm[0, 0].tolist() == list(range(399, 369, -1))
    assert made.deformation_mm[1, 1].tolist() == list(range(1400, 1370, -1))
    assert made.label_mm.tolist() == [[400, 1400], [401, 1401]]
    assert made.truth_mm[0].tolist() == [400.5, 400.25]


def test_r2_has_thirty_lags_of_twelve_days_from_twelve_days_ago(counted: Stack) -> None:
    made = windows(counted, "R2", 400, 402)
    assert made.deformation_mm[0, 0].tolist() == list(range(388, 28, -12))
    assert made.deformation_mm[0, 0, -1] == 400 - 360


@pytest.mark.parametrize("reading", ["R1", "R2"])
def test_rain_and_level_are_those_of_the_thirty_days_before(counted: Stack, reading: str) -> None:
    made = windows(counted, reading, 400, 401)
    assert made.rain_mm[0, 0].tolist() == list(range(2399, 2369, -1))
    assert made.level_m[0, 0].tolist() == list(range(3399, 3369, -1))


@pytest.mark.parametrize(("first", "end"), [(359, 400), (400, 501)])
def test_windows_beyond_the_stack_are_refused(counted: Stack, first: int, end: int) -> None:
    with pytest.raises(ValueError, match="longer stack"):
        windows(counted, "R2", first, end)


def test_a_row_is_a_value_with_its_year_month_and_day(counted: Stack) -> None:
    made = windows(counted, "R2", 400, 401)
    assert made.deformation_date[0, 0].tolist() == [2017, 1, 24]  # day 388
    assert made.deformation_date[0, -1].tolist() == [2016, 2, 10]  # day 40
    assert made.driver_date[0, 0].tolist() == [2017, 2, 4]  # day 399
    rows = scaled(windows(counted, "R1", 400, 500), relative=False, train=slice(0, 50))
    assert rows.deformation.shape == (100, 2, 30, 4)
    assert rows.rain.shape == rows.level.shape == (100, 1, 30, 4)


def test_the_calendar_has_no_leap_days() -> None:
    days = np.array([0, 31, 58, 59, 364, 365])
    assert calendar(days).tolist() == [
        [2016, 1, 1],
        [2016, 2, 1],
        [2016, 2, 28],
        [2016, 3, 1],
        [2016, 12, 31],
        [2017, 1, 1],
    ]


def _with_epochs_changed_from(stack: Stack, day: int) -> Stack:
    """The stack if every epoch from `day` on had been another, the labels interpolated anew."""
    epochs = np.arange(0, len(stack.label_mm), STEP_D)
    seen = stack.label_mm[epochs].copy()
    seen[epochs >= day] += 100.0
    return stack._replace(label_mm=interpolate_daily(epochs, seen))


@pytest.mark.parametrize("after_epoch", range(2, 13))
def test_r1_contains_the_next_acquisition(stack: Stack, after_epoch: int) -> None:
    day = 600 + after_epoch  # an epoch stands on day 600, the next on day 612
    assert 600 % STEP_D == 0
    other = _with_epochs_changed_from(stack, 612)
    before, after = (windows(s, "R1", day, day + 1).deformation_mm for s in (stack, other))
    changed = np.abs(after - before).max(axis=(0, 1)) > 1.0
    assert changed.tolist() == [lag < after_epoch for lag in range(1, 31)]


@given(day=st.integers(FIRST_LABEL_D, LABELS_END_D - 1))
def test_r2_contains_no_acquisition_of_the_day_or_later(stack: Stack, day: int) -> None:
    other = _with_epochs_changed_from(stack, day)
    before, after = (windows(s, "R2", day, day + 1) for s in (stack, other))
    np.testing.assert_array_equal(after.deformation_mm, before.deformation_mm)
    assert (after.label_mm != before.label_mm).any()


def test_r2_of_smoothed_epochs_contains_two_later_acquisitions(truth: Truth, stack: Stack) -> None:
    epochs = np.arange(0, len(stack.label_mm), STEP_D)
    seen = stack.label_mm[epochs]
    day = 600 + STEP_D
    for later, seen_by_window in ((1, True), (2, False)):
        other = seen.copy()
        other[(600 + STEP_D * later) // STEP_D + 1 :] += 100.0
        made = [
            windows(
                stack._replace(label_mm=interpolate_daily(epochs, smooth_epochs(values))),
                "R2",
                day,
                day + 1,
            ).deformation_mm
            for values in (seen, other)
        ]
        assert (np.abs(made[1] - made[0]).max() > 1e-9) == seen_by_window
    smoothed = stack_of(truth, noise_mm=3.0, smoothed=True)
    np.testing.assert_array_equal(smoothed.label_mm, interpolate_daily(epochs, smooth_epochs(seen)))


def test_smoothing_is_a_triangle_over_five_epochs() -> None:
    spike = np.zeros((11, 1))
    spike[5] = 9.0
    assert smooth_epochs(spike)[:, 0].tolist() == pytest.approx([0, 0, 0, 1, 2, 3, 2, 1, 0, 0, 0])


def test_smoothing_keeps_a_line_and_at_the_ends_a_constant() -> None:
    line = np.arange(10.0)[:, None]
    np.testing.assert_allclose(smooth_epochs(line)[2:-2], line[2:-2])
    np.testing.assert_allclose(smooth_epochs(np.full((10, 3), 4.0)), 4.0)


def test_labels_go_straight_between_epochs() -> None:
    labels = interpolate_daily(np.array([0, 4, 10]), np.array([[0.0], [8.0], [2.0]]))
    assert labels[:, 0].tolist() == pytest.approx([0, 2, 4, 6, 8, 7, 6, 5, 4, 3, 2])


def test_without_noise_an_epoch_is_the_truth(truth: Truth) -> None:
    made = stack_of(truth, noise_mm=0.0, smoothed=False)
    np.testing.assert_array_equal(made.label_mm[::STEP_D], made.truth_mm[::STEP_D])
    assert np.abs(made.label_mm - made.truth_mm).max() > 0.1


def test_the_noise_of_an_epoch_is_the_stated_one(truth: Truth) -> None:
    error = [
        (made.label_mm - made.truth_mm)[::STEP_D]
        for made in (stack_of(truth, noise_mm=n, smoothed=False) for n in (3.0, 5.0))
    ]
    np.testing.assert_allclose(error[1], error[0] * 5.0 / 3.0, atol=1e-9)
    assert error[0].std() == pytest.approx(3.0, rel=0.05)


def test_a_forecast_of_the_target_is_the_label(stack: Stack) -> None:
    made = windows(stack, "R2")
    for relative in (False, True):
        data = scaled(made, relative=relative)
        np.testing.assert_allclose(
            data.forecast_mm(data.target[TEST], TEST), made.label_mm[TEST], atol=1e-9
        )


def test_relative_input_does_not_know_where_the_series_stands(stack: Stack) -> None:
    far = stack._replace(label_mm=stack.label_mm + 1000.0)
    here, there = (scaled(windows(s, "R1"), relative=True) for s in (stack, far))
    np.testing.assert_allclose(there.deformation, here.deformation, atol=1e-5)
    np.testing.assert_allclose(there.target, here.target, atol=1e-9)
    assert not here.deformation[..., 0, 0].any()


@pytest.mark.parametrize("relative", [False, True])
def test_scaling_knows_the_training_part_only(stack: Stack, relative: bool) -> None:
    made = windows(stack, "R1")
    changed = Windows(made.reading, *(np.array(block) for block in made[1:]))
    for block in changed[1:]:
        block[TEST] *= 3.0
    one, other = (scaled(w, relative=relative) for w in (made, changed))
    np.testing.assert_array_equal(one.deformation[TRAIN], other.deformation[TRAIN])
    np.testing.assert_array_equal(one.rain[TRAIN], other.rain[TRAIN])
    np.testing.assert_array_equal(one.target[TRAIN], other.target[TRAIN])
    assert (one.centre_mm, one.spread_mm) == (other.centre_mm, other.spread_mm)
    np.testing.assert_allclose(one.deformation[TRAIN][..., 1, 0].std(), 1.0, rtol=1e-3)
