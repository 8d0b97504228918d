"""An alert from its opening to its end: owner, amendments, cancelling, references, exercises."""

from __future__ import annotations

from typing import Any

import pytest
from alerting_timeline import (
    Make,
    Story,
    configured,
    day,
    epoch,
    moment,
    operator,
    recipient,
    units,
)

from core.errors import BadInputError
from core.events import Status
from services.alerting.message import LateData, Message, Reference
from services.alerting.state import UnitAlert


def toe(story: Story) -> UnitAlert:
    return story.state.units["toe"]


def raised(level: str = "orange", **site: Any) -> Story:
    """A site whose toe stands at `level` since day 0."""
    story = Story(**site)
    story.at(0, epoch(0, toe=level))
    return story


def done(story: Story) -> list[tuple[str, str, str]]:
    return [(one.action, one.by, one.alert) for one in story.handled]


# The case


def test_leaving_blue_opens_an_alert_and_coming_back_closes_it() -> None:
    story = raised("yellow")
    case = toe(story).open_case
    assert case is not None
    assert (case.id, case.opened) == ("dam.toe.2", moment(0))
    story.at(1, epoch(1, toe="red"))
    for number in (2, 3, 4):
        story.at(number, epoch(number, toe="blue"))
    assert toe(story).open_case is None
    assert toe(story).case.closed == moment(4)
    assert {change.alert for change in story.changes} == {"dam.toe.2"}
    story.at(5, epoch(5, toe="yellow"))
    assert toe(story).open_case.id == story.changes[-1].alert == "dam.toe.7"


def test_messages_refer_to_the_earlier_ones_of_their_alert_to_the_same_recipient() -> None:
    story = raised("yellow", recipients=[recipient("ops"), recipient("mayor", from_level="red")])
    story.at(1, epoch(1, toe="red"))
    for number in (2, 3, 4):
        story.at(number, epoch(number, toe="blue"))
    sent: dict[str, list[Message]] = {"ops": [], "mayor": []}
    for row, message in zip(story.ledger.notifications, story.messages(), strict=True):
        sent[row.recipient].append(message)
    first, second = (Reference("dam.toe.2.2", moment(0)), Reference("dam.toe.2.3", moment(1)))
    assert [m.references for m in sent["ops"]] == [(), (first,), (first, second)]
    assert [m.references for m in sent["mayor"]] == [(), (second,)]
    assert {m.alert for m in story.messages()} == {"dam.toe.2"}
    story.at(5, epoch(5, toe="yellow"))
    assert story.messages()[-1].references == ()


def test_coverage_belongs_to_an_open_alert_and_otherwise_to_none() -> None:
    story = Story(slope_units=units("toe"))
    story.closed(0, 0, sources=())
    assert story.messages()[-1].alert == ""
    story.at(1, epoch(1, toe="orange"))
    story.closed(1, 60)
    told = story.messages()
    assert [(m.kind, m.alert != "") for m in told] == [
        ("coverage", False),
        ("level", True),
        ("coverage", True),
    ]
    assert toe(story).open_case.messages[-1].id == f"{told[-1].alert}.{told[-1].seq}"


def test_a_message_carries_what_words_and_pictures_are_made_of() -> None:
    table = b'{"version": "7", "rules": {}, "of_100_alerts": {"followed_by_failure": {"red": 58}}}'
    story = Story()
    story.at(0, lambda s, n: _released(s, table))
    story.at(0, epoch(0, toe="red", track="B"), epoch(1, toe="red"))
    story.closed(0, 3)
    story.at(4, operator("amend", reason="a crack was seen"))
    message = story.messages()[-1]
    assert message.of_100 == 58
    assert message.cause == "votes"
    assert set(message.evidence) == {"A", "B"} == set(story.state.evidence)
    assert message.site_file == story.state.settings
    assert message.coverage_facts is not None
    facts = message.coverage_facts
    assert (facts.cause, facts.track, facts.measured, facts.age_days) == (
        "measured",
        "A",
        day(1),
        2,
    )


def _released(story: Story, table: bytes) -> Any:
    from core.events import ReleaseActivated

    return ReleaseActivated(code="1", model="m", thresholds="7", table=story.artifacts.put(table))


# Owner


def test_who_acknowledges_owns_it_and_may_hand_it_over() -> None:
    story = raised()
    story.at(1, operator("acknowledge", who="ann"))
    assert toe(story).open_case.owner == "ann"
    story.at(1, operator("hand over", who="ann", to="bo"))
    assert toe(story).open_case.owner == "bo"
    assert done(story) == [
        ("acknowledged", "ann", "dam.toe.2"),
        ("handed over", "ann", "dam.toe.2"),
    ]
    assert story.handled[-1].reason == "to bo: works at the toe"
    assert story.rows[-1]["handled"][0]["by"] == "ann"
    assert story.rows[-1]["operator"]["to"] == "bo"
    assert story.handled[-1].head == story.ledger.head
    story.at(2, epoch(2, toe="red"))
    assert story.messages()[-1].owner == "bo"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (operator("hand over", who="bo", to="cy"), "bo cannot hand over .* ann owns it"),
        (operator("hand over", who="ann", to="ann"), "hand over to another operator"),
        (operator("hand over", who="ann"), "hand over to another operator"),
        (operator("hand over", who="bo", unit=None, to="cy"), "bo owns no alert"),
        (operator("silence", until=moment(9), reason=" "), "silence needs a reason"),
        (operator("amend", reason=""), "amend needs a reason"),
        (operator("cancel", reason=""), "cancel needs a reason"),
        (operator("acknowledge", who=" "), "needs an operator's name"),
        (operator("unsilence"), "nothing is silenced"),
        (operator("acknowledge", unit="head"), "no alert is open"),
        (operator("cancel", unit="head"), "no alert is open"),
        (operator("review"), "asks for no two persons"),
        (operator("drill"), "a drill needs a slope unit and a level above blue"),
        (operator("drill", level="blue"), "a level above blue"),
        (operator("drill", unit=None, level="red"), "a drill needs a slope unit"),
    ],
)
def test_what_cannot_be_obeyed_says_why_and_changes_nothing(command: Make, sentence: str) -> None:
    story = Story(slope_units=units("toe", "head"))
    story.at(0, epoch(0, toe="orange", head="blue"), operator("acknowledge", who="ann"))
    before = story.ledger
    with pytest.raises(BadInputError, match=sentence):
        story.at(1, command)
    assert story.ledger == before


# Amending


def test_late_data_that_change_who_asks_are_told_to_who_was_told() -> None:
    story = Story(recipients=[recipient("ops"), recipient("mayor", from_level="red")])
    story.at(0, epoch(0, toe="orange"))
    story.at(12, epoch(12, toe="orange"))
    story.want("ops: toe orange")
    story.at(13, epoch(6, toe="blue"))
    (message,) = story.want("ops: toe amended orange")
    assert message.late_data == LateData("A", day(6))
    assert (message.level, message.previous_level) == ("orange", "orange")
    assert "came late and changed what rules ask for: none asks for more than blue" in (
        message.reason
    )
    assert [ref.id for ref in message.references] == ["dam.toe.2.2"]
    assert ("route", "was told nothing that this amends") in story.drops()
    assert done(story) == [("amended", "", "dam.toe.2")]
    story.at(14, epoch(6, toe="blue"))
    story.want()


def test_late_data_that_change_nothing_and_fresh_ones_are_no_amendment() -> None:
    story = raised()
    story.at(12, epoch(12, toe="orange"), epoch(6, toe="orange"), epoch(12, toe="orange"))
    story.at(24, epoch(24, toe="blue"))
    story.want("ops: toe orange")
    assert story.handled == []


def test_late_data_that_raise_are_told_as_a_rise() -> None:
    story = raised()
    story.at(12, epoch(12, toe="orange"), epoch(6, toe="red"))
    story.want("ops: toe orange", "ops: toe red")


def test_an_amendment_while_catching_up_is_told_after_it() -> None:
    story = raised()
    story.closed(0, 9)
    story.want("ops: toe orange")
    story.at(20, epoch(0, toe="blue"))
    story.want()
    story.closed(10, 19)
    story.want("ops: toe amended orange")
    story.closed(20, 21)
    story.want()


def test_what_a_person_amends_is_told_at_once_and_once() -> None:
    story = raised()
    story.closed(0, 9)
    story.want("ops: toe orange")
    story.at(11, operator("amend", who="ann", reason="the road below is closed"), hour=0)
    (message,) = story.want("ops: toe amended orange")
    assert (message.operator, message.note) == ("ann", "the road below is closed")
    assert message.reason == "Toe stays at orange. ann: the road below is closed."
    story.closed(10, 12)
    story.want()


# The end


def test_the_all_clear_goes_to_everyone_who_got_the_alert() -> None:
    story = Story(
        recipients=[recipient("ops"), recipient("mayor", from_level="orange"), recipient("new")]
    )
    story.at(0, epoch(0, toe="orange"))
    story.want("ops: toe orange", "mayor: toe orange", "new: toe orange")
    for number in (1, 2, 3):
        story.at(number, epoch(number, toe="blue"))
    sent = story.want("ops: toe blue", "mayor: toe blue", "new: toe blue")
    assert {m.cause for m in sent} == {"fresh epochs"}


def test_cancelled_is_blue_and_told_to_everyone_who_got_it() -> None:
    story = Story(recipients=[recipient("ops"), recipient("mayor", from_level="red")])
    story.at(0, epoch(0, toe="orange"))
    story.want("ops: toe orange")
    story.at(1, operator("cancel", who="ann", reason="blasting at the quarry"))
    (message,) = story.want("ops: toe cancelled blue")
    assert (message.operator, message.note) == ("ann", "blasting at the quarry")
    assert message.reason == (
        "Toe falls from orange to blue: cancelled by ann: blasting at the quarry."
    )
    assert (message.cause, message.alert) == ("cancelled", "dam.toe.2")
    assert toe(story).open_case is None
    assert story.rows[-1]["set_aside"]["toe"]["A"][0]["level"] == "orange"
    assert (story.changes[-1].level, story.changes[-1].alert) == ("blue", "dam.toe.2")
    assert done(story) == [("cancelled", "ann", "dam.toe.2")]


def test_what_was_cancelled_rises_again_only_by_fresh_epochs_that_ask_for_it() -> None:
    story = raised("red")
    story.at(12, epoch(12, toe="red"))
    story.at(13, operator("cancel"))
    story.at(14, epoch(6, toe="red"), epoch(12, toe="red"))
    story.at(15, epoch(15, out_of_range=True, toe="red"))
    story.at(16, epoch(16, track="B", toe="blue"))
    assert story.level == "blue"
    story.at(24, epoch(24, toe="orange"))
    assert story.level == "orange"
    assert toe(story).open_case.id == "dam.toe.9"
    assert toe(story).open_case.cancelled is None


def test_what_was_cancelled_in_the_night_is_told_in_the_night() -> None:
    story = raised()
    story.closed(0, 9)
    story.at(11, operator("cancel"), hour=0)
    story.want("ops: toe orange", "ops: toe cancelled blue")


# Exercises and tests


def test_a_drill_goes_to_those_who_take_exercises_and_changes_nothing() -> None:
    story = Story(
        recipients=[
            recipient("ops"),
            recipient("crew", takes=["actual", "exercise"]),
            recipient("chief", takes=["exercise"], from_level="red"),
            recipient("far", takes=["exercise"], units=["head"]),
        ],
        slope_units=units("toe", "head"),
    )
    before = story.state
    story.at(1, operator("drill", who="ann", level="orange", reason="yearly drill"))
    (message,) = story.want("crew: toe drill orange")
    assert story.state == before
    assert (message.status, message.alert, message.votes) == ("exercise", "dam.toe.2", ())
    assert (message.operator, message.note) == ("ann", "yearly drill")
    assert message.reason == (
        "This is an exercise: toe is taken to rise to orange. ann: yearly drill."
    )
    assert {(d["recipient"], d["stage"]) for d in story.rows[-1]["dropped"]} == {
        ("ops", "status"),
        ("chief", "route"),
        ("far", "route"),
    }
    (handled,) = story.handled
    assert (handled.action, handled.level, handled.status) == ("drilled", "orange", "exercise")
    assert [row.urgent for row in story.ledger.notifications] == [False]


@pytest.mark.parametrize(
    ("test", "takes", "status"),
    [(False, ["actual"], "actual"), (True, ["actual", "test"], "test")],
)
def test_every_message_of_a_site_that_is_tried_out_is_a_test(
    test: bool, takes: list[str], status: Status
) -> None:
    story = raised(test=test, recipients=[recipient("ops", takes=takes), recipient("b")])
    sent = story.messages()
    assert {m.status for m in sent} == {status}
    assert len(sent) == (1 if test else 2)
    assert {change.status for change in story.changes} == {status}


def test_a_site_that_is_tried_out_no_more_tells_what_stands_as_meant() -> None:
    people = [recipient("ops", takes=["actual", "test"]), recipient("mayor")]
    story = raised(test=True, recipients=people)
    story.want("ops: toe orange")
    story.at(1, configured(recipients=people))
    sent = story.want("ops: toe orange", "mayor: toe orange")
    assert {m.status for m in sent} == {"actual"}
