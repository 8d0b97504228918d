"""Drawing on a matplotlib figure what Grafana would show: tiles, tables, state timelines, bands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

INK, SOFT, RULE, PAPER, GROUND = "#1b2a30", "#5c6a70", "#dfe3e0", "#ffffff", "#f4f5f2"
LIGHT_TEXT, DARK_TEXT = "#ffffff", "#16211f"

Place = tuple[float, float, float, float]
"""Left, top, width and height of a panel, pixels from the top left corner."""

Paint = Callable[[Any], str | None]
Write = Callable[[Any], str]


@dataclass(frozen=True)
class Column:
    """One column of a table: `share` of the width; how a value is written, and its cell filled."""

    title: str
    share: float
    write: Write = str
    paint: Paint = field(default=lambda _: None)


def seconds(value: float | None) -> str:
    """A duration as Grafana's unit `s` writes it."""
    if value is None:
        return "–"
    for size, name in ((86400, "days"), (3600, "hours"), (60, "min")):
        if abs(value) >= size:
            return f"{value / size:.1f} {name}".replace("-", "−")
    return f"{value:.0f} s".replace("-", "−")


def day(value: datetime | None) -> str:
    """A moment as its UTC day."""
    return f"{value:%Y-%m-%d}" if value else "–"


def text_on(colour: str | None) -> str:
    """Black or white, whichever reads better."""
    if colour is None or colour == "transparent":
        return INK
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
    return LIGHT_TEXT if dark else DARK_TEXT


def blank(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """An empty place in pixels from the top left corner, a pixel a unit, y downward."""
    axes = placed(figure, left, top, width, height)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    return axes


def placed(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at pixels from the top left corner."""
    wide, high = figure.get_size_inches() * figure.dpi
    return figure.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high))


def panel(figure: Figure, title: str, at: Place) -> None:
    """The paper that a panel lies on, with its title."""
    left, top, width, height = at
    axes = blank(figure, left, top, width, height)
    box = FancyBboxPatch(
        (1, 1),
        width - 2,
        height - 2,
        boxstyle="round,pad=0,rounding_size=5",
        facecolor=PAPER,
        edgecolor=RULE,
        linewidth=0.8,
    )
    axes.add_patch(box)
    axes.text(12, 19, title, fontsize=8.6, color=INK, va="center", weight="bold")


def tiles(
    figure: Figure,
    title: str,
    at: Place,
    shown: Sequence[tuple[str, str, str]],
) -> None:
    """Figures side by side in a panel, each with a name on its colour."""
    panel(figure, title, at)
    left, top, width, height = at
    axes = blank(figure, left + 8, top + 34, width - 16, height - 42)
    each = (width - 16) / len(shown)
    for place, (name, value, colour) in enumerate(shown):
        box = Rectangle((place * each + 1.5, 0), each - 3, height - 42, facecolor=colour)
        axes.add_patch(box)
        middle, ink = (place + 0.5) * each, text_on(colour)
        tall = (height - 42) * (0.4 if name else 0.5)
        size = 17 if len(value) < 5 else 12.5 if len(value) < 13 else 9.5
        axes.text(middle, tall, value, fontsize=size, color=ink, ha="center", va="center")
        axes.text(
            middle, (height - 42) * 0.8, name, fontsize=7.4, color=ink, ha="center", va="center"
        )


def table(
    figure: Figure,
    title: str,
    at: Place,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Any]],
) -> None:
    """A panel with as many rows as have room."""
    panel(figure, title, at)
    left, top, width, height = at
    axes = blank(figure, left + 8, top + 34, width - 16, height - 40)
    total, high = sum(column.share for column in columns), 23.0
    x = 0.0
    for number, column in enumerate(columns):
        wide = (width - 16) * column.share / total
        axes.text(x + 5, 10, column.title, fontsize=7.4, color=SOFT, va="center", weight="bold")
        for place, row in enumerate(rows[: int((height - 62) // high)]):
            value, y = row[number], 22 + place * high
            axes.plot((0, width - 16), (y, y), color=RULE, linewidth=0.6)
            colour = column.paint(value)
            if colour and colour != "transparent":
                axes.add_patch(Rectangle((x + 1, y + 1.5), wide - 3, high - 3, facecolor=colour))
            words = clipped(column.write(value), wide)
            axes.text(x + 5, y + high / 2, words, fontsize=7.6, color=text_on(colour), va="center")
        x += wide


def clipped(words: str, pixels: float) -> str:
    """As much of a text as has room."""
    room = int((pixels - 8) / 5.9)
    return words if len(words) <= room else words[: max(room - 1, 1)].rstrip() + "…"


def over_time(figure: Figure, at: Place, since: Any, until: Any) -> Axes:
    """Axes in a panel's paper with days along the foot."""
    left, top, width, height = at
    axes = placed(figure, left + 58, top + 34, width - 58 - 62, height - 62)
    axes.set_xlim(since, until)
    axes.grid(True, color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(labelsize=7.4, colors=SOFT, length=0)
    axes.xaxis.set_major_locator(mdates.MonthLocator())
    labels = mdates.ConciseDateFormatter(axes.xaxis.get_major_locator(), tz="UTC")
    labels.formats = ["%Y", "%b", "%d", "%H:%M", "%H:%M", "%S"]
    labels.offset_formats = [""] * 6
    axes.xaxis.set_major_formatter(labels)
    return axes


def stretches(
    axes: Axes,
    times: Sequence[Any],
    states: Sequence[int],
    until: Any,
    y: float,
    names: Mapping[str, str],
) -> None:
    """A bar of a state timeline: what held from each time on, in its colour with its name."""
    words = list(names.items())
    merged: list[tuple[Any, int]] = []
    for time, state in zip(times, states, strict=True):
        if state is not None and (not merged or merged[-1][1] != state):
            merged.append((time, int(state)))
    for (begin, state), (end, _) in zip(merged, [*merged[1:], (until, 0)], strict=True):
        name, colour = words[state]
        span = mdates.date2num(end) - mdates.date2num(begin)
        axes.barh(y, span, left=mdates.date2num(begin), height=0.72, color=colour)
        low, high = axes.get_xlim()
        if span > 0.055 * (high - low):
            middle = mdates.date2num(begin) + span / 2
            axes.text(
                middle, y, name, fontsize=7.4, color=text_on(colour), ha="center", va="center"
            )


def numbers(values: Sequence[Any]) -> np.ndarray:
    """A column as numbers, NaN where there is none."""
    return np.array([math.nan if value is None else float(value) for value in values])
