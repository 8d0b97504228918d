"""A reading as one HTML file that needs nothing beside it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import date, timedelta
from html import escape

import numpy as np

from core.evidence import Floats
from services.understanding.figures import LAGS, SHARES, coherence_file
from services.understanding.lagmap import LONGEST_D
from services.understanding.reading import Reading
from services.understanding.words import (
    LIMITS,
    independence_sentences,
    network_sentence,
    sentences,
)

_CSS = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #1f2933; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.when, .note { color: #5b6773; } .simulated { background: #fff3cd; padding: .4rem .8rem; }
img { max-width: 100%; height: auto; } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { text-align: right; padding: .25rem .7rem; border-bottom: 1px solid #e3e7eb; }
th:first-child, td:first-child { text-align: left; }
"""
LONGEST_TABLE = 200


def page(
    reading: Reading,
    title: str,
    pictures: Mapping[str, bytes],
    *,
    simulated: bool,
    dated: bool = True,
) -> str:
    """The page of a site.

    Args:
        reading: what was read.
        title: of the site.
        pictures: by the names of their files, see `figures.pictures`.
        simulated: whether the data are simulated, which the page then says first.
        dated: whether days count from 1970; those of a pool count from its beginning.
    """
    when = date(1970, 1, 1) + timedelta(days=reading.day)
    known = "as known at the end of " + (f"{when}" if dated else f"day {reading.day}")
    banner = '<p class="simulated">Simulated data: no real slope.</p>' if simulated else ""
    rhythms = "".join(
        _image(
            pictures[coherence_file(one)],
            f"Wavelet coherence of {one.driver} with {reading.names[one.series]}",
        )
        for one in reading.rhythms
    )
    parts = [
        f"<h1>What moves {escape(title)}</h1>",
        f'<p class="when">{escape(known)}</p>{banner}',
        _list([*sentences(reading)]),
        "<h2>Lags</h2>",
        _image(pictures[LAGS], "Lags behind rain and reservoir"),
        "<h2>Shares of the drivers</h2>",
        _image(pictures[SHARES], "Rain's share of the motion"),
        *_network(reading),
        "<h2>Rhythms in common</h2>",
        rhythms,
        f'<p class="note">{escape(_RHYTHM_NOTE)}</p>',
        "<h2>Are they independent?</h2>",
        _list(independence_sentences(reading)),
        f'<p class="note">{escape(_TEST_NOTE)}</p>',
        "<h2>All series</h2>",
        _table(reading),
        "<h2>Limits</h2>",
        _list(list(LIMITS)),
    ]
    head = f"<meta charset=utf-8><title>{escape(title)}: what moves it</title>"
    view = '<meta name=viewport content="width=device-width, initial-scale=1">'
    style = f"<style>{_CSS}</style>"
    return f"<!doctype html><html lang=en>{head}{view}{style}<body>{''.join(parts)}</body></html>\n"


_RHYTHM_NOTE = (
    "Dark: the driver and the rate move together at that time and period. Within the lines they do "
    "so more than 95 % of unrelated series of the same memory. The pale part is within reach of "
    "the record's ends and is not read; its inner edge on the right is all that is known today."
)
_NETWORK_NOTE = (
    "By ablation: rain, level or both of the 120 days before an issue and the 30 after it are "
    "replaced by their means of each day of the year, while what had been seen of the slope stays. "
    "By gradients: integrated on the straight way from these means. Shares of a forecast are those "
    "of the slope only as far as the forecast is right."
)
_TEST_NOTE = (
    "The chi-square test counts every step as a new draw. Slow series repeat themselves, so that "
    "unrelated ones fail it far too often; surrogates with the driver's own slowness say what "
    "chance does."
)


def _network(reading: Reading) -> list[str]:
    """What forecasts answer to, where they were asked."""
    said = network_sentence(reading)
    if not said:
        return []
    note = f'<p class="note">{escape(_NETWORK_NOTE)}</p>'
    head = "<h2>What forecasts answer to</h2>"
    return [head, _list([said]), *([] if isinstance(reading.network, str) else [note])]


def _list(items: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _image(content: bytes, alt: str) -> str:
    data = b64encode(content).decode("ascii")
    return f'<p><img alt="{escape(alt)}" src="data:image/png;base64,{data}"></p>'


def _table(reading: Reading) -> str:
    asked = not isinstance(reading.network, str)
    forecasts = ("of forecasts", "by gradients") if asked else ()
    head = ("series", "from bank (m)", "behind rain (d)", "behind reservoir (d)", "follows its",
            "rain's share", "by itself", *forecasts, "")  # fmt: skip
    count = min(reading.known.series, LONGEST_TABLE)
    rows = "".join(_row(reading, series) for series in range(count))
    cells = "".join(f"<th>{escape(one)}</th>" for one in head)
    left = reading.known.series - count
    more = f'<p class="note">{left} more series are not listed.</p>' if left else ""
    return f'<div class="wide"><table><tr>{cells}</tr>{rows}</table></div>{more}'


def _row(reading: Reading, series: int) -> str:
    reservoir = reading.lags.reservoir()
    reason = reading.lags.reason[series]
    follows = "" if reason else "level" if reading.lags.follows_level[series] else "fall"
    cells = (
        reading.names[series],
        _figure(reading.known.setting.bank_distance_m[series], 0),
        _interval(
            reading.lags.rain.lag_d, reading.lags.rain.low_d, reading.lags.rain.high_d, series
        ),
        _interval(reservoir.lag_d, reservoir.low_d, reservoir.high_d, series),
        follows,
        _figure(reading.rain_share[series], 2),
        _figure(reading.shares.rain[series], 2),
        *_of_forecasts(reading, series),
        reason,
    )
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _of_forecasts(reading: Reading, series: int) -> list[str]:
    found = reading.network
    if isinstance(found, str):
        return []
    return [_figure(part[series], 2) for part in (found.ablation, found.gradients)]


def _interval(lag: Floats, low: Floats, high: Floats, series: int) -> str:
    if not np.isfinite(lag[series]):
        return "–"
    middle = f"≥ {LONGEST_D}" if lag[series] >= LONGEST_D else f"{lag[series]:.0f}"
    return f"{middle} ({low[series]:.0f}–{high[series]:.0f})"


def _figure(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if np.isfinite(value) else "–"
