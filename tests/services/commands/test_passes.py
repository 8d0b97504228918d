"""Which passes were due, and what became of them: on calendars worked out by hand."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from services.commands._passes import Pass, account, due_days

FIRST = date(2024, 1, 1)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


@pytest.mark.parametrize(
    ("found", "since", "until", "due"),
    [
        ([0, 12, 24], 0, 30, [0, 12, 24]),
        ([0, 12, 24], 13, 60, [24, 36, 48, 60]),
        ([0, 24], 0, 24, [0, 12, 24]),
        ([20], 0, 60, [20, 32, 44, 56]),
        ([], 0, 60, []),
        ([0], 1, 11, []),
    ],
    ids=["all", "from a later day on", "one was missed", "not before the first", "none", "between"],
)
def test_an_orbit_is_due_every_repeat_interval(found, since, until, due):
    days = due_days(map(day, found), 12, day(since), day(until))
    assert days == [day(number) for number in due]


def test_every_pass_is_missing_unprocessed_or_processed():
    found = {"44": [day(n) for n in (0, 12, 36)], "120": [day(5), day(17)]}
    told = account(found, [day(0), day(12), day(5)], 12, day(0), day(41))
    assert told.missing == (Pass("120", day(29)), Pass("120", day(41)), Pass("44", day(24)))
    assert told.unprocessed == (Pass("120", day(17)), Pass("44", day(36)))
    assert told.processed == (Pass("120", day(5)), Pass("44", day(0)), Pass("44", day(12)))


def test_a_pass_a_day_off_is_the_same_pass():
    """Passes near midnight UTC change their day; a second satellite comes between."""
    found = {"44": [day(0), day(6), day(13), day(24)]}
    told = account(found, [day(1), day(6), day(12), day(24)], 12, day(0), day(30))
    assert told.missing == told.unprocessed == ()
    assert [one.day for one in told.processed] == [day(n) for n in (0, 6, 13, 24)]
