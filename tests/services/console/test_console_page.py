from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import get_args

import numpy as np
import pytest

from core.events import LEVELS, Coverage
from services.console import words
from services.console.page import render
from services.console.plots import day_of
from services.console.view import ScoreTable, SiteView, Span, TimelineEntry, TrackView, UnitView

FIRST, LAST = date(2020, 7, 1), date(2024, 6, 28)
AS_OF = datetime(2024, 6, 28, 6, tzinfo=UTC)
NONE = np.empty(0)
VOID = {"meta", "input", "br", "hr", "img", "link"}
HOSTILE = "</script><script>alert(1)</script>\"'&{{ 7*7 }}"


def make_track(name: str = "track 44", rate: float = -0.3, seed: int = 0) -> TrackView:
    rng = np.random.default_rng(seed)
    day = np.arange(day_of(FIRST), day_of(LAST) + 1, dtype=float)
    moved = rate * (day - day[0]) + np.cumsum(rng.normal(0, 0.1, day.size))
    at = np.arange(0, day.size, 12)
    odd = np.zeros(at.size)
    odd[-2] = 1
    return TrackView(
        track=name,
        epoch_day=day[at],
        epoch_mm=moved[at] + rng.normal(0, 3, at.size),
        epoch_sd_mm=np.full(at.size, 3.0),
        epoch_out_of_range=odd,
        day=day,
        day_mm=moved,
        day_sd_mm=np.full(day.size, 1.5),
        velocity_mm_d=np.full(day.size, rate) + rng.normal(0, 0.001, day.size),
        velocity_sd_mm_d=np.full(day.size, 0.05),
    )


def make_unit(**changes) -> UnitView:
    unit = UnitView(
        unit="north",
        name="North slope",
        level="orange",
        coverage="watched",
        coverage_reason="",
        next_pass=date(2024, 7, 3),
        tracks=(make_track(),),
        levels=(Span(date(2022, 7, 1), LAST, "blue"),),
        coverages=(Span(FIRST, LAST, "watched"),),
        timeline=(TimelineEntry(AS_OF - timedelta(days=9), "Told.", "yellow"),),
    )
    return replace(unit, **changes)


def make_site(*units: UnitView, **changes) -> SiteView:
    rng = np.random.default_rng(1)
    day = np.arange(day_of(FIRST), day_of(LAST) + 1, dtype=float)
    ring = ((10.0, 46.5), (10.004, 46.5), (10.004, 46.503), (10.0, 46.503))
    site = SiteView(
        site="valley",
        title="Valley",
        simulated=False,
        as_of=AS_OF,
        watched_from=date(2022, 7, 1),
        units=units,
        rain_day=day,
        rain_mm=np.where(rng.random(day.size) < 0.4, rng.gamma(0.7, 12, day.size), 0.0),
        level_day=day,
        level_m=160 + 10 * np.sin(day / 58),
        polygons={"north": ring},
        points=np.column_stack([10 + rng.random((400, 2)) * [0.004, 0] + [0, 36.501]]),
    )
    return replace(site, **changes)


def show(*views: SiteView, **more) -> str:
    return render(views, title="Slopes", **more)


def make_blind() -> SiteView:
    unit = make_unit(
        level="blue",
        coverage="blind",
        coverage_reason="passes seen, no displacement source",
        tracks=(),
        levels=(),
        coverages=(Span(LAST - timedelta(days=90), LAST, "blind"),),
        timeline=(),
    )
    return make_site(
        unit, rain_day=NONE, rain_mm=NONE, level_day=NONE, level_m=NONE, points=np.empty((0, 2))
    )


class Checker(HTMLParser):
    """Every tag is closed in order, ids are unique, links and uses lead somewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: set[str] = set()
        self.scripts = 0
        self.text = ""

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        assert not any(name.startswith("on") for name in given)
        assert "src" not in given
        self.ids += [given["id"]] if "id" in given else []
        self.targets |= {v for k in ("href", "aria-labelledby") if (v := given.get(k))}
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text += data


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert len(set(checker.ids)) == len(checker.ids)
    assert {t.lstrip("#") for t in checker.targets} <= set(checker.ids)
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert drawings
    for drawing in drawings:
        ET.fromstring(drawing)
    assert not re.search(r"NaN|nan[ ,\"]|Infinity|None\b", re.sub(r"<script.*", "", page))
    return checker


def full_site() -> SiteView:
    track = make_track("track 15", 0.1, 2)
    truth = make_track(seed=3)
    unit = make_unit(
        tracks=(make_track(), track),
        truth_day=truth.day,
        truth_mm=truth.day_mm,
        onset=date(2024, 3, 1),
        failure=date(2024, 7, 2),
        lead_days={"yellow": 40, "red": 3},
    )
    return make_site(unit, simulated=True)


def test_the_page_is_well_formed_and_names_what_it_shows():
    score = ScoreTable("Scores", ("Rule", "found"), (("all", "92 %"),), "On held-out sites.")
    story = (TimelineEntry(AS_OF, "Now.", "red"), TimelineEntry(AS_OF - timedelta(9), "Before."))
    page = show(full_site(), make_blind(), intro="One.\n\nTwo.", scores=(score,), story=story)
    text = check(page).text
    for words_shown in (
        "mm along line of sight, + toward satellite",
        "mm/yr",
        "true motion (simulated)",
        "true onset 2024-03-01",
        "true failure 2024-07-02",
        "watch begins 2022-07-01",
        "measured, out of range (not used)",
        "Simulated slope, not a real place",
        "On held-out sites.",
    ):
        assert words_shown in text
    assert text.index("Before.") < text.index("Now.")


def test_the_page_asks_nothing_of_the_network():
    page = show(full_site())
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|@import|url\((?!#)", page)


def test_hostile_text_stays_text():
    unit = make_unit(
        unit=HOSTILE,
        name=HOSTILE,
        coverage="stale",
        coverage_reason=HOSTILE,
        tracks=(make_track(HOSTILE),),
        levels=(Span(FIRST, LAST, "blue", HOSTILE),),
        timeline=(TimelineEntry(AS_OF, HOSTILE, "red"),),
        lead_days={HOSTILE: 3},
    )
    ring = ((10.0, 46.5), (10.004, 46.5), (10.004, 46.503))
    site = make_site(
        unit, site=HOSTILE, title=HOSTILE, parked=HOSTILE, polygons={HOSTILE: ring, "b": ring}
    )
    score = ScoreTable(HOSTILE, (HOSTILE,), ((HOSTILE,),), HOSTILE)
    story = (TimelineEntry(AS_OF, HOSTILE),)
    page = render([site], title=HOSTILE, intro=HOSTILE, scores=(score,), story=story)
    assert check(page).scripts == check(show(make_site(make_unit()))).scripts
    assert "<script>alert" not in page


def test_a_site_blind_from_the_first_day_says_so():
    text = check(show(make_blind())).text
    assert "passes seen, no displacement source" in text
    assert "No alarm is not safety." in text
    assert "1 of 1 not watched now." in text
    assert "nothing was ever measured on this slope" in text
    assert "Velocity" not in text


@pytest.mark.parametrize("coverage", get_args(Coverage))
@pytest.mark.parametrize("level", LEVELS)
def test_every_level_and_coverage_has_word_shape_and_pattern(level, coverage):
    spans = (Span(FIRST, LAST, coverage, "why"),)
    levels = (Span(FIRST, LAST, level),)
    site = make_site(make_unit(level=level, coverage=coverage, coverages=spans, levels=levels))
    page = show(site)
    slug = coverage.replace(" ", "-")
    assert check(page).text.count(level) >= 3
    for mark in (f"#lv-{level}", f"#cv-{slug}", f'class="cover-{slug}"', f'class="level-{level}"'):
        assert mark in page
    assert ("No alarm is not safety." in page) == (coverage != "watched")


def test_odd_sites_are_shown():
    check(render([], title="Nothing"))
    check(show(make_site()))
    empty = TrackView("t", *[NONE] * 9)
    gaps = make_track()
    gaps.day_mm[200:300] = np.nan
    gaps.velocity_mm_d[:] = np.nan
    units = (make_unit(tracks=(empty,)), make_unit(unit="b", tracks=(gaps,), next_pass=None))
    text = check(show(make_site(*units, polygons={}, watched_from=None))).text
    assert "No rate is known yet." in text
    assert "not known" in text


def test_missing_days_break_the_filter_line():
    track = make_track()
    track.day_mm[200:300] = np.nan
    page = show(make_site(make_unit(tracks=(track,))))
    line = re.search(r'<path class="line t0" d="(M[^"]{500,})"', page)
    assert line
    assert line[1].count("M") == 2


def test_the_most_urgent_slope_stands_first():
    units = (
        make_unit(unit="a", name="calm", level="blue"),
        make_unit(unit="b", name="unseen", level="blue", coverage="blind"),
        make_unit(unit="c", name="slow", level="red", tracks=(make_track(rate=-0.1),)),
        make_unit(unit="d", name="fast", level="red"),
    )
    page = show(make_site(*units))
    table = page[page.index('class="lights"') : page.index("</table>")]
    assert re.findall(r'<a href="[^"]*">(\w+)</a>', table) == ["fast", "slow", "unseen", "calm"]


def test_status_is_a_plain_sentence():
    sentence = words.status(make_unit(), AS_OF)
    assert re.fullmatch(
        r"Moving 0\.30\W±\W0\.08 mm/d away from the satellite, 1\d\d mm/yr\.", sentence
    )
    still = make_unit(tracks=(make_track(rate=0.01),))
    assert words.status(still, AS_OF).startswith("No motion told apart from zero")
    stale = words.status(make_unit(coverage="stale"), AS_OF)
    assert "last measured on 2024-06-" in stale
    assert "The level is kept." in stale
    assert "may be faster" in words.status(make_unit(coverage="out of range"), AS_OF)
    assert "never measured" in words.status(make_blind().units[0], AS_OF)


def test_later_days_are_not_used():
    early = datetime(2021, 1, 10, tzinfo=UTC)
    rate = words.newest_rate(make_unit(), early)
    assert rate is not None
    assert rate.day == early.date()
    last = words.last_epoch(make_unit(), early)
    assert last is not None
    assert last <= early.date()


def test_three_sites_of_four_years_stay_small_and_the_same():
    sites = [full_site() for _ in range(3)]
    page = show(*sites)
    assert len(page.encode()) < 1_500_000
    assert page == show(*[full_site() for _ in range(3)])
