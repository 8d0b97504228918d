"""Structural forecasts: features explain the rate of a series, a filter what is left of it.

The rate is a linear response to daily features (`hydrology`) plus a residual rate that forgets
(`residual_filter`). Fitting is generalised least squares with the residual process as the error;
memory and strength of the residual and the freedom of the response are chosen for each place by
the marginal likelihood of what was known at the fit (`transfer_regression`). A forecast is the
filtered residual carried ahead plus the response to the days ahead as they had been issued. Whole
cycles that the radar lost are told by the expectation and given back (`cycles`).

Standard deviation: filter covariance, uncertainty of the response over the days since the last
epoch, and how wrong the features of past issues were because the drivers ahead were not known.

Source of regression with structural time series errors: A. C. Harvey, Forecasting, Structural Time
Series Models and the Kalman Filter (1989), chapter 7.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.evidence import Floats
from core.kalman import TrendState
from services.inference.known import FURTHEST_D, History, Ints, Known
from services.inference.model import Parameters, Path
from services.inference.numerics import (
    driver_errors,
    hydrology,
    residual_filter,
    transfer_regression,
)
from services.inference.numerics.cycles import Slips
from services.inference.numerics.residual_filter import Run, Walk
from services.inference.numerics.transfer_regression import Candidates, Choice, Samples

FEWEST_EPOCHS = 5
_FIRST_WALK = Walk(1e-3, 0.0)
"""Of the pass that looks for lost cycles before anything is fitted,"""
_FIRST_RELUCTANCE = 3.0
"""so many times as reluctantly as later ones: it knows no season and no water."""
_CHUNK = 1500
_DECAYS = (1 / 300, 1 / 100, 1 / 40, 1 / 12)
_INTENSITIES = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
_TIGHTNESS = (0.02, 0.06, 0.2, 0.6)


class Design(NamedTuple):
    """What explains a rate, and how a fit is made."""

    columns: tuple[int, ...]
    """Of `hydrology.FEATURES`; none: the residual is all."""
    slips: Slips = Slips()
    rounds: int = 2
    """Passes of fitting and giving back lost cycles."""
    series_per_place: int = 48
    """Series of a place that choose memory and freedom together."""
    candidates: Candidates = Candidates(_DECAYS, _INTENSITIES, _TIGHTNESS)

    @property
    def driven(self) -> bool:
        """Whether rain or level explain anything."""
        return any(name.startswith(hydrology.DRIVEN) for name in self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(hydrology.FEATURES[column] for column in self.columns)


class Filtered(NamedTuple):
    """S series after their last epoch, and what was expected on the way and ahead."""

    run: Run
    """Of the residual: what hydrology does not explain."""
    explained_mm: Floats
    """(K, S) displacement that hydrology explains, at each epoch; only differences count."""
    ahead_mm: Floats
    """(31, S) the same on day .. day + 30."""
    rate_ahead_mm_d: Floats
    """(31, S) rate that hydrology explains on those days."""
    age_d: Floats
    """(S,) days from the last row to the issue day."""
    measured: Ints
    """(S,) epochs measured."""


class Structural:
    """A model of one `Design`; models of the service give it name and needs."""

    def __init__(self, design: Design) -> None:
        self._design = design

    def fit(self, history: History, day: int) -> Parameters:
        """See `services.inference.model.Model.fit`.

        `coefficients` (S, F) mm/d per unit of a feature, their `covariance` (S, F, F); `decay`
        (S,) 1/d and `intensity` (S,) mm^2/d^3 of the residual rate; `scale` (S,) on the stated
        variances; `driver_sd_mm` (31, S).
        """
        known = history.known(day)
        cumulative = self._cumulative(known)
        parameters = self._regress(known, cumulative)
        parameters["driver_sd_mm"] = np.zeros((FURTHEST_D + 1, known.series))
        if self._design.driven:
            errors = driver_errors.cumulative_errors(history, known)[..., self._design.columns]
            parameters["driver_sd_mm"] = driver_errors.displacement_sd(
                errors, parameters["coefficients"], known.place
            )
        return parameters

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        """See `services.inference.model.Model.forecast`; NaN below five epochs."""
        return self.issue(parameters, known)[0]

    def issue(self, parameters: Parameters, known: Known) -> tuple[Path, Filtered]:
        """The forecast, and the filter run behind it."""
        cumulative = self._cumulative(known)
        said = self._filter(parameters, known, cumulative)
        return self._path(parameters, known, cumulative, said), said

    def filtered(self, parameters: Parameters, known: Known) -> Filtered:
        """The residual filter over all epochs, for models that build on this one."""
        return self._filter(parameters, known, self._cumulative(known))

    def daily_rate(self, parameters: Parameters, known: Known) -> Floats:
        """Expected LOS rate, mm/d, on day .. day + 30, (31, S); NaN where nothing was measured.

        The sum of rows 1 to h is the increment of the forecast over h days.
        """
        said = self.filtered(parameters, known)
        walk = _walk(parameters)
        ahead = _carried(said, walk)
        steps = np.diff(np.stack([state.displacement_mm for state in ahead]), axis=0)
        residual = np.concatenate([ahead[0].velocity_mm_d[None], steps])
        return np.asarray(said.rate_ahead_mm_d + residual)

    def _cumulative(self, known: Known) -> Floats:
        if not self._design.columns:
            return np.zeros((*known.drivers.rain_mm.shape, 0))
        daily = hydrology.daily(known.drivers)[..., self._design.columns]
        return np.asarray(np.cumsum(daily, axis=0))

    def _filter(self, parameters: Parameters, known: Known, cumulative: Floats) -> Filtered:
        coefficients, scale = parameters["coefficients"], parameters["scale"]
        value, variance = residual_filter.observations(known)
        explained, ahead = hydrology.explained(cumulative, coefficients, known)
        rates, ahead = np.diff(ahead, axis=0), ahead[1:]
        made = residual_filter.run(
            known.epoch_day,
            value - explained,
            variance * scale,
            _walk(parameters),
            self._design.slips,
        )
        return Filtered(
            run=made,
            explained_mm=explained,
            ahead_mm=ahead,
            rate_ahead_mm_d=rates,
            age_d=(known.day - known.epoch_day[-1]).astype(float),
            measured=np.isfinite(value).sum(axis=0),
        )

    def _path(
        self, parameters: Parameters, known: Known, cumulative: Floats, said: Filtered
    ) -> Path:
        states = _carried(said, _walk(parameters))
        displacement = np.stack([state.displacement_mm for state in states])
        variance = np.stack([state.var_displacement for state in states])
        variance += _response_variance(parameters["covariance"], known, cumulative)
        variance += parameters["driver_sd_mm"] ** 2
        speaks = said.measured >= FEWEST_EPOCHS
        return Path(
            np.where(speaks, displacement + said.ahead_mm + said.run.lost_mm[-1], np.nan),
            np.where(speaks, np.sqrt(variance), np.nan),
        )

    def _regress(self, known: Known, cumulative: Floats) -> dict[str, Floats]:
        """Rounds of fitting on values with the lost cycles given back, and telling them anew."""
        value, variance = residual_filter.observations(known)
        everyone = np.arange(known.series)
        _, group = np.unique(known.place, return_inverse=True)
        few = _representatives(value, group, self._design.series_per_place)
        slips = self._design.slips
        careful = slips._replace(reluctance=_FIRST_RELUCTANCE * slips.reluctance)
        first = residual_filter.run(known.epoch_day, value, variance, _FIRST_WALK, careful)
        lost = first.lost_mm
        for _ in range(self._design.rounds):
            mended = value - lost

            def samples(series: Ints, mended: Floats = mended) -> Samples:
                columns = hydrology.at_epochs(cumulative, known, series)
                days = known.epoch_day[:, series]
                return Samples(days, mended[:, series], variance[:, series], columns)

            chosen = transfer_regression.choose(samples(few), group[few], self._design.candidates)
            choice = Choice(*(part[group] for part in chosen))
            parts = [everyone[at : at + _CHUNK] for at in range(0, known.series, _CHUNK)]
            fits = [
                transfer_regression.fit(samples(part), Choice(*(c[part] for c in choice)))
                for part in parts
            ]
            coefficients, covariance, scale, _ = (
                np.concatenate(pieces) for pieces in zip(*fits, strict=True)
            )
            parameters = {
                "coefficients": coefficients,
                "covariance": covariance.astype(np.float32),
                "scale": scale,
                "decay": choice.decay,
                "intensity": choice.intensity * scale,
            }
            lost = self._filter(parameters, known, cumulative).run.lost_mm
        return parameters


def _walk(parameters: Parameters) -> Walk:
    return residual_filter.stationary(parameters["intensity"], parameters["decay"])


def _carried(said: Filtered, walk: Walk) -> list[TrendState]:
    """The residual on day .. day + 30."""
    return [
        residual_filter.carry(said.run.state, residual_filter.step(walk, said.age_d + ahead))
        for ahead in range(FURTHEST_D + 1)
    ]


def _response_variance(covariance: Floats, known: Known, cumulative: Floats) -> Floats:
    """Variance (mm^2) of the response between the last epoch and day .. day + 30, (31, S)."""
    rows = known.epoch_day[-1] - known.drivers.first_day
    now = known.day - known.drivers.first_day
    flat = covariance.reshape(len(covariance), -1)
    result = np.empty((FURTHEST_D + 1, known.series))
    keys, member = np.unique(np.stack([known.place, rows]), axis=1, return_inverse=True)
    for number, (place, row) in enumerate(keys.T):
        series = np.nonzero(member == number)[0]
        moved = cumulative[now : now + FURTHEST_D + 1, place] - cumulative[max(row, 0), place]
        products = (moved[:, :, None] * moved[:, None, :]).reshape(len(moved), -1)
        result[:, series] = products @ flat[series].T
    return np.maximum(result, 0.0)


def _representatives(value_mm: Floats, group: Ints, most: int) -> Ints:
    """Up to `most` series a group, evenly among those with most epochs first."""
    count = np.isfinite(value_mm).sum(axis=0)
    chosen: list[Ints] = []
    for one in range(int(group.max(initial=-1)) + 1):
        series = np.nonzero(group == one)[0]
        full = series[count[series] >= np.median(count[series])]
        chosen.append(full[np.unique(np.linspace(0, full.size - 1, most).astype(np.int64))])
    return np.concatenate(chosen)
