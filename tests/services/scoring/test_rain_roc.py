"""Scores of a daily statistic against dates, on records small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from services.scoring.rain_roc import count, merged, roc

DAY = np.arange(100, 200)


def statistic(**at: float) -> np.ndarray:
    """Zero but on days named `d123`."""
    value = np.zeros(len(DAY))
    for name, given in at.items():
        value[int(name[1:]) - 100] = given
    return value


def test_dates_within_three_days_are_one_event_however_long_the_chain() -> None:
    slides = merged([120, 110, 113, 116, 124, 110])
    np.testing.assert_array_equal(slides.first, [110, 120, 124])
    np.testing.assert_array_equal(slides.last, [116, 120, 124])
    assert merged([]).first.size == 0


@pytest.mark.parametrize(
    ("alarm", "hits"),
    [("d136", (0, 0, 0)), ("d137", (1, 1, 1)), ("d139", (1, 1, 1)), ("d140", (0, 1, 1)),
     ("d141", (0, 0, 1)), ("d142", (0, 0, 1)), ("d143", (0, 0, 0))],
)  # fmt: skip
def test_when_an_alarm_comes_decides_what_it_hit(alarm: str, hits: tuple[int, int, int]) -> None:
    found = count(DAY, statistic(**{alarm: 1.0}), merged([140, 142]), 1.0)
    assert (found.before, found.first_day, found.last_day) == hits
    assert (found.events, found.episodes, found.alarm_days, found.days) == (1, 1, 1, 100)


@pytest.mark.parametrize(
    ("alarms", "episodes", "false"),
    [((136,), 1, 1), ((137,), 1, 0), ((142,), 1, 0), ((143,), 1, 1), ((133, 136), 1, 1),
     ((132, 136), 2, 2), ((134, 137), 1, 0), ((110, 139, 160), 3, 2)],
)  # fmt: skip
def test_an_episode_is_false_without_an_event_in_it_or_soon_after(
    alarms: tuple[int, ...], episodes: int, false: int
) -> None:
    value = statistic(**{f"d{day}": 1.0 for day in alarms})
    found = count(DAY, value, merged([140, 142]), 1.0)
    assert (found.episodes, found.false_alarms) == (episodes, false)


def test_an_unknown_day_is_no_alarm_and_no_day() -> None:
    found = count(DAY, statistic(d139=np.nan), merged([140]), 0.5)
    assert (found.before, found.alarm_days, found.days) == (0, 0, 99)


def test_a_curve_by_hand() -> None:
    value = statistic(d139=3.0, d138=1.0, d150=2.0, d140=9.0, d142=9.0)
    found = roc(DAY, value, merged([140, 142]), least_lead_d=1)
    assert (found.positives, found.quiet) == (3, 94)
    np.testing.assert_array_equal(found.limits, [3.0, 2.0, 1.0, 0.0])
    np.testing.assert_allclose(found.hit_rate, [1 / 3, 1 / 3, 2 / 3, 1.0])
    np.testing.assert_allclose(found.false_rate, [0.0, 1 / 94, 1 / 94, 1.0])
    area = (94 + (93 + 0) + 93 / 2) / (3 * 94)
    assert found.area.value == pytest.approx(area)
    assert found.area.low <= found.area.value <= found.area.high
    steps = np.trapezoid(np.r_[0, found.hit_rate], np.r_[0, found.false_rate])
    assert steps == pytest.approx(area)
    same_day = roc(DAY, value, merged([140, 142]), least_lead_d=0)
    assert (same_day.positives, same_day.quiet) == (4, 94)


def test_only_days_that_are_asked_about_are_scored() -> None:
    value, among = statistic(d139=1.0), DAY >= 130
    found = roc(DAY, value, merged([140]), least_lead_d=1, among=among)
    assert (found.positives, found.quiet) == (3, 66)
    with pytest.raises(ValueError, match="days before a landslide and quiet days"):
        roc(DAY, value, merged([140]), least_lead_d=1, among=DAY < 130)


def test_without_skill_the_interval_holds_one_half_and_with_skill_it_does_not() -> None:
    rng = np.random.default_rng(1)
    day = np.arange(900)
    slides = merged(range(20, 900, 60))
    before = np.isin(day, np.concatenate([slides.first - lead for lead in (1, 2, 3)]))
    blind = roc(day, rng.normal(size=900), slides, least_lead_d=1).area
    seeing = roc(day, rng.normal(size=900) + 2.0 * before, slides, least_lead_d=1).area
    assert blind.low < 0.5 < blind.high
    assert 0.8 < seeing.low < seeing.value < seeing.high <= 1.0
