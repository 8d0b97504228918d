"""Gaussian process of each series: trend, slow wander, yearly wave and response to water.

Covariance of displacement: a line, a squared exponential, a yearly periodic one, and a Matern 3/2
of accumulated rain and drainage, each less its own trend. Hyperparameters are shares of one
amplitude, the spread of a series about its line at the fit, so that all series are solved in one
batch; they were chosen once on simulated development slopes. Only the newest epochs are used.
Source: C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (2006),
sections 2.2, 4.2 and 5.4.3.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic import Field
from threadpoolctl import threadpool_limits

from core.evidence import Floats
from core.settings import Tree
from services.inference.known import FURTHEST_D, History, Ints, Known
from services.inference.model import Parameters, Path
from services.inference.numerics import hydrology, recent, residual_filter

FEWEST_EPOCHS = 5
_CHUNK = 256
_HORIZONS_D = np.array((0, 3, 6, 12, 18, 24, 30))
_WATER = ("rain_25d", "deficit_20d")
_WATER_SCALE = 30.0
"""Accumulated features are told in about this many days' worth of theirs."""
_LEAST_SPREAD_MM = 1.0
_ABSENT_MM2 = 1e8
"""Variance of a row that was not measured: it says nothing."""


class Settings(Tree):
    """Hyperparameters; amplitudes are shares of a series' spread about its line."""

    epochs: int = Field(100, ge=10, description="newest epochs that are used")
    wander_d: float = Field(90.0, gt=0, description="length of the squared exponential, days")
    wander: float = Field(0.5, ge=0, description="its amplitude")
    season_length: float = Field(1.2, gt=0, description="length of the yearly wave, no unit")
    season: float = Field(1.0, ge=0, description="its amplitude")
    water_length: float = Field(6.0, gt=0, description="length of the response to water, months")
    water: float = Field(0.5, ge=0, description="its amplitude")
    line: float = Field(3.0, gt=0, description="amplitude of the line, a year")


class _Places(NamedTuple):
    """Where the process is known or asked: n days and accumulated water, (s, n) and (s, n, 2)."""

    day: Floats
    water: Floats


class GaussianProcess:
    """The `gaussian_process` model."""

    name = "gaussian_process"
    needs = frozenset({"rain", "level"})

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def fit(self, history: History, day: int) -> Parameters:
        """See `services.inference.model.Model.fit`: `spread_mm` (S,), about a line."""
        return {"spread_mm": _spread(history.known(day))}

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        """See `services.inference.model.Model.forecast`; NaN below five epochs."""
        value, variance = residual_filter.observations(known)
        speaks = np.isfinite(value).sum(axis=0) >= FEWEST_EPOCHS
        _, last = recent.last(known)
        value = value[-self._settings.epochs :] - last
        variance = np.where(np.isfinite(value), variance[-self._settings.epochs :], _ABSENT_MM2)
        value = np.nan_to_num(value)
        water = _water(known)
        mean, sd = np.empty((2, _HORIZONS_D.size, known.series))
        for place in np.unique(known.place):
            members = np.nonzero(known.place == place)[0]
            for at in range(0, members.size, _CHUNK):
                part = members[at : at + _CHUNK]
                days = known.epoch_day[-self._settings.epochs :, part]
                given, asked = _places(days, known, water[:, place])
                mean[:, part], sd[:, part] = self._solve(
                    given, asked, value[:, part], variance[:, part], parameters["spread_mm"][part]
                )
        days = np.arange(FURTHEST_D + 1)
        daily = np.stack([np.interp(days, _HORIZONS_D, o) for o in np.eye(len(mean))], 1)
        mean, sd = daily @ mean + last, daily @ sd
        return Path(np.where(speaks, mean, np.nan), np.where(speaks, sd, np.nan))

    def _solve(
        self, given: _Places, asked: _Places, value: Floats, variance: Floats, spread: Floats
    ) -> tuple[Floats, Floats]:
        """Mean and sd at the places asked, (m, s) each, in units of mm."""
        square = (spread**2)[:, None, None]
        known = square * self._covariance(given, given)
        rows = np.arange(value.shape[0])
        known[:, rows, rows] += variance.T
        between = square * self._covariance(asked, given)
        prior = spread[:, None] ** 2 * self._variance(asked)
        with threadpool_limits(1):
            # With more threads the last bits differ, and a forecast would depend on its machine.
            weights = np.linalg.solve(known, np.swapaxes(between, 1, 2))
        mean = np.einsum("snm,ns->ms", weights, value)
        left = prior - (np.swapaxes(weights, 1, 2) * between).sum(axis=2)
        return mean, np.sqrt(np.maximum(left, residual_filter.LEAST_VARIANCE_MM2)).T

    def _covariance(self, one: _Places, other: _Places) -> Floats:
        """Shares of the squared spread, (s, n, m); s is 1 where all series share their days."""
        it = self._settings
        lag = one.day[:, :, None] - other.day[:, None, :]
        apart = one.water[:, :, None, :] - other.water[:, None, :, :]
        far = np.sqrt(3.0 * (apart**2).sum(axis=3)) / it.water_length
        years = one.day[:, :, None] * other.day[:, None, :] / hydrology.YEAR_D**2
        wave = np.sin(np.pi * lag / hydrology.YEAR_D) / it.season_length
        return np.asarray(
            it.line**2 * (1.0 + years)
            + it.wander**2 * np.exp(-0.5 * (lag / it.wander_d) ** 2)
            + it.season**2 * np.exp(-2.0 * wave**2)
            + it.water**2 * (1.0 + far) * np.exp(-far)
        )

    def _variance(self, at: _Places) -> Floats:
        """The diagonal of the covariance, (s, n)."""
        it = self._settings
        line = it.line**2 * (1.0 + (at.day / hydrology.YEAR_D) ** 2)
        return np.asarray(line + it.wander**2 + it.season**2 + it.water**2)


def _places(days: Ints, known: Known, water: Floats) -> tuple[_Places, _Places]:
    """Where is known and asked; one row for all series where they share their days."""
    if (days == days[:, :1]).all():
        days = days[:, :1]
    rows = np.clip(days.T - known.drivers.first_day, 0, len(water) - 1)
    ahead = known.day + _HORIZONS_D - known.drivers.first_day
    given = _Places((days.T - known.day).astype(float), water[rows])
    return given, _Places(_HORIZONS_D[None].astype(float), water[ahead][None])


def _water(known: Known) -> Floats:
    """Accumulated rain and drainage less their mean up to the issue day, (T, D, 2)."""
    columns = [hydrology.FEATURES.index(name) for name in _WATER]
    daily = hydrology.daily(known.drivers)[..., columns]
    now = known.day - known.drivers.first_day + 1
    return np.asarray(np.cumsum(daily - daily[:now].mean(axis=0), axis=0) / _WATER_SCALE)


def _spread(known: Known) -> Floats:
    """Root mean square of the values about a straight line through all of them, (S,)."""
    value, _ = residual_filter.observations(known)
    told = np.isfinite(value)
    number = np.maximum(told.sum(axis=0), 1)
    value, days = np.where(told, value, 0.0), np.where(told, known.epoch_day - known.day, 0.0)
    value = np.where(told, value - value.sum(axis=0) / number, 0.0)
    days = np.where(told, days - days.sum(axis=0) / number, 0.0)
    wide = (days**2).sum(axis=0)
    slope = np.where(wide > 0, (days * value).sum(axis=0) / np.where(wide > 0, wide, 1.0), 0.0)
    off = ((value - slope * days) ** 2).sum(axis=0) / number
    return np.asarray(np.maximum(np.sqrt(off), _LEAST_SPREAD_MM))


def open(settings: Settings) -> GaussianProcess:
    """The model of these settings."""
    return GaussianProcess(settings)
