"""Small plotting core: scales, ticks and SVG path data. x is in days, y in pixels downward.

Plots stretch in x only, so x keeps its own unit (days since the left edge) and every path is
drawn with a stroke that does not scale. Paths are relative and rounded: a four-year daily line is
about 8 kB. Where a value is NaN the line breaks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from core.evidence import Floats

MAX_VERTICES = 2000
"""Most vertices of one path; longer series keep the extremes of each bucket."""

Z90 = 1.645
"""Standard deviations to either side that hold 90 % of a normal distribution."""

_EPOCH = date(1970, 1, 1)
_DOT = "h.01"  # PDF writers drop strokes of no length at all
_LEADING_ZERO = re.compile(r"(?<![\d.])0\.")


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis: `at` in the axis' own unit."""

    at: float
    label: str
    strong: bool = False


@dataclass(frozen=True)
class Scale:
    """Values from `low` (bottom) to `high` (top) on `height` pixels."""

    low: float
    high: float
    height: float

    def __call__(self, values: Floats | float) -> Floats:
        """Pixels from the top; far outside is held just outside so that paths stay short."""
        y = self.height * (self.high - np.asarray(values, float)) / (self.high - self.low)
        return np.clip(y, -3 * self.height, 4 * self.height)

    def ticks(self, count: int = 4, factor: float = 1.0) -> tuple[Tick, ...]:
        """Round values of the axis times `factor`, placed in pixels."""
        steps = round_steps(self.low * factor, self.high * factor, count)
        return tuple(
            Tick(float(self(v / factor)), number(v, steps.decimals), v == 0) for v in steps.at
        )


@dataclass(frozen=True)
class Steps:
    """Round values within a range, and the decimals that tell them apart."""

    at: tuple[float, ...]
    decimals: int


def day_of(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - _EPOCH).days


def date_of(day: float) -> date:
    """The date that many days after 1970-01-01."""
    return _EPOCH + timedelta(days=int(np.floor(day)))


def number(value: float, decimals: int, signed: bool = False) -> str:
    """`value` with a true minus sign; a plus sign where `signed`."""
    text = f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"
    if not any(c in "123456789" for c in text):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def scale_of(height: float, *values: Floats, least: float = 1.0, pad: float = 0.08) -> Scale:
    """Scale that holds all finite `values`, spans at least `least`, with `pad` of air."""
    stacked = np.concatenate([np.ravel(v) for v in values]) if values else np.empty(0)
    finite = stacked[np.isfinite(stacked)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    short = max(0.0, least - (high - low)) / 2
    low, high = low - short, high + short
    air = pad * (high - low)
    return Scale(low - air, high + air, height)


def round_steps(low: float, high: float, count: int) -> Steps:
    """About `count` values 1, 2 or 5 times a power of ten apart, within [low, high]."""
    rough = max(high - low, 1e-9) / max(count, 1)
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(power * min((1, 2, 5, 10), key=lambda m: abs(np.log(m * power / rough))))
    at = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step
    decimals = max(0, int(-np.floor(np.log10(step) + 1e-9)))
    return Steps(tuple(float(v) + 0.0 for v in np.round(at, decimals)), decimals)


def time_ticks(first: date, last: date) -> tuple[Tick, ...]:
    """About 4 to 8 dates in [first, last]: years, months or days as the span asks.

    `at` in days since `first`. The year stands on each January and on the first label.
    """
    span = max((last - first).days, 1)
    dates = list(_round_dates(first, last, span))
    years_only = all((d.month, d.day) == (1, 1) for d in dates) and span > 500
    ticks = []
    for place, d in enumerate(dates):
        new_year = d.month == 1 and d.day == 1
        text = f"{d:%b}" if span > 130 else f"{d.day} {d:%b}"
        if years_only or (new_year and span > 130):
            text = f"{d.year}"
        elif place == 0:
            text = f"{text} {d.year}"
        ticks.append(Tick((d - first).days, text, new_year))
    return tuple(ticks)


def _round_dates(first: date, last: date, span: int) -> Iterator[date]:
    if span <= 70:
        step = next(s for s in (1, 2, 7, 14) if span / s <= 8 or s == 14)
        day = first + timedelta(days=-(first.toordinal() - 1) % step)
        while day <= last:
            yield day
            day += timedelta(days=step)
        return
    months = next((m for m in (1, 2, 3, 6, 12, 24, 60, 120) if span / (30.4 * m) <= 7), 240)
    for index in range(first.year * 12 // months * months, last.year * 12 + 12, months):
        for day_of_month in (1, 15) if span <= 110 else (1,):
            day = date(index // 12, index % 12 + 1, day_of_month)
            if first <= day <= last:
                yield day


def line_path(x: Floats, y: Floats, limit: int = MAX_VERTICES) -> str:
    """Path through (x, y), broken where either is NaN; a lone point becomes a dot."""
    runs = list(_runs(x, y))
    total = sum(len(run) for run in runs)
    parts = []
    for run in runs:
        share = max(4, limit * len(run) // max(total, 1))
        keep = run[_extremes(y[run], share)]
        parts.append(_segment(x[keep], y[keep]))
    return "".join(parts)


def band_path(x: Floats, upper: Floats, lower: Floats, limit: int = MAX_VERTICES) -> str:
    """Closed paths between `upper` and `lower`, broken at NaN; evenly sampled where too long."""
    parts = []
    stride = max(1, -(-2 * len(x) // limit))
    for run in _runs(x, upper + lower):
        keep = np.union1d(run[::stride], run[-1:])
        outline = np.concatenate([keep, keep[::-1]])
        edges = np.concatenate([upper[keep], lower[keep][::-1]])
        parts.append(_segment(x[outline], edges) + "z")
    return "".join(parts)


def dots_path(x: Floats, y: Floats, limit: int = MAX_VERTICES) -> str:
    """Points of hardly any length: a round cap makes each a disc, a square cap a square."""
    keep = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    keep = keep[:: max(1, -(-len(keep) // limit))]
    pairs = zip(_texts(x[keep], 2), _texts(y[keep], 1), strict=True)
    return _compact("".join(f"M{a} {b}{_DOT}" for a, b in pairs))


def stems_path(x: Floats, top: Floats, foot: Floats, limit: int = MAX_VERTICES) -> str:
    """Vertical strokes from `foot` to `top`; where too many, the longest are kept."""
    keep = np.flatnonzero(np.isfinite(x) & np.isfinite(top + foot))
    if len(keep) > limit // 2:
        length = np.abs(top - foot)[keep]
        keep = np.sort(keep[np.argsort(-length, kind="stable")[: limit // 2]])
    columns = (_texts(x[keep], 2), _texts(foot[keep], 1), _texts(top[keep], 1))
    return _compact("".join(f"M{a} {b}V{c}" for a, b, c in zip(*columns, strict=True)))


def _runs(x: Floats, y: Floats) -> Iterator[np.ndarray]:
    good = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if good.size:
        yield from np.split(good, np.flatnonzero(np.diff(good) > 1) + 1)


def _extremes(y: Floats, limit: int) -> np.ndarray:
    """Indices of first, last, and the least and greatest of each bucket."""
    size = len(y)
    if size <= limit:
        return np.arange(size)
    bucket = -(-2 * size // max(limit - 2, 2))
    rows = np.pad(y, (0, -size % bucket), mode="edge").reshape(-1, bucket)
    start = np.arange(len(rows)) * bucket
    picked = np.concatenate([[0, size - 1], start + rows.argmin(1), start + rows.argmax(1)])
    return np.unique(np.minimum(picked, size - 1))


def _segment(x: Floats, y: Floats) -> str:
    """Relative polyline; steps are taken between rounded places, so errors do not add up."""
    x, y = np.round(x, 2), np.round(y, 1)
    start = f"M{_texts(x[:1], 2)[0]} {_texts(y[:1], 1)[0]}"
    if len(x) == 1:
        return start + _DOT
    steps = zip(_texts(np.diff(x), 2), _texts(np.diff(y), 1), strict=True)
    return _compact(start + "l" + " ".join(f"{a} {b}" for a, b in steps))


def _texts(values: Floats, decimals: int) -> list[str]:
    rounded = np.round(np.asarray(values, float), decimals) + 0.0
    return [str(t) for t in np.char.mod("%.8g", rounded)]


def _compact(path: str) -> str:
    return _LEADING_ZERO.sub(".", path).replace(" -", "-")
