"""The demo, short: the failing slope alone, in its last months."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from services.demo.cast import STORY, Story, cast_of
from services.demo.story import run_demo

SHORT = Story(
    slopes=STORY.slopes[:1],
    first_day=STORY.first_day,
    years=STORY.years,
    watched_from=date(2024, 6, 10),
    failing=8,
    quiet=8,
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A demo that has run, and what it printed."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    said: list[str] = []
    run_demo(folder, fresh=False, echo=said.append, story=SHORT)
    return folder, said


def test_the_alert_rises_before_the_known_failure_day(played: tuple[Path, list[str]]) -> None:
    _, said = played
    fate = next(line for line in said if line.startswith("failing"))
    assert "fails on 2024-09-03: yellow " in fate
    assert "orange " in fate
    assert "red " in fate


def test_mail_and_signed_webhook_arrive(played: tuple[Path, list[str]]) -> None:
    folder, said = played
    mails, posts = list((folder / "mail").glob("*.eml")), list((folder / "webhook").glob("*.json"))
    assert len(mails) == len(posts) >= 3
    assert all("SIMULATED" in mail.read_text() for mail in mails)
    levels = {json.loads(post.read_bytes())["message"]["level"] for post in posts}
    assert levels >= {"yellow", "orange", "red"}
    assert any("0 refused" in line for line in said)


def test_the_page_stands_alone_and_says_simulated(played: tuple[Path, list[str]]) -> None:
    text = (played[0] / "page.html").read_text()
    assert "simulated" in text.lower()
    assert "true failure" in text
    assert "src=" not in text
    assert "http://" not in text.replace("http://www.w3.org", "")


def test_a_second_demo_repeats_no_notification(played: tuple[Path, list[str]]) -> None:
    folder, _ = played
    before = sorted(p.name for p in [*(folder / "mail").iterdir(), *(folder / "webhook").iterdir()])
    again: list[str] = []
    run_demo(folder, fresh=False, echo=again.append, story=SHORT)
    after = sorted(p.name for p in [*(folder / "mail").iterdir(), *(folder / "webhook").iterdir()])
    assert after == before


def test_the_cast_is_the_same_every_time() -> None:
    one, two = cast_of(STORY), cast_of(STORY)
    assert (one.truth.displacement_mm == two.truth.displacement_mm).all()
    kinds = [slope.kind for slope in STORY.slopes]
    assert list(one.truth.kind) == kinds
