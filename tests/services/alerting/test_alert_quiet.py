"""Quiet hours, messages a day, and units: what one recipient wants to be told, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alerting_timeline import (
    Story,
    configured,
    deadline_passed,
    epoch,
    moment,
    operator,
    recipient,
    units,
)

from core.settings import QuietHours
from services.alerting.quiet import quiet_until

NIGHT = {"start": "22:00", "end": "07:00", "timezone": "Asia/Shanghai"}
"""14:00 to 23:00 UTC."""


def sleeping(**hours: Any) -> Story:
    return Story(recipients=[recipient("ops", quiet={**NIGHT, **hours})])


def test_a_yellow_at_night_waits_for_the_morning() -> None:
    story = sleeping()
    story.at(0, epoch(0, toe="yellow"), hour=15)
    story.want()
    assert story.drops() == [("quiet", "quiet hours until 07:00 (Asia/Shanghai)")]
    (row,) = story.open_deadlines
    assert (row.kind, row.due) == ("held", moment(0, 23))
    story.wait(moment(1))
    (message,) = story.want("ops: toe yellow")
    assert message.late_days == 0
    assert story.open_deadlines == []
    assert story.state.mailboxes == {}


def test_what_waited_is_told_once_with_the_level_standing_then() -> None:
    story = sleeping(passes_from="red")
    story.at(0, epoch(0, toe="yellow"), hour=15)
    story.at(0, epoch(1, toe="orange"), hour=16)
    story.want()
    assert len(story.open_deadlines) == 1
    story.wait(moment(1))
    (message,) = story.want("ops: toe orange")
    assert message.previous_level == "blue"


def test_what_is_over_by_the_morning_is_not_told() -> None:
    story = sleeping()
    story.at(0, epoch(0, toe="yellow"), hour=15)
    for number in (1, 2, 3):
        story.at(0, epoch(number, toe="blue"), hour=16)
    story.wait(moment(1))
    story.want()
    assert ("dedup", "never told above blue") in story.drops()


def test_a_rise_to_orange_is_told_at_any_hour() -> None:
    story = sleeping()
    story.at(0, epoch(0, toe="yellow"), hour=15)
    story.at(0, epoch(1, toe="orange"), hour=16)
    story.want("ops: toe orange")
    assert story.open_deadlines == []
    for number in (2, 3, 4):
        story.at(0, epoch(number, toe="blue"), hour=17)
    story.want()
    story.wait(moment(1))
    story.want("ops: toe blue")


def test_a_late_message_says_that_quiet_hours_kept_it_back() -> None:
    story = sleeping()
    story.at(0, epoch(0, toe="yellow"), hour=16)
    story.at(2, configured(recipients=[recipient("ops", quiet={**NIGHT, "end": "06:00"})]), hour=18)
    story.wait(moment(3))
    (message,) = story.want("ops: toe yellow")
    assert message.late_because == "quiet hours"
    assert message.reason.endswith("2 days late because this recipient had quiet hours.")


def test_when_the_morning_falls_into_missing_days_it_waits_for_these() -> None:
    story = sleeping()
    story.at(0, epoch(0, toe="blue"))
    story.closed(0, 2)
    story.at(3, epoch(3, toe="yellow"), hour=15)
    story.at(6, deadline_passed())
    story.want()
    assert story.open_deadlines == []
    story.closed(3, 8)
    story.want("ops: toe yellow")


def test_a_silence_in_the_morning_holds_what_waited() -> None:
    story = sleeping()
    story.at(0, epoch(0, toe="yellow"), hour=15)
    story.at(0, operator("silence", until=moment(2)), hour=20)
    story.wait(moment(1))
    story.want()
    story.wait(moment(3))
    story.want("ops: toe yellow")


@pytest.mark.parametrize(
    ("start", "end", "zone", "now", "until"),
    [
        ("22:00", "07:00", "UTC", "2024-01-10T23:00", "2024-01-11T07:00"),
        ("22:00", "07:00", "UTC", "2024-01-10T06:59", "2024-01-10T07:00"),
        ("22:00", "07:00", "UTC", "2024-01-10T07:00", None),
        ("12:00", "14:00", "UTC", "2024-01-10T13:00", "2024-01-10T14:00"),
        ("12:00", "12:00", "UTC", "2024-01-10T12:00", None),
        ("22:00", "07:00", "Asia/Shanghai", "2024-01-10T14:00", "2024-01-10T23:00"),
        # Clocks go forward at 02:00 in Rome: the end does not exist, an hour later does.
        ("22:00", "02:30", "Europe/Rome", "2024-03-31T00:30", "2024-03-31T01:30"),
        # And back at 03:00: what ends at 02:30 ends twice.
        ("22:00", "02:30", "Europe/Rome", "2024-10-26T23:30", "2024-10-27T00:30"),
        ("22:00", "02:30", "Europe/Rome", "2024-10-27T01:15", "2024-10-27T01:30"),
    ],
)
def test_when_quiet_hours_end(start: str, end: str, zone: str, now: str, until: str | None) -> None:
    hours = QuietHours.model_validate({"start": start, "end": end, "timezone": zone})
    known = datetime.fromisoformat(now).replace(tzinfo=UTC)
    expected = datetime.fromisoformat(until).replace(tzinfo=UTC) if until else None
    assert quiet_until(hours, known) == expected


# Messages a day


def test_more_than_so_many_a_day_wait_for_a_free_slot() -> None:
    story = Story(
        recipients=[recipient("ops", most_a_day=2)], slope_units=units("a", "b", "c", "d")
    )
    story.at(0, epoch(0, a="yellow", b="yellow", c="yellow", d="blue"))
    story.want("ops: a yellow", "ops: b yellow")
    assert story.drops() == [("rate", "had 2 messages in 24 hours")]
    (row,) = story.open_deadlines
    assert row.due == moment(1)
    story.at(0, epoch(1, a="yellow", b="yellow", c="yellow", d="red"), hour=8)
    story.want("ops: d red")
    story.wait(moment(1))
    (message,) = story.want("ops: c yellow")
    assert message.late_because == "messages a day"
    assert story.open_deadlines == []


def test_urgent_ones_count_and_never_wait() -> None:
    story = Story(recipients=[recipient("ops", most_a_day=1)], slope_units=units("a", "b"))
    story.at(0, epoch(0, a="red", b="orange"))
    story.want("ops: a red", "ops: b orange")
    story.at(0, operator("amend", unit="a"), hour=9)
    story.want()
    story.wait(moment(1) - timedelta(hours=1))
    story.want()
    story.wait(moment(1))
    story.want("ops: a amended red")


# Units


def test_of_other_units_nothing_is_told() -> None:
    story = Story(
        slope_units=units("toe", "head"),
        recipients=[recipient("all"), recipient("some", units=["toe"])],
    )
    story.at(0, epoch(0, toe="yellow", head="red"))
    story.want("all: toe yellow", "all: head red", "some: toe yellow")
    assert ("route", "not told of this unit") in story.drops()
    story.closed(0, 60)
    story.want("all: * blind", "some: * blind")


def test_who_was_called_for_another_unit_is_told_of_its_end() -> None:
    plan = {"wait_minutes": 30, "roster": [{"recipient": "kim"}]}
    story = Story(
        slope_units=units("toe", "head"),
        recipients=[recipient("kim", units=["toe"])],
        escalation=plan,
    )
    story.at(0, epoch(0, toe="blue", head="orange"))
    story.wait(moment(0, 7))
    story.at(0, operator("acknowledge", unit="head"), hour=8)
    story.want(*["kim: head escalation orange"] * 2)
    for number in (1, 2, 3):
        story.at(number, epoch(number, toe="blue", head="blue"))
    story.want("kim: head blue")
