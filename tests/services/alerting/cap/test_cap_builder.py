"""What a message becomes: type, status, references, words of the standard, validity, areas."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from cap_messages import ALERT, ALL_CLEAR, ISSUER, RISE, SITE, UPDATE, message, moment
from msgspec.structs import replace

from core.errors import SettingsError
from core.events import Level
from services.alerting.cap import Issuer, NotForCapError, alert_of, errors, identifier, write
from services.alerting.cap.builder import expiry
from services.alerting.cap.model import Alert
from services.alerting.message import Reference, Unanswered

OPERATOR = "Liu Wei"


def made(**changes: Any) -> Alert:
    return alert_of(message(**changes), ISSUER, SITE)


def test_a_case_is_an_alert_its_updates_and_a_cancel() -> None:
    alerts = [alert_of(one, ISSUER, SITE) for one in (RISE, UPDATE, ALL_CLEAR)]
    assert [a.msg_type for a in alerts] == ["Alert", "Update", "Cancel"]
    assert [a.identifier for a in alerts] == [f"{ALERT}.{seq}" for seq in (412, 430, 441)]
    assert {a.incidents for a in alerts} == {ALERT}
    first, second = (
        f"slopewatch@example.org,{ALERT}.412,2026-03-14T06:30:00-00:00",
        f"slopewatch@example.org,{ALERT}.430,2026-03-26T06:30:00-00:00",
    )
    assert [a.references for a in alerts] == ["", first, f"{first} {second}"]


def test_all_recipients_of_a_decision_get_the_same_bytes() -> None:
    for one in (RISE, UPDATE, ALL_CLEAR):
        other = replace(one, id="77" * 16)
        assert write(alert_of(one, ISSUER, SITE)) == write(alert_of(other, ISSUER, SITE))
        assert one.id not in write(alert_of(one, ISSUER, SITE)).decode()


def test_what_belongs_to_no_alert_is_a_case_of_its_own() -> None:
    assert identifier(message(alert="", seq=9)) == "xinpu.toe.9.9"
    for alert in ("", "xinpu.*.9"):
        drill = made(kind="drill", alert=alert, unit="*", seq=9)
        assert (drill.identifier, drill.incidents) == ("xinpu.all.9.9", "xinpu.all.9")


@pytest.mark.parametrize(
    ("changes", "status", "first"),
    [
        ({}, "Actual", "RED alarm"),
        ({"status": "test"}, "Test", "TEST: "),
        ({"status": "exercise"}, "Exercise", "EXERCISE: "),
        ({"kind": "drill"}, "Exercise", "EXERCISE: "),
        ({"simulated": True}, "Test", "SIMULATED: "),
        ({"simulated": True, "status": "test"}, "Test", "TEST: SIMULATED: "),
        ({"simulated": True, "kind": "drill"}, "Exercise", "EXERCISE: SIMULATED: "),
    ],
)
def test_what_is_not_meant_says_so_in_every_place(
    changes: dict[str, Any], status: str, first: str
) -> None:
    alert = made(**changes)
    info = alert.info[0]
    assert alert.status == status
    assert info.headline.startswith(first)
    if status == "Actual":
        assert alert.note == ""
        return
    assert "NOT A REAL WARNING" in alert.note
    assert "NOT A REAL WARNING" in info.description
    if changes.get("simulated"):
        assert "SIMULATED - NOT A REAL WARNING" in alert.note


LEVELS = {
    "yellow": ("Future", "Moderate", ("Monitor",)),
    "orange": ("Expected", "Severe", ("Prepare",)),
    "red": ("Immediate", "Extreme", ("Execute", "Avoid")),
}


@pytest.mark.parametrize("level", LEVELS)
def test_levels_in_words_of_the_standard(level: Level) -> None:
    info = made(level=level).info[0]
    assert (info.urgency, info.severity, info.response_type) == LEVELS[level]


@pytest.mark.parametrize("coverage", ["stale", "blind", "out of range"])
def test_not_seeing_a_red_slope_makes_it_no_less_urgent(coverage: Any) -> None:
    info = alert_of(replace(UPDATE, coverage=coverage, of_100=70), ISSUER, SITE).info[0]
    assert (info.urgency, info.severity, info.certainty) == ("Immediate", "Extreme", "Likely")
    assert info.onset is None


@pytest.mark.parametrize(
    ("of_100", "certainty"), [(None, "Unknown"), (0, "Possible"), (50, "Possible"), (51, "Likely")]
)
def test_certainty_is_what_came_true_in_simulation(of_100: int | None, certainty: str) -> None:
    assert made(of_100=of_100).info[0].certainty == certainty


def test_an_all_clear_and_a_withdrawal() -> None:
    clear = alert_of(ALL_CLEAR, ISSUER, SITE).info[0]
    assert (clear.response_type, clear.urgency, clear.severity, clear.certainty) == (
        *(("AllClear",), "Past", "Minor", "Unlikely"),
    )
    withdrawn = alert_of(
        replace(ALL_CLEAR, kind="cancelled", cause="cancelled", note="sensor fault"), ISSUER, SITE
    )
    assert (withdrawn.msg_type, withdrawn.note) == ("Cancel", "sensor fault")
    info = withdrawn.info[0]
    assert (info.response_type, info.urgency, info.certainty) == ((), "Past", "Unknown")
    unseen = alert_of(replace(ALL_CLEAR, coverage="blind"), ISSUER, SITE)
    assert unseen.msg_type == "Cancel"
    assert (unseen.info[0].response_type, unseen.info[0].certainty) == ((), "Unknown")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kind": "review", "under_review": "red"}, "not for the public"),
        ({"kind": "pipeline", "level": None, "previous_level": None}, "slopewatch itself"),
        ({"kind": "coverage", "alert": ""}, "no open alert here"),
        ({"kind": "coverage", "unit": "*", "alert": ""}, "no open alert here"),
        ({"kind": "coverage", "level": "blue", "references": UPDATE.references}, "no open alert"),
        ({"level": "blue", "previous_level": "red"}, "nothing of it was published"),
        ({"kind": "cancelled", "level": "blue"}, "nothing of it was published"),
    ],
)
def test_what_no_consumer_should_see(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(NotForCapError, match=why):
        made(**changes)


def unanswered(needs: Any) -> Unanswered:
    return Unanswered(needs=needs, since=moment(14), round=1, last=False, nobody_on_duty=False)


def test_an_escalation_is_the_alert_unless_it_asks_for_a_release() -> None:
    called = made(kind="escalation", unanswered=unanswered("acknowledgement"), operator=OPERATOR)
    assert called.msg_type == "Alert"
    assert "ACKNOWLEDGED" not in called.info[0].headline
    with pytest.raises(NotForCapError, match="not for the public"):
        made(kind="escalation", unanswered=unanswered("release"), under_review="red")


def test_neither_drafts_nor_names_of_operators_are_told() -> None:
    told = {
        "level": "orange",
        "under_review": "red",
        "operator": OPERATOR,
        "owner": OPERATOR,
        "reviewed_by": OPERATOR,
        "silenced_by": OPERATOR,
        "silenced_at": "yellow",
        "reason": f"Toe rises. {OPERATOR} had silenced it at yellow.",
        "votes": (),
    }
    text = write(made(**told)).decode()
    assert OPERATOR not in text
    assert not re.search(r"\bred\b", text, re.I)
    withdrawn = replace(ALL_CLEAR, kind="cancelled", cause="cancelled", operator=OPERATOR)
    withdrawn = replace(withdrawn, reason=f"cancelled by {OPERATOR}: fault", note="fault")
    assert OPERATOR not in write(alert_of(withdrawn, ISSUER, SITE)).decode()


def expires(**changes: Any) -> datetime:
    blue = replace(message(**changes), level="blue")
    return expiry(blue, moment(14), SITE)


def test_a_standing_level_does_not_run_out_on_anybodys_screen() -> None:
    assert made().info[0].expires == moment(14) + timedelta(days=90)
    later = date(2027, 3, 14)
    assert made(next_pass=later).info[0].expires == datetime(2027, 3, 18, tzinfo=UTC)


def test_it_holds_until_the_next_pass_is_known() -> None:
    assert expires() == datetime(2026, 3, 28, tzinfo=UTC)
    sent = moment(14)
    assert expires(next_pass=date(2026, 3, 14)) == datetime(2026, 3, 18, tzinfo=UTC)
    for past in (None, date(2026, 3, 13), date(2020, 1, 1)):
        assert expires(next_pass=past) == sent + timedelta(days=6 + 3)
    nowhere = replace(message(next_pass=None), level="blue")
    assert expiry(nowhere, sent, None) == sent + timedelta(days=12 + 3)


def test_it_is_never_older_than_what_it_refers_to() -> None:
    late = made(known_since=moment(1), references=(Reference(f"{ALERT}.400", moment(20)),))
    assert late.sent == moment(20)
    assert not errors(write(late))


def test_areas_are_closed_rings_of_the_unit() -> None:
    toe = write(made()).decode()
    assert "<polygon>30.95,110.41 30.95,110.43 31,110.4 30.95,110.41</polygon>" in toe
    assert toe.count("<area>") == 1
    head = write(made(unit="head", unit_name="")).decode()
    assert "<polygon>30.9,110.5 30.9,110.6 31,110.5 30.9,110.5</polygon>" in head
    assert "<areaDesc>head, Xinpu landslide</areaDesc>" in head
    assert write(made(kind="drill", unit="*", alert="")).decode().count("<polygon>") == 2
    without = write(alert_of(RISE, ISSUER, None)).decode()
    assert "<areaDesc>Toe, Xinpu landslide</areaDesc>" in without
    assert "<polygon>" not in without


def test_an_info_a_language() -> None:
    issuer = ISSUER._replace(languages=("en", "zh", "es"))
    alert = alert_of(RISE, issuer, SITE)
    assert [i.language[:2] for i in alert.info] == ["en", "zh", "es"]
    for text in ("event", "headline", "description", "instruction"):
        assert len({getattr(i, text) for i in alert.info}) == 3
    assert len({(i.severity, i.expires, i.area, i.parameter) for i in alert.info}) == 1
    with pytest.raises(SettingsError, match="tlh"):
        alert_of(RISE, ISSUER._replace(languages=("tlh",)), SITE)


def test_every_language_of_the_bulletin_has_a_word_for_the_event() -> None:
    from services.alerting.bulletin import known_languages

    issuer = ISSUER._replace(languages=known_languages())
    assert all(info.event for info in alert_of(RISE, issuer, SITE).info)


def test_machines_read_parameters() -> None:
    named = [(p.value_name, p.value) for p in made(of_100=62, simulated=True).info[0].parameter]
    assert ("slopewatch:level", "red") in named
    assert ("slopewatch:previousLevel", "blue") in named
    assert ("slopewatch:of100", "62") in named
    assert ("slopewatch:ledgerSeq", "412") in named
    assert ("slopewatch:ledgerHead", "a1" * 32) in named
    assert ("slopewatch:simulated", "true") in named
    assert named[-1] == ("slopewatch:vote", "velocity 84D red")


def test_settings_of_the_issuer_are_said() -> None:
    issuer = Issuer(
        sender="example.org",
        sender_name="Office",
        languages=("en",),
        scope="Restricted",
        restriction="police & fire",
        web="https://example.org/slopes",
        contact="+86 10 <duty>",
        geocodes={"ISO3166-2": "CN-HB"},
    )
    text = write(alert_of(RISE, issuer, SITE)).decode()
    assert not errors(text.encode())
    for part in (
        *("<sender>example.org<", "<senderName>Office<", "<web>https://example.org/slopes<"),
        *("<restriction>police &amp; fire<", "<valueName>ISO3166-2<", "<contact>+86 10 ‹duty"),
    ):
        assert part in text


@pytest.mark.parametrize(
    "name", ["<b>Toe</b>", "A & B", "x &amp; y", "a\x07b\u202ec\ufffe", "a <b", "]]>", "<!-- -->"]
)
def test_odd_names_neither_break_it_nor_look_like_html(name: str) -> None:
    assert not errors(write(alert_of(message(unit_name=name, title=name), ISSUER, None)))
