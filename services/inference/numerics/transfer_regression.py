"""Regression of displacement on cumulative hydrology, with a forgetting rate as its error.

Exact generalised least squares: observations and cumulative features pass the same filter, and
innovations are regressed on innovations (see `residual_filter`). The coefficients have the prior
N(0, s^2 T^2), where T is `tightness` in mm/d (the steady rate has 1 mm/d), and the scale s^2 of
all noise an inverse gamma prior of `TRUST` observations around 1, so that the marginal likelihood
is a Student t in closed form (A. Zellner, An Introduction to Bayesian Inference in Econometrics,
1971, chapter 3). Decay and intensity of the residual rate and the tightness are those of the
largest marginal likelihood, taken together for the series of a place: points of one slope feel
the same water.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from core.evidence import Floats
from services.inference.known import Ints, Known
from services.inference.numerics import hydrology, residual_filter
from services.inference.numerics.cycles import NEVER
from services.inference.numerics.residual_filter import Run, Walk

TRUST = 50.0
"""Observations that the stated standard deviations are worth."""
STEADY_SD_MM_D = 1.0
MOST_NATS = 60.0
INCREMENT_TIGHTNESS = (0.01, 0.03, 0.1, 0.3, 1.0)


class Candidates(NamedTuple):
    """Values among which the marginal likelihood chooses."""

    decay: tuple[float, ...]
    intensity: tuple[float, ...]
    tightness: tuple[float, ...]


class Choice(NamedTuple):
    """One value a series, (S,) each."""

    decay: Floats
    intensity: Floats
    tightness: Floats


class Samples(NamedTuple):
    """Series to fit: days (K, S), values and variances (K, S), cumulative features (K, S, F)."""

    epoch_day: Ints
    value_mm: Floats
    variance_mm2: Floats
    columns: Floats


class Fit(NamedTuple):
    """Posterior of S series."""

    coefficients: Floats
    """(S, F), mm/d per unit of a feature."""
    covariance: Floats
    """(S, F, F), with the noise scale in it."""
    scale: Floats
    """s^2 (S,): by it multiply the variances of the observations and the intensity."""
    log_likelihood: Floats
    """Marginal, (S,), up to a constant that is the same for every candidate."""


class _Normal(NamedTuple):
    """Normal equations of the whitened regression."""

    gram: Floats
    moment: Floats
    square: Floats
    log_variance: Floats
    number: Floats


def fit(samples: Samples, choice: Choice) -> Fit:
    """Posterior under given candidates, one a series."""
    walk = residual_filter.stationary(choice.intensity, choice.decay)
    return _solve(_normal(samples, walk, _filtered(samples, walk)), choice.tightness)


def choose(samples: Samples, group: Ints, candidates: Candidates) -> Choice:
    """The candidates of the largest marginal likelihood, summed over the series of a group.

    No series counts for more than `MOST_NATS` against a candidate, so that one wild series cannot
    decide for its slope.

    Args:
        samples: the series.
        group: (S,) numbers from 0 on; series with one number get one choice.
        candidates: what to choose from.

    Returns:
        One choice a group, (G,) each, G the largest number plus one.
    """
    groups = int(group.max(initial=-1)) + 1
    pairs = list(product(candidates.decay, candidates.intensity))
    each = np.empty((len(pairs), len(candidates.tightness), group.size))
    made = _filtered_with_all(samples, pairs)
    for at, (decay, intensity) in enumerate(pairs):
        normal = _normal(samples, residual_filter.stationary(intensity, decay), made[at])
        for column, tightness in enumerate(candidates.tightness):
            each[at, column] = _solve(normal, np.full(group.size, tightness)).log_likelihood
    flat = each.reshape(-1, group.size)
    flat = np.maximum(flat - flat.max(axis=0), -MOST_NATS)
    best = np.stack([np.bincount(group, one, groups) for one in flat]).argmax(axis=0)
    pair, column = np.unravel_index(best, each.shape[:2])
    decay_intensity = np.array(pairs)[pair]
    return Choice(
        decay_intensity[:, 0], decay_intensity[:, 1], np.array(candidates.tightness)[column]
    )


def _filtered(samples: Samples, walk: Walk) -> Run:
    return residual_filter.run(
        samples.epoch_day, samples.value_mm, samples.variance_mm2, walk, NEVER
    )


def _filtered_with_all(samples: Samples, pairs: list[tuple[float, float]]) -> list[Run]:
    """One run for each pair of decay and intensity, side by side in one pass over the epochs."""
    count = samples.value_mm.shape[1]
    decay, intensity = (np.repeat(column, count) for column in np.array(pairs).T)
    walk = residual_filter.stationary(intensity, decay)
    times = (1, len(pairs))
    made = residual_filter.run(
        np.tile(samples.epoch_day, times),
        np.tile(samples.value_mm, times),
        np.tile(samples.variance_mm2, times),
        walk,
        NEVER,
    )
    *arrays, state = made
    parts = [np.split(part, len(pairs), axis=1) for part in arrays]
    return [Run._make([*part, state]) for part in zip(*parts, strict=True)]


def _normal(samples: Samples, walk: Walk, made: Run) -> _Normal:
    epoch_day, value_mm, _, columns = samples
    told = np.isfinite(made.innovation_mm)
    new = residual_filter.sweep(epoch_day, columns, np.isfinite(value_mm), made, walk)
    variance = np.where(told, made.variance_mm2, 1.0)
    innovation = np.where(told, made.innovation_mm, 0.0)
    weighted = np.moveaxis(new / variance[..., None], 0, 1)
    return _Normal(
        gram=np.swapaxes(weighted, 1, 2) @ np.moveaxis(new, 0, 1),
        moment=(np.swapaxes(weighted, 1, 2) @ innovation.T[..., None])[..., 0],
        square=(innovation**2 / variance).sum(axis=0),
        log_variance=np.log(variance).sum(axis=0),
        number=told.sum(axis=0).astype(float),
    )


def _solve(normal: _Normal, tightness: Floats) -> Fit:
    features = normal.moment.shape[1]
    prior_sd = np.repeat(tightness[:, None], features, axis=1)
    prior_sd[:, :1] = STEADY_SD_MM_D
    # In units of the prior the matrix is I + something: well conditioned where nothing is known.
    matrix = normal.gram * prior_sd[:, :, None] * prior_sd[:, None, :] + np.eye(features)
    inverse = np.linalg.inv(matrix) * prior_sd[:, :, None] * prior_sd[:, None, :]
    coefficients = (inverse @ normal.moment[..., None])[..., 0]
    misfit = np.maximum(normal.square - (normal.moment * coefficients).sum(axis=1), 0.0)
    scale = (TRUST + misfit) / (TRUST + normal.number)
    log_likelihood = -0.5 * (
        (TRUST + normal.number) * np.log(TRUST + misfit)
        + normal.log_variance
        + np.linalg.slogdet(matrix)[1]
    )
    return Fit(coefficients, inverse * scale[:, None, None], scale, log_likelihood)


def of_increments(known: Known, cumulative: Floats) -> Floats:
    """Coefficients (S, F) of a ridge regression of increments between consecutive epochs.

    An increment weighs by the variances of its two epochs. The tightness is chosen for each place.
    """
    value, variance = residual_filter.observations(known)
    _, group = np.unique(known.place, return_inverse=True)
    normals = [
        _of_increments(known, cumulative, value, variance, np.nonzero(group == place)[0])
        for place in range(int(group.max(initial=-1)) + 1)
    ]
    coefficients = np.empty((known.series, cumulative.shape[-1]))
    for place, normal in enumerate(normals):
        fits = [_solve(normal, np.full(normal.number.size, t)) for t in INCREMENT_TIGHTNESS]
        best = max(fits, key=lambda one: float(one.log_likelihood.sum()))
        coefficients[group == place] = best.coefficients
    return coefficients


def _of_increments(
    known: Known, cumulative: Floats, value: Floats, variance: Floats, series: Ints
) -> _Normal:
    """Normal equations of increments, row to row: a gap in a series gives two rows without one."""
    columns = np.diff(hydrology.at_epochs(cumulative, known, series), axis=0)
    change = np.diff(value[:, series], axis=0)
    told = np.isfinite(change)
    noise = np.where(told, variance[1:, series] + variance[:-1, series], 1.0)
    change = np.where(told, change, 0.0)
    weighted = np.moveaxis(columns * (told / noise)[..., None], 0, 1)
    return _Normal(
        gram=np.swapaxes(weighted, 1, 2) @ np.moveaxis(columns, 0, 1),
        moment=(np.swapaxes(weighted, 1, 2) @ change.T[..., None])[..., 0],
        square=(change**2 / noise).sum(axis=0),
        log_variance=np.log(noise).sum(axis=0),
        number=told.sum(axis=0).astype(float),
    )
