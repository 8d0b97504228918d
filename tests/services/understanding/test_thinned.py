"""A thinned record is the record, less some series."""

from __future__ import annotations

import numpy as np

from services.understanding.thinned import MOST, Thinned, evenly
from tests.services.understanding.simple_slope import SimpleSlope


def test_few_series_are_all_kept_and_many_are_spread() -> None:
    np.testing.assert_array_equal(evenly(np.array([3, 5, 8])), [3, 5, 8])
    many = evenly(np.arange(5000))
    assert len(many) == len(np.unique(many)) == MOST
    assert (many[0], many[-1]) == (0, 4999)
    assert np.ptp(np.diff(many)) <= 1


def test_chosen_series_are_as_in_the_whole_record(slope: SimpleSlope) -> None:
    thin = Thinned(slope, np.array([2, 0]))
    whole, some = slope.known(900), thin.known(900)
    assert thin.first_day == slope.first_day
    assert some.series == 2
    np.testing.assert_array_equal(some.los_mm, whole.los_mm[:, [2, 0]])
    np.testing.assert_array_equal(some.setting.bank_distance_m, [60.0, 600.0])
    np.testing.assert_array_equal(some.drivers.rain_mm, whole.drivers.rain_mm)
