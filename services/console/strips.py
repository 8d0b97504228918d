"""What lies along the time axis beside the panels: level, coverage, marks, ticks and zooms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from core.events import LEVELS, Level
from core.evidence import Floats
from services.console.panels import Window
from services.console.plots import Tick, day_of, time_ticks
from services.console.view import SiteView, Span, UnitView
from services.console.words import moment

LEVEL_ROW = 11.0
FLAG_WIDTH = 28
"""Percent of the width that a flag's words take on a narrow screen."""


@dataclass(frozen=True)
class Block:
    """A stretch of a strip: place in percent, rows in pixels, and what a pointer reads."""

    x: float
    width: float
    y: float
    height: float
    css: str
    title: str


@dataclass(frozen=True)
class Mark:
    """A vertical line through all panels, with its flag in `row` above them."""

    x: float
    css: str
    text: str
    day: date
    row: int
    flip: bool


@dataclass(frozen=True)
class Notice:
    """A notification on the level strip."""

    x: float
    level: Level
    title: str


@dataclass(frozen=True)
class Zoom:
    """One choice of the shown stretch, ending at the right edge: `factor` times enlarged."""

    key: str
    label: str
    factor: float
    ticks: tuple[Tick, ...]


def level_blocks(spans: Sequence[Span], window: Window) -> tuple[Block, ...]:
    """Alert levels as steps: the higher the level, the higher the step."""
    blocks = []
    for x, width, span in _visible(spans, window):
        rank = LEVELS.index(span.value) if span.value in LEVELS else 0
        height = LEVEL_ROW * (rank + 1)
        y = LEVEL_ROW * len(LEVELS) - height
        blocks.append(Block(x, width, y, height, f"level-{span.value}", _said(span)))
    return tuple(blocks)


def coverage_blocks(spans: Sequence[Span], window: Window) -> tuple[Block, ...]:
    """Coverage as patterns: plain when watched, hatched when blind."""
    return tuple(
        Block(x, width, 0.0, 14.0, f"cover-{slug(span.value)}", _said(span))
        for x, width, span in _visible(spans, window)
    )


def marks_of(site: SiteView, unit: UnitView, window: Window) -> tuple[Mark, ...]:
    """Start of the watch, true onset and failure; flags that would touch take the next row."""
    known = [
        (site.watched_from, "watched-from", "watch begins"),
        (unit.onset, "onset", "true onset"),
        (unit.failure, "failure", "true failure"),
    ]
    marks: list[Mark] = []
    ends: list[float] = []
    for day, css, text in sorted((k for k in known if k[0]), key=lambda k: str(k[0])):
        if day is None or not window.first <= day <= window.last:
            continue
        x = window.percent(day)
        flip = x > 100 - FLAG_WIDTH
        start = x - FLAG_WIDTH if flip else x
        row = next((r for r, end in enumerate(ends) if end <= start), len(ends))
        ends[row : row + 1] = [start + FLAG_WIDTH]
        marks.append(Mark(x, css, text, day, row, flip))
    return tuple(marks)


def notices_of(unit: UnitView, window: Window) -> tuple[Notice, ...]:
    """Entries of the unit's timeline that carry a level, as marks in time."""
    return tuple(
        Notice(
            window.percent(entry.at.date(), (entry.at.hour + entry.at.minute / 60) / 24),
            entry.level,
            f"{moment(entry.at)}: {entry.text}",
        )
        for entry in unit.timeline
        if entry.level is not None and window.first <= entry.at.date() <= window.last
    )


def zooms_of(window: Window) -> tuple[Zoom, ...]:
    """The whole record, and the last year and 90 days where they are much shorter."""
    zooms = [Zoom("all", "all", 1.0, time_ticks(window.first, window.last))]
    for key, label, days, least in (("year", "1 year", 366, 500), ("days", "90 days", 92, 180)):
        if window.days < least:
            continue
        first = window.last - timedelta(days=days - 1)
        offset = window.days - days
        ticks = tuple(
            Tick(t.at + offset, t.label, t.strong) for t in time_ticks(first, window.last)
        )
        zooms.append(Zoom(key, label, round(window.days / days, 4), ticks))
    return tuple(zooms)


def readings(site: SiteView, unit: UnitView, window: Window) -> dict[str, Any]:
    """What the pointer reads: one value a day from the left edge, in tenths, hundredths."""
    tracks = [
        {
            "name": t.track,
            "mm": _daily(window, t.day, t.day_mm, 10),
            "mm_sd": _daily(window, t.day, t.day_sd_mm, 10),
            "v": _daily(window, t.day, t.velocity_mm_d, 100),
            "v_sd": _daily(window, t.day, t.velocity_sd_mm_d, 100),
        }
        for t in unit.tracks
    ]
    return {
        "first": day_of(window.first),
        "days": window.days,
        "tracks": tracks,
        "rain": _daily(window, site.rain_day, site.rain_mm, 10),
        "level": _daily(window, site.level_day, site.level_m, 10),
        "said": [_said_rows(unit.levels, window), _said_rows(unit.coverages, window)],
    }


def slug(text: str) -> str:
    """`text` as a CSS class."""
    return "".join(c if c.isalnum() else "-" for c in text.lower())


def _daily(window: Window, days: Floats, values: Floats, factor: int) -> list[int | None]:
    index = np.floor(window.x(days))
    good = np.isfinite(index) & np.isfinite(values) & (index >= 0) & (index < window.days)
    if not good.any():
        return []
    full: list[int | None] = [None] * window.days
    scaled = np.round(values[good] * factor).astype(np.int64)
    for day, value in zip(index[good].astype(int).tolist(), scaled.tolist(), strict=True):
        full[day] = value
    return full


def _said_rows(spans: Sequence[Span], window: Window) -> list[tuple[int, int, str]]:
    return [
        ((s.first - window.first).days, (s.last - window.first).days, s.value)
        for s in spans
        if s.last >= window.first
    ]


def _visible(spans: Sequence[Span], window: Window) -> list[tuple[float, float, Span]]:
    """Each span's place and width in percent, cut to the window."""
    placed = []
    for span in spans:
        first, last = max(span.first, window.first), min(span.last, window.last)
        if first <= last:
            x = window.percent(first)
            placed.append((x, round(window.percent(last, 1) - x, 4), span))
    return placed


def _said(span: Span) -> str:
    days = _dates(span.first, span.last)
    return f"{span.value}, {days}" + (f": {span.reason}" if span.reason else "")


def _dates(first: date, last: date) -> str:
    return first.isoformat() if first == last else f"{first.isoformat()} to {last.isoformat()}"
