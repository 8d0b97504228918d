from __future__ import annotations

import re
from datetime import date, timedelta

import numpy as np
import pytest

from services.console import plots


def vertices(path: str) -> int:
    return sum(
        len(p.split("l", 1)[-1].replace("-", " -").split()) // 2 for p in path.split("M")[1:]
    )


def ends(path: str) -> tuple[float, float]:
    """Where a path of one relative polyline ends."""
    start, steps = re.fullmatch(r"M(.*)l(.*)", path).groups()  # type: ignore[union-attr]
    pairs = [re.findall(r"-?(?:\d+\.?\d*|\.\d+)", part) for part in (start, steps)]
    at = np.array(pairs[0], float)
    return tuple(at + np.array(pairs[1], float).reshape(-1, 2).sum(axis=0))


def test_a_line_breaks_where_values_are_missing():
    y = np.array([1.0, 2.0, np.nan, 4.0, 5.0, np.nan, 7.0])
    path = plots.line_path(np.arange(7.0), y)
    assert path == "M0 1l1 1M3 4l1 1M6 7h.01"


def test_a_band_breaks_where_either_edge_is_missing():
    upper = np.array([1.0, 1.0, np.nan, 1.0, 1.0])
    path = plots.band_path(np.arange(5.0), upper, upper + 2)
    assert path.count("M") == path.count("z") == 2


def test_nothing_known_draws_nothing():
    none = np.full(4, np.nan)
    assert plots.line_path(np.arange(4.0), none) == ""
    assert plots.band_path(np.arange(4.0), none, none) == ""
    assert plots.dots_path(np.arange(4.0), none) == ""
    assert plots.stems_path(np.empty(0), np.empty(0), np.empty(0)) == ""


def test_rounding_does_not_add_up():
    y = np.cumsum(np.full(1500, 0.1234))
    x, last = ends(plots.line_path(np.arange(1500.0), y))
    assert x == pytest.approx(1499)
    assert last == pytest.approx(y[-1], abs=0.06)


def test_long_series_are_thinned_and_keep_their_extremes():
    y = np.sin(np.arange(50_000) / 900)
    y[31_234] = 40
    path = plots.line_path(np.arange(50_000.0), y * 10)
    assert vertices(path) <= plots.MAX_VERTICES
    assert re.search(r"\d{3}", path.split("l")[1])
    band = plots.band_path(np.arange(50_000.0), y, y + 1)
    assert vertices(band) <= plots.MAX_VERTICES + 4
    assert plots.dots_path(np.arange(50_000.0), y).count("M") <= plots.MAX_VERTICES


def test_stems_keep_the_longest():
    top = np.zeros(9000)
    top[4321] = -50
    path = plots.stems_path(np.arange(9000.0), top, np.full(9000, 10.0))
    assert path.count("M") == plots.MAX_VERTICES // 2
    assert "M4321 10V-50" in path


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (-205.0, 10.0, ["−200", "−150", "−100", "−50", "0"]),
        (-0.21, 0.1, ["−0.2", "−0.1", "0.0", "0.1"]),
    ],
)
def test_ticks_are_round(low, high, labels):
    scale = plots.Scale(low, high, 100)
    ticks = scale.ticks(4)
    assert [t.label for t in ticks] == labels
    assert all(0 <= t.at <= 100 for t in ticks)
    assert [t.strong for t in ticks] == [label in {"0", "0.0"} for label in labels]


@pytest.mark.parametrize("days", [0, 1, 5, 13, 40, 70, 90, 110, 150, 366, 800, 1461, 9000, 40_000])
def test_time_ticks_are_few_ordered_and_inside(days):
    first = date(2020, 2, 29)
    ticks = plots.time_ticks(first, first + timedelta(days=days))
    places = [t.at for t in ticks]
    assert places == sorted(set(places))
    assert all(0 <= p <= days for p in places)
    assert len(ticks) <= 10
    if days >= 13:
        assert len(ticks) >= 2
        assert re.search(r"\d{4}", ticks[0].label)


def test_numbers_wear_a_true_minus_and_no_signed_zero():
    assert plots.number(-1.25, 1) == "−1.2"
    assert plots.number(-0.01, 1, signed=True) == "0.0"
    assert plots.number(3, 0, signed=True) == "+3"


def test_a_scale_of_nothing_still_has_a_span():
    scale = plots.scale_of(100, np.array([np.nan]), least=4)
    assert scale.high - scale.low >= 4
    assert plots.scale_of(100).high > plots.scale_of(100).low
