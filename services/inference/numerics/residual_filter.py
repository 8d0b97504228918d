"""Kalman filter of displacement series whose rate forgets: the residual process of the models.

The rate r of a series returns to zero with decay k (1/d) and is driven by white noise of
intensity q (mm^2/d^3); displacement is its integral. With k = 0 the rate is a random walk and the
process is the local linear trend of `core.kalman`. Over h days, with x = k h,

    r -> e^-x r,    d -> d + (1 - e^-x) / k r,

and the noise covariance is the exact integral over the step, so two steps a and b equal one a + b
(G. E. Uhlenbeck and L. S. Ornstein, On the theory of the Brownian motion, 1930; the integrated
process in this form: D. T. Gillespie, Phys. Rev. E 54, 2084, 1996).

Gains do not depend on the values, so any regressor can be carried through the same filter: the
regression of innovations on innovations is generalised least squares with these errors
(A. C. Harvey, Forecasting, Structural Time Series Models and the Kalman Filter, 1989, section 3.4).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.evidence import Floats
from core.kalman import TrendState, start, update
from services.inference.known import Flags, Ints, Known
from services.inference.numerics import cycles
from services.inference.numerics.cycles import Slips

LEAST_VARIANCE_MM2 = 0.01
WILDEST_MM = 1e6
"""A value beyond a kilometre is no displacement."""
_NO_DECAY = 1e-9
"""A slower decay, 1/d, is none: a memory of millions of years."""
_SERIES_BELOW = 0.05
"""Below this x the exact variance loses digits and its power series is used."""


class Walk(NamedTuple):
    """Noise of the rate: arrays that broadcast to the batch, or numbers."""

    intensity: Floats | float
    """q, mm^2/d^3, zero or more."""
    decay: Floats | float
    """k, 1/d, zero or more; 0 is a random walk."""
    start_sd: Floats | float = 1.0
    """Standard deviation of the rate at the first epoch, mm/d."""


class Step(NamedTuple):
    """What h days do to state and covariance; entries broadcast to the batch."""

    reach: Floats
    """Days' worth of today's rate: (1 - e^-x) / k."""
    kept: Floats
    """Share of the rate that is left: e^-x."""
    noise_dd: Floats
    noise_dr: Floats
    noise_rr: Floats


class Run(NamedTuple):
    """A filter run over K epochs of S series, and the state after each series' last row.

    NaN innovations and gains of 0 where nothing was measured or a series begins.
    """

    innovation_mm: Floats
    variance_mm2: Floats
    gain_displacement: Floats
    gain_rate: Floats
    lost_mm: Floats
    """(K, S) displacement that whole cycles had taken by then; add it to the state to be on the
    zero of the observations."""
    state: TrendState


def observations(known: Known) -> tuple[Floats, Floats]:
    """Values (mm) and variances (mm^2) to filter, (K, S): NaN and 1 where nothing usable is."""
    usable = np.isfinite(known.los_mm) & np.isfinite(known.sd_mm)
    usable &= np.abs(np.where(usable, known.los_mm, 0.0)) < WILDEST_MM
    usable &= np.where(usable, known.sd_mm, 0.0) < WILDEST_MM
    sd = np.where(usable, known.sd_mm, 1.0)
    value = np.where(usable, known.los_mm, np.nan)
    # One memory layout: sums must not depend on how a record stores its epochs.
    return np.ascontiguousarray(value), np.ascontiguousarray(np.maximum(sd**2, LEAST_VARIANCE_MM2))


def stationary(intensity: Floats | float, decay: Floats | float, free_sd: float = 1.0) -> Walk:
    """A walk whose rate starts as uncertain as it is in the long run; `free_sd` with no decay."""
    q, k = np.asarray(intensity, float), np.asarray(decay, float)
    forgets = k > _NO_DECAY
    return Walk(q, k, np.where(forgets, np.sqrt(q / (2 * np.where(forgets, k, 1.0))), free_sd))


def step(walk: Walk, days: npt.ArrayLike) -> Step:
    """The exact transition over `days` (0 or more)."""
    h = np.asarray(days, float)
    k, q = np.asarray(walk.decay, float), np.asarray(walk.intensity, float)
    x = k * h
    forgets = k > _NO_DECAY
    safe = np.where(forgets, k, 1.0)
    lost = -np.expm1(-x)
    reach = np.where(forgets, lost / safe, h)
    return Step(
        reach=reach,
        kept=1.0 - lost,
        noise_dd=q * h**3 * _growth(x),
        noise_dr=q * reach**2 / 2.0,
        noise_rr=q * np.where(forgets, -np.expm1(-2 * x) / (2 * safe), h),
    )


def _growth(x: Floats) -> Floats:
    """(x - 2 (1 - e^-x) + (1 - e^-2x) / 2) / x^3: 1/3 at 0."""
    few = np.minimum(x, _SERIES_BELOW)
    series = 1 / 3 + few * (-1 / 4 + few * (7 / 60 + few * (-1 / 24 + few * 31 / 2520)))
    many = np.maximum(x, _SERIES_BELOW)
    exact = (many + 2 * np.expm1(-many) - np.expm1(-2 * many) / 2) / many**3
    return np.asarray(np.where(x < _SERIES_BELOW, series, exact))


def carry(state: TrendState, move: Step) -> TrendState:
    """Carry the state over one step without an observation."""
    d, r, pdd, pdr, prr = state
    begun = ~np.isnan(d)
    return TrendState(
        displacement_mm=d + move.reach * r,
        velocity_mm_d=r * move.kept,
        var_displacement=pdd + (2 * pdr + move.reach * prr) * move.reach + move.noise_dd,
        cov_displacement_velocity=(pdr + move.reach * prr) * move.kept + move.noise_dr,
        var_velocity=np.where(begun, move.kept**2 * prr + move.noise_rr, prr),
    )


def run(
    epoch_day: Ints, observed_mm: Floats, variance_mm2: Floats, walk: Walk, slips: Slips
) -> Run:
    """Filter series along their first axis, giving back whole cycles that the radar lost.

    Args:
        epoch_day: (K, S), ascending along each series.
        observed_mm: (K, S); NaN where nothing was measured.
        variance_mm2: (K, S) of those observations.
        walk: noise of the rate; broadcasts to (S,).
        slips: how lost cycles are told; `cycles.NEVER` takes the values as they are.
    """
    shape = observed_mm.shape
    new = [np.full(shape, np.nan), np.full(shape, np.nan), *(np.zeros(shape) for _ in range(3))]
    value, variance, gain_d, gain_r, lost_mm = new
    free_sd: Floats = np.broadcast_to(np.asarray(walk.start_sd, float), shape[1:])
    state = start(np.full(shape[1:], np.nan), 1.0, velocity_sd_mm_d=free_sd)  # type: ignore[arg-type]
    moves = _moves(walk, epoch_day)
    lost: Floats = np.zeros(shape[1:])
    for row in range(shape[0]):
        state = carry(state, Step(*(part[row] for part in moves)))
        surprise = observed_mm[row] - lost - state.displacement_mm
        lost = lost + cycles.slipped(surprise, state.var_displacement + variance_mm2[row], slips)
        state, said = update(state, observed_mm[row] - lost, variance_mm2[row])
        value[row], variance[row] = said.value_mm, said.variance_mm2
        gain_d[row], gain_r[row] = said.gain_displacement, said.gain_velocity
        lost_mm[row] = lost
    return Run(value, variance, np.nan_to_num(gain_d), np.nan_to_num(gain_r), lost_mm, state)


def sweep(epoch_day: Ints, columns: Floats, measured: Flags, made: Run, walk: Walk) -> Floats:
    """Innovations (K, S, F) of regressors `columns` (K, S, F) under the gains of `made`.

    `measured` (K, S) says where the series had an observation. 0 where there is none and at the
    observation with which a series begins.
    """
    reach, kept = (part[..., None] for part in _moves(walk, epoch_day)[:2])
    first = measured & (np.cumsum(measured, axis=0) == 1)
    later, first = (measured & ~first)[..., None], first[..., None]
    gain_d, gain_r = made.gain_displacement[..., None], made.gain_rate[..., None]
    result = np.zeros_like(columns)
    d, r = np.zeros_like(columns[0]), np.zeros_like(columns[0])
    for row in range(len(columns)):
        d = d + reach[row] * r
        r = r * kept[row]
        result[row] = np.where(later[row], columns[row] - d, 0.0)
        d = np.where(first[row], columns[row], d + gain_d[row] * result[row])
        r = r + gain_r[row] * result[row]
    return result


def _moves(walk: Walk, epoch_day: Ints) -> Step:
    gaps = np.diff(epoch_day, axis=0, prepend=epoch_day[:1])
    return Step(*(np.broadcast_to(part, epoch_day.shape) for part in step(walk, gaps)))
