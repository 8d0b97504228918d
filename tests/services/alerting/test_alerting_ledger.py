"""The stage on a real ledger: however the inbox is cut into commits, the ledger is the same."""

from __future__ import annotations

import dataclasses
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alerting_timeline import (
    RATES,
    Story,
    configured,
    deadline_passed,
    epoch,
    moment,
    operator,
    recipient,
    released,
    units,
)

from core.errors import BadInputError, NewerVersionError
from core.events import Event, RainfallObserved, identity
from core.ledger import LedgerState, canonical, open_ledger
from core.stage import Bookmark, Input, Outcome, SiteStore, Stage
from services.alerting.service import AlertingStage
from services.alerting.state import STATE_VERSION, SiteAlerts, decode_state, encode_state


@cache
def long_story(seed: int) -> Story:
    """A year with everything in it, drawn by `seed`."""
    draw = random.Random(seed)
    story = Story(
        watched_from=40,
        slope_units=units("toe", "head"),
        recipients=[recipient("ops"), recipient("mayor", from_level="orange", coverage=False)],
    )
    story.at(0, released())
    levels = [*RATES, *["blue"] * 12]
    for number in range(0, 200, 6):
        state: dict[str, Any] = {unit: draw.choice(levels) for unit in ("toe", "head")}
        if draw.random() < 0.8:
            story.at(number + 1, epoch(number, track=draw.choice("AB"), **state))
        if draw.random() < 0.2:
            story.at(number + 1, operator("silence", unit=None, until=moment(number + 9)))
        story.closed(number, number + 5, passes={"A": number})
        if story.ledger.deadlines and draw.random() < 0.5:
            story.at(number + 9, deadline_passed())
    story.at(300, configured(watched_from=40, recipients=[recipient("new")]))
    return story


def mark(given: Input) -> Bookmark:
    return Bookmark(
        log_id="log",
        partition=0,
        offset=given.seq,
        seq=given.seq,
        taken=given.seq,
        given=0,
        now=given.now,
    )


def as_event(given: Input, place: int, outcome: Outcome) -> Event:
    return Event(
        id=identity(given.event.id, place),
        site="dam",
        source="slopewatch/alerting",
        valid_time=outcome.valid_time,
        available_at=given.now,
        processed_at=given.now,
        data=outcome.data,
        number=place + 1,
    )


@pytest.mark.parametrize("seed", range(3))
def test_cut_at_random_the_ledger_is_the_same(seed: int, tmp_path: Path) -> None:
    story = long_story(seed)
    assert len(story.rows) > 20
    draw = random.Random(seed)
    exports = []
    for cuts in range(3):
        ledger = open_ledger(f"sqlite:///{tmp_path}/{cuts}.db")
        stage = AlertingStage(ledger, story.artifacts)
        replay(stage, story, draw)
        assert ledger.verify({"dam": [change.head for change in story.changes]}) == []
        exports.append(b"".join(ledger.export()))
        assert [row.body for row in ledger.decisions("dam")] == [
            row.body for row in story.ledger.decisions
        ]
        assert {row.id: row.message for row in ledger.notifications("dam")} == {
            row.id: row.message for row in story.ledger.notifications
        }
        assert list(stage.sites()) == ["dam"]
        ledger.close()
    assert len(set(exports)) == 1


def replay(stage: AlertingStage, story: Story, draw: random.Random) -> None:
    """Take the story's inputs in, with commits and reopened stores at random places."""
    store = stage.store("dam")
    state = store.open().state
    batch: list[Input] = []
    said: list[Event] = []
    for given in story.inputs:
        state, outcomes = stage.handle(state, given)
        said += [as_event(given, place, outcome) for place, outcome in enumerate(outcomes)]
        batch.append(given)
        if draw.random() < 0.3 or given is story.inputs[-1]:
            store.commit(state, mark(given), [g.event.id for g in batch], said)
            store.close()
            store = stage.store("dam")
            state = store.open().state
            batch, said = [], []
    assert state.state == story.ledger.state
    assert state.head == story.ledger.head


def test_the_stage_fits_the_contract(tmp_path: Path) -> None:
    story = Story()
    stage: Stage[LedgerState] = story.stage
    assert (stage.name, stage.inbox, stage.outbox) == ("alerting", "assessments", "alerts")
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    store: SiteStore[LedgerState] = AlertingStage(ledger, story.artifacts).store("dam")
    assert store.open().state == LedgerState(None, "")
    ledger.close()


def test_each_place_of_an_input_gives_the_same_state_as_a_fresh_stage() -> None:
    story = long_story(7)
    state = LedgerState(None, "")
    for given in story.inputs:
        state, _ = AlertingStage(None, story.artifacts).handle(state, given)
    assert state == story.ledger


def test_no_two_notifications_share_an_id() -> None:
    ids = [row.id for seed in range(3) for row in long_story(seed).ledger.notifications]
    stories = [len({r.id for r in long_story(s).ledger.notifications}) for s in range(3)]
    assert sum(stories) == len(ids)


def test_nobody_is_told_the_same_twice_in_a_row() -> None:
    for seed in range(3):
        last: dict[tuple[str, str], str] = {}
        for row in long_story(seed).ledger.notifications:
            message = msgspec.json.decode(row.message)
            if row.outcome != "queued" or message["kind"] != "level":
                continue
            key = (row.recipient, message["unit"])
            assert last.get(key, "blue") == message["previous_level"] != message["level"]
            last[key] = message["level"]


def test_state_comes_back_as_it_went() -> None:
    story = long_story(3)
    assert encode_state(story.state) == story.ledger.state
    assert decode_state(None) == SiteAlerts()


def test_a_newer_state_is_not_read() -> None:
    with pytest.raises(NewerVersionError):
        decode_state(canonical({"version": STATE_VERSION + 1, "units": 3}))
    with pytest.raises(BadInputError):
        decode_state("[]")


def test_events_of_other_inboxes_are_bad_input() -> None:
    story = Story()
    rain = RainfallObserved(feed="gsod", station="1", day=moment(0).date(), rain_mm=1.0)
    with pytest.raises(BadInputError, match="alerting does not read rainfall-observed"):
        story.at(0, lambda *_: rain)


def first_version(story: Story) -> str:
    """The state of a story as version 1 wrote it: without all that came since."""
    tree = json.loads(story.ledger.state or "")
    since = {
        *("case", "held", "drivers_floor", "drivers_asked", "drivers_judged", "calm_days"),
        *("cause", "coverage_facts"),
    }
    tree["units"] = {
        name: {key: value for key, value in unit.items() if key not in since}
        for name, unit in tree["units"].items()
    }
    for unit in tree["units"].values():
        unit["told"] = {
            who: {key: known[key] for key in ("level", "coverage")}
            for who, known in unit["told"].items()
        }
    gone = {"evidence", "mailboxes"}
    return canonical({k: v for k, v in tree.items() if k not in gone} | {"version": 1})


def test_a_state_of_version_1_goes_on_and_tells_nothing_again(tmp_path: Path) -> None:
    story = Story()
    story.at(0, epoch(0, toe="orange"), operator("acknowledge"))
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    old = ledger.site("dam", 1)
    state = dataclasses.replace(old.open().state, state=first_version(story))
    old.commit(state, mark(story.inputs[-1]), [], [])
    old.close()
    held = AlertingStage(ledger, story.artifacts).store("dam").open()
    assert decode_state(held.state.state) == decode_state(first_version(story))
    story.ledger = held.state
    story.at(1, epoch(1, toe="orange"))
    case = story.state.units["toe"].open_case
    assert case is not None
    assert case.id == f"dam.toe.{len(story.inputs)}"
    assert (case.opened, case.owner, story.ledger.notifications) == (moment(1), "li", ())
    assert len(story.rows) == 1
    story.closed(0, 3)
    assert story.ledger.notifications == ()
    for number in (4, 5, 6):
        story.at(number, epoch(number, toe="blue"))
        story.closed(number, number)
    (message,) = story.messages()
    assert (message.level, message.previous_level, message.alert) == ("blue", "orange", case.id)
    ledger.close()
