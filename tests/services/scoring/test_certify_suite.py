"""The variants of the frozen suite take epochs away and change nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from core.twin import Kind, Observed, Truth, fingerprint, observe, simulate
from services.scoring.pool import YEAR_DAYS
from services.scoring.suite import first_sites, with_blind_winters, with_gaps, without


@pytest.fixture(scope="module")
def sites() -> tuple[Truth, Observed]:
    truth = simulate(range(6), Kind.FAILING, years=3)
    return truth, observe(truth)


def rows(seen: Observed, site: int) -> list[tuple[object, ...]]:
    """The epochs of a site, without padding."""
    return [
        (day, arrival, tuple(los), tuple(sigma))
        for day, arrival, los, sigma in zip(
            seen.epoch_day[site],
            seen.arrival_day[site],
            seen.los_mm[site],
            seen.sigma_mm[site],
            strict=True,
        )
        if day >= 0
    ]


def test_what_is_left_is_as_it_was_and_padding_is_last(sites: tuple[Truth, Observed]) -> None:
    _, seen = sites
    dropped = np.random.default_rng(1).random(seen.epoch_day.shape) < 0.4
    left = without(seen, dropped)
    for site in range(6):
        day = seen.epoch_day[site]
        keeps = {int(d) for d in day[(day >= 0) & ~dropped[site]]}
        assert rows(left, site) == [one for one in rows(seen, site) if one[0] in keeps]
        padding = left.epoch_day[site] < 0
        assert np.all(np.diff(padding.astype(int)) >= 0)
        assert np.isnan(left.los_mm[site, padding]).all()
        assert np.isnan(left.sigma_mm[site, padding]).all()
        assert np.all(left.arrival_day[site, padding] == -1)
        assert not left.wrapped[site, padding].any()
    np.testing.assert_array_equal(left.gauge_mm, seen.gauge_mm)
    assert fingerprint(without(seen, np.zeros_like(dropped))) == fingerprint(seen)


def test_lost_cycles_are_lost_at_the_next_epoch_kept() -> None:
    nothing = np.zeros((1, 5, 1))
    seen = Observed(
        gauge_mm=np.zeros((1, 9)),
        level_m=np.zeros((1, 9)),
        epoch_day=np.array([[0, 2, 4, 6, -1]]),
        arrival_day=np.array([[1, 3, 5, 7, -1]]),
        los_mm=nothing,
        sigma_mm=nothing,
        wrapped=np.array([[False, True, False, False, False]]),
    )
    left = without(seen, np.array([[False, True, False, False, False]]))
    assert left.epoch_day.tolist() == [[0, 4, 6, -1, -1]]
    assert left.wrapped.tolist() == [[False, True, False, False, False]]


def test_each_year_lacks_five_epochs_in_a_row(sites: tuple[Truth, Observed]) -> None:
    truth, seen = sites
    left = with_gaps(truth, seen)
    for site in range(6):
        days = seen.epoch_day[site][seen.epoch_day[site] >= 0]
        there = set(left.epoch_day[site].tolist())
        for year in range(3):
            of_year = days[days // YEAR_DAYS == year]
            missing = [n for n, day in enumerate(of_year) if day not in there]
            wanted = min(5, len(of_year))
            assert len(missing) == wanted
            assert missing == list(range(missing[0], missing[0] + wanted)) if missing else True


def test_gaps_depend_on_the_seed_and_not_on_the_neighbours(sites: tuple[Truth, Observed]) -> None:
    truth, seen = sites
    alone = with_gaps(first_sites(truth, 2), first_sites(seen, 2))
    together = with_gaps(truth, seen)
    assert fingerprint(alone) == fingerprint(first_sites(together, 2))
    starts = {int(np.argmax(np.diff(days) > 48)) for days in together.epoch_day}
    assert len(starts) > 2


def test_no_epoch_from_december_to_february(sites: tuple[Truth, Observed]) -> None:
    truth, seen = sites
    left = with_blind_winters(truth, seen)
    kept = left.epoch_day[left.epoch_day >= 0] % YEAR_DAYS
    assert kept.min() >= 59
    assert kept.max() < 334
    inside = seen.epoch_day % YEAR_DAYS
    wanted = (seen.epoch_day >= 0) & (inside >= 59) & (inside < 334)
    assert (left.epoch_day >= 0).sum() == wanted.sum()
