"""What an epoch shows beyond what creep, season, rain and level explain.

Displacement of a slope unit is taken to be

    d(t) = sum_i b_i C_i(t) + x(t),    C_i(t) = cumulative feature i of `hydrology`,

where x is the integral of a rate that forgets (`residual_filter`): the *excess*. Observations and
cumulative features pass one filter; innovations are regressed on innovations one epoch after the
other, so that after each epoch coefficients and excess are those of exact least squares given what
came by then (recursive least squares: R. L. Plackett, Biometrika 37 (1950) 149-157; the augmented
Kalman filter: P. de Jong, Annals of Statistics 19 (1991) 1073-1083). An innovation is standardised
by its own variance, the uncertainty of the coefficients included, and by the scale that earlier
innovations of the same unit showed.

The arithmetic is elementwise over units and adds in a fixed order: a unit's figures do not depend
on which others are in the batch, by one bit.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from core.evidence import Floats
from core.kalman import TrendState, update
from core.kinematics import ACCELERATION_LAG_DAYS
from services.inference.known import Flags, Ints
from services.inference.numerics import residual_filter
from services.inference.numerics.residual_filter import Step

WALK = residual_filter.stationary(2e-4, 0.015)
"""Of the excess: intensity in mm^2/d^3, decay in 1/d (a memory of some two months)."""
COEFFICIENT_SD_MM_D = 0.3
STEADY_SD_MM_D = 1.0
"""Prior of the coefficients, mm/d along the line of sight per unit of a feature."""
TRUST = 20.0
"""Epochs that the stated variances are worth against what innovations show."""
MOST_SURPRISE = 3.0
"""A larger standardised innovation counts as this for the scale: a runaway must not widen it."""


class Series(NamedTuple):
    """S units over K epochs: all (K, S), or (K, S, F) by feature.

    `epoch_day` ascends (padding repeats the last day). `observed_mm` and `sd_mm`: what the unit
    filter was given; NaN where nothing. `begins`: the unit filter began at this epoch, for the
    first time or anew, so that displacement before it says nothing of the zero after it.
    `features`: on the epoch's day, and `cumulative` up to it, as in `hydrology.FEATURES`.
    """

    epoch_day: Ints
    observed_mm: Floats
    sd_mm: Floats
    begins: Flags
    features: Floats
    cumulative: Floats


class Conditioned(NamedTuple):
    """After each epoch, (K, S); NaN where nothing can be said. Rates are mm/d, LOS."""

    z: Floats
    expected_mm_d: Floats
    excess_mm_d: Floats
    excess_sd_mm_d: Floats


class _Learner(NamedTuple):
    """State after an epoch. `excess` filters the observations as if no feature explained them."""

    excess: TrendState
    swept_mm: Floats
    """(F, S) the same filter run over the cumulative features: displacement, and rate."""
    swept_mm_d: Floats
    mean: Floats
    """(F, S) coefficients, mm/d."""
    covariance: Floats
    """(F, F, S)."""
    misfit: Floats
    told: Floats


class _Epoch(NamedTuple):
    """One epoch of `Series`."""

    observed_mm: Floats
    variance_mm2: Floats
    begins: Flags
    features: Floats
    cumulative: Floats


class Run(NamedTuple):
    """A series that was filtered, its figures after each epoch, and where the filter stands."""

    series: Series
    said: tuple[tuple[Floats, ...], ...]
    learner: _Learner


def conditioned(series: Series) -> Conditioned:
    """Filter S units; each epoch's figures come from it and the epochs before it alone."""
    return _table(_run(series, None), series)


class Memory:
    """The last run of some series by name: one that goes on where it ended is not run again.

    It never changes an answer: a series that differs from the last one by a bit begins anew.
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._kept: OrderedDict[str, Run] = OrderedDict()

    def conditioned(self, name: str, series: Series) -> Conditioned:
        """As the function of this name."""
        before = self._kept.pop(name, None)
        run = _run(series, before if before and _goes_on(before.series, series) else None)
        self._kept[name] = run
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return _table(run, series)


def _goes_on(before: Series, after: Series) -> bool:
    rows = len(before.epoch_day)
    return all(
        new.shape[1:] == old.shape[1:] and np.array_equal(new[:rows], old, equal_nan=True)
        for old, new in zip(before, after, strict=True)
    )


def _run(series: Series, before: Run | None) -> Run:
    gaps = np.diff(series.epoch_day, axis=0, prepend=series.epoch_day[:1])
    moves = residual_filter.step(WALK, gaps)
    epochs, units, features = series.cumulative.shape
    learner, said = (before.learner, before.said) if before else (_begin(units, features), ())
    rows = list(said)
    for row in range(len(said), epochs):
        epoch = _Epoch(
            series.observed_mm[row],
            np.where(np.isfinite(series.sd_mm[row]), series.sd_mm[row], 1.0) ** 2,
            series.begins[row],
            np.ascontiguousarray(series.features[row].T),
            np.ascontiguousarray(series.cumulative[row].T),
        )
        learner, z = _advance(learner, Step(*(part[row] for part in moves)), epoch)
        rows.append((z, *_excess(learner, epoch.features)))
    return Run(series, tuple(rows), learner)


def _table(run: Run, series: Series) -> Conditioned:
    if not run.said:
        nothing = np.full(series.observed_mm.shape, np.nan)
        return Conditioned(nothing, nothing, nothing, nothing)
    return Conditioned(*(np.stack(column) for column in zip(*run.said, strict=True)))


def change_of(excess_mm_d: Floats, sd_mm_d: Floats, epoch_day: Ints) -> tuple[Floats, Floats]:
    """Change of the excess since the last epoch at least 36 days before, a day: (K, S) mm/d^2.

    NaN where the series does not reach back. The sd takes both rates as independent, which is an
    upper bound: errors of a rate last.
    """
    since = last_before(epoch_day, ACCELERATION_LAG_DAYS)
    there, at = since >= 0, np.maximum(since, 0)
    then, before, sd_before = (
        np.take_along_axis(part, at, axis=0) for part in (epoch_day, excess_mm_d, sd_mm_d)
    )
    days = np.where(there, epoch_day - then, 1)
    change = np.where(there, (excess_mm_d - before) / days, np.nan)
    sd = np.where(there, np.sqrt(sd_mm_d**2 + sd_before**2) / days, np.nan)
    return change, sd


def last_before(epoch_day: Ints, days: float) -> Ints:
    """Row of the last epoch at least `days` before each, (K, S); -1 where there is none."""
    rows = np.empty(epoch_day.shape, np.int64)
    for unit, day in enumerate(epoch_day.T):
        rows[:, unit] = np.searchsorted(day, day - days, side="right") - 1
    return rows


def _begin(units: int, features: int) -> _Learner:
    prior = np.full((features, units), COEFFICIENT_SD_MM_D**2)
    prior[:1] = STEADY_SD_MM_D**2
    covariance = np.zeros((features, features, units))
    covariance[np.arange(features), np.arange(features)] = prior
    nothing = np.zeros((features, units))
    trust = np.full(units, TRUST)
    return _Learner(_unstarted(units), nothing, nothing, nothing, covariance, trust, trust)


def _unstarted(units: int) -> TrendState:
    nothing = np.full(units, np.nan)
    variance = np.full(units, float(WALK.start_sd) ** 2)
    return TrendState(nothing, nothing, nothing, nothing, variance)


def _advance(before: _Learner, move: Step, epoch: _Epoch) -> tuple[_Learner, Floats]:
    """Take one epoch in; also its standardised innovation (S,), NaN where there is none."""
    excess = residual_filter.carry(before.excess, move)
    fresh = _unstarted(epoch.observed_mm.size)
    excess = TrendState(*(np.where(epoch.begins, n, o) for n, o in zip(fresh, excess, strict=True)))
    swept = np.where(epoch.begins, 0.0, before.swept_mm + move.reach * before.swept_mm_d)
    swept_rate = np.where(epoch.begins, 0.0, before.swept_mm_d * move.kept)
    first = np.isnan(excess.displacement_mm) & np.isfinite(epoch.observed_mm)
    excess, said = update(excess, epoch.observed_mm, epoch.variance_mm2)
    told = np.isfinite(said.value_mm)
    new = np.where(told, epoch.cumulative - swept, 0.0)
    gain, gain_rate = (np.where(told, g, 0.0) for g in (said.gain_displacement, said.gain_velocity))
    learner, z = _learn(before, new, said.value_mm, said.variance_mm2, told)
    return learner._replace(
        excess=excess,
        swept_mm=np.where(first, epoch.cumulative, swept + gain * new),
        swept_mm_d=swept_rate + gain_rate * new,
    ), z


def _learn(
    before: _Learner, new: Floats, innovation: Floats, variance: Floats, told: Flags
) -> tuple[_Learner, Floats]:
    """Coefficients after one innovation; `new` (F, S) are those of the features."""
    surprise = np.where(told, innovation - _dot(new, before.mean), 0.0)
    spread = _times(before.covariance, new)
    total = np.where(told, variance, 1.0) + _dot(new, spread)
    gain = spread / total
    z = surprise / np.sqrt(total)
    scale = np.sqrt(before.misfit / before.told)
    counted = np.clip(z, -MOST_SURPRISE * scale, MOST_SURPRISE * scale)
    learned = before._replace(
        mean=np.where(told, before.mean + gain * surprise, before.mean),
        covariance=np.where(told, before.covariance - gain[:, None] * spread, before.covariance),
        misfit=np.where(told, before.misfit + counted**2, before.misfit),
        told=np.where(told, before.told + 1.0, before.told),
    )
    return learned, np.where(told, z / scale, np.nan)


def _excess(learner: _Learner, features: Floats) -> tuple[Floats, Floats, Floats]:
    """Expected rate, excess rate and the sd of the latter, (S,) each."""
    begun = ~np.isnan(learner.excess.displacement_mm)
    rate = learner.excess.velocity_mm_d - _dot(learner.swept_mm_d, learner.mean)
    shared = _dot(learner.swept_mm_d, _times(learner.covariance, learner.swept_mm_d))
    scale = learner.misfit / learner.told
    sd = np.sqrt(np.maximum(learner.excess.var_velocity + shared, 0.0) * scale)
    expected = _dot(features, learner.mean)
    return tuple(np.where(begun, one, np.nan) for one in (expected, rate, sd))  # type: ignore[return-value]


def _dot(left: Floats, right: Floats) -> Floats:
    """Sum over features of (F, S) by (F, S), in their order."""
    total = np.zeros(left.shape[-1])
    for one, other in zip(left, right, strict=True):
        total = total + one * other
    return total


def _times(matrix: Floats, vector: Floats) -> Floats:
    """(F, F, S) times (F, S), added in the order of the features."""
    total = np.zeros(vector.shape)
    for column, one in zip(np.swapaxes(matrix, 0, 1), vector, strict=True):
        total = total + column * one
    return total
