"""The report: one file that asks nothing of the network and says what it can and cannot show."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from datetime import date
from xml.etree import ElementTree

import numpy as np
import pytest

from services.hindcast import words
from services.hindcast.judge import judge
from services.hindcast.replay import Replay, replay
from services.hindcast.report import Section, render, steps_of
from services.hindcast.words import Alert
from tests.services.hindcast.test_hindcast_replay import FIRST, LAST, case_of, moves
from tests.services.inference.plain_history import record

ZERO = date(2020, 1, 1)


@pytest.fixture(scope="module")
def told() -> Replay:
    case = case_of(record(moves, series=2), units=("toe", "ridge"), day_zero=ZERO)
    return replay(case, FIRST, LAST)


@pytest.fixture(scope="module")
def short() -> Replay:
    """Too few days for a verdict: quick to draw."""
    case = case_of(record(moves, series=1), units=("toe",), day_zero=ZERO)
    return replay(case, FIRST, FIRST + 3)


def alerts(told: Replay) -> list[Alert]:
    known = told.case.date_of(800)
    raised = Alert("toe", known, known, "blue", "yellow", "it moves <fast>", True)
    lowered = replace_alert(raised, told.case.date_of(850))
    early = Alert("ridge", told.case.date_of(300), ZERO, "blue", "orange", "long ago", False)
    return [lowered, raised, early]


def replace_alert(one: Alert, known: date) -> Alert:
    return one._replace(known=known, before="yellow", after="blue", reason="calm again")


@pytest.fixture(scope="module")
def html(told: Replay) -> str:
    truth = np.repeat(moves(told.day.astype(float))[:, None], 2, axis=1)
    return render("Lian <hill>", [Section(told, truth)], simulated=True, alerts=alerts(told))


def test_the_report_asks_nothing_of_the_network(html: str) -> None:
    assert re.findall(r'(?:src|href)="(?!data:image/svg\+xml;base64,)[^"]*"', html) == []
    assert "<script" not in html
    assert "@import" not in html
    assert "url(" not in html


def test_every_plot_is_wellformed_and_has_words_for_those_who_cannot_see_it(html: str) -> None:
    pictures = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', html)
    assert len(pictures) == 2 + 3  # two units, scatter, coverage, skill
    for content, _ in pictures:
        root = ElementTree.fromstring(b64decode(content))
        assert root.tag.endswith("svg")
        links = {value for node in root.iter() for key, value in node.items() if "href" in key}
        assert all(link.startswith("#") for link in links)


def test_the_same_replay_gives_the_same_bytes(short: Replay) -> None:
    once, again = (render("x", [Section(short)], simulated=True, alerts=[]) for _ in range(2))
    assert once == again


def test_a_real_site_is_not_called_simulated(short: Replay) -> None:
    page = render("Lian", [Section(short)], simulated=False, alerts=[])
    assert "Simulated" not in page
    assert "simulated truth" not in page
    assert "No level changed" in page


def test_simulated_is_said_and_text_is_escaped(html: str) -> None:
    assert "Simulated slope:" in html
    assert "The site is simulated: nothing here is a real place." in html
    assert "Lian &lt;hill&gt;" in html
    assert "it moves &lt;fast&gt;" in html


def test_changes_of_level_stand_in_order_and_those_before_are_left_out(html: str) -> None:
    assert html.index("blue → yellow") < html.index("yellow → blue")
    assert "long ago" not in html


def test_levels_fill_the_whole_time(told: Replay) -> None:
    steps = steps_of(alerts(told), "toe", told)
    assert steps == ((FIRST, 799, "blue"), (800, 849, "yellow"), (850, LAST, "blue"))
    assert steps_of(alerts(told), "ridge", told) == ((FIRST, LAST, "orange"),)
    assert steps_of([], "toe", told) == ((FIRST, LAST, "blue"),)
    assert steps_of(None, "toe", told) is None


def test_the_summary_says_how_good_and_how_sure(told: Replay) -> None:
    said = " ".join(words.summary(told, judge(told)))
    assert "smaller than that of saying that the slope stays where it was last seen" in said
    assert "The 90 % interval held" in said
    assert "as promised" in said
    assert "weak test" in said  # two dozen epochs


def test_too_little_to_judge_is_said_and_no_verdict_is_drawn(short: Replay) -> None:
    page = render("x", [Section(short)], simulated=False)
    assert "That is too little to say how good the forecasts were." in page
    assert "Do the intervals hold" not in page
    assert "No rule was evaluated" in page


def test_reasons_are_told_with_their_days(told: Replay) -> None:
    rows = words.speaker_rows(told)
    assert [row.name for row in rows] == ["toe", "ridge"]
    first, last = (told.case.date_of(d).isoformat() for d in (FIRST, LAST))
    assert rows[0].cells[0] == f"{first} to {last}"
    assert "% below" in rows[0].cells[2]
    assert len(words.reason_rows(told)) > len(rows)


def test_a_figure_that_is_not_there_is_a_dash() -> None:
    assert words.number(float("nan")) == "–"
    assert words.number(-1.25) == "−1.2"


def test_a_group_with_few_epochs_is_shown_and_not_judged(told: Replay) -> None:
    rows = words.group_rows(judge(told))
    assert rows
    assert {row.cells[2] for row in rows} == {"fewer than 60: shown, not judged"}


def test_what_was_issued_of_rain_is_told_or_missed(short: Replay) -> None:
    drivers = short.known.drivers
    rain, issued = drivers.rain_mm.copy(), drivers.rain_issued.copy()
    rain[-31:], issued[-31:] = 5.0, True
    known = replace(short.known, drivers=drivers._replace(rain_mm=rain, rain_issued=issued))
    missed = "nothing was issued for the days ahead"
    for one, said in ((short, True), (replace(short, known=known), False)):
        page = render("x", [Section(one)], simulated=False)
        assert (missed in page) is said
