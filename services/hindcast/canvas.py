"""How the plots of a hindcast are drawn: matplotlib without any display, as SVG in one string.

Text stays text, ids are fixed by a salt and no date is written: the same replay gives the same
bytes. matplotlib is loaded when the first plot is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from core.evidence import Floats
from services.hindcast.judge import Estimate
from services.hindcast.replay import Replay
from services.inference.known import Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, GRID = "#1b2a30", "#5c6a70", "#dfe3e0"
FORECAST, PALE, MISS = "#0b6e6e", "#7fb3b3", "#b0175c"
RAIN, RESERVOIR = "#5b9bd0", "#27408b"
SPEAKERS: Final = ("#c2a25a", "#7a4a9c", "#0b6e6e", "#44546a", "#8a5a1f", "#9aa4a8")

_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "slopewatch hindcast",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "axes.facecolor": "white",
}


@contextmanager
def drawn(width: float, height: float) -> Iterator[tuple[Figure, Callable[[], str]]]:
    """A figure of this size in inches, and what gives its SVG when all is drawn."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height))

        def close() -> str:
            out = io.StringIO()
            figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
            text = out.getvalue()
            return text[text.index("<svg") :]

        yield figure, close


def speaker_colours(replay: Replay) -> dict[str, str]:
    """A colour for each model of the replay."""
    return {n: SPEAKERS[i % len(SPEAKERS)] for i, n in enumerate(replay.case.models)}


def bars(axes: Axes, x: Ints | Floats, found: Sequence[Estimate], colour: str, label: str) -> None:
    """Estimates as dots with their intervals as strokes."""
    for at, estimate in zip(x, found, strict=True):
        axes.plot([at, at], [estimate.low, estimate.high], color=colour, lw=1.4)
    axes.plot(x, [e.value for e in found], "o", color=colour, ms=5, label=label)
