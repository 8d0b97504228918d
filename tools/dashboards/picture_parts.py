"""What both pictures of dashboards are made of: their answers, their page, their colours."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.figure import Figure

from tools.dashboards import looks
from tools.dashboards.asked import Answer, Reader
from tools.dashboards.drawing import GROUND, INK, SOFT, blank
from tools.dashboards.filled import Pace, queries
from tools.dashboards.season import Season
from tools.dashboards.written import FOLDER

WIDTH, EDGE, DPI = 1280, 18, 100
NOTE = (
    "Drawn from the dashboard's own queries with matplotlib, not a Grafana screenshot. "
    "Simulated data: no real place."
)
LEVELS, COVERAGE = list(looks.LEVELS.items()), list(looks.COVERAGE.items())


class Shown:
    """A dashboard and its answers by the title of their panel."""

    def __init__(self, name: str, now: Season, projection: Any, **chosen: list[str]) -> None:
        board = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        pace = Pace(scrape_s=1.0, points=500)
        self.title: str = board["title"]
        self.reader = Reader(board, now.prometheus, projection, pace=pace, chosen=chosen)
        self.answers: dict[tuple[str, str], Answer] = {
            (query.owner, query.ref): self.reader.answer(query) for query in queries(board)
        }

    def of(self, begins: str, ref: str = "A") -> Answer:
        """The answer of the panel (or annotations) whose title begins so."""
        for (owner, letter), answer in self.answers.items():
            if owner.startswith(begins) and letter == ref:
                return answer
        raise KeyError(begins)

    def figure(self, begins: str) -> float | None:
        """The one value of a panel with a big figure."""
        answer = self.of(begins)
        if not answer.rows:
            return None
        return float(
            answer.rows[0][answer.columns.index("value") if "value" in answer.columns else 0]
        )

    def by(self, begins: str, label: str, ref: str = "A") -> dict[str, float]:
        """Values of PromQL by one of their labels."""
        return {row[0][label]: row[2] for row in self.of(begins, ref).rows}


def within(value: float | None, steps: Any, first: str = looks.FINE) -> str:
    """The colour that limits give a value."""
    colour = first
    for limit, above in steps:
        if value is not None and value >= limit:
            colour = above
    return colour if value is not None else looks.PLAIN


def page(shown: Shown, height: int) -> Figure:
    """An empty picture with its head, which says what it is."""
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor=GROUND)
    axes = blank(figure, EDGE, 10, WIDTH - 2 * EDGE, 56)
    axes.text(0, 18, shown.title, fontsize=14, color=INK, va="center", weight="bold")
    chosen = shown.reader.values
    names = f"{', '.join(chosen['site'])}" + (f" / {chosen['unit'][0]}" if "unit" in chosen else "")
    stamp = f"{names}   ·   {shown.reader.now:%Y-%m-%d %H:%M} UTC"
    axes.text(WIDTH - 2 * EDGE, 18, stamp, fontsize=8.6, color=SOFT, va="center", ha="right")
    axes.text(0, 43, NOTE, fontsize=8.2, color=SOFT, va="center", style="italic")
    return figure


def word(names: Sequence[tuple[str, str]]) -> Callable[[Any], str]:
    """The word that a number stands for."""
    return lambda number: names[int(number)][0]


def colour(names: Sequence[tuple[str, str]]) -> Callable[[Any], str]:
    """The colour of the word that a number stands for."""
    return lambda number: names[int(number)][1]


def worth_seeing(colour: str) -> str | None:
    """Cells that are fine or unknown are left plain."""
    return None if colour in {looks.FINE, looks.PLAIN} else colour
