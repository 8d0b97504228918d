from datetime import date

import array_api_strict as strict
import numpy as np
import pytest

from services.inference.timeseries import closure
from services.inference.timeseries.closure import Triplet
from services.inference.timeseries.links import Pair

A, B, C, D = (date(2020, 1, number) for number in (1, 13, 25, 31))
ALL = [Pair(A, B), Pair(B, C), Pair(A, C), Pair(C, D), Pair(B, D), Pair(A, D)]


def test_all_triplets_are_found_in_order_of_date():
    found = closure.triplets(ALL)
    assert found == (Triplet(0, 1, 2), Triplet(0, 4, 5), Triplet(2, 3, 5), Triplet(1, 3, 4))
    assert closure.independent_triplets(found) == 3
    assert closure.independent_loops(ALL) == 3
    assert closure.triplets([*reversed(ALL)])[0] == Triplet(5, 4, 3)


def test_a_network_without_triplets_may_still_have_a_loop():
    pairs = [Pair(A, B), Pair(B, D), Pair(A, C), Pair(C, D)]
    assert closure.triplets(pairs) == ()
    assert closure.independent_triplets(()) == 0
    assert closure.independent_loops(pairs) == 1
    assert closure.independent_loops([]) == 0
    assert closure.closure_phase(np.zeros((4, 3)), ()).shape == (0, 3)


def test_consistent_phase_closes_and_a_missing_pair_leaves_a_gap():
    epoch = np.random.default_rng(0).normal(size=(4, 5)) * 9
    place = {A: 0, B: 1, C: 2, D: 3}
    phase = np.stack([epoch[place[s]] - epoch[place[r]] for r, s in ALL])
    phase[3, 2] = np.nan
    found = closure.closure_phase(phase, closure.triplets(ALL))
    np.testing.assert_allclose(found[:2], 0.0, atol=1e-12)
    assert np.isnan(found[2:, 2]).all()
    np.testing.assert_array_equal(closure.summarise(found).pixels, [5, 5, 4, 4])


@pytest.mark.parametrize("xp", [np, strict])
def test_whole_cycles_are_counted_and_fractions_averaged(xp):
    values = [[0.1, 0.3, np.nan, 0.2 + 2 * np.pi], [np.nan] * 4, [0.5, 0.5, 0.5, 0.5 - 4 * np.pi]]
    found = closure.summarise(xp.asarray(values, dtype=xp.float64))
    np.testing.assert_array_equal(np.asarray(found.pixels), [3, 0, 4])
    np.testing.assert_allclose(np.asarray(found.whole_cycle_share), [1 / 3, np.nan, 0.25])
    known = np.asarray([0.1, 0.3, 0.2 + 2 * np.pi])
    assert float(found.mean_rad[0]) == pytest.approx(known.mean())
    assert float(found.sd_rad[0]) == pytest.approx(known.std())
    three = xp.asarray(np.asarray([[1.0], [2.0], [3.5]]))
    gap = closure.closure_phase(three, [Triplet(0, 1, 2)])
    assert float(gap[0, 0]) == pytest.approx(-0.5)
