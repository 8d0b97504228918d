"""Pictures of a reading: lag maps, shares, coherence. Matplotlib is loaded here only.

Colours are chosen to be told apart by eyes that confuse red and green, and in grey print.
"""

from __future__ import annotations

from datetime import date, timedelta
from io import BytesIO
from typing import Any

import numpy as np

from core.evidence import Floats
from services.understanding.lagmap import LONGEST_D, Lags
from services.understanding.reading import Reading
from services.understanding.rhythm import Rhythm
from services.understanding.words import ENOUGH_CORRELATION

LAGS, SHARES = "lags.png", "shares.png"
INK = "#1f2933"
FAINT = "#8a94a0"
RAIN_INK = "#2a6f97"
LEVEL_INK = "#b5651d"
_DPI = 110
_CERTAIN_D, _VAGUE_D = 8.0, 40.0
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "svg.hashsalt": "slopewatch",
}


def lag_figure(
    reading: Reading,
    lon: Floats | None = None,
    lat: Floats | None = None,
    *,
    simulated: bool = False,
) -> bytes:
    """Lags behind rain and reservoir: maps where positions are known, else along the slope. PNG."""
    import matplotlib as mpl

    parts = (("Days behind rain", reading.lags.rain), ("Days behind reservoir", reservoir(reading)))
    with mpl.rc_context(_STYLE):
        figure, axes = _panels(2)
        for axis, (title, lags) in zip(axes, parts, strict=True):
            if lon is None or lat is None:
                _along(axis, reading, lags)
            else:
                _map(figure, axis, lon, lat, lags)
            axis.set_title(title)
        return _png(figure, simulated)


def pictures(
    reading: Reading,
    lon: Floats | None = None,
    lat: Floats | None = None,
    *,
    simulated: bool = False,
    dated: bool = True,
) -> dict[str, bytes]:
    """Every picture of a reading by the name of its file: lags, shares, coherence of each driver.

    Args:
        reading: what was read.
        lon, lat: positions (S,) of the series in degrees; without them along the slope.
        simulated: whether the data are simulated, which every picture then says.
        dated: see `rhythm_figure`.
    """
    made = {
        LAGS: lag_figure(reading, lon, lat, simulated=simulated),
        SHARES: share_figure(reading, lon, lat, simulated=simulated),
    }
    for one in reading.rhythms:
        name = reading.names[one.series]
        made[coherence_file(one)] = rhythm_figure(one, name, simulated=simulated, dated=dated)
    return made


def coherence_file(rhythm: Rhythm) -> str:
    """Name of the picture of a rhythm."""
    return f"coherence-{rhythm.driver}.png"


def reservoir(reading: Reading) -> Lags:
    """Lags behind what each series follows of the reservoir."""
    return reading.lags.reservoir()


def share_figure(
    reading: Reading,
    lon: Floats | None = None,
    lat: Floats | None = None,
    *,
    simulated: bool = False,
) -> bytes:
    """Rain's share of the unusual motion, as a map or along the slope. PNG."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        figure, (axis,) = _panels(1)
        where, label = _where(reading)
        share, own = reading.rain_share, reading.shares.rain
        known = np.isfinite(share)
        if lon is not None and lat is not None:
            drawn = axis.scatter(
                lon[known], lat[known], c=share[known], cmap="PuOr", vmin=0, vmax=1, s=42,
                edgecolor=INK, linewidth=0.4,
            )  # fmt: skip
            _degrees(axis)
            bar = figure.colorbar(drawn, ax=axis, shrink=0.85)
            bar.set_label("rain's share (0: reservoir alone)")
        else:
            low, high = reading.shares.low_rain, reading.shares.high_rain
            spread = np.stack([own - np.minimum(low, own), np.maximum(high, own) - own])
            axis.errorbar(
                where[known], own[known], yerr=spread[:, known], fmt="o", color=FAINT, ms=4,
                lw=1, alpha=0.8, label="each by itself, 10–90 % over the years",
            )  # fmt: skip
            order = np.argsort(where[known], kind="stable")
            axis.plot(
                where[known][order], share[known][order], "o-", color=RAIN_INK, ms=6, lw=2,
                label="seen along the slope",
            )  # fmt: skip
            axis.set_ylim(-0.08, 1.08)
            axis.set_xlabel(label)
            axis.set_ylabel("rain's share")
            axis.axhline(0.5, color=FAINT, lw=0.8, ls=":")
            axis.legend(frameon=False, fontsize=9, loc="best")
        axis.set_title("Rain's share of the motion beyond the season; the reservoir has the rest")
        return _png(figure, simulated)


def rhythm_figure(
    rhythm: Rhythm, name: str, *, simulated: bool = False, dated: bool = True
) -> bytes:
    """Wavelet coherence over time and period, and the lag at each period. PNG.

    `dated`: days count from 1970; those of a simulated pool count from its beginning.
    """
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        figure, (left, right) = _panels(2, widths=(2.1, 1.0), height=4.2)
        _scalogram(figure, left, rhythm, dated)
        left.set_title(f"Coherence of {rhythm.driver} with {name}")
        _periods(right, rhythm)
        right.set_title("Days behind, by period")
        return _png(figure, simulated)


def _panels(count: int, widths: tuple[float, ...] | None = None, height: float = 4.0) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11 if count > 1 else 7.5, height), dpi=_DPI, layout="constrained")
    axes = figure.subplots(1, count, width_ratios=widths, squeeze=False)[0]
    return figure, axes


def _png(figure: Any, simulated: bool) -> bytes:
    if simulated:
        figure.supxlabel("SIMULATED: no real slope", fontsize=9, color=FAINT)
    content = BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def _where(reading: Reading) -> tuple[Floats, str]:
    """Abscissa of every series along its slope, and what it is."""
    setting = reading.known.setting
    for values, label in (
        (setting.bank_distance_m, "distance from the bank (m)"),
        (setting.height_m, "height above the bank (m)"),
        (setting.position, "position, 0 toe to 1 head"),
    ):
        if np.isfinite(values).any():
            return values, label
    return np.arange(reading.known.series, dtype=float), "series"


def _along(axis: Any, reading: Reading, lags: Lags) -> None:
    where, label = _where(reading)
    known = np.isfinite(lags.lag_d) & np.isfinite(where)
    level = reading.lags.follows_level & (lags is not reading.lags.rain)
    for pick, colour, text in (
        (known & ~level, RAIN_INK if lags is reading.lags.rain else LEVEL_INK, "behind its fall"),
        (known & level, "#6b4c9a", "behind the level itself"),
    ):
        if not pick.any():
            continue
        reach = np.stack([lags.lag_d - lags.low_d, lags.high_d - lags.lag_d])[:, pick]
        named = None if lags is reading.lags.rain else text
        axis.errorbar(
            where[pick], lags.lag_d[pick], yerr=np.maximum(reach, 0), fmt="o", color=colour,
            ms=6, lw=1.4, capsize=3, label=named,
        )  # fmt: skip
    if level.any():
        axis.legend(frameon=False, fontsize=9, loc="best")
    axis.axhline(LONGEST_D, color=FAINT, lw=0.8, ls=":")
    axis.annotate(
        f"{LONGEST_D} d or more", (1, LONGEST_D), xycoords=("axes fraction", "data"),
        xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8, color=FAINT,
    )  # fmt: skip
    axis.set_ylim(-2, LONGEST_D + 6)
    axis.set_xlabel(label)
    axis.set_ylabel("days (bars: 80 % interval)")


def _map(figure: Any, axis: Any, lon: Floats, lat: Floats, lags: Lags) -> None:
    known = np.isfinite(lags.lag_d) & (lags.correlation >= ENOUGH_CORRELATION)
    axis.scatter(lon[~known], lat[~known], marker="x", s=14, color=FAINT, linewidth=0.8)
    width = (lags.high_d - lags.low_d)[known]
    certain = np.clip((_VAGUE_D - width) / (_VAGUE_D - _CERTAIN_D), 0.0, 1.0)
    drawn = axis.scatter(
        lon[known], lat[known], c=lags.lag_d[known], s=14 + 60 * certain, cmap="viridis_r",
        vmin=0, vmax=LONGEST_D, edgecolor=INK, linewidth=0.4,
    )  # fmt: skip
    _degrees(axis)
    bar = figure.colorbar(drawn, ax=axis, shrink=0.85, extend="max")
    bar.set_label("days; large dots: sure, small: vague, crosses: none")


def _degrees(axis: Any) -> None:
    low, high = axis.get_ylim()
    axis.set_aspect(1 / np.cos(np.deg2rad((low + high) / 2)), adjustable="datalim")
    axis.ticklabel_format(useOffset=False)
    axis.locator_params(nbins=4)
    axis.set_xlabel("longitude (°)")
    axis.set_ylabel("latitude (°)")


def _scalogram(figure: Any, axis: Any, rhythm: Rhythm, dated: bool) -> None:
    seen = rhythm.coherence
    years = np.array([_year(d) for d in rhythm.end_day]) if dated else rhythm.end_day / 365.25
    drawn = axis.pcolormesh(
        years, seen.period_d, seen.coherence, cmap="YlGnBu", vmin=0, vmax=1, shading="nearest",
        rasterized=True,
    )  # fmt: skip
    beyond = np.where(seen.safe, seen.coherence - rhythm.significance.threshold[:, None], np.nan)
    if np.nanmax(beyond, initial=-1.0) > 0:
        axis.contour(years, seen.period_d, beyond, levels=[0.0], colors=INK, linewidths=1.1)
    axis.contourf(
        years, seen.period_d, np.where(seen.safe, np.nan, 1.0), levels=[0.5, 1.5],
        colors=["white"], alpha=0.62,
    )  # fmt: skip
    axis.contour(years, seen.period_d, seen.safe.astype(float), levels=[0.5], colors=FAINT)
    _period_axis(axis, seen.period_d)
    axis.set_xlabel("year" if dated else "years since the record began")
    bar = figure.colorbar(drawn, ax=axis, shrink=0.9)
    bar.set_label("squared coherence")


def _periods(axis: Any, rhythm: Rhythm) -> None:
    lag, stands = rhythm.lag, rhythm.stands
    readable = np.isfinite(lag.lag_d)
    for pick, colour, text in (
        (readable & ~stands, "#c3cad2", "no more than chance"),
        (readable & stands, RAIN_INK if rhythm.driver == "rain" else LEVEL_INK, "beyond chance"),
    ):
        if pick.any():
            reach = np.stack([lag.lag_d - lag.low_d, lag.high_d - lag.lag_d])[:, pick]
            axis.errorbar(
                lag.lag_d[pick], lag.period_d[pick], xerr=reach, fmt="o", ms=4, lw=1.1,
                color=colour, label=text,
            )  # fmt: skip
    axis.axvline(0, color=FAINT, lw=0.8)
    _period_axis(axis, lag.period_d)
    axis.set_ylabel("")
    shown = lag.lag_d[readable & stands] if stands.any() else lag.lag_d[readable]
    reach_d = 1.6 * max(float(np.max(np.abs(shown), initial=20.0)), 20.0)
    axis.set_xlim(-reach_d, reach_d)
    axis.set_xlabel("days (positive: the motion follows)")
    axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=2)


def _period_axis(axis: Any, period_d: Floats) -> None:
    axis.set_yscale("log")
    ticks = [t for t in (36, 60, 90, 120, 180, 365, 730) if period_d[0] <= t <= period_d[-1]]
    axis.set_yticks(ticks, [str(t) for t in ticks])
    axis.minorticks_off()
    axis.set_ylim(period_d[-1] * 1.03, period_d[0] / 1.03)
    axis.set_ylabel("period (days)")


def _year(day: int) -> float:
    when = date(1970, 1, 1) + timedelta(days=int(day))
    return when.year + (when - date(when.year, 1, 1)).days / 365.25
