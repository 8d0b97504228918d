from __future__ import annotations

import re
from typing import Any, get_args

import pytest
from msgspec.structs import replace
from notifying import VOTES, message
from saying import LANGUAGES, Reader, every_kind, vote

from core.events import LEVELS, Coverage, Vote
from services.alerting.bulletin import load_language, render, sections_of
from services.alerting.bulletin.wrapping import WIDTH, width_of
from services.alerting.message import WHOLE_SITE, Message

ENGLISH = load_language("en")

ORANGE = """\
ORANGE warning (was YELLOW): Toe, Xinpu landslide

WHAT HAPPENED
- The level rose from YELLOW caution to ORANGE warning.
- Reason: velocity on track 84D: past 100 mm/yr at 2 of the last 3 epochs

WHERE
- Site: Xinpu landslide (id xinpu)
- Slope unit: Toe (id toe)

WHAT TO DO
- Inform the duty geologist and the local authority today.
- Have the slope inspected from safe ground: cracks, falling stones, tilted
  trees, springs.
- Prepare to close roads and paths and to move people out of the endangered
  area.

SINCE WHEN
- The news speaks of 12 March 2026 and has been known to this service since
  14 March 2026, 06:00 UTC.
- It is told 1 day later than it should have been: measurements or daily
  runs reached the service late, or the news was held back (a silence, or
  days still missing).

WHAT IS MEASURED
- Velocity, satellite track 84D: velocity 121.4 ± 8.2 mm per year.
- CUSUM, satellite track 84D: usable satellite passes 21.
- The figure after ± is one standard deviation.

WHAT IS MODELLED
- Velocity, satellite track 84D: probability of being past the orange
  threshold 99.5 %; probability of being past the red threshold below 0.1 %.
- Velocities are estimated by a filter from radar measurements along the
  satellite's line of sight, each with its standard deviation. A downslope
  velocity assumes that the slope moves straight downhill.
- This message holds no forecast of when or whether the slope will fail.

RULES THAT JUDGED
- Velocity (how fast the slope moves), satellite track 84D, asks for ORANGE
  warning: 121.4 ± 8.2 mm/yr downslope: past 100 mm/yr at 2 of the last 3
  epochs.

SHOWN WITHOUT A VOTE
- CUSUM (whether the slope keeps running ahead of what is expected),
  satellite track 84D, does not judge: not calibrated: 21 of 30 epochs.

CAN THE SLOPE BE SEEN
- WATCHED: track 84D last measured the unit on 12 March 2026.
- The slope is measured as often as the satellite passes. Between two passes
  nothing is seen.
- Next satellite pass: expected on 24 March 2026; its result comes hours to
  days later.

HOW OFTEN SUCH ALERTS COME TRUE
- How many of 100 such alerts come true was not measured for the thresholds
  in force.

TO VERIFY THIS MESSAGE
- Notification 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f
- Ledger of site xinpu, sequence 412, head
  a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
"""

BLIND = """\
*** SIMULATED - NOT A REAL WARNING ***
The data behind this message come from a digital twin. No real slope has
moved. Do not act on it.

SIMULATED: BLIND: all slope units, Xinpu landslide (level BLUE normal)

WHAT HAPPENED
- The level is unchanged: BLUE normal.
- Coverage changed from WATCHED to BLIND.
- Reason: no pass seen

WHERE
- Site: Xinpu landslide (id xinpu)
- All slope units of the site; the level is the highest of them.

WHAT TO DO
- Nothing: this is simulated. In a real case:
- Until the slope is watched again, rely on other means: patrols,
  instruments on the ground, reports of residents.
- Measures in force are lifted by whoever ordered them, not by this message.

SINCE WHEN
- The news speaks of 12 March 2026 and has been known to this service since
  14 March 2026, 06:00 UTC.

WHAT IS MEASURED
- No rule has judged a measurement for this message.

WHAT IS MODELLED
- This message holds no forecast of when or whether the slope will fail.

CAN THE SLOPE BE SEEN
- BLIND: no pass seen and no displacement.
- The slope is not seen at present. Blind: no alarm is not safety.
- Next satellite pass: not known.

TO VERIFY THIS MESSAGE
- Notification 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f
- Ledger of site xinpu, sequence 412, head
  a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1

*** SIMULATED - NOT A REAL WARNING ***
"""


def blind(**changes: Any) -> Message:
    return message(
        kind="coverage",
        unit=WHOLE_SITE,
        unit_name="",
        level="blue",
        previous_level="blue",
        coverage="blind",
        coverage_reason="no pass seen and no displacement",
        reason="no pass seen",
        votes=(),
        late_days=0,
        next_pass=None,
        **changes,
    )


def test_orange_as_text() -> None:
    bulletin = render(message())
    assert bulletin.subject == "ORANGE warning (was YELLOW): Toe, Xinpu landslide"
    assert bulletin.text == ORANGE


def test_blind_and_simulated_as_text() -> None:
    bulletin = render(blind(simulated=True))
    assert bulletin.subject == (
        "SIMULATED: BLIND: all slope units, Xinpu landslide (level BLUE normal)"
    )
    assert bulletin.text == BLIND


@pytest.mark.parametrize("kind", every_kind())
@pytest.mark.parametrize("language", LANGUAGES)
def test_html_says_the_same_without_images_or_links(kind: str, language: str) -> None:
    bulletin = render(every_kind()[kind], language)
    page = Reader(bulletin.html)
    assert not {"img", "script", "link", "iframe", "a"} & set(page.tags)
    assert page.links == []
    plain = re.sub(r"(?m)^(- |\*\*\* |  )| \*\*\*$", "", bulletin.text)
    assert "".join(plain.upper().split()) in "".join("".join(page.words).upper().split())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", every_kind())
def test_sections_stand_in_the_order_of_need(kind: str, language: str) -> None:
    found = [one.key for one in sections_of(every_kind()[kind], load_language(language))]
    order = (
        *("happened", "where", "do", "since", "measured", "modelled", "rules", "shown"),
        *("seen", "record", "acts", "earlier", "proof"),
    )
    assert found == [key for key in order if key in found]
    assert {"happened", "where", "do", "proof"} <= set(found)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("coverage", get_args(Coverage))
@pytest.mark.parametrize("kind", ["level", "coverage"])
def test_every_state_has_its_words(level: str, coverage: str, kind: str, language: str) -> None:
    text = render(message(level=level, coverage=coverage, kind=kind), language).text
    flat, words = "".join(text.split()), load_language(language)

    def is_said(sentence: str) -> bool:
        return "".join(sentence.split()) in flat

    assert is_said(words.say(f"levels.{level}.word"))
    assert is_said(words.say(f"coverage.{coverage}.meaning"))
    assert is_said(words.lines(f"do.{level}")[-1])
    assert is_said(words.say("do.not_seen")) == (coverage in ("blind", "out of range"))
    assert max(width_of(line) for line in text.splitlines()) <= WIDTH


def test_lowered_level_and_return_of_sight() -> None:
    lowered = render(message(level="yellow", previous_level="red"))
    assert lowered.subject == "YELLOW caution (was RED): Toe, Xinpu landslide"
    assert "The level was lowered from RED alarm to YELLOW caution." in lowered.text
    seen = render(message(kind="coverage", previous_coverage="blind"))
    assert seen.subject == "WATCHED again: Toe, Xinpu landslide (level ORANGE warning)"


def test_an_all_clear_says_so_and_nothing_else_does() -> None:
    clear = render(message(level="blue", previous_level="red"))
    assert clear.subject == "ALL CLEAR, BLUE normal (was RED): Toe, Xinpu landslide"
    assert "This ends the alert." in clear.text
    for changes in (
        {"coverage": "blind"},
        {"coverage": "stale"},
        {"under_review": "red"},
        {"cause": "left the site"},
        {"cause": "cancelled"},
        {"kind": "cancelled"},
        {"kind": "amended"},
        {"kind": "drill"},
        {"level": "yellow"},
    ):
        other = render(message(**{"level": "blue", "previous_level": "red", **changes}))
        assert "ALL CLEAR" not in other.subject, changes
        assert "This ends the alert." not in other.text, changes


@pytest.mark.parametrize(
    ("kind", "subject", "sentence"),
    [
        ("escalation", "NOT ACKNOWLEDGED, RED alarm: ", "Nobody has acknowledged this alert since"),
        ("escalation", "NOT ACKNOWLEDGED, ", "Nobody is called after this message."),
        ("release", "NOT RELEASED, RED alarm still waits", "has waited for its release since"),
        ("release", "NOT RELEASED, ", "It is never released by itself."),
        ("review", "TO REVIEW, RED alarm not yet released", "waits for two persons"),
        ("amended", "AMENDED, ORANGE warning (was YELLOW): ", "came late and changed what"),
        ("amended same", "AMENDED, ORANGE warning: ", "Officer Chen wrote: no cracks seen"),
        ("cancelled", "CANCELLED, RED alarm withdrawn: ", "is withdrawn by a person"),
        ("held back", "ORANGE warning (was YELLOW): ", "RED alarm, waits to be reviewed"),
        ("held back", "ORANGE ", "held back over this recipient's quiet hours"),
        ("released", "RED alarm (was YELLOW): ", "Chen reviewed and Liu released this message."),
        ("left", "NO LONGER WATCHED (last told: YELLOW): ", "This is no all-clear."),
        ("lowered unseen", "BLUE normal (was YELLOW), but the slope is BLIND: ", "BLIND: no alarm"),
        (
            "rise",
            "RED alarm ",
            "Of 100 such alerts on simulated slopes 62 were followed by failure,",
        ),
        ("rise", "RED alarm ", "It takes the place of message xinpu.toe.3.5, sent 14 March 2026,"),
        ("rise", "RED alarm ", "failure 4 to 38 days after the last measurement (8 of 10), 11 in"),
        ("silenced", "ORANGE warning ", "Chen had silenced this unit at YELLOW caution"),
    ],
)
def test_what_each_kind_says(kind: str, subject: str, sentence: str) -> None:
    bulletin = render(every_kind()[kind])
    assert bulletin.subject.startswith(subject)
    assert sentence.upper() in " ".join(bulletin.text.upper().split())


def test_measured_and_modelled_stand_apart() -> None:
    told = {one.key: " ".join(one.lines) for one in sections_of(every_kind()["rise"], ENGLISH)}
    assert "velocity 121.4 ± 8.2 mm per year" in told["measured"]
    assert "rain of the last days 91 mm" in told["measured"]
    for figure in (
        *("probability", "explain 58 ± 26.8 mm per year", "Bayes factor", "test statistic"),
        *("81.3 (8 of 10: 74 to 84) degrees", "once in 1000 satellite passes", "8 of 10"),
    ):
        assert figure in told["modelled"]
        assert figure not in told["measured"]
    assert "Tangential angle" in told["shown"]
    assert "Tangential angle" not in told["rules"]


def test_unknown_rule_and_figure_are_shown_by_name() -> None:
    vote = Vote(
        rule="dragon",
        track="1A",
        level="red",
        calibrated=True,
        reason="breathes",
        figures={"fire_height": 3.5, "failure_in_days": 12.0},
    )
    told = message(votes=(*VOTES, vote))
    text = " ".join(render(told).text.split())
    assert "dragon (a rule of this site), satellite track 1A, asks for RED alarm: breathes." in text
    assert "dragon, satellite track 1A: fire height 3.5." in text
    assert "dragon, satellite track 1A: failure in days 12." in text
    assert ENGLISH.say("modelled.no_forecast") not in text
    chinese = render(told, "zh").text
    assert "fire height 3.5" in chinese
    assert "breathes" not in chinese


@pytest.mark.parametrize(("share", "said"), [(1.0, "above 99.9 %"), (0.0, "below 0.1 %")])
def test_nothing_a_model_says_is_certain(share: float, said: str) -> None:
    told = message(votes=(vote("acceleration", figures={"probability_30d": share}),))
    assert said in render(told).text


@pytest.mark.parametrize("language", ["es", "zh"])
def test_no_english_reason_in_another_language(language: str) -> None:
    for kind, told in every_kind().items():
        text = render(told, language).text
        for english in ("past 100 mm/yr", "last measured", "not calibrated", "past the limit"):
            assert english not in text, kind


def test_same_message_same_bulletin() -> None:
    assert render(message()) == render(message())


def test_message_past_the_ledger_says_so() -> None:
    text = render(message(ledger_head="", seq=0)).text
    assert "- Sent past the ledger: nothing there vouches for it." in text
    assert "sequence" not in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("heard", [False, True])
def test_the_watchdog_claims_no_level(heard: bool, language: str) -> None:
    """The pipeline is silent: the slope may stand at red, and nobody here knows."""
    told = every_kind()["heard" if heard else "silence"]
    told = replace(told, reason="Site xinpu is silent: no closed day for 27 h")
    subject, text, html, _ = render(told, language)
    words = load_language(language)
    assert subject.startswith(words.say(f"headline.{'heard' if heard else 'silent'}", where=""))
    assert ("Site xinpu is silent" in text) == (language == "en")
    assert "".join(words.say("happened.level_not_known").split()) in "".join(text.split())
    for level in LEVELS:
        assert words.say(f"levels.{level}.word") not in text + html
