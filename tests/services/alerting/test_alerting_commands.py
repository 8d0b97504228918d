"""Operators' words, changes of the site file and the release, and what the row says of it all."""

from __future__ import annotations

import pytest
from alerting_timeline import (
    Make,
    Story,
    closed,
    configured,
    deadline_passed,
    epoch,
    moment,
    operator,
    recipient,
    released,
    units,
)

from core.artifacts import MemoryArtifacts
from core.errors import BadInputError, UnavailableError
from core.events import identity


def test_silence_keeps_back_until_its_deadline() -> None:
    story = Story()
    story.at(0, epoch(0, toe="orange"))
    story.want("ops: toe orange")
    story.at(1, operator("silence", until=moment(20)))
    (row,) = story.ledger.deadlines
    assert (row.kind, row.due, row.site) == ("silence", moment(20), "dam")
    for number in (2, 3, 4):
        story.at(number, epoch(number, toe="yellow"))
    story.want()
    assert story.drops() == [("mute", "silenced by li until 21 January 2024")]
    (kept_back,) = story.messages("suppressed")
    assert kept_back.level == "yellow"
    story.closed(0, 19)
    story.want()
    story.at(20, deadline_passed())
    (message,) = story.want("ops: toe yellow")
    assert message.reason.endswith("16 days late because it was silenced.")
    assert set(story.ledger.done_deadlines) == {row.id}


def test_silence_does_not_stop_a_higher_level() -> None:
    story = Story()
    story.at(0, epoch(0, toe="yellow"))
    story.at(1, operator("silence", unit=None, until=moment(20)))
    story.at(2, epoch(2, toe="orange"))
    messages = story.want("ops: toe yellow", "ops: toe orange")
    assert messages[-1].reason.endswith("li had silenced it at yellow.")


def test_unsilence_ends_it_and_its_deadline_says_nothing_more() -> None:
    story = Story()
    story.at(0, operator("silence", until=moment(20)))
    story.at(1, operator("unsilence"))
    assert story.state.units["toe"].silence is None
    assert story.ledger.done_deadlines == (story.ledger.deadlines[0].id,)
    decided = len(story.rows)
    story.at(20, deadline_passed())
    assert len(story.rows) == decided
    assert [row["operator"]["command"] for row in story.rows] == ["silence", "unsilence"]


def test_a_second_silence_replaces_the_first() -> None:
    story = Story()
    story.at(0, operator("silence", until=moment(20)), operator("silence", until=moment(30)))
    first, second = story.ledger.deadlines
    assert story.ledger.done_deadlines == (first.id,)
    silence = story.state.units["toe"].silence
    assert silence is not None
    assert silence.deadline == second.id


def test_acknowledgement_is_recorded_and_ends_when_the_level_rises() -> None:
    story = Story()
    story.at(0, epoch(0, toe="yellow"))
    story.at(1, operator("acknowledge"))
    acknowledged = story.state.units["toe"].acknowledged
    assert acknowledged is not None
    assert (acknowledged.operator, acknowledged.level) == ("li", "yellow")
    assert story.rows[-1]["operator"]["reason"] == "works at the toe"
    story.at(2, epoch(2, toe="red"))
    assert story.state.units["toe"].acknowledged is None


@pytest.mark.parametrize(
    "command",
    [
        operator("acknowledge", unit="nowhere"),
        operator("silence"),
        operator("silence", until=moment(-5)),
    ],
)
def test_a_command_that_cannot_be_obeyed_is_bad_input(command: Make) -> None:
    story = Story()
    with pytest.raises(BadInputError):
        story.at(1, command)


# The site file and the release


def test_retired_sites_decide_nothing() -> None:
    story = Story()
    story.at(0, operator("silence", until=moment(20)))
    story.at(1, configured(retired=True))
    assert story.ledger.done_deadlines == (story.ledger.deadlines[0].id,)
    decided = len(story.rows)
    story.at(2, epoch(2, toe="red"), closed(1))
    assert len(story.rows) == decided


def test_a_unit_that_leaves_the_site_leaves_its_level() -> None:
    story = Story(slope_units=units("toe", "head"))
    story.at(0, epoch(0, toe="blue", head="red"))
    story.at(1, configured(slope_units=units("toe")))
    assert (story.changes[-1].unit, story.changes[-1].level) == ("head", "blue")
    assert story.changes[-1].reason == "no longer in the site"
    assert list(story.state.units) == ["toe"]


@pytest.mark.parametrize(
    "bad",
    [
        configured(rules=[{"kind": "astrology"}]),
        configured(rules=[{"kind": "velocity", "probability": 2}]),
        released(b"{}"),
        released(b'{"version": "1", "rules": {"cusum": {"yellow": 9, "red": 3}}}'),
    ],
)
def test_what_cannot_be_used_is_bad_input(bad: Make) -> None:
    with pytest.raises(BadInputError):
        Story().at(1, bad)


def test_the_table_in_force_decides() -> None:
    story = Story(rules=[{"kind": "velocity", "component": "los", "hits": 1, "of": 1}])
    story.at(0, epoch(0, toe="red"))
    (vote,) = story.state.units["toe"].votes["A"]
    assert (vote.level, vote.calibrated) == ("blue", False)
    assert vote.reason.startswith("not calibrated: no threshold table")
    story.at(1, released(b'{"version": "7", "rules": {"velocity": {"yellow": 1, "orange": 50}}}'))
    story.at(2, epoch(2, toe="red"))
    assert story.level == "orange"
    assert story.rows[-1]["release"] == {"code": "1", "model": "kalman 1", "thresholds": "t1"}


# The row


def test_a_decision_row_names_its_causes() -> None:
    story = Story()
    story.at(3, epoch(3, toe="red"))
    (row,) = story.rows
    (message,) = story.want("ops: toe red")
    assert row["cause"] == {
        "id": "input-2",
        "number": 2,
        "type": "org.slopewatch.state-updated.v1",
    }
    assert row["inference"] == {"inputs": ["scene-3"], "seq": 103}
    assert row["notified"] == [{"notification": message.id, "recipient": "ops", "unit": "toe"}]
    assert row["changes"][0]["level"] == ["blue", "red"]
    assert row["votes"]["toe"]["A"][0]["figures"]["probability_red"] == 1.0
    assert len(row["evidence"]) == len(row["settings"]) == 64
    (change,) = story.changes
    assert change.head == message.ledger_head == story.ledger.head
    assert (change.seq, message.seq) == (2, 2)


def test_same_inputs_same_bytes() -> None:
    def tell() -> Story:
        story = Story()
        story.at(3, epoch(3, toe="red"))
        story.closed(0, 60)
        return story

    assert tell().ledger == tell().ledger


def test_the_outbox_row() -> None:
    story = Story(recipients=[recipient("ops"), recipient("new", from_level="red")])
    story.at(0, epoch(0, toe="yellow"))
    story.at(1, epoch(1, toe="red"))
    rows = {(row.recipient, row.seq): row for row in story.ledger.notifications}
    assert set(rows) == {("ops", 2), ("ops", 3), ("new", 3)}
    row = rows["ops", 3]
    assert row.id == identity("dam", 3, "toe", "ops")
    assert (row.channel, row.created_at, row.not_before) == ("table", moment(1), moment(1))
    assert [rows[key].urgent for key in sorted(rows)] == [True, False, True]


def test_an_artifact_out_of_reach_parks() -> None:
    story = Story()
    late = epoch(0, toe="red")(story, 0)
    story.stage._artifacts = MemoryArtifacts()
    with pytest.raises(UnavailableError):
        story.at(0, lambda *_: late)
