"""The aligned panels of one slope unit: what is drawn, as plain values for the template."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from core.evidence import Floats
from core.kinematics import DAYS_PER_YEAR
from services.console.plots import (
    Z90,
    Scale,
    Tick,
    band_path,
    date_of,
    day_of,
    dots_path,
    line_path,
    number,
    scale_of,
    stems_path,
)
from services.console.view import SiteView, TrackView, UnitView

TRACK_COLOURS = 4


@dataclass(frozen=True)
class Shape:
    """One path with its CSS classes."""

    css: str
    path: str


@dataclass(frozen=True)
class Key:
    """One entry of a legend: a swatch drawn as `css` is drawn, and its words."""

    swatch: str
    css: str
    text: str


@dataclass(frozen=True)
class Panel:
    """One plot: `height` pixels high, days wide; axis ticks in pixels from the top."""

    key: str
    title: str
    unit: str
    summary: str
    height: float
    left: tuple[Tick, ...]
    right: tuple[Tick, ...]
    right_unit: str
    shapes: tuple[Shape, ...]
    legend: tuple[Key, ...]
    hints: tuple[str, str] | None = None


@dataclass(frozen=True)
class Window:
    """The days that all panels of a site share: `first` at the left edge, `days` wide."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """Width in days, the last one included."""
        return (self.last - self.first).days + 1

    def x(self, days: Floats) -> Floats:
        """Days since 1970-01-01 as days since the left edge."""
        return np.asarray(days, float) - day_of(self.first)

    def percent(self, day: date, plus: float = 0.0) -> float:
        """Place of a day from the left edge, percent of the width."""
        return round(100 * ((day - self.first).days + plus) / self.days, 4)


def window_of(site: SiteView) -> Window:
    """From the first day of anything known to the day of the view, the last day forecast, or the
    failure if later.
    """
    starts = [site.as_of.date()] + ([site.watched_from] if site.watched_from else [])
    ends = [site.as_of.date()]
    series = [site.rain_day, site.level_day]
    for unit in site.units:
        starts += [s.first for s in unit.levels + unit.coverages]
        ends += [unit.failure] if unit.failure else []
        ends += [date_of(t.forecast.day[-1]) for t in unit.tracks if t.forecast]
        series += [d for t in unit.tracks for d in (t.epoch_day, t.day)]
    finite = [float(np.nanmin(s)) for s in series if np.isfinite(s).any()]
    first = min([*starts, *(date_of(d) for d in finite)])
    last = max(ends)
    return Window(first, date_of(day_of(last) + max(2, (last - first).days // 100)))


def displacement(unit: UnitView, window: Window) -> Panel:
    """Measured epochs with error bars, the filter with its 90 % band, the truth where given."""
    scale = _displacement_scale(unit, 230)
    shapes = [Shape("zero", _level_line(0.0, scale, window))]
    legend: list[Key] = []
    for index, track in enumerate(unit.tracks):
        shapes += _displacement_shapes(track, scale, window, f"t{index % TRACK_COLOURS}")
        legend += _track_keys(track, index)
    if any(np.any(t.epoch_out_of_range > 0) for t in unit.tracks):
        legend.append(Key("box", "odd", "measured, out of range (not used)"))
    if unit.truth_day is not None and unit.truth_mm is not None:
        path = line_path(window.x(unit.truth_day), scale(unit.truth_mm))
        shapes.append(Shape("truth", path))
        legend.append(Key("line", "truth", "true motion (simulated)"))
    return Panel(
        "displacement",
        "Displacement",
        "mm along line of sight, + toward satellite",
        f"Displacement of {unit.name or unit.unit} along the line of sight, {_extent(unit)}",
        scale.height,
        scale.ticks(5),
        (),
        "",
        tuple(shapes),
        tuple(legend),
        ("toward satellite", "away"),
    )


def velocity(unit: UnitView, window: Window) -> Panel:
    """Filtered velocity with its 90 % band; mm/d on the left, mm/yr on the right."""
    scale = _velocity_scale(unit, 150)
    shapes = [Shape("zero", _level_line(0.0, scale, window))]
    for index, track in enumerate(unit.tracks):
        x, half = window.x(track.day), Z90 * track.velocity_sd_mm_d
        top, foot = scale(track.velocity_mm_d + half), scale(track.velocity_mm_d - half)
        colour = f"t{index % TRACK_COLOURS}"
        shapes.append(Shape(f"band {colour}", band_path(x, top, foot)))
        shapes.append(Shape(f"line {colour}", line_path(x, scale(track.velocity_mm_d))))
    return Panel(
        "velocity",
        "Velocity",
        "mm/d along line of sight, + toward satellite",
        f"Velocity of {unit.name or unit.unit} along the line of sight, with its 90 % band",
        scale.height,
        scale.ticks(4),
        scale.ticks(4, DAYS_PER_YEAR),
        "mm/yr",
        tuple(shapes),
        tuple(
            Key("line", f"t{i % TRACK_COLOURS}", f"{t.track}, 90 % band")
            for i, t in enumerate(unit.tracks)
        ),
        ("toward satellite", "away"),
    )


def forcing(site: SiteView, window: Window) -> Panel | None:
    """Rain as bars, reservoir level as a line; none where the site has neither."""
    height, shapes, legend = 110.0, [], []
    left: tuple[Tick, ...] = ()
    right: tuple[Tick, ...] = ()
    if np.isfinite(site.rain_mm).any():
        rain = np.where(site.rain_mm > 0.05, site.rain_mm, np.nan)
        scale = Scale(0.0, 1.08 * max(float(np.nanmax(site.rain_mm)), 5.0), height)
        x = window.x(site.rain_day) + 0.5
        shapes.append(Shape("rain", stems_path(x, scale(rain), np.full(len(x), height))))
        legend.append(Key("bar", "rain", "rain, mm/d"))
        left = scale.ticks(3)
    if np.isfinite(site.level_m).any():
        scale = scale_of(height, site.level_m, least=1.0)
        shapes.append(Shape("reservoir", line_path(window.x(site.level_day), scale(site.level_m))))
        legend.append(Key("line", "reservoir", "reservoir level, m"))
        right = scale.ticks(3)
    if not shapes:
        return None
    named = " and ".join(key.text for key in legend)
    return Panel(
        "forcing",
        "Rain and reservoir" if left and right else "Rain" if left else "Reservoir",
        "mm/d" if left else "",
        f"{named} of {site.title or site.site}",
        height,
        left,
        right,
        "m" if right else "",
        tuple(shapes),
        tuple(legend),
    )


def table_of(track: TrackView, rows: int = 12) -> list[tuple[str, str, str, str]]:
    """The newest epochs in words: date, displacement, half width of 90 %, remark."""
    newest = np.flatnonzero(np.isfinite(track.epoch_mm))[-rows:][::-1]
    return [
        (
            date_of(track.epoch_day[i]).isoformat(),
            number(float(track.epoch_mm[i]), 1, signed=True),
            number(Z90 * float(track.epoch_sd_mm[i]), 1),
            "out of range, not used" if track.epoch_out_of_range[i] > 0 else "",
        )
        for i in newest
    ]


def _displacement_scale(unit: UnitView, height: float) -> Scale:
    """Room for what was measured and filtered; bands and truth may run out of the plot."""
    values: list[Floats] = [np.zeros(1)]
    for t in unit.tracks:
        half = Z90 * t.epoch_sd_mm
        values += [t.epoch_mm - half, t.epoch_mm + half, t.day_mm]
        values += [t.forecast.mm] if t.forecast else []
    return scale_of(height, *values, least=20.0)


def _velocity_scale(unit: UnitView, height: float) -> Scale:
    """Room for the rate wherever it is known well; the wide band of the first days runs out."""
    values: list[Floats] = [np.zeros(1)]
    for t in unit.tracks:
        known = np.isfinite(t.velocity_mm_d) & np.isfinite(t.velocity_sd_mm_d)
        rate, sd = t.velocity_mm_d[known], t.velocity_sd_mm_d[known]
        if not rate.size:
            continue
        firm = sd <= 3 * np.median(sd)
        values += [(rate - Z90 * sd)[firm], (rate + Z90 * sd)[firm], rate[-1:]]
    return scale_of(height, *values, least=0.2, pad=0.05)


def _displacement_shapes(track: TrackView, scale: Scale, window: Window, css: str) -> list[Shape]:
    x, half = window.x(track.day), Z90 * track.day_sd_mm
    at, bar = window.x(track.epoch_day), Z90 * track.epoch_sd_mm
    odd = np.asarray(track.epoch_out_of_range) > 0
    used = np.where(odd, np.nan, track.epoch_mm)
    top, foot = scale(track.day_mm + half), scale(track.day_mm - half)
    return [
        Shape(f"band {css}", band_path(x, top, foot)),
        Shape(f"line {css}", line_path(x, scale(track.day_mm))),
        Shape(f"bars {css}", stems_path(at, scale(track.epoch_mm + bar), scale(used - bar))),
        Shape(f"dots {css}", dots_path(at, scale(used))),
        Shape("odd", dots_path(at[odd], scale(track.epoch_mm[odd]))),
        Shape("odd-hole", dots_path(at[odd], scale(track.epoch_mm[odd]))),
        *_forecast_shapes(track, scale, window, css),
    ]


def _forecast_shapes(track: TrackView, scale: Scale, window: Window, css: str) -> list[Shape]:
    """The days ahead: dashed, with the band that holds 90 %."""
    if track.forecast is None:
        return []
    x = window.x(track.forecast.day)
    top, foot = scale(track.forecast.high_mm), scale(track.forecast.low_mm)
    return [
        Shape(f"band {css}", band_path(x, top, foot)),
        Shape(f"line ahead {css}", line_path(x, scale(track.forecast.mm))),
    ]


def forecast_rows(track: TrackView) -> list[tuple[str, str, str]]:
    """The forecast in words: date, displacement, interval that holds 90 %."""
    ahead = track.forecast
    if ahead is None:
        return []
    return [
        (
            date_of(ahead.day[i]).isoformat(),
            number(float(ahead.mm[i]), 1, signed=True),
            f"{number(float(ahead.low_mm[i]), 1, signed=True)} to "
            f"{number(float(ahead.high_mm[i]), 1, signed=True)}",
        )
        for i in range(len(ahead.day))
    ]


def _track_keys(track: TrackView, index: int) -> list[Key]:
    css = f"t{index % TRACK_COLOURS}"
    keys = [
        Key("dot", css, f"{track.track}, measured ± 90 %"),
        Key("line", css, "filter, 90 % band"),
    ]
    if track.forecast is not None:
        keys.append(Key("line", f"ahead {css}", f"forecast by {track.forecast.model}, 90 % band"))
    return keys


def _level_line(value: float, scale: Scale, window: Window) -> str:
    return f"M0 {float(scale(value)):.1f}h{window.days}"


def _extent(unit: UnitView) -> str:
    """Range of the measured values in words, for those who cannot see the plot."""
    known = [t.epoch_mm[np.isfinite(t.epoch_mm)] for t in unit.tracks]
    values = np.concatenate(known) if known else np.empty(0)
    if not values.size:
        return "nothing measured"
    low, high = number(float(values.min()), 0), number(float(values.max()), 0)
    return f"measured from {low} to {high} mm"
