from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.twin import Kind
from services.scoring.pool import Pool
from services.scoring.score import (
    alarm_days,
    detected,
    false_starts,
    leads,
    quiet_days,
    rate_interval,
    score,
    starts,
    watched,
    wilson,
)

ONSET, FAILURE = 1500, 1620


def timeline(
    pool: Pool, *changes: tuple[int, int], failing: bool = True
) -> tuple[Pool, np.ndarray]:
    """One site whose level becomes known as (day, level), and blue before; failing on day 1620."""
    one = pool.where(np.arange(len(pool)) == 0)
    width = one.usable.shape[1]
    known = np.full((1, width), one.days)
    level = np.zeros((1, width), dtype=np.int8)
    for place, (day, value) in enumerate(((0, 0), *changes)):
        known[0, place], level[0, place:] = day, value
    site = replace(
        one,
        known_day=known,
        usable=known < one.days,
        kind=np.array([Kind.FAILING if failing else Kind.QUIET], dtype="<U9"),
        onset_day=np.array([ONSET if failing else -1]),
        failure_day=np.array([FAILURE if failing else -1]),
    )
    return site, level


def found(pool: Pool, *changes: tuple[int, int]) -> list[int]:
    """Leads at which the failure is detected."""
    site, level = timeline(pool, *changes)
    return [lead for lead in (7, 14, 30) if detected(site, level, lead)[0]]


def test_an_alert_after_onset_that_stands_detects(pool: Pool) -> None:
    assert found(pool, (1580, 2)) == [7, 14, 30]
    assert found(pool, (1590, 2)) == [7, 14, 30]
    assert found(pool, (1591, 2)) == [7, 14]
    assert found(pool, (1613, 2)) == [7]
    assert found(pool, (1614, 2)) == []
    assert found(pool, (1600, 1)) == []


def test_an_alert_that_falls_before_failure_detects_nothing_earlier(pool: Pool) -> None:
    assert found(pool, (1550, 2), (1610, 1)) == []
    assert found(pool, (1550, 2), (1595, 1), (1605, 2)) == [7, 14]


def test_an_alert_standing_since_before_onset_detects_nothing_unless_it_rises(pool: Pool) -> None:
    assert found(pool, (1490, 2)) == []
    assert found(pool, (1490, 2), (1605, 3)) == [7, 14]
    assert found(pool, (1490, 3), (1550, 2), (1605, 3)) == []
    assert found(pool, (1490, 2), (1495, 1), (1510, 2)) == []
    assert found(pool, (1400, 2), (1420, 1), (1510, 2)) == [7, 14, 30]


def test_what_becomes_known_at_failure_is_too_late(pool: Pool) -> None:
    assert found(pool, (1620, 3)) == []
    site, level = timeline(pool, (1620, 3))
    assert not detected(site, level, 0)[0]
    assert leads(site, level)[0] == -1


def test_leads_count_from_the_day_the_standing_alert_was_news(pool: Pool) -> None:
    assert leads(*timeline(pool, (1580, 2)))[0] == 40
    assert leads(*timeline(pool, (1540, 2), (1560, 1), (1600, 2)))[0] == 20
    assert leads(*timeline(pool, (1490, 2), (1605, 3)))[0] == 15
    assert leads(*timeline(pool, (1490, 2)))[0] == -1
    assert leads(*timeline(pool, (1580, 2), (1610, 0)))[0] == -1


def test_episodes_are_sixty_days_apart(pool: Pool) -> None:
    site, level = timeline(
        pool, (1100, 2), (1110, 0), (1169, 2), (1180, 0), (1240, 3), (1250, 1), failing=False
    )
    begun = starts(level >= 2, watched(site))
    assert watched(site).since[begun].tolist() == [1100, 1240]
    assert false_starts(site, level >= 2).sum() == 2
    assert alarm_days(site, level >= 2)[0] == 10 + 11 + 10
    assert quiet_days(site)[0] == 730


def test_only_watched_time_outside_a_runaway_counts(pool: Pool) -> None:
    changes = ((1000, 2), (1110, 0), (1300, 2), (1310, 0), (1510, 2))
    site, level = timeline(pool, *changes)
    assert false_starts(site, level >= 2).sum() == 1
    assert quiet_days(site)[0] == ONSET - 1095
    assert alarm_days(site, level >= 2)[0] == 15 + 10


def test_always_on_and_never_on(pool: Pool) -> None:
    always = score(pool, np.full(pool.usable.shape, 2, dtype=np.int8))
    never = score(pool, np.zeros(pool.usable.shape, dtype=np.int8))
    assert always.failures == never.failures > 5
    assert all(share.value == 0 for share in always.detection.values())
    assert all(share.value == 0 for share in never.detection.values())
    assert always.alarm_share["quiet"] == 1
    assert never.alarm_share["all"] == 0
    assert always.episodes["all"] == never.episodes["all"] == 0
    assert np.isnan(never.median_lead_days)
    assert always.site_years["quiet"] == 20


def test_the_rate_takes_the_wider_interval() -> None:
    alike = rate_interval(np.ones(100, dtype=np.int64), np.ones(100))
    assert alike.value == 1
    assert alike.low == pytest.approx(0.8136, abs=1e-3)
    assert alike.high == pytest.approx(1.2163, abs=1e-3)
    bursts = np.zeros(100, dtype=np.int64)
    bursts[:5] = 20
    crowded = rate_interval(bursts, np.ones(100))
    assert crowded.value == 1
    assert crowded.high > 1.6
    none = rate_interval(np.zeros(10, dtype=np.int64), np.full(10, 2.0))
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(3.689 / 20, abs=1e-3)
    assert np.isnan(rate_interval(np.zeros(0, dtype=np.int64), np.zeros(0)).value)


def test_wilson_interval() -> None:
    value, low, high = wilson(8, 10)
    assert value == 0.8
    assert low == pytest.approx(0.4902, abs=1e-3)
    assert high == pytest.approx(0.9433, abs=1e-3)
    assert np.isnan(wilson(0, 0).value)
