"""How many days each series follows rain, drawdown and the level itself, with intervals.

The lag is that of `core.lags.lag_days`, taken not from the epochs, which are twelve days apart, but
from daily rates drawn from the posterior of `response`: the middle draw is the estimate, and the
draws' 10 % and 90 % quantiles, widened by a margin, are its 80 % interval.

The margin makes up for what the model cannot know (the gauge is not the slope, slopes are bent). It
was measured once on development slopes of the twin by split-conformal quantiles (Y. Romano,
E. Patterson and E. Candès, NeurIPS 2019): `services.scoring.attribution.lag_margins`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.evidence import Floats
from core.lags import lag_days, smooth
from services.inference.known import Known
from services.understanding.basis import (
    DailyDrivers,
    columns,
    drawdown,
    levels_of,
    observed_drivers,
)
from services.understanding.response import Epochs, Ground, Response, epochs_of

DRAWS = 100
LONGEST_D = 60
"""Lags are looked for from 0 to this; an answer at it means 'this or more'."""
MARGIN_D = {"rain": 1.0, "drawdown": 2.0, "level": 0.0}
"""Days by which the draws' quantiles are widened to each side: the larger of what ridges and toes
of 60 development sites ask for under radar noise and under white noise of 3 mm."""
DRIVERS = ("rain", "drawdown", "level")


class Lags(NamedTuple):
    """Lags behind one driver, (S,) each; NaN where nothing can be said."""

    lag_d: Floats
    low_d: Floats
    high_d: Floats
    correlation: Floats
    """Of the smoothed driver at that lag with the smoothed rate, middle of the draws."""


class LagMap(NamedTuple):
    """Lags of S series behind the drivers."""

    rain: Lags
    drawdown: Lags
    level: Lags
    reason: tuple[str, ...]
    """Why nothing is said of a series; empty where something is."""

    @property
    def follows_level(self) -> np.ndarray:
        """(S,) whether the level itself explains the rate better than its fall does."""
        return np.asarray(self.level.correlation > self.drawdown.correlation)

    def reservoir(self) -> Lags:
        """Lags behind what each series follows of the reservoir: its fall, or its level."""
        pick = self.follows_level
        pairs = zip(self.level, self.drawdown, strict=True)
        return Lags(*(np.where(pick, level, fall) for level, fall in pairs))


class Site(NamedTuple):
    """Everything that the fits of one `Known` share."""

    known: Known
    drivers: DailyDrivers
    daily: Floats
    """(T, D, J) columns of mean 0 and variance 1."""
    centre: Floats
    """(D, J) means of the columns."""
    spread: Floats
    """(D, J) standard deviations of the columns."""

    def standard(self, made: Floats) -> Floats:
        """Other columns (T, D, J) measured as these are."""
        return np.asarray((made - self.centre) / self.spread)


def site_of(known: Known) -> Site:
    """Columns of the drivers of a `Known`; raises BadInputError where drivers are missing."""
    drivers = observed_drivers(known)
    daily = columns(drivers.rain_mm, drivers.level_m, levels_of(drivers))
    centre, spread = daily.mean(axis=0), np.maximum(daily.std(axis=0), 1e-9)
    return Site(known, drivers, (daily - centre) / spread, centre, spread)


def grounds(site: Site) -> list[tuple[Ground, Epochs] | str]:
    """What each series is fitted to, or why it is not; series with the same epochs share one."""
    made: dict[tuple[int, bytes], Ground] = {}
    result: list[tuple[Ground, Epochs] | str] = []
    for series, place in enumerate(site.known.place):
        epochs = epochs_of(site.known, series, site.drivers.first_day)
        if isinstance(epochs, str):
            result.append(epochs)
            continue
        key = (int(place), epochs.day.tobytes())
        if key not in made:
            made[key] = Ground.of(site.daily[:, place], epochs.day)
        result.append((made[key], epochs))
    return result


def lag_map(
    known: Known, *, draws: int = DRAWS, seed: int = 0, margin_d: dict[str, float] | None = None
) -> LagMap:
    """Lags of all series of a `Known`.

    Args:
        known: at least two years of epochs and of both drivers.
        draws: number of posterior draws a series.
        seed: of the draws; a series' answer depends on it and on the series' own data alone.
        margin_d: margins instead of `MARGIN_D`, for measuring them.

    Raises:
        BadInputError: drivers are missing or too short.
    """
    site = site_of(known)
    inputs = _inputs(site.drivers)
    found = np.full((len(DRIVERS), 4, known.series), np.nan)
    reasons = []
    for series, prepared in enumerate(grounds(site)):
        reasons.append(prepared if isinstance(prepared, str) else "")
        if isinstance(prepared, str):
            continue
        rates = Response(*prepared).fit().draw(draws, np.random.default_rng([seed, draws]))
        for row, name in enumerate(DRIVERS):
            margin = (margin_d or MARGIN_D)[name]
            found[row, :, series] = _one(inputs[name][known.place[series]], rates, margin)
    rain, fall, level = (Lags(*part) for part in found)
    return LagMap(rain, fall, level, tuple(reasons))


def _inputs(drivers: DailyDrivers) -> dict[str, Floats]:
    """Daily drivers of every place, (D, T) each, by name."""
    level = drivers.level_m
    return {"rain": drivers.rain_mm.T, "drawdown": drawdown(level).T, "level": level.T}


def _one(driver: Floats, rates: Floats, margin_d: float) -> tuple[float, float, float, float]:
    lags = lag_days(driver, rates, max_lag_days=LONGEST_D)
    if np.isnan(lags).any():
        return (np.nan,) * 4
    low, middle, high = np.quantile(lags, [0.1, 0.5, 0.9])
    mean = rates.mean(axis=0)
    return (
        float(middle),
        float(max(low - margin_d, 0.0)),
        float(min(high + margin_d, LONGEST_D)),
        correlation_at(driver, mean, round(float(middle))),
    )


def correlation_at(driver: Floats, rate: Floats, lag: int) -> float:
    """Correlation of the smoothed driver `lag` days before with the smoothed rate, both (T,)."""
    past, answer = smooth(driver, 15), smooth(rate, 15)
    return float(np.corrcoef(past[LONGEST_D - lag : len(past) - lag], answer[LONGEST_D:])[0, 1])
