"""The page that people look at first: one self-contained HTML file, readable without scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2
import numpy as np

from core.events import LEVELS
from services.console import panels, strips, words
from services.console.plots import day_of, line_path, scale_of
from services.console.sitemap import SiteMap, site_map
from services.console.view import ForecastView, ScoreTable, SiteView, TimelineEntry, UnitView

SPARK_DAYS = 365
SPARK_WIDTH, SPARK_HEIGHT = 120.0, 26.0


@dataclass(frozen=True)
class Card:
    """One slope unit, ready for the template."""

    id: str
    site: SiteView
    unit: UnitView
    name: str
    status: str
    rate: words.Rate | None
    last_epoch: str
    last_age: str
    next_age: str
    spark: str
    map: SiteMap | None
    window: panels.Window
    panels: tuple[panels.Panel, ...]
    level_blocks: tuple[strips.Block, ...]
    coverage_blocks: tuple[strips.Block, ...]
    marks: tuple[strips.Mark, ...]
    notices: tuple[strips.Notice, ...]
    zooms: tuple[strips.Zoom, ...]
    readings: dict[str, Any]
    epochs: tuple[tuple[str, list[tuple[str, str, str, str]]], ...]
    forecasts: tuple[tuple[str, ForecastView, list[tuple[str, str, str]]], ...]


def render(
    views: Sequence[SiteView],
    *,
    title: str,
    intro: str = "",
    scores: Sequence[ScoreTable] = (),
    story: Sequence[TimelineEntry] = (),
) -> str:
    """One HTML page of all sites: overview, a card a slope unit, timeline, score tables.

    The page asks nothing of the network and is the same for the same input. Text is escaped;
    `intro` is split into paragraphs at blank lines.
    """
    sites = [(view, _cards(view, place)) for place, view in enumerate(views)]
    cards = [card for _, of_site in sites for card in of_site]
    overview = sorted(cards, key=lambda c: words.urgency(c.site, c.unit))
    html = (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            intro=[p.strip() for p in intro.split("\n\n") if p.strip()],
            sites=sites,
            overview=overview,
            headline=_headline(cards),
            unwatched=sum(c.unit.coverage != "watched" or bool(c.site.parked) for c in cards),
            as_of=max((v.as_of for v in views), default=None),
            any_simulated=any(v.simulated for v in views),
            scores=scores,
            story=sorted(story, key=lambda entry: words.moment(entry.at)),
        )
    )
    return html


@cache
def _environment() -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("services.console"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["slug"] = strips.slug
    env.filters["moment"] = words.moment
    env.globals.update(levels=LEVELS, meanings=words.MEANINGS, coverages=words.COVERAGES[::-1])
    return env


def _headline(cards: Sequence[Card]) -> list[tuple[str, int]]:
    """How many slopes are at each level, the highest first; levels with none left out."""
    counts = Counter(card.unit.level for card in cards)
    return [(level, counts[level]) for level in reversed(LEVELS) if counts[level]]


def _cards(site: SiteView, place: int) -> list[Card]:
    window = panels.window_of(site)
    plan = site_map(site)
    zooms = strips.zooms_of(window)
    rain = panels.forcing(site, window)
    cards = []
    for index, unit in enumerate(site.units):
        last = words.last_epoch(unit, site.as_of)
        moving = (panels.displacement(unit, window), panels.velocity(unit, window))
        shown = (moving if unit.tracks else ()) + ((rain,) if rain else ())
        cards.append(
            Card(
                id=f"s{place}u{index}",
                site=site,
                unit=unit,
                name=unit.name or unit.unit,
                status=words.status(unit, site.as_of),
                rate=words.newest_rate(unit, site.as_of),
                last_epoch=last.isoformat() if last else "",
                last_age=words.age(last, site.as_of),
                next_age=words.expected(unit.next_pass, site.as_of),
                spark=_spark(site, unit),
                map=plan,
                window=window,
                panels=shown,
                level_blocks=strips.level_blocks(unit.levels, window),
                coverage_blocks=strips.coverage_blocks(unit.coverages, window),
                marks=strips.marks_of(site, unit, window),
                notices=strips.notices_of(unit, window),
                zooms=zooms,
                readings=strips.readings(site, unit, window),
                epochs=tuple((t.track, panels.table_of(t)) for t in unit.tracks),
                forecasts=tuple(
                    (t.track, t.forecast, panels.forecast_rows(t))
                    for t in unit.tracks
                    if t.forecast is not None
                ),
            )
        )
    return cards


def _spark(site: SiteView, unit: UnitView) -> str:
    """Displacement of the last year, of the track that moves fastest now, at table size."""
    rate = words.newest_rate(unit, site.as_of)
    track = next((t for t in unit.tracks if rate and t.track == rate.track), None)
    if track is None:
        return ""
    x = track.day - day_of(site.as_of.date()) + SPARK_DAYS
    shown = (x >= 0) & (x <= SPARK_DAYS)
    scale = scale_of(SPARK_HEIGHT, track.day_mm[shown], least=10.0)
    x = np.round(x[shown] * SPARK_WIDTH / SPARK_DAYS, 1)
    return line_path(x, scale(track.day_mm[shown]), 240)
