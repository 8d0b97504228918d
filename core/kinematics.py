"""Rates of motion: velocity, its change, and how sure one is of it.

Velocities are in mm/d inside the service and in mm/yr in reports (a year is 365.25 days). All
functions are pure and elementwise over arrays of any Python array API namespace.

Sources: A. C. Harvey, Forecasting, Structural Time Series Models and the Kalman Filter (1989) for
the trend whose change is taken; T. Fukuzono, Proc. 4th Int. Conf. Landslides (1985) 145-150 for the
inverse velocity; M. M. Shepherd and J. G. Laframboise, Math. Comp. 36 (1981) 249-253 for erfc.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

from array_api_compat import array_namespace

from core.errors import BadInputError
from core.kalman import ErrorTransition, TrendState, difference_variance

Array: TypeAlias = Any
"""An array of any namespace that follows the Python array API."""

DAYS_PER_YEAR = 365.25
ACCELERATION_LAG_DAYS = 36.0
"""Time over which a change of velocity counts as acceleration: three 12-day revisits."""

_ERFC_SHIFT = 3.75
_ERFC_CHEBYSHEV = (
    1.177578934567402,
    -0.004590054580646497,
    -0.0842491333665182,
    0.05920993999819192,
    -0.026658668435305972,
    0.009074997670705194,
    -0.00241316354041757,
    0.0004907758365257504,
    -6.916973302469227e-05,
    4.13902798606283e-06,
    7.740383069472811e-07,
    -2.1886401055235273e-07,
    1.0764999438081217e-08,
    4.521959796689533e-09,
    -7.754404437363807e-10,
    -6.318083973255271e-11,
    2.8687534618459878e-11,
    1.945314458582387e-13,
    -9.654816217432792e-13,
    3.249987268700679e-14,
    3.3258254221481263e-14,
    -1.84485741268022e-15,
    -9.457162617279637e-16,
)
"""Chebyshev coefficients of (1 + 2x) exp(x^2) erfc(x) in (x - 3.75) / (x + 3.75), x >= 0."""


class Acceleration(NamedTuple):
    """Mean rate of change of the velocity over a lag, with its standard deviation."""

    value_mm_d2: Array
    sd_mm_d2: Array


def mm_yr_from_mm_d(velocity_mm_d: Array | float) -> Array:
    """Velocity in mm/yr from mm/d; also for its standard deviation."""
    return velocity_mm_d * DAYS_PER_YEAR


def mm_d_from_mm_yr(velocity_mm_yr: Array | float) -> Array:
    """Velocity in mm/d from mm/yr; also for its standard deviation."""
    return velocity_mm_yr / DAYS_PER_YEAR


def acceleration(
    earlier: TrendState,
    later: TrendState,
    passage: ErrorTransition,
    lag_days: float = ACCELERATION_LAG_DAYS,
) -> Acceleration:
    """Change of velocity from `earlier` to `later`, divided by the `lag_days` between them.

    A local linear trend has no acceleration in its state; this is the difference of two filtered
    velocities. `passage` is the composed error transition from `earlier` to `later`, which gives
    what their errors share. Multiply by `lag_days` for the change in mm/d. NaN where a row had
    not started at `earlier`. Raises BadInputError unless the lag is positive.
    """
    if not lag_days > 0:
        raise BadInputError(f"The lag of an acceleration must be positive, not {lag_days} days.")
    xp = array_namespace(*earlier, *later)
    sd = xp.sqrt(difference_variance(earlier, later, passage))
    change = later.velocity_mm_d - earlier.velocity_mm_d
    sd = xp.where(xp.isnan(change), change, sd)
    return Acceleration(change / lag_days, sd / lag_days)


def inverse_velocity(velocity_mm_d: Array) -> Array:
    """1 / v in d/mm for v > 0; NaN for a point at rest or moving the other way.

    Give the component that is positive in the direction of failure (downslope). For looking at
    only: 1/v of a noisy velocity is heavy-tailed and biased, so no line is fitted to it.
    """
    xp = array_namespace(velocity_mm_d)
    moving = velocity_mm_d > 0
    safe = xp.where(moving, velocity_mm_d, xp.ones_like(velocity_mm_d))
    return xp.where(moving, 1.0 / safe, xp.full_like(safe, math.nan))


def probability_below(mean: Array, sd: Array | float, threshold: Array | float) -> Array:
    """P(X < threshold) of a Gaussian X, to about 1e-14 relative even far out in the tail.

    `mean`, `sd` >= 0 and `threshold` share one unit and broadcast; at least one is an array. With
    sd = 0 it is 1 below the threshold, 0 above and 1/2 on it. NaN goes through.
    """
    return _tail(mean - threshold, sd)


def probability_above(mean: Array, sd: Array | float, threshold: Array | float) -> Array:
    """P(X > threshold) of a Gaussian X; see `probability_below`."""
    return _tail(threshold - mean, sd)


def erfc(x: Array) -> Array:
    """Complementary error function of a real floating array, relative error below 1e-14.

    erfc(x) = exp(-x^2) C((x - 3.75) / (x + 3.75)) / (1 + 2x) for x >= 0, with C a Chebyshev
    series, and 2 - erfc(-x) below; the Python array API has none of its own.
    """
    xp = array_namespace(x)
    # Beyond 40 the result is 0 in double precision; the cut keeps infinity out of the quotient.
    size = xp.abs(x)
    size = xp.where(size > 40.0, xp.full_like(size, 40.0), size)
    twice = 2.0 * (size - _ERFC_SHIFT) / (size + _ERFC_SHIFT)
    above, here = xp.zeros_like(x), xp.zeros_like(x)
    for coefficient in reversed(_ERFC_CHEBYSHEV[1:]):
        above, here = here, twice * here - above + coefficient
    series = 0.5 * twice * here - above + _ERFC_CHEBYSHEV[0]
    positive = xp.exp(-size * size) * series / (1.0 + 2.0 * size)
    return xp.where(x < 0, 2.0 - positive, positive)


def _tail(excess: Array, sd: Array | float) -> Array:
    """P(Z > excess / sd) of a standard normal Z."""
    xp = array_namespace(excess, sd)
    spread = xp.zeros_like(excess) + sd
    excess = excess + xp.zeros_like(spread)
    certain = spread == 0
    score = excess / xp.where(certain, xp.ones_like(spread), spread)
    far = xp.full_like(excess, math.inf)
    sure = xp.where(excess > 0, far, xp.where(excess < 0, -far, excess))
    return 0.5 * erfc(xp.where(certain, sure, score) / math.sqrt(2.0))
