"""Nobody acknowledges: who is called, when, in which hours of theirs, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from alerting_timeline import (
    Make,
    Story,
    configured,
    epoch,
    moment,
    operator,
    recipient,
)

from core.settings import Duty
from services.alerting.escalation import ROUNDS, is_on_duty, next_called

ROSTER = [{"recipient": "kim"}, {"recipient": "lee"}]
PEOPLE = [recipient("ops")] + [
    recipient(name, from_level="red", coverage=False) for name in ("kim", "lee")
]
PLAN = {"wait_minutes": 30, "roster": ROSTER}


def watching(**changes: Any) -> Story:
    return Story(**{"recipients": PEOPLE, "escalation": PLAN, **changes})


def minutes(count: float) -> datetime:
    """After the epoch of day 0."""
    return moment(0) + timedelta(minutes=count)


def test_the_next_on_the_roster_is_called_until_somebody_acknowledges() -> None:
    story = watching()
    story.at(0, epoch(0, toe="orange"))
    story.want("ops: toe orange")
    (row,) = story.open_deadlines
    assert (row.kind, row.due) == ("escalation", minutes(30))
    story.wait(minutes(29))
    story.want()
    story.wait(minutes(60))
    first, second = story.want("kim: toe escalation orange", "lee: toe escalation orange")
    assert first.reason == "Nobody has acknowledged orange of Toe since 1 January 2024, 06:00 UTC."
    assert first.unanswered is not None
    assert (first.unanswered.needs, first.unanswered.round) == ("acknowledgement", 1)
    assert second.alert == "dam.toe.2"
    story.wait(minutes(90))
    (third,) = story.want("kim: toe escalation orange")
    assert third.unanswered is not None
    assert third.unanswered.round == 2
    assert [one.action for one in story.handled] == ["escalated"] * 3
    assert story.handled[0].reason == "no acknowledgement yet: kim called in round 1"
    story.at(1, operator("acknowledge"))
    assert story.open_deadlines == []
    assert all(row.urgent for row in story.ledger.notifications)


def test_who_was_called_gets_the_all_clear() -> None:
    story = watching()
    story.at(0, epoch(0, toe="orange"))
    story.wait(minutes(30))
    story.want("ops: toe orange", "kim: toe escalation orange")
    for number in (1, 2, 3):
        story.at(number, epoch(number, toe="blue"))
    story.want("ops: toe blue", "kim: toe blue")
    assert story.open_deadlines == []


@pytest.mark.parametrize("level", ["yellow", "blue"])
def test_below_its_level_nobody_is_called(level: str) -> None:
    story = watching()
    story.at(0, epoch(0, toe=level))
    assert story.open_deadlines == []


def test_a_red_must_be_acknowledged_although_the_orange_was() -> None:
    story = watching()
    story.at(0, epoch(0, toe="orange"), operator("acknowledge"))
    assert story.open_deadlines == []
    story.at(1, epoch(1, toe="red"))
    (row,) = story.open_deadlines
    assert row.due == moment(1) + timedelta(minutes=30)


def test_a_rise_starts_from_the_top_and_a_fall_goes_on() -> None:
    story = watching()
    story.at(0, epoch(0, toe="orange"))
    story.wait(minutes(30))
    story.at(0, epoch(1, toe="red"), hour=7)
    (row,) = story.open_deadlines
    assert row.due == minutes(90)
    story.wait(minutes(90))
    story.want(
        "ops: toe orange",
        "kim: toe escalation orange",
        "ops: toe red",
        "kim: toe red",
        "lee: toe red",
        "kim: toe escalation red",
    )
    for number in (2, 3, 4):
        story.at(1, epoch(number, toe="orange"))
    (row,) = story.open_deadlines
    assert row.due == minutes(120)


def test_after_its_last_round_it_says_so_and_stops() -> None:
    story = watching()
    story.at(0, epoch(0, toe="orange"))
    story.wait(moment(300))
    calls = [m for m in story.messages() if m.kind == "escalation"]
    assert len(calls) == ROUNDS * len(ROSTER)
    assert [m.unanswered.last for m in calls if m.unanswered] == [False] * (len(calls) - 1) + [True]
    assert calls[-1].reason.endswith("This is the last call.")
    assert story.handled[-1].reason.endswith("nobody is called after this")
    assert story.open_deadlines == []
    story.at(301, epoch(301, toe="orange"))
    assert story.open_deadlines == []
    story.at(302, epoch(302, toe="red"))
    assert len(story.open_deadlines) == 1


def test_an_unreleased_draft_escalates_although_it_was_acknowledged() -> None:
    two = {"officers": ["ann", "bo"], "ask": ["lee"]}
    story = watching(two_persons=two)
    story.at(0, epoch(0, toe="red"), operator("acknowledge"))
    story.wait(minutes(30))
    *_, call = story.want(
        "ops: toe orange red?", "lee: toe review orange red?", "kim: toe escalation orange red?"
    )
    assert call.reason.startswith("Nobody has released red of Toe since")
    assert call.unanswered is not None
    assert call.unanswered.needs == "release"
    story.at(1, operator("review", who="ann"))
    assert len(story.open_deadlines) == 1
    story.at(1, operator("release", who="bo"))
    assert story.open_deadlines == []


def test_what_was_released_must_still_be_acknowledged() -> None:
    story = watching(two_persons={"officers": ["ann", "bo"], "ask": ["lee"]})
    story.at(0, epoch(0, toe="red"), operator("review", who="ann"))
    story.at(1, operator("release", who="bo"))
    (row,) = story.open_deadlines
    assert row.due == moment(1) + timedelta(minutes=30)


@pytest.mark.parametrize("end", [operator("cancel"), configured(retired=True), configured()])
def test_it_ends_with_the_alert_the_site_and_its_own_settings(end: Make) -> None:
    story = watching()
    story.at(0, epoch(0, toe="orange"), end)
    assert story.open_deadlines == []


def test_history_and_catching_up_call_nobody_until_it_is_told() -> None:
    story = watching(watched_from=100)
    story.at(10, epoch(10, toe="orange"))
    story.closed(10, 98)
    assert story.open_deadlines == []
    story.closed(99, 99)
    (row,) = story.open_deadlines
    assert row.due == moment(100, 1) + timedelta(minutes=30)


def test_a_silence_ends_it_and_it_begins_again_when_that_is_over() -> None:
    story = watching()
    story.at(0, epoch(0, toe="orange"), operator("silence", until=minutes(600)))
    assert [row.kind for row in story.open_deadlines] == ["silence"]
    story.wait(minutes(629))
    story.want("ops: toe orange")
    story.wait(minutes(630))
    story.want("kim: toe escalation orange")


def test_an_escalation_passes_quiet_hours_and_limits() -> None:
    quiet = {"start": "00:00", "end": "23:59", "passes_from": "red"}
    people = [recipient("ops"), recipient("kim", from_level="red", quiet=quiet, most_a_day=1)]
    plan = {**PLAN, "roster": [{"recipient": "kim"}]}
    story = watching(recipients=people, escalation=plan)
    story.at(0, epoch(0, toe="orange"))
    story.wait(minutes(60))
    story.want("ops: toe orange", *["kim: toe escalation orange"] * 2)


# Duty


@pytest.mark.parametrize(
    ("zone", "hours", "utc", "on"),
    [
        ("UTC", None, "03:00", True),
        ("Asia/Shanghai", ("08:00", "20:00"), "00:00", True),
        ("Asia/Shanghai", ("08:00", "20:00"), "12:00", False),
        ("Europe/Rome", ("20:00", "08:00"), "06:59", True),
        ("Europe/Rome", ("20:00", "08:00"), "07:00", False),
        ("Europe/Rome", ("20:00", "08:00"), "18:59", False),
        ("Europe/Rome", ("20:00", "08:00"), "19:00", True),
    ],
)
def test_duty_is_by_the_hours_of_ones_own_zone(
    zone: str, hours: tuple[str, str] | None, utc: str, on: bool
) -> None:
    duty = Duty.model_validate({"recipient": "kim", "timezone": zone, "hours": hours})
    moment_utc = datetime.combine(datetime(2024, 1, 10).date(), time.fromisoformat(utc), UTC)
    assert is_on_duty(duty, moment_utc) is on


def test_who_is_off_is_passed_and_with_nobody_on_duty_all_are_called() -> None:
    def duty(name: str, *hours: str) -> Duty:
        return Duty.model_validate({"recipient": name, "hours": hours or None})

    noon = datetime(2024, 1, 10, 12, tzinfo=UTC)
    roster = [duty("a", "00:00", "06:00"), duty("b", "10:00", "14:00"), duty("c")]
    assert next_called(roster, 0, noon) == (("b",), 2, False)
    assert next_called(roster, 2, noon) == (("c",), 3, False)
    assert next_called(roster, 3, noon) == (("b",), 5, False)
    off = [duty("a", "00:00", "06:00"), duty("b", "00:00", "01:00"), duty("a", "02:00", "03:00")]
    assert next_called(off, 1, noon) == (("a", "b"), 4, True)


def test_with_nobody_on_duty_it_says_so() -> None:
    night = [{"recipient": name, "hours": ["00:00", "01:00"]} for name in ("kim", "lee")]
    story = watching(escalation={**PLAN, "roster": night})
    story.at(0, epoch(0, toe="orange"))
    story.wait(minutes(30))
    *_, call = story.want(
        "ops: toe orange", "kim: toe escalation orange", "lee: toe escalation orange"
    )
    assert "Nobody is on duty, so everyone on the roster is called." in call.reason
