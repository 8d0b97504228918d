from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any, get_args

import pytest
from notifying import VOTES, message

from core.events import LEVELS, Coverage, Vote
from services.alerting.bulletin import render, words
from services.alerting.bulletin.render import MAX_SUBJECT
from services.alerting.message import WHOLE_SITE, Message

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
- Rule velocity (how fast the slope moves), satellite track 84D, asks for
  ORANGE warning: 121.4 ± 8.2 mm/yr downslope: past 100 mm/yr at 2 of the
  last 3 epochs. Figures: velocity 121.4 mm per year; standard deviation of
  the velocity 8.2 mm per year.
- Rule cusum (whether the slope keeps running ahead of what is expected),
  satellite track 84D, does not judge: not calibrated: 21 of 30 epochs.
  Figures: usable satellite passes 21.

WHAT IS MODELLED
- Rule velocity, satellite track 84D: probability of being past the orange
  threshold 99.5 %; probability of being past the red threshold below 0.1 %.
- Velocities are estimated by a filter from radar measurements along the
  satellite's line of sight, each with its standard deviation. A downslope
  velocity assumes that the slope moves straight downhill.
- This message holds no forecast of when or whether the slope will fail.

CAN THE SLOPE BE SEEN
- WATCHED: track 84D last measured the unit on 12 March 2026.
- The slope is measured as often as the satellite passes. Between two passes
  nothing is seen.
- Next satellite pass: expected on 24 March 2026; its result comes hours to
  days later.

TO VERIFY THIS MESSAGE
- Notification 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f
- Ledger of site xinpu, sequence 412, head
  a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
"""

BLIND = """\
*** SIMULATED - NOT A REAL WARNING ***
The data behind this message come from a digital twin. No real slope has
moved. Do not act on it.

BLIND: all slope units, Xinpu landslide (level BLUE normal)

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


class Reader(HTMLParser):
    """What a reader without images sees, and the tags and links that are there."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words += data.split()


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


@pytest.mark.parametrize("simulated", [False, True])
def test_html_says_the_same_without_images_or_links(simulated: bool) -> None:
    bulletin = render(message(simulated=simulated))
    page = Reader(bulletin.html)
    assert not {"img", "script", "link", "iframe", "a"} & set(page.tags)
    assert page.links == []
    plain = re.sub(r"[*-]{1,3} ", " ", bulletin.text).replace("***", " ").upper().split()
    shown = " ".join(page.words).upper().replace("- ", " ").split()
    assert " ".join(plain) in " ".join(shown)


def test_simulated_is_the_first_and_the_last_that_is_read() -> None:
    bulletin = render(message(simulated=True, level="red"))
    assert bulletin.subject.startswith("SIMULATED")
    lines = bulletin.text.strip().splitlines()
    assert lines[0] == lines[-1] == "*** SIMULATED - NOT A REAL WARNING ***"
    assert bulletin.html.index("SIMULATED") < bulletin.html.index("RED alarm")
    assert "SIMULATED" not in render(message(level="red")).html


def test_names_cannot_write_html_or_lines() -> None:
    sly = message(unit_name="<b>Toe</b>\r\nALL CLEAR", title="<script>alert(1)</script> & Co")
    bulletin = render(sly)
    assert "<script>" not in bulletin.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Co" in bulletin.html
    assert "<b>" not in bulletin.html
    assert "\nALL CLEAR" not in bulletin.text
    assert "&amp;" not in bulletin.text
    assert "\n" not in bulletin.subject


def test_subject_is_bounded() -> None:
    assert len(render(message(unit_name="x" * 5000)).subject) == MAX_SUBJECT


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("coverage", get_args(Coverage))
@pytest.mark.parametrize("kind", ["level", "coverage"])
def test_every_state_has_its_words(level: str, coverage: str, kind: str) -> None:
    text = render(message(level=level, coverage=coverage, kind=kind)).text
    flat = " ".join(text.split())
    assert words.LEVEL_WORDS[level] in flat  # type: ignore[index]
    assert words.COVERAGE_MEANING[coverage] in flat  # type: ignore[index]
    assert words.ADVICE[level][-1] in flat  # type: ignore[index]
    assert (words.NOT_SEEN_ADVICE in flat) == (coverage in ("blind", "out of range"))
    assert max(len(line) for line in text.splitlines()) <= 76


def test_lowered_level_and_return_of_sight() -> None:
    lowered = render(message(level="blue", previous_level="red"))
    assert lowered.subject == "BLUE normal (was RED): Toe, Xinpu landslide"
    assert "The level was lowered from RED alarm to BLUE normal." in lowered.text
    seen = render(message(kind="coverage", previous_coverage="blind"))
    assert seen.subject == "WATCHED again: Toe, Xinpu landslide (level ORANGE warning)"


def test_unknown_rule_and_figure_are_shown_by_name() -> None:
    vote = Vote(
        rule="dragon",
        track="1A",
        level="red",
        calibrated=True,
        reason="breathes",
        figures={"fire_height": 3.5, "failure_in_days": 12.0},
    )
    text = " ".join(render(message(votes=(*VOTES, vote))).text.split())
    assert "Rule dragon, satellite track 1A, asks for RED alarm: breathes." in text
    assert "Figures: fire height 3.5." in text
    assert "Rule dragon, satellite track 1A: failure in days 12." in text
    assert words.NO_FORECAST_NOTE not in text


def test_same_message_same_bulletin() -> None:
    assert render(message()) == render(message())


def test_message_past_the_ledger_says_so() -> None:
    text = render(message(ledger_head="", seq=0)).text
    assert "- Sent past the ledger: nothing there vouches for it." in text
    assert "sequence" not in text


@pytest.mark.parametrize("heard", [False, True])
def test_the_watchdog_claims_no_level(heard: bool) -> None:
    """The pipeline is silent: the slope may stand at red, and nobody here knows."""
    told = message(
        kind="pipeline",
        unit=WHOLE_SITE,
        level=None,
        previous_level=None,
        coverage="watched" if heard else "blind",
        reason="Site xinpu is silent: no closed day has reached alerting for 27 h",
        votes=(),
        ledger_head="",
    )
    subject, text, html = render(told)
    assert subject.startswith("HEARD AGAIN" if heard else "SILENT")
    assert "Site xinpu is silent" in text
    assert "not known here" in text
    for word in words.LEVEL_WORDS.values():
        assert word not in text
        assert word not in html
