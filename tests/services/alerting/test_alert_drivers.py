"""Rain and level, which are known each day: they raise at once and lower on closed days."""

from __future__ import annotations

import msgspec
import pytest
from alerting_timeline import Story, drivers, epoch, evidence, operator

from core.errors import BadInputError
from core.evidence import pack_evidence
from services.alerting.state import UnitAlert


def toe(story: Story) -> UnitAlert:
    return story.state.units["toe"]


def days(story: Story, first: int, *levels: str) -> list[str]:
    """Close day after day, on which rain and level ask for `levels`; the level after each."""
    found = []
    for number, level in enumerate(levels, start=first):
        story.at(number + 1, drivers(number, level), hour=1)
        story.closed(number, number)
        found.append(story.level)
    return found


def seen(level: str = "blue") -> Story:
    """A slope that a pass saw on day 0."""
    story = Story()
    story.at(0, epoch(0, toe=level))
    return story


def test_rain_raises_at_once_and_three_calm_closed_days_lower() -> None:
    story = seen()
    assert days(story, 0, "orange", "blue", "blue", "blue") == ["orange"] * 3 + ["blue"]
    raised, cleared = story.want("ops: toe orange", "ops: toe blue")
    assert raised.reason.startswith("Toe rises from blue to orange: rain: rain to")
    assert cleared.cause == "closed days"
    assert "3 closed days in a row asked for no more than blue" in cleared.reason


def test_a_wet_day_starts_the_count_again() -> None:
    story = seen()
    levels = days(story, 0, "orange", "blue", "blue", "orange", "blue", "yellow", "blue")
    assert levels == ["orange"] * 6 + ["yellow"]


def test_days_without_gauges_are_no_calm_days() -> None:
    story = seen()
    days(story, 0, "orange", "blue", "blue")
    story.closed(3, 20)
    assert story.level == "orange"
    days(story, 21, "blue")
    assert story.level == "blue"


def test_what_a_track_asks_for_too_needs_fresh_epochs() -> None:
    story = seen()
    days(story, 0, "orange")
    story.at(1, epoch(1, toe="orange"))
    story.at(2, epoch(1, toe="blue"))
    assert days(story, 1, *["blue"] * 9)[-1] == "orange"
    for number in (12, 13, 14):
        story.at(number, epoch(number, toe="blue"))
    assert story.level == "blue"


def test_closed_days_lower_no_further_than_a_track_had_raised() -> None:
    story = seen("yellow")
    story.at(1, epoch(1, toe="blue"))
    assert days(story, 0, "red", *["blue"] * 8)[-6:] == ["yellow"] * 6


def test_rain_never_lowers_what_a_track_raised() -> None:
    story = seen("red")
    assert days(story, 0, *["blue"] * 8)[-1] == "red"


def test_what_rain_raised_and_a_person_cancelled_rises_only_after_a_calm_day() -> None:
    story = seen()
    days(story, 0, "orange")
    story.at(1, operator("cancel"), hour=3)
    assert days(story, 1, "orange", "red", "blue", "orange") == ["blue", "blue", "blue", "orange"]


def test_rain_tells_nothing_about_what_a_satellite_sees() -> None:
    story = seen()
    before = toe(story).sights
    days(story, 0, "orange")
    assert toe(story).sights == before
    story.closed(1, 60)
    assert story.coverage[0] == "blind"


def test_days_on_which_the_rule_that_asked_cannot_judge_are_no_calm_days() -> None:
    story = seen()
    days(story, 0, "orange", "blue", "blue")
    for number in (3, 4, 5):
        story.at(number + 1, drivers(number, None), hour=1)
        story.closed(number, number)
    assert story.level == "orange"
    assert toe(story).votes["-"][0].calibrated is False
    assert days(story, 6, "blue") == ["blue"]


def test_water_of_no_day_is_bad_input() -> None:
    story = seen()
    nothing = story.artifacts.put(pack_evidence(evidence(0, {"toe": "blue"})))
    said = msgspec.structs.replace(drivers(0, "red")(story, 0), evidence=nothing)
    with pytest.raises(BadInputError, match="its evidence is of no day"):
        story.at(1, lambda *_: said)
