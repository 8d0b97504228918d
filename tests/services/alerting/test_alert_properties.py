"""What must hold however an alert's life goes: drawn lives, judged by their own account."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from alerting_timeline import moment
from hypothesis import given, settings
from hypothesis import strategies as st
from random_life import TAKES, UNITS, Life, Step, steps

from core.ledger import LedgerState
from core.settings import rank
from services.alerting.message import WHOLE_SITE
from services.alerting.service import AlertingStage

drawn = settings(derandomize=True, deadline=None, max_examples=12, database=None)
from_levels = st.sampled_from(["red", "orange"])
RED = Step("epoch", 1, "red", None, "ann")
"""Both units rise to red."""


@drawn
@given(chosen=steps)
def test_a_level_never_falls_on_stale_data(chosen: list[Step]) -> None:
    life = Life()
    for _ in life.live(chosen):
        if life.fell:
            fresh_epoch = life.last == "epoch" and life.fresh
            assert fresh_epoch or life.last in ("days", "cancel")


@drawn
@given(chosen=steps)
def test_rain_and_level_never_leave_a_unit_lower_than_it_were_without_them(
    chosen: list[Step],
) -> None:
    """Without commands, which may be possible in one life only."""
    plain = [step for step in chosen if step.what != "command"]
    wet, dry = Life(), Life(dry=True)
    for step in plain:
        for life in (wet, dry):
            for _ in life.live([step]):
                pass
        for name in UNITS:
            assert rank(wet.levels[name]) >= rank(dry.levels[name])


@drawn
@given(chosen=steps, from_level=from_levels)
def test_nothing_is_told_that_two_officers_had_to_release_and_did_not(
    chosen: list[Step], from_level: str
) -> None:
    life = Life(from_level)
    for told in life.live([RED, *chosen]):
        for message in told:
            if message.kind == "drill":
                continue
            granted = [life.granted[name] for name in UNITS if message.unit in (name, WHOLE_SITE)]
            free = rank(message.level) < rank(from_level)
            assert free or rank(message.level) <= max(map(rank, granted))


@drawn
@given(chosen=steps)
def test_nobody_is_sent_what_they_do_not_take(chosen: list[Step]) -> None:
    life = Life()
    for told in life.live(chosen):
        for message in told:
            assert message.status in TAKES[life.to[message.id]]
            assert (message.status == "exercise") == (message.kind == "drill")
        assert not (life.last == "drill" and life.fell)


@drawn
@given(chosen=steps, from_level=from_levels)
def test_every_escalation_ends(chosen: list[Step], from_level: str) -> None:
    """By an acknowledgement (and a release), a cancelling, a fall; at the latest by its rounds."""
    life = Life(from_level)
    for _ in life.live([RED, *chosen]):
        for name in life.called:
            assert life.called.count(name) == 1
            assert rank(life.levels[name]) >= rank("orange")
            waits = life.story.state.units[name].under_review
            assert name not in life.acknowledged or waits
    life.story.wait(moment(life.now + 30))
    assert life.called == []


@drawn
@given(chosen=steps)
def test_nothing_that_waits_for_one_recipient_is_forgotten(chosen: list[Step]) -> None:
    life = Life()
    for _ in life.live(chosen):
        waits = {who for unit in life.story.state.units.values() for who in unit.held}
        rows = {box.deadline for box in life.story.state.mailboxes.values() if box.deadline}
        assert len(rows) == len(waits)
        assert rows <= {row.id for row in life.story.open_deadlines}
    life.finish(moment(life.now + 40) + timedelta(hours=12))
    assert all(unit.held == {} for unit in life.story.state.units.values())
    assert all(set(unit.waiting) <= {"review"} for unit in life.story.state.units.values())


@settings(drawn, max_examples=8)
@given(chosen=steps, seed=st.integers(0, 99))
def test_cut_into_commits_anywhere_it_comes_to_the_same(chosen: list[Step], seed: int) -> None:
    life, draw = Life(), random.Random(seed)
    for _ in life.live(chosen):
        pass
    stage = AlertingStage(None, life.story.artifacts)
    state, kept = LedgerState(None, ""), LedgerState(None, "")
    for one in life.story.inputs:
        state, _ = stage.handle(state, one)
        if draw.random() < 0.3:
            kept, state = _joined(kept, state), state.settled()
            stage = AlertingStage(None, life.story.artifacts)
    assert _joined(kept, state) == life.story.ledger


def _joined(first: LedgerState, then: LedgerState) -> LedgerState:
    return LedgerState(
        then.state,
        then.head,
        decisions=first.decisions + then.decisions,
        notifications=first.notifications + then.notifications,
        deadlines=first.deadlines + then.deadlines,
        done_deadlines=first.done_deadlines + then.done_deadlines,
    )


def test_drawn_lives_have_all_of_it_in_them() -> None:
    """The properties would say nothing of lives in which nothing happens."""
    draw, seen = random.Random(4), set()
    for _ in range(15):
        life = Life(draw.choice(["red", "orange"]))
        chosen = [
            Step(
                draw.choice(["epoch", "epoch", "rain", "days", "command", "command", "time"]),
                draw.randrange(10_000),
                draw.choice(["blue", "yellow", "orange", "red"]),
                draw.choice([*UNITS, None]),
                draw.choice(["ann", "bo", "cy", "dot"]),
            )
            for _ in range(60)
        ]
        for told in life.live(chosen):
            seen |= {message.kind for message in told}
            seen |= {f"fell on {life.last}" for _ in life.fell}
        seen |= {one.action for one in life.story.handled}
    assert seen >= {
        *("level", "coverage", "amended", "cancelled", "review", "escalation", "drill"),
        *("acknowledged", "handed over", "silenced", "silence ended", "escalated", "drafted"),
        *("draft withdrawn", "reviewed", "released", "drilled"),
        *("fell on epoch", "fell on days", "fell on cancel"),
    }, seen


@pytest.mark.parametrize("from_level", ["red", "orange"])
def test_a_life_without_steps_is_silent(from_level: str) -> None:
    life = Life(from_level)
    assert list(life.live([])) == []
