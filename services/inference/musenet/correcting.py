"""From the network's numbers to millimetres: r = r(Kalman + transfer function) + C g.

The same lines serve training (torch) and the service (NumPy): only plain arithmetic and a
cumulative sum of the Python array API.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from services.inference.known import FURTHEST_D

REPEAT_D = 12.0
"""Days whose motion at the typical rate is one unit of displacement."""


def corrections_mm(
    displacement: Any, rate_since: Any, rates: Any, scale_mm_d: Any, age_d: Any
) -> Any:
    """LOS correction of the displacement on day 0 .. 30 after the issue day, (N, 31) in mm.

    `displacement` (N,) at the last epoch, in units of 12 days at the typical rate; `rate_since`
    (N,) until the issue day and `rates` (N, 30) of the days after it, in typical rates.
    `scale_mm_d` (N,) is the typical LOS rate with the sign of downslope motion; `age_d` (N,) the
    days since the last epoch. Linear: no corrections give exactly zero.
    """
    xp = array_namespace(rates)
    now = REPEAT_D * displacement + rate_since * age_d
    ahead = xp.cumulative_sum(rates, axis=1)
    path = xp.concat([now[:, None], now[:, None] + ahead], axis=1)
    return path * scale_mm_d[:, None]


def variance_factors(log_variance: Any) -> Any:
    """Factors of the variance on day 0 .. 30 from `log_variance` (N, 2) at both ends, (N, 31)."""
    xp = array_namespace(log_variance)
    along = xp.arange(FURTHEST_D + 1, dtype=log_variance.dtype) / FURTHEST_D
    first, last = log_variance[:, :1], log_variance[:, 1:]
    return xp.exp(first + (last - first) * along[None, :])


def at_offsets(path: Any, offset_d: Any, at_last: Any, age_d: Any) -> Any:
    """A daily path (N, 31) read off at whole days `offset_d` (N, J) after the issue day.

    Before the issue day the path runs straight from `at_last` (N,), its value at the last epoch,
    `age_d` (N,) days earlier.
    """
    xp = array_namespace(path)
    index = xp.clip(offset_d, 0, FURTHEST_D)
    ahead = xp.take_along_axis(path, index, axis=1)
    before = xp.astype(xp.clip(-offset_d, 0, None), path.dtype)
    share = before / xp.where(age_d > 0, age_d, xp.ones_like(age_d))[:, None]
    return xp.where(offset_d < 0, ahead + (at_last[:, None] - ahead) * share, ahead)
