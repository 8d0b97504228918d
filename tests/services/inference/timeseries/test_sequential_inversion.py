from datetime import date, timedelta

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInputError
from services.inference.timeseries.links import Pair
from services.inference.timeseries.network import invert
from services.inference.timeseries.sequential import (
    add_pairs,
    begin,
    drop_oldest,
    estimate,
    information_matrix,
    insert_epochs,
)

FIRST = date(2020, 1, 1)


def day(number):
    return FIRST + timedelta(days=int(number))


def compare(state, pairs, phase, variance, tolerance=1e-6):
    """The window's estimate against the batch inversion of all pairs ever added."""
    found = estimate(state)
    batch = invert(phase, pairs, variance)
    rows = [batch.epochs.index(epoch) for epoch in found.epochs]
    np.testing.assert_allclose(found.phase, batch.phase[rows], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(found.sigma, batch.sigma[rows], rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(found.connected, np.isfinite(batch.phase[rows]).all(axis=0))


@st.composite
def arrivals(draw):
    """Pairs of a random network in an order of arrival that a window of epochs can follow."""
    window = draw(st.integers(3, 8))
    epochs = draw(st.integers(window, 20))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dates = [day(number) for number in np.sort(rng.choice(400, epochs, replace=False))]
    steps = []
    for late in range(1, epochs):
        nearest = max(0, late - window + 2)
        chosen = rng.choice(np.arange(nearest, late), rng.integers(1, late - nearest + 1), False)
        step = [Pair(dates[early], dates[late]) for early in chosen]
        steps.append([Pair(*reversed(pair)) for pair in step] if rng.random() < 0.3 else step)
    # Now and then an epoch comes after the one that follows it.
    for first in range(1, len(steps) - 1, 2):
        if rng.random() < 0.4:
            steps[first], steps[first + 1] = steps[first + 1], steps[first]
    return window, dates, steps, [pair for step in steps for pair in step], rng


@settings(deadline=None, max_examples=60)
@given(arrivals())
def test_the_window_equals_the_batch(case):
    window, dates, steps, pairs, rng = case
    pixels = 6
    assert dates[0] in pairs[0]
    phase = rng.normal(size=(len(pairs), pixels)) * 10
    phase[rng.random(phase.shape) < rng.choice([0.0, 0.1, 0.5])] = np.nan
    variance = 10.0 ** rng.uniform(-2, 2, phase.shape)
    state, done = begin(dates[0], pixels), 0
    for step in steps:
        upto = done + len(step)
        state = add_pairs(state, phase[done:upto], step, variance[done:upto], window=window)
        done = upto
        assert len(state.dates) <= window
        compare(state, pairs[:done], phase[:done], variance[:done])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_any_order_within_the_window_gives_the_same(seed):
    rng = np.random.default_rng(seed)
    epochs, pixels = 7, 4
    pairs = [Pair(day(i), day(j)) for i in range(epochs) for j in range(i + 1, epochs)]
    phase = rng.normal(size=(len(pairs), pixels))
    phase[rng.random(phase.shape) < 0.4] = np.nan
    variance = 10.0 ** rng.uniform(-2, 2, phase.shape)
    state = begin(day(0), pixels)
    for row in rng.permutation(len(pairs)):
        one = slice(row, row + 1)
        state = add_pairs(state, phase[one], pairs[one], variance[one], window=epochs)
    assert state.dates == tuple(day(number) for number in range(epochs))
    compare(state, pairs, phase, variance)


def test_an_epoch_that_arrives_late_finds_its_place():
    pairs = [Pair(day(0), day(24)), Pair(day(24), day(36)), Pair(day(0), day(12))]
    pairs += [Pair(day(12), day(24)), Pair(day(36), day(48))]
    rng = np.random.default_rng(1)
    phase, variance = rng.normal(size=(5, 3)), rng.uniform(1, 2, (5, 3))
    state = begin(day(0), 3)
    for row, pair in enumerate(pairs):
        state = add_pairs(state, phase[row : row + 1], [pair], variance[row : row + 1], window=4)
    assert state.dates == (day(12), day(24), day(36), day(48))
    compare(state, pairs, phase, variance)


def test_information_outlives_its_epochs():
    # A long chain with sides: the early links still weigh on the last epochs.
    rng = np.random.default_rng(2)
    pairs = [Pair(day(i), day(j)) for i in range(120) for j in (i + 1, i + 2) if j < 120]
    phase = rng.normal(size=(len(pairs), 5)) * 3
    variance = 10.0 ** rng.uniform(-3, 3, phase.shape)
    state = begin(day(0), 5)
    for row, pair in enumerate(pairs):
        state = add_pairs(state, phase[row : row + 1], [pair], variance[row : row + 1], window=3)
    compare(state, pairs, phase, variance)


def test_a_part_that_was_never_joined_stays_unknown_after_epochs_left():
    pairs = [Pair(day(1), day(2)), Pair(day(2), day(3)), Pair(day(3), day(4)), Pair(day(4), day(5))]
    state = begin(day(0), 1)
    for pair in pairs:
        variance = np.full((1, 1), 1 / 3)
        state = add_pairs(state, np.full((1, 1), 0.1), [pair], variance, window=3)
    found = estimate(state)
    assert np.isnan(found.phase).all()
    assert not found.connected.any()


def test_a_part_joined_late_is_known_at_once():
    state = begin(day(0), 1)
    one = np.ones((1, 1))
    for pair in [Pair(day(2), day(3)), Pair(day(3), day(4)), Pair(day(0), day(4))]:
        state = add_pairs(state, one, [pair], window=4)
    np.testing.assert_allclose(estimate(state).phase[:, 0], [0.0, -1.0, 0.0, 1.0], atol=1e-12)


def test_one_call_or_many_is_the_same_and_the_old_state_is_untouched():
    rng = np.random.default_rng(3)
    pairs = [Pair(day(i), day(j)) for i in range(9) for j in (i + 1, i + 3) if j < 9]
    phase = rng.normal(size=(len(pairs), 4))
    empty = begin(day(0), 4)
    once = add_pairs(empty, phase, pairs, 0.5, window=4)
    assert empty.dates == (day(0),)
    assert not empty.links.any()
    state = empty
    for row, pair in enumerate(pairs):
        before = state.links.copy()
        after = add_pairs(state, phase[row : row + 1], [pair], 0.5, window=4)
        np.testing.assert_array_equal(state.links, before)
        state = after
    np.testing.assert_allclose(estimate(state).phase, estimate(once).phase, rtol=1e-9)


def test_the_information_matrix_is_the_inverse_covariance():
    pairs = [Pair(day(0), day(1)), Pair(day(1), day(2)), Pair(day(0), day(2))]
    state = add_pairs(begin(day(0), 1), np.ones((3, 1)), pairs, 0.5, window=3)
    full = information_matrix(state)[0]
    np.testing.assert_allclose(full, [[0, 0, 0], [0, 4, -2], [0, -2, 4]])
    left = information_matrix(drop_oldest(drop_oldest(state)))[0]
    np.testing.assert_allclose(left, [[4 - 4 / 4]])


def test_a_pair_outside_the_window_is_refused_by_name():
    state = begin(day(0), 1)
    for number in range(5):
        pair = Pair(day(number), day(number + 1))
        state = add_pairs(state, np.ones((1, 1)), [pair], window=3)
    assert state.dates == (day(3), day(4), day(5))
    with pytest.raises(BadInputError, match=r"2020-01-03 - 2020-01-06 .* first date is 2020-01-04"):
        add_pairs(state, np.ones((1, 1)), [Pair(day(2), day(5))], window=3)
    with pytest.raises(BadInputError, match="2019-12-31"):
        add_pairs(begin(day(0), 1), np.ones((1, 1)), [Pair(day(-1), day(5))], window=3)


def test_what_cannot_be_added_is_refused():
    state, pair = begin(day(0), 2), Pair(day(0), day(1))
    with pytest.raises(BadInputError, match="shape"):
        add_pairs(state, np.ones((1, 3)), [pair], window=3)
    with pytest.raises(BadInputError, match="cannot hold a pair"):
        add_pairs(state, np.ones((1, 2)), [pair], window=1)
    with pytest.raises(BadInputError, match="not positive"):
        add_pairs(state, np.ones((1, 2)), [pair], -1.0, window=3)
    with pytest.raises(BadInputError, match="only epoch"):
        drop_oldest(state)
    assert insert_epochs(state, {day(0)}) is state


def test_it_follows_the_array_api():
    rng = np.random.default_rng(5)
    pairs = [Pair(day(i), day(j)) for i in range(8) for j in (i + 1, i + 2) if j < 8]
    phase = rng.normal(size=(len(pairs), 3))
    phase[4, 1] = np.nan
    here, there = begin(day(0), 3), begin(day(0), 3, like=strict.asarray([0.0]))
    for row, pair in enumerate(pairs):
        one = phase[row : row + 1]
        here = add_pairs(here, one, [pair], 0.3, window=4)
        there = add_pairs(there, strict.asarray(one), [pair], 0.3, window=4)
    a, b = estimate(here), estimate(there)
    assert b.phase.__array_namespace__() is strict
    np.testing.assert_allclose(np.asarray(b.phase), a.phase)
    np.testing.assert_allclose(np.asarray(b.sigma), a.sigma)
