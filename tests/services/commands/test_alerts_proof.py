"""An alert is listed, and explained down to its observations; what is lost or damaged is said."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from core.errors import SlopewatchError
from core.ledger import open_ledger
from core.settings import Service
from services.alerting.state import decode_state
from services.commands.alerts import list_alerts
from services.compose import this_release
from tests.pipeline import day
from tests.services.commands.alert_season import (
    DAYS,
    SITE,
    as_json,
    command,
    explained,
    file_of,
    listed,
    on_log,
    reproduced,
    verified,
)

# Explained


def test_an_alert_is_explained_down_to_scenes_and_rows(alerted: Service) -> None:
    found = as_json(alerted)
    raised, seen = found["decisions"][0], found["decisions"][-1]
    assert found["alert"] == f"{SITE}.toe.{raised['seq']}"
    assert (raised["changes"][0]["level"], found["closed"]) == (["blue", "yellow"], None)
    (vote,) = raised["votes"]
    assert (vote["rule"], vote["level"]) == ("velocity", "yellow")
    assert vote["figures"]["velocity_mm_yr"] < -60
    assert raised["release"]["code"] == this_release().code
    assert raised["table"]["fault"] == raised["settings"]["fault"] == ""
    (ground,) = raised["grounds"]
    assert (ground["track"], ground["epoch"]) == ("A44", str(day(42)))
    assert file_of(alerted, ground["evidence"]["sha256"]).is_file()
    assert (seen["operator"]["command"], seen["operator"]["operator"]) == ("acknowledge", "ann")
    assert found["faults"] == found["missing"] == []
    rows = {tuple(one["key"]): one for one in found["observations"]}
    (cause,) = (one for one in found["observations"] if one["id"] == ground["inputs"][0])
    assert (cause["place"], cause["data"]["epoch"]) == (ground["place"], str(day(42)))
    revised = rows["rain", "g1", str(day(30))]
    assert (revised["data"]["rain_mm"], revised["vintage"]) == (99.0, 1)
    assert rows["level", "l1", str(day(41))]["data"]["level_m"] == pytest.approx(165.9)
    assert ("rain", "g1", str(day(42))) not in rows, "known only after the step"
    assert rows["scene", "S1-42"]["place"] < ground["place"]


def test_the_text_says_the_same_in_plain_words(alerted: Service) -> None:
    whole, said = explained(alerted)
    assert whole
    for part in (
        "level blue -> yellow (velocity on track A44",
        "velocity_mm_yr = -",
        "scene   S1-42 (S1A, path 44, SLC)",
        f"{day(30)}  99 mm  feed gauge, vintage 1, known since {day(33)} 00:00 UTC",
        "acknowledged by ann: on my way",
        f"attempt 1, {day(DAYS)} 02:00 UTC: sent; 250 taken?[2J",
        "nothing is out of reach",
    ):
        assert part in said, part
    assert "\x1b" not in said, "a server's answer must not steer the terminal"


@pytest.mark.parametrize("name", ["unit", "alert", "notification"])
def test_an_alert_is_found_by_its_unit_its_id_and_a_notification(
    alerted: Service, name: str
) -> None:
    found = as_json(alerted)
    told = found["decisions"][0]["told"][0]["notification"]
    names = {"unit": f"{SITE}.toe", "alert": found["alert"], "notification": told[:12]}
    assert as_json(alerted, names[name])["alert"] == found["alert"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere.toe", "no site 'nowhere'; it has: dam"),
        (f"{SITE}.ridge", r"of dam.ridge the ledger has: none"),
        (f"{SITE}.toe.1", r"of dam.toe the ledger has: dam.toe."),
        ("ffffffff", "no notification of the ledger"),
    ],
)
def test_what_there_is_not_is_one_sentence(alerted: Service, name: str, sentence: str) -> None:
    with pytest.raises(SlopewatchError, match=sentence):
        explained(alerted, name)


def test_the_log_of_another_machine_is_out_of_reach_and_said_so(
    alerted: Service, tmp_path: Path
) -> None:
    away = alerted.model_copy(update={"log": f"sqlite://{tmp_path}/other.db"})
    whole, said = explained(away)
    assert whole, "out of reach is not damaged"
    assert "has no observations of dam: it is that of another machine" in said
    assert "which called for the step" in said
    assert "level blue -> yellow" in said
    with pytest.raises(SlopewatchError, match="run this where its log is"):
        reproduced(away)


def test_a_damaged_and_a_missing_artifact_are_named(alerted: Service) -> None:
    sha256 = as_json(alerted)["decisions"][0]["grounds"][0]["evidence"]["sha256"]
    file_of(alerted, sha256).write_bytes(b"something else")
    whole, said = explained(alerted)
    assert not whole
    assert "AT FAULT: evidence of decision" in said
    assert "is damaged: restore it from a backup" in said
    equal, said = reproduced(alerted)
    assert not equal
    assert "an input cannot be used any more, D03: artifact" in said
    assert "is damaged: restore it from a backup" in said
    file_of(alerted, sha256).unlink()
    whole, said = explained(alerted)
    assert whole
    assert "out of reach: evidence of decision" in said
    with pytest.raises(SlopewatchError, match="cannot be replayed further: artifact out of reach"):
        reproduced(alerted)


def test_an_outcome_that_names_other_evidence_than_the_decision_is_at_fault(
    alerted: Service,
) -> None:
    found = as_json(alerted)
    cause = found["decisions"][0]["cause"]["id"]
    on_log(alerted, lambda e: e.id == cause, lambda data: replace(data, evidence=None))
    whole, said = explained(alerted)
    assert not whole
    assert "one of them was changed since" in said


def test_observations_that_were_lost_are_noticed(alerted: Service) -> None:
    with closing(sqlite3.connect(str(alerted.log).removeprefix("sqlite://"))) as database, database:
        rows = database.execute("SELECT id, value FROM records ORDER BY id").fetchall()
        lost = next(i for i, v in rows if b"rainfall-observed" in v)
        database.execute("UPDATE records SET value = ? WHERE id = ?", (b"{}", lost))
    whole, said = explained(alerted)
    assert whole
    assert "observations before it were lost, added" in said


# Listed


def test_open_alerts_are_listed_with_who_looks_after_them(alerted: Service) -> None:
    names = {unit: as_json(alerted, f"{SITE}.{unit}")["alert"] for unit in ("toe", "head")}
    with closing(open_ledger(str(alerted.ledger))) as ledger:
        view = ledger.state(SITE)
        units = decode_state(view.state if view else None).units
    assert {unit: alert.case.id for unit, alert in units.items() if alert.case} == names
    head, toe = listed(alerted)[1:3]
    assert head.split()[:2] == [names["head"], "yellow"]
    assert "nobody" in head
    assert "not acknowledged" in head
    assert toe.split()[:5] == [names["toe"], "yellow", str(day(42)), "watched", "ann"]
    assert toe.endswith(f"acknowledged by ann at yellow, {day(DAYS)} 02:00 UTC")
    assert listed(alerted)[-1] == "2 open alerts"
    with pytest.raises(SlopewatchError, match="no site 'nowhere'; it has: dam"):
        list_alerts(alerted, "nowhere", False, print)


def test_a_cancelled_alert_is_closed_explained_and_made_again(alerted: Service) -> None:
    name = as_json(alerted)["alert"]
    command(alerted, command="cancel", unit="toe", reason="radar shadow")
    assert name not in "\n".join(listed(alerted))
    (line,) = (line for line in listed(alerted, closed_too=True) if line.startswith(name))
    assert f"was yellow, closed {day(DAYS)}" in line
    whole, said = explained(alerted, name)
    assert whole
    assert "cancelled by bo: radar shadow" in said
    assert "level yellow -> blue" in said
    equal, said = reproduced(alerted, name)
    assert equal, said
    assert "3 decisions" in said
    assert verified(alerted)[0]


def test_an_exercise_is_explained_by_its_own_name(alerted: Service) -> None:
    before = as_json(alerted)["alert"]
    command(alerted, command="drill", unit="toe", reason="spring drill", level="red")
    with closing(open_ledger(str(alerted.ledger))) as ledger:
        last = ledger.decisions(SITE)[-1].seq
    whole, said = explained(alerted, f"{SITE}.toe.{last}")
    assert whole
    assert said.startswith(f"exercise {SITE}.toe.{last}")
    assert "drilled by bo: spring drill" in said
    assert as_json(alerted)["alert"] == before, "the unit's newest alert is no exercise"
