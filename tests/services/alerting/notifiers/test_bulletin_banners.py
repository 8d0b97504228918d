"""What a reader must never be misled by: banners, and names that try to be more than names."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from notifying import message
from saying import LANGUAGES, Reader, every_kind

from core.events import Status
from services.alerting.bulletin import load_language, render
from services.alerting.bulletin.render import MAX_SUBJECT
from services.alerting.bulletin.wrapping import WIDTH, width_of, wrapped


def test_simulated_is_the_first_and_the_last_that_is_read() -> None:
    bulletin = render(message(simulated=True, level="red"))
    assert bulletin.subject.startswith("SIMULATED")
    lines = bulletin.text.strip().splitlines()
    assert lines[0] == lines[-1] == "*** SIMULATED - NOT A REAL WARNING ***"
    assert bulletin.html.index("SIMULATED") < bulletin.html.index("RED alarm")
    assert "SIMULATED" not in render(message(level="red")).html


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(every_kind())),
    status=st.sampled_from(get_args(Status)),
    simulated=st.booleans(),
    language=st.sampled_from(LANGUAGES),
    name=st.text(max_size=80),
)
def test_nothing_that_is_not_meant_is_without_its_banner(
    kind: str, status: Status, simulated: bool, language: str, name: str
) -> None:
    told = replace(
        every_kind()[kind], status=status, simulated=simulated, unit_name=name, note=name
    )
    subject, text, html, _ = render(told, language)
    words = load_language(language)
    exercise = status == "exercise" or kind == "drill"
    shown = {"exercise": exercise, "test": status == "test" and not exercise}
    shown["simulated"] = simulated
    expected = [one for one, is_shown in shown.items() if is_shown]
    lines = text.strip().splitlines()
    page = [word for word in Reader(html).words if word]
    for one, is_shown in shown.items():
        title = words.say(f"banner.{one}.title")
        assert (title in text) == (title in page) == is_shown
    if not expected:
        return
    first, last = (words.say(f"banner.{one}.title") for one in (expected[0], expected[-1]))
    assert subject.lstrip("【").startswith(words.say(f"banner.{expected[0]}.first"))
    assert lines[0] == f"*** {first} ***"
    assert lines[-1] == f"*** {last} ***"
    assert page[-1] == last
    assert html.index(f"<strong>{first}") < html.index("<h1")
    assert words.say(f"do.instead.{expected[0]}") in "".join(page)


def test_a_drill_claims_no_measurement() -> None:
    text = render(every_kind()["drill"]).text
    assert text.startswith("*** EXERCISE - NOT A REAL WARNING ***")
    assert "Nothing was measured for it." in " ".join(text.split())
    for heading in ("WHAT IS MEASURED", "WHAT IS MODELLED", "SINCE WHEN", "CAN THE SLOPE"):
        assert heading not in text


def test_names_cannot_write_html_or_lines() -> None:
    sly = message(unit_name="<b>Toe</b>\r\nALL CLEAR", title="<script>alert(1)</script> & Co")
    bulletin = render(sly)
    assert "<script>" not in bulletin.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Co" in bulletin.html
    assert "<b>" not in bulletin.html
    assert "\nALL CLEAR" not in bulletin.text
    assert "&amp;" not in bulletin.text
    assert "\n" not in bulletin.subject


@pytest.mark.parametrize(
    "field", ["unit_name", "title", "operator", "note", "owner", "reviewed_by"]
)
def test_names_cannot_turn_the_line_round_or_fill_in_words(field: str) -> None:
    sly = replace(every_kind()["amended same"], **{field: "a\u202eb\u2066c\x1b[31m {level} %s"})
    for language in LANGUAGES:
        for form in render(sly, language):
            assert not {"\u202e", "\u2066", "\x1b"} & set(form)
    assert "{level}" in render(sly).text or field == "reviewed_by"


def test_a_long_name_hides_nothing() -> None:
    bulletin = render(message(unit_name="x" * 5000, title="y" * 5000))
    assert len(bulletin.subject) <= MAX_SUBJECT
    assert bulletin.subject.startswith("ORANGE warning (was YELLOW): xxx")
    assert bulletin.subject.endswith("yyy...")
    assert "What to do" in bulletin.html


def test_chinese_lines_break_between_characters_and_never_before_a_stop() -> None:
    text = "斜坡" * 37 + "。" + "滑坡，" * 30 + "（编号 xinpu）" + "word " * 20
    lines = wrapped(text, "- ").splitlines()
    assert max(map(width_of, lines)) <= WIDTH
    assert min(map(width_of, lines[:-1])) > WIDTH - 8
    assert not [line for line in lines if line.strip()[0] in "，。）"]
    assert not [line for line in lines if line[-1] == "（"]
    assert "".join(" ".join(lines).split()) == "".join(f"- {text}".split())
