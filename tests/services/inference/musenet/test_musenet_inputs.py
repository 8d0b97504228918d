from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference.musenet.examples import Examples, chosen_rows, joined, later_epochs
from services.inference.musenet.inputs import (
    BACK_D,
    EPOCHS,
    PATCH_D,
    Slopes,
    gather,
)

DAY = 600


def inputs_of(record: Any, known: Any) -> Any:
    return gather(known, record.expectation(known))


def test_every_input_is_finite_and_bounded(record: Any) -> None:
    inputs = inputs_of(record, record.known(DAY))
    for name in ("epochs", "statics", "rain", "level"):
        values = getattr(inputs, name)
        assert np.isfinite(values).all(), name
        assert np.abs(values).max() <= 8.0, name


def test_downslope_motion_is_positive_whatever_the_radar_sees(record: Any) -> None:
    inputs = inputs_of(record, record.known(DAY))
    assert (np.sign(inputs.scale_mm_d) == np.sign(record.factor)).all()
    assert (inputs.epochs[:, :, 0].mean(axis=1) > 0).all()


def test_inputs_do_not_depend_on_the_unit_of_displacement(record: Any) -> None:
    """A slope ten times as fast, seen ten times as badly, looks the same."""
    known = record.known(DAY)
    base = record.expectation(known)
    fast = dataclasses.replace(known, los_mm=10 * known.los_mm, sd_mm=10 * known.sd_mm)
    tenfold = base._replace(
        path=type(base.path)(*(10 * part for part in base.path)),
        coefficients=10 * base.coefficients,
        at_epochs_mm=10 * base.at_epochs_mm,
        innovation_mm=10 * base.innovation_mm,
        innovation_variance=100 * base.innovation_variance,
        residual_mm=10 * base.residual_mm,
        residual_rate_sd_mm_d=10 * base.residual_rate_sd_mm_d,
        last_mm=10 * base.last_mm,
        typical_mm_d=10 * base.typical_mm_d,
    )
    slow, quick = gather(known, base), gather(fast, tenfold)
    np.testing.assert_allclose(quick.epochs, slow.epochs, atol=1e-9)
    different = np.abs(quick.statics - slow.statics).max(axis=0) > 1e-9
    assert different.sum() == 1  # the typical rate itself


def test_a_series_with_fewer_epochs_is_padded_at_its_beginning(record: Any) -> None:
    known = record.known(DAY)
    los = known.los_mm.copy()
    los[:-4, 2] = np.nan
    inputs = inputs_of(record, dataclasses.replace(known, los_mm=los))
    there = inputs.epochs[:, :, -1]
    assert there[2].sum() == 4
    assert (there[2, -4:] == 1).all()
    assert (inputs.epochs[2, :-4] == 0).all()
    assert there[3].sum() == EPOCHS


def test_rain_of_the_issue_day_is_where_the_storm_falls(record: Any) -> None:
    known = record.known(DAY)
    rain = inputs_of(record, known).rain
    days = np.expm1(rain.reshape(len(rain), -1, PATCH_D, 2)[..., 0].reshape(len(rain), -1))
    np.testing.assert_allclose(days[:, BACK_D - 1], known.drivers.rain_mm[DAY], atol=1e-9)
    issued = rain.reshape(len(rain), -1, PATCH_D, 2)[..., 1].reshape(len(rain), -1)
    assert issued[0].argmax() == BACK_D - 1


def test_series_of_one_slope_share_the_mean_of_their_innovations(record: Any) -> None:
    inputs = inputs_of(record, record.known(DAY))
    for place in np.unique(record.place):
        mine = inputs.epochs[record.place == place]
        assert np.ptp(mine[:, :, 12], axis=0).max() < 1e-9


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 2**31))
def test_the_mean_of_slopes_is_the_mean_of_each_group(groups: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(2, len(groups)))
    values[0, 0] = np.nan
    number = np.unique(groups, return_inverse=True)[1]
    means = Slopes(number, np.zeros(len(groups))).mean(values)
    for group in set(number):
        mine = number == group
        finite = [row[mine & np.isfinite(row)] for row in values]
        for row, kept in zip(means, finite, strict=True):
            expected = kept.mean() if kept.size else np.nan
            np.testing.assert_allclose(row[mine], expected)


def test_what_grows_with_height_is_told_from_what_a_slope_shares() -> None:
    height = np.array([10.0, 60.0, 110.0, 5.0, 300.0])
    slopes = Slopes(np.array([0, 0, 0, 1, 1]), height)
    delay = np.where(np.arange(5) < 3, 2.0 + 0.03 * height, -1.0 - 0.01 * height)[None]
    centred = height - np.where(np.arange(5) < 3, 60.0, 152.5)
    expected = np.where(np.arange(5) < 3, 0.03, -0.01) * centred
    np.testing.assert_allclose(slopes.by_height(delay)[0], expected)
    np.testing.assert_allclose(slopes.mean(delay) + slopes.by_height(delay), delay)


def test_unknown_heights_grow_with_nothing() -> None:
    slopes = Slopes(np.zeros(3, int), np.full(3, np.nan))
    assert (slopes.by_height(np.array([[1.0, 2.0, 4.0]])) == 0).all()


def test_later_epochs_are_real_ones_within_thirty_days(record: Any) -> None:
    known, complete = record.known(DAY), record.known(860)
    later = later_epochs(known, complete)
    last = known.epoch_day[-1, 0]
    expected = [day for day in record.days if last < day <= DAY + 30]
    assert (later.offset_d[0, : len(expected)] + DAY == expected).all()
    row = int(np.flatnonzero(record.days == expected[0])[0])
    assert (later.observed_mm[:, 0] == record.los[row]).all()
    assert np.isnan(later.observed_mm[:, len(expected) :]).all()


def test_another_future_changes_what_is_judged_but_no_input(record: Any) -> None:
    other = copy.copy(record)
    future = other.days + 2 > DAY
    other.los = np.where(future[:, None], 1e3, record.los)
    other.rain = np.where(np.arange(len(record.rain))[:, None] > DAY + 30, 99.0, record.rain)
    ours, theirs = record.known(DAY), other.known(DAY)
    one, two = inputs_of(record, ours), inputs_of(other, theirs)
    for name, values in one._asdict().items():
        assert np.array_equal(values, getattr(two, name), equal_nan=True), name
    later = later_epochs(theirs, other.known(860)).observed_mm
    assert (later[np.isfinite(later)] == 1e3).all()


def test_another_past_changes_the_inputs(record: Any) -> None:
    other = copy.copy(record)
    other.los = record.los + 5.0 * (np.arange(len(record.los)) % 2)[:, None]
    one, two = inputs_of(record, record.known(DAY)), inputs_of(other, other.known(DAY))
    assert not np.array_equal(one.epochs, two.epochs)


def test_chosen_and_joined_examples_are_the_same_examples(examples: Examples) -> None:
    early = examples.day < 600
    again = joined([chosen_rows(examples, early), chosen_rows(examples, ~early)])
    for name, values in examples._asdict().items():
        assert np.array_equal(values, getattr(again, name), equal_nan=True), name
