"""Two persons: a level is recorded at once, told once one officer reviewed and another released."""

from __future__ import annotations

from typing import Any

import pytest
from alerting_timeline import Make, Story, configured, epoch, moment, operator, recipient

from core.errors import BadInputError
from services.alerting.state import UnitAlert

TWO = {"officers": ["ann", "bo", "cy"], "ask": ["officers"]}
PEOPLE = [
    recipient("ops"),
    recipient("mayor", from_level="red"),
    recipient("officers", from_level="red"),
]


def asking(**changes: Any) -> Story:
    return Story(**{"recipients": PEOPLE, "two_persons": TWO, **changes})


def toe(story: Story) -> UnitAlert:
    return story.state.units["toe"]


def actions(story: Story) -> list[tuple[str, str]]:
    return [(one.action, one.by) for one in story.handled]


def test_a_red_is_recorded_at_once_and_the_level_below_is_told_meanwhile() -> None:
    story = asking()
    story.at(0, epoch(0, toe="red"))
    told, asked = sorted(
        story.want("ops: toe orange red?", "officers: toe review orange red?"),
        key=lambda m: m.kind,
    )
    assert (story.level, story.changes[-1].level) == ("red", "red")
    assert told.reason.startswith(
        "Toe rises from blue to orange; red waits for two persons: velocity on track A"
    )
    assert asked.reason.startswith("Toe asks for red, which waits for two persons to review")
    assert (told.of_100, asked.alert) == (None, "dam.toe.2")
    assert actions(story) == [("drafted", "")]
    assert all(row.urgent for row in story.ledger.notifications)


def test_one_officer_reviews_and_another_one_releases() -> None:
    story = asking()
    story.at(0, epoch(0, toe="red"))
    story.want("ops: toe orange red?", "officers: toe review orange red?")
    story.at(1, operator("review", who="ann"))
    story.want()
    story.at(1, operator("release", who="bo"))
    sent = story.want("ops: toe red", "mayor: toe red", "officers: toe red")
    assert {(m.operator, m.reviewed_by, m.under_review) for m in sent} == {("bo", "ann", None)}
    assert all("Reviewed by ann, released by bo." in m.reason for m in sent)
    assert {m.late_because for m in sent} == {"under review"}
    assert actions(story) == [("drafted", ""), ("reviewed", "ann"), ("released", "bo")]
    assert toe(story).open_case.draft is None
    story.at(2, epoch(2, toe="red"))
    story.want()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ([operator("release", who="ann")], "red of toe was not reviewed yet"),
        ([operator("review", who="dot")], "dot is no officer; ann, bo, cy may"),
        ([operator("review", who="ann"), operator("release", who="dot")], "dot is no officer"),
        (
            [operator("review", who="ann"), operator("release", who="ann")],
            "ann reviewed red of toe; another officer must release it",
        ),
    ],
)
def test_nobody_else_can_release(said: list[Make], sentence: str) -> None:
    story = asking()
    story.at(0, epoch(0, toe="red"), *said[:-1])
    with pytest.raises(BadInputError, match=sentence):
        story.at(1, said[-1])
    assert toe(story).to_tell == "orange"


def test_without_a_draft_there_is_nothing_to_release() -> None:
    story = asking()
    story.at(0, epoch(0, toe="orange"))
    for command in ("review", "release"):
        with pytest.raises(BadInputError, match="no draft waits"):
            story.at(1, operator(command, who="ann"))


def test_who_was_told_orange_already_is_told_nothing_before_the_release() -> None:
    story = asking()
    story.at(0, epoch(0, toe="orange"))
    story.want("ops: toe orange")
    story.at(1, epoch(1, toe="red"))
    story.want("officers: toe review orange red?")
    assert ("review", "red waits for its two persons") in story.drops()


def test_a_fall_before_the_release_withdraws_the_draft_and_tells_who_knew_of_it() -> None:
    story = asking()
    story.at(0, epoch(0, toe="red"), operator("review", who="ann"))
    story.want("ops: toe orange red?", "officers: toe review orange red?")
    for number in (1, 2, 3):
        story.at(number, epoch(number, toe="orange"))
    sent = story.want("ops: toe amended orange", "officers: toe amended orange")
    assert sent[0].reason.startswith("Toe stays at orange: red was not released, and now 3 fresh")
    assert actions(story)[-1] == ("draft withdrawn", "")
    with pytest.raises(BadInputError, match="no draft waits"):
        story.at(4, operator("release", who="bo"))
    story.at(5, epoch(5, toe="red"))
    assert toe(story).open_case.draft.reviewed_by == ""


def test_a_draft_that_falls_to_blue_is_an_all_clear_for_who_was_asked() -> None:
    story = asking()
    story.at(0, epoch(0, toe="red"))
    story.want("ops: toe orange red?", "officers: toe review orange red?")
    for number in (1, 2, 3):
        story.at(number, epoch(number, toe="blue"))
    story.want("ops: toe blue", "officers: toe blue")


def test_what_was_released_falls_and_rises_again_for_another_release() -> None:
    story = asking()
    story.at(0, epoch(0, toe="red"), operator("review", who="ann"), operator("release", who="bo"))
    for number in (1, 2, 3):
        story.at(number, epoch(number, toe="orange"))
    story._said = len(story.messages())
    story.at(4, epoch(4, toe="red"))
    story.want("officers: toe review orange red?")
    assert toe(story).under_review == "red"


def test_from_orange_on_each_level_needs_its_own_release() -> None:
    story = asking(two_persons={**TWO, "from_level": "orange"})
    story.at(0, epoch(0, toe="orange"))
    story.want("ops: toe yellow orange?", "officers: toe review yellow orange?")
    story.at(1, operator("review", who="ann"), operator("release", who="bo"))
    story.want("ops: toe orange", "officers: toe orange")
    story.at(2, epoch(2, toe="red"))
    story.want("officers: toe review orange red?")
    with pytest.raises(BadInputError, match="not reviewed yet"):
        story.at(3, operator("release", who="bo"))


def test_a_draft_while_catching_up_is_asked_for_after_it() -> None:
    story = asking()
    story.closed(0, 9, sources=())
    story._said = len(story.messages())
    story.at(20, epoch(18, toe="red"))
    story.want()
    story.closed(10, 19)
    story.want("ops: toe orange red?", "officers: toe review orange red?", "mayor: toe watched")


def test_a_site_that_asks_for_two_persons_from_now_on_has_released_what_was_told() -> None:
    story = asking(two_persons=None)
    story.at(0, epoch(0, toe="red"))
    story.want("ops: toe red", "mayor: toe red", "officers: toe red")
    story.at(1, configured(recipients=PEOPLE, two_persons=TWO))
    assert toe(story).open_case.draft is None
    story.at(2, epoch(2, toe="red"))
    story.want()


def test_a_site_that_asks_for_two_persons_no_more_tells_what_waited() -> None:
    story = asking()
    story.at(0, epoch(0, toe="red"))
    story.want("ops: toe orange red?", "officers: toe review orange red?")
    story.at(1, configured(recipients=PEOPLE))
    story.want("ops: toe red", "mayor: toe red", "officers: toe red")


def test_a_silence_laid_while_a_red_waits_does_not_stop_its_release() -> None:
    story = asking()
    story.at(0, epoch(0, toe="red"), operator("silence", until=moment(9)))
    story.want("ops: toe orange red?", "officers: toe review orange red?")
    story.at(1, operator("review", who="ann"), operator("release", who="bo"))
    sent = story.want("ops: toe red", "mayor: toe red", "officers: toe red")
    assert {(m.silenced_by, m.silenced_at) for m in sent} == {("li", "orange")}
