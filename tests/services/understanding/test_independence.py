"""The chi-square test is fooled by slow series; its replacement is not, and still sees."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import chi2_contingency

from core.errors import BadInputError
from services.understanding.independence import _bins, independence

Floats = NDArray[np.float64]


def slow(rng: np.random.Generator, memory: float, count: int, length: int) -> Floats:
    noise = rng.standard_normal((count, length + 300))
    return np.asarray(lfilter([1.0], [1.0, -memory], noise, axis=1)[:, 300:])


def test_the_statistic_is_that_of_scipy() -> None:
    first, second = slow(np.random.default_rng(0), 0.5, 2, 600)
    second = second + first
    found = independence(first, second, surrogates=20)
    table = np.zeros((5, 5))
    np.add.at(table, (_bins(first[None], 5)[0], _bins(second[None], 5)[0]), 1)
    expected = chi2_contingency(table)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_chi_square == pytest.approx(expected.pvalue)


def test_unrelated_slow_series_fool_the_chi_square_and_not_the_surrogates() -> None:
    drawn = slow(np.random.default_rng(1), 0.95, 100, 900)
    results = [
        independence(a, b, surrogates=99, seed=n)
        for n, (a, b) in enumerate(zip(drawn[::2], drawn[1::2], strict=True))
    ]
    assert np.mean([one.p_chi_square < 0.05 for one in results]) > 0.5
    # Binomial(50, 0.05) is above 7 in 0.3 % of runs.
    assert sum(one.p_surrogates < 0.05 for one in results) <= 7


def test_on_independent_draws_both_hold_their_level() -> None:
    drawn = np.random.default_rng(2).standard_normal((80, 400))
    results = [
        independence(a, b, surrogates=99, seed=n)
        for n, (a, b) in enumerate(zip(drawn[::2], drawn[1::2], strict=True))
    ]
    for name in ("p_chi_square", "p_surrogates"):
        assert sum(getattr(one, name) < 0.05 for one in results) <= 7


def test_dependence_is_still_seen() -> None:
    rng = np.random.default_rng(3)
    first = slow(rng, 0.8, 1, 900)[0]
    second = first**2 + rng.normal(size=900)
    assert independence(first, second, surrogates=199).p_surrogates < 0.05


def test_a_common_season_is_no_dependence_when_years_are_permuted() -> None:
    rng = np.random.default_rng(4)
    season = 3 * np.sin(2 * np.pi * np.arange(6 * 365) / 365)
    noise = slow(rng, 0.9, 41, len(season)) * 0.5
    results = [
        independence(season + a, season + noise[-1], null="years", surrogates=99, seed=n)
        for n, a in enumerate(noise[:40])
    ]
    assert all(one.p_chi_square < 1e-6 for one in results)
    assert sum(one.p_surrogates < 0.05 for one in results) <= 7


def test_dry_days_share_a_bin() -> None:
    rain = np.where(np.random.default_rng(5).random(400) < 0.3, 5.0, 0.0)
    assert len(set(_bins(rain[None], 5)[0])) == 2


def test_unusable_series_are_refused() -> None:
    with pytest.raises(BadInputError, match="125 values"):
        independence(np.zeros(100), np.zeros(100))
    with pytest.raises(BadInputError, match="one length"):
        independence(np.zeros(200), np.zeros(201))
