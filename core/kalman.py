"""Local linear trend filter with exact time steps, batched over points.

The state of a point is its displacement (mm) and its velocity (mm/d). Velocity is a random walk
of intensity q (mm^2/d^3) and displacement its integral, plus an optional random walk of the level
itself. All functions are pure and elementwise: inputs broadcast, any number of leading batch
dimensions is allowed, and any array of the Python array API will do (NumPy, PyTorch, ...).

Sign: displacement along the line of sight is positive toward the satellite.

Sources: Y. Bar-Shalom, X. R. Li and T. Kirubarajan, Estimation with Applications to Tracking and
Navigation (2001), sections 5.2 and 6.2 (filter, continuous white-noise acceleration model);
A. C. Harvey, Forecasting, Structural Time Series Models and the Kalman Filter (1989), section 2.3
(local linear trend) and 9.1 (unequal time steps).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

from array_api_compat import array_namespace

from core.errors import BadInputError

Array: TypeAlias = Any
"""An array of any namespace that follows the Python array API."""


class TrendState(NamedTuple):
    """Mean and covariance of (displacement, velocity) for a batch of points.

    All five arrays have one shape. A row that has not started has NaN everywhere except in
    `var_velocity`, which keeps the prior its velocity will start with.
    """

    displacement_mm: Array
    velocity_mm_d: Array
    var_displacement: Array
    """Variance of the displacement, mm^2."""
    cov_displacement_velocity: Array
    """Covariance of displacement and velocity, mm^2/d."""
    var_velocity: Array
    """Variance of the velocity, mm^2/d^2."""


class Innovation(NamedTuple):
    """What one observation said beyond the prediction.

    Where there was no observation the value and its variance are NaN and both gains are 0. Where
    a row starts, or has not started, everything is NaN.
    """

    value_mm: Array
    """Observed minus predicted displacement."""
    variance_mm2: Array
    """Predicted variance of that difference: state plus observation."""
    gain_displacement: Array
    """Kalman gain of the displacement, without unit."""
    gain_velocity: Array
    """Kalman gain of the velocity, 1/d."""


class ErrorTransition(NamedTuple):
    """The 2x2 matrix A that carries the filter's error from one time to a later one.

    error(t) = A error(s) + noise that is independent of error(s), so Cov(error(t), error(s)) is
    A P(s). Entry `ab` carries the error of b into the error of a (d displacement, v velocity).
    """

    dd: Array
    dv: Array
    vd: Array
    vv: Array


def start(
    displacement_mm: Array, variance_mm2: Array | float, *, velocity_sd_mm_d: float = 1.0
) -> TrendState:
    """Begin at a first observation with velocity 0 +- `velocity_sd_mm_d`.

    `displacement_mm` (...,) may hold NaN: that row has not started and waits for its first
    observation. `variance_mm2` broadcasts against it. A prior much below 1 mm/d makes the filter
    blind to fast slopes for its first months.
    """
    xp = array_namespace(displacement_mm)
    absent = xp.isnan(displacement_mm)
    zero = xp.zeros_like(displacement_mm)
    nothing = xp.full_like(displacement_mm, math.nan)
    return TrendState(
        displacement_mm=displacement_mm,
        velocity_mm_d=xp.where(absent, nothing, zero),
        var_displacement=xp.where(absent, nothing, zero + variance_mm2),
        cov_displacement_velocity=xp.where(absent, nothing, zero),
        var_velocity=zero + velocity_sd_mm_d**2,
    )


def predict(
    state: TrendState,
    dt_days: Array | float,
    rate_walk_mm2_d3: Array | float,
    level_walk_mm2_d: Array | float = 0.0,
) -> TrendState:
    """Carry the state over `dt_days` without an observation.

    With F = [[1, dt], [0, 1]], P becomes F P F' + q [[dt^3/3, dt^2/2], [dt^2/2, dt]] + l dt e e',
    where q is `rate_walk_mm2_d3`, l is `level_walk_mm2_d` and e = (1, 0). This is the exact
    discretisation, so two steps a and b equal one step a + b. The three numbers may be arrays that
    broadcast to the state's shape. Rows that have not started come back unchanged.

    Raises BadInputError for a time step or a walk that is negative or NaN.
    """
    xp = array_namespace(*state)
    if not _never_negative(dt_days):
        raise BadInputError("The filter cannot step back in time; fold from a checkpoint instead.")
    if not (_never_negative(rate_walk_mm2_d3) and _never_negative(level_walk_mm2_d)):
        raise BadInputError("The intensity of a random walk must be zero or more.")
    d, v, pdd, pdv, pvv = state
    dt, q = dt_days, rate_walk_mm2_d3
    growth = (q * dt * dt / 3.0 + level_walk_mm2_d) * dt
    return TrendState(
        displacement_mm=d + v * dt,
        velocity_mm_d=v,
        var_displacement=pdd + (2.0 * pdv + pvv * dt) * dt + growth,
        cov_displacement_velocity=pdv + pvv * dt + q * dt * dt / 2.0,
        var_velocity=xp.where(xp.isnan(d), pvv, pvv + q * dt),
    )


def update(
    state: TrendState, observed_mm: Array, variance_mm2: Array | float
) -> tuple[TrendState, Innovation]:
    """Take in one observation of the displacement per row.

    `observed_mm` has the state's shape; `variance_mm2` broadcasts. A row whose observation or
    variance is not finite has no observation and keeps its state bitwise. A row that has not
    started starts here: displacement and variance of the observation, velocity 0 with the prior
    variance it was given by `start`.

    With S = P_dd + r and the Schur complement s = P_vv - P_dv^2 / P_dd, the new covariance is
    P_dd r / S, P_dv r / S and s + (P_dv^2 / P_dd) r / S: the Joseph form without its
    subtractions; its determinant is P_dd s r / S, so it stays positive semidefinite.

    Raises BadInputError for a negative variance.
    """
    xp = array_namespace(*state, observed_mm)
    d, _, pdd, pdv, pvv = state
    zero, one = xp.zeros_like(d), xp.ones_like(d)
    r = zero + variance_mm2
    if bool(xp.any(r < 0)):
        raise BadInputError("An observation has a negative variance.")
    seen = xp.isfinite(observed_mm) & xp.isfinite(r)
    r = xp.where(seen, r, one)
    absent = xp.isnan(d)
    ongoing, begins = seen & ~absent, seen & absent
    total = pdd + r
    share = xp.where(total > 0, total, one)
    value = xp.where(seen, observed_mm, d) - d
    innovation = Innovation(value, total, pdd / share, pdv / share)
    moved = _corrected(state, innovation, r / share)
    begun = TrendState(observed_mm, zero, r, zero, pvv)
    after = TrendState(
        *(
            xp.where(ongoing, new, xp.where(begins, first, old))
            for new, first, old in zip(moved, begun, state, strict=True)
        )
    )
    nothing = xp.full_like(d, math.nan)
    idle = xp.where(absent, nothing, xp.zeros_like(d))
    return after, Innovation(
        value_mm=xp.where(ongoing, innovation.value_mm, nothing),
        variance_mm2=xp.where(ongoing, innovation.variance_mm2, nothing),
        gain_displacement=xp.where(ongoing, innovation.gain_displacement, idle),
        gain_velocity=xp.where(ongoing, innovation.gain_velocity, idle),
    )


def _never_negative(value: Array | float) -> bool:
    """Whether every entry is zero or more; NaN is not."""
    if isinstance(value, int | float):
        return value >= 0
    return bool(array_namespace(value).all(value >= 0))


def _corrected(state: TrendState, innovation: Innovation, rest: Array) -> TrendState:
    """State after the observation; `rest` is r / S, what the observation leaves of P_dd."""
    xp = array_namespace(rest)
    d, v, pdd, pdv, pvv = state
    value, _, gain_d, gain_v = innovation
    explained = pdv * pdv / xp.where(pdd > 0, pdd, xp.ones_like(pdd))
    free = pvv - explained
    free = xp.where(free > 0, free, xp.zeros_like(free))
    return TrendState(
        displacement_mm=d + gain_d * value,
        velocity_mm_d=v + gain_v * value,
        var_displacement=pdd * rest,
        cov_displacement_velocity=pdv * rest,
        var_velocity=free + explained * rest,
    )


def transition(dt_days: Array | float, innovation: Innovation) -> ErrorTransition:
    """How one predict over `dt_days` and the update that gave `innovation` carry the error.

    (I - K H) F = [[1 - k_d, (1 - k_d) dt], [-k_v, 1 - k_v dt]]. Where the row had no observation
    this is F alone; where the row started it is NaN, since no earlier error exists.
    """
    kept = 1.0 - innovation.gain_displacement
    lost = -innovation.gain_velocity
    return ErrorTransition(dd=kept, dv=kept * dt_days, vd=lost, vv=1.0 + lost * dt_days)


def prediction_transition(dt_days: Array) -> ErrorTransition:
    """How a predict over `dt_days` (an array) without an observation carries the error: F."""
    xp = array_namespace(dt_days)
    one = xp.ones_like(dt_days)
    return ErrorTransition(dd=one, dv=dt_days, vd=xp.zeros_like(dt_days), vv=one)


def compose(later: ErrorTransition, earlier: ErrorTransition) -> ErrorTransition:
    """The matrix product `later` @ `earlier`: first `earlier` acts, then `later`."""
    return ErrorTransition(
        dd=later.dd * earlier.dd + later.dv * earlier.vd,
        dv=later.dd * earlier.dv + later.dv * earlier.vv,
        vd=later.vd * earlier.dd + later.vv * earlier.vd,
        vv=later.vd * earlier.dv + later.vv * earlier.vv,
    )


def lagged_velocity_covariance(earlier: TrendState, passage: ErrorTransition) -> Array:
    """Covariance (mm^2/d^2) of the velocity errors at an earlier time s and a later time t.

    `passage` is the composed transition of every step from s to t. The result is the velocity
    entry of A P(s).
    """
    return passage.vd * earlier.cov_displacement_velocity + passage.vv * earlier.var_velocity


def difference_variance(earlier: TrendState, later: TrendState, passage: ErrorTransition) -> Array:
    """Error variance (mm^2/d^2) of the change of velocity, later minus earlier.

    P_vv(t) + P_vv(s) - 2 Cov(v(t), v(s)): exact for the two filtered velocities, each with the
    data known at its own time. Never negative: rounding below zero is cut.
    """
    xp = array_namespace(*earlier, *later)
    shared = lagged_velocity_covariance(earlier, passage)
    variance = later.var_velocity + earlier.var_velocity - 2.0 * shared
    return xp.where(variance < 0, xp.zeros_like(variance), variance)
