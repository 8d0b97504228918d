"""An alert can be made again to the byte, and what was changed since is found."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from core.errors import SlopewatchError
from core.events import AlertChanged, AlertHandled, StateUpdated
from core.settings import Service
from services.compose import this_release
from tests.pipeline import day
from tests.services.commands.alert_season import (
    SITE,
    as_json,
    explained,
    in_ledger,
    on_log,
    reproduced,
    verified,
)

# Made again


def test_an_alert_is_made_again_to_the_byte(alerted: Service) -> None:
    equal, said = reproduced(alerted)
    assert equal, said
    assert f"made by release {this_release().code} / {this_release().model}" in said
    assert said.endswith("equal to the byte")


def test_a_changed_decision_is_not_made_again(alerted: Service) -> None:
    in_ledger(
        alerted,
        "UPDATE decision SET body = replace(body, '\"yellow\"', '\"orange\"') WHERE seq = ?",
        as_json(alerted)["opened"],
    )
    equal, said = reproduced(alerted)
    assert not equal
    assert 'facts.changes[toe].level[1]: then "orange", now "yellow"' in said
    assert "proves nothing" not in said


def test_a_changed_message_is_not_made_again(alerted: Service) -> None:
    told = as_json(alerted)["decisions"][0]["told"][0]["notification"]
    changed = 'replace(message, \'"level":"yellow"\', \'"level":"blue"\')'
    in_ledger(alerted, f"UPDATE notification SET message = {changed} WHERE id = ?", told)
    equal, said = reproduced(alerted)
    assert not equal
    assert f'message {told}: level: then "blue", now "yellow"' in said
    assert verified(alerted)[0], "the chain does not hold what messages say; making them again does"


def test_vote_changed_on_the_log_is_another_decision(alerted: Service) -> None:
    on_log(
        alerted,
        lambda e: isinstance(e.data, StateUpdated) and e.data.epoch == day(42),
        lambda data: replace(data, inputs=("another",)),
    )
    equal, said = reproduced(alerted)
    assert not equal
    assert "facts.inference.inputs" in said


def test_after_earlier_decisions_that_differ_nothing_is_proven(alerted: Service) -> None:
    in_ledger(alerted, "UPDATE decision SET body = replace(body, 'mm/yr', 'm/yr')")
    equal, said = reproduced(alerted, f"{SITE}.head")
    assert not equal
    assert f"already decision {as_json(alerted)['opened']} of {SITE}" in said
    assert "proves nothing for or against it" in said


def test_an_alert_of_another_release_is_refused_by_name(alerted: Service) -> None:
    code = f'"code":"{this_release().code}"'
    in_ledger(alerted, 'UPDATE decision SET body = replace(body, ?, \'"code":"0.0.9"\')', code)
    with pytest.raises(SlopewatchError, match=r"by release 0\.0\.9 / .* with slopewatch 0\.0\.9"):
        reproduced(alerted)


# Verified


def test_a_ledger_that_nobody_touched_is_whole(alerted: Service) -> None:
    whole, said = verified(alerted)
    assert whole, said
    assert said.endswith("the ledger is whole")


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE decision SET body = replace(body, 'mm/yr', 'm/yr')", "was changed afterwards"),
        (
            "UPDATE notification SET message = replace(message, 'head\":\"', 'head\":\"f')",
            "was given out, but its chain does not have it",
        ),
        ("UPDATE notification SET message = 'torn'", "whose message cannot be read"),
        ("UPDATE notification SET recipient = 'mallory'", "which that decision does not name"),
        ("DELETE FROM notification WHERE outcome = 'queued'", "which the outbox does not have"),
    ],
)
def test_a_changed_row_or_notification_is_found(
    alerted: Service, statement: str, sentence: str
) -> None:
    in_ledger(alerted, statement)
    whole, said = verified(alerted)
    assert not whole
    assert sentence in said


def test_an_alert_is_explained_even_where_a_message_was_torn(alerted: Service) -> None:
    in_ledger(alerted, "UPDATE notification SET message = 'torn'")
    whole, said = explained(alerted)
    assert whole
    assert "level blue -> yellow" in said
    equal, said = reproduced(alerted)
    assert not equal
    assert "what is stored is no JSON" in said


def test_a_head_that_another_event_carried_is_found(alerted: Service) -> None:
    on_log(
        alerted,
        lambda e: isinstance(e.data, AlertChanged),
        lambda data: replace(data, seq=data.seq + 1),
    )
    whole, said = verified(alerted)
    assert not whole
    assert "carries the head of decision" in said


def test_a_head_that_an_event_of_handling_carried_is_checked_too(alerted: Service) -> None:
    on_log(
        alerted, lambda e: isinstance(e.data, AlertHandled), lambda data: replace(data, head="ff")
    )
    whole, said = verified(alerted)
    assert not whole
    assert "the head ff was given out" in said


def test_a_head_that_no_row_has_is_found_in_events(alerted: Service) -> None:
    on_log(
        alerted, lambda e: isinstance(e.data, AlertChanged), lambda data: replace(data, head="ff")
    )
    whole, said = verified(alerted)
    assert not whole
    assert "the head ff was given out" in said
