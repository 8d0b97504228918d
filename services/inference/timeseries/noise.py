"""How uncertain a phase is: decorrelation of a pair, and atmosphere of an epoch.

Sources: J.-S. Lee et al., IEEE TGRS 32 (1994) 1017-1028 and J. A. Tough, D. Blacknell and
S. Quegan, Proc. R. Soc. A 449 (1995) 567-589 (distribution of the multi-look phase); E. Rodriguez
and J. M. Martin, IEE Proc. F 139 (1992) 147-159 (Cramer-Rao bound); R. N. Treuhaft and G. E. Lanyi,
Radio Science 22 (1987) 251-265 and R. F. Hanssen, Radar Interferometry (2001), section 4.7
(structure function of the troposphere).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from core.errors import BadInputError
from services.inference.timeseries.links import Array

HIGHEST_COHERENCE = 0.999
"""A coherence above this counts as this, so that no weight becomes infinite."""
_TABLE_STEPS = 1024
_NODES = 200


def phase_variance(coherence: Array, looks: float) -> Array:
    """Variance (rad^2) of the multi-look interferometric phase; any shape; NaN stays NaN.

    `coherence` is the magnitude, 0 to 1 (values outside are cut); `looks` > 0 is the number of
    independent looks. It is the second moment of the exact distribution on (-pi, pi] about the
    true phase, from a table interpolated linearly in coherence. At coherence 0 it is pi^2 / 3;
    for high coherence and many looks it tends to `cramer_rao_variance`, which on its own is 45 %
    too small at coherence 0.5 with 5 looks and 15 % with 20.
    """
    xp = array_namespace(coherence)
    table = xp.asarray(_variance_table(float(looks)), dtype=coherence.dtype)
    table = xp.asarray(table, device=device(coherence))
    absent = xp.isnan(coherence)
    flat = xp.reshape(xp.where(absent, xp.zeros_like(coherence), coherence), (-1,))
    scaled = xp.clip(flat, 0.0, HIGHEST_COHERENCE) * (_TABLE_STEPS / HIGHEST_COHERENCE)
    low = xp.clip(xp.floor(scaled), 0.0, _TABLE_STEPS - 1.0)
    number = xp.astype(low, xp.int64)
    below, above = xp.take(table, number), xp.take(table, number + 1)
    variance = xp.reshape(below + (scaled - low) * (above - below), coherence.shape)
    return xp.where(absent, coherence, variance)


def cramer_rao_variance(coherence: Array, looks: float) -> Array:
    """Cramer-Rao bound (rad^2) of the multi-look phase: (1 - g^2) / (2 L g^2).

    A lower bound, close for high coherence and many looks; infinite at coherence 0.
    """
    xp = array_namespace(coherence)
    zero = coherence == 0
    g = xp.where(zero, xp.ones_like(coherence), coherence)
    return xp.where(zero, xp.full_like(g, math.inf), (1.0 - g * g) / (2.0 * looks * g * g))


def phase_density(
    phase_rad: NDArray[Any] | float, coherence: NDArray[Any] | float, looks: float
) -> NDArray[Any]:
    """Probability density (1/rad) of the multi-look phase about its true value, on (-pi, pi].

    With b = g cos(phase): ((1 - g^2) / (1 - b^2))^L (1 - b^2)^(-1/2) times
    [Gamma(L + 1/2) b / (2 sqrt(pi) Gamma(L)) + 2F1(1/2 - L, -1/2; 1/2; b^2) / (2 pi)].
    This is the form of Lee et al. after Euler's transformation of the hypergeometric function,
    which does not overflow for many looks. NumPy arrays or floats, broadcasting.
    """
    from scipy.special import gammaln, hyp2f1

    b = coherence * np.cos(phase_rad)
    rest = 1.0 - b * b
    head = math.exp(gammaln(looks + 0.5) - gammaln(looks)) / (2.0 * math.sqrt(math.pi))
    shape = head * b + hyp2f1(0.5 - looks, -0.5, 0.5, b * b) / (2.0 * math.pi)
    density = ((1.0 - np.square(coherence)) / rest) ** looks / np.sqrt(rest) * shape
    floored: NDArray[Any] = np.maximum(density, 0.0)
    return floored


def atmosphere_variance_mm2(
    distance_km: Array, *, sd_at_1km_mm: float = 2.5, crossover_km: float = 1.5
) -> Array:
    """Variance (mm^2) of one epoch's atmospheric delay between a point and the reference.

    The structure function of turbulence: it grows as distance^(5/3) up to `crossover_km` (three
    dimensional) and as distance^(2/3) beyond (two dimensional), and equals `sd_at_1km_mm` squared
    at 1 km. The defaults give a standard deviation of 2.5 mm at 1 km and 5.2 mm at 5 km along the
    line of sight: a usual day; 1 to 3 mm at 1 km covers calm to stormy ones. Dates are
    independent, so a pair has twice this. All points of one slope share it: it does not shrink by
    averaging them. It leaves out stratified delay, which needs heights.
    """
    if not (sd_at_1km_mm >= 0 and crossover_km > 0):
        raise BadInputError("The atmosphere needs a standard deviation >= 0 and a crossover > 0.")
    xp = array_namespace(distance_km)
    turn = crossover_km
    unit = min(1.0, turn) ** (5.0 / 3.0) * max(1.0, 1.0 / turn) ** (2.0 / 3.0)
    ratio = distance_km / turn
    near = xp.where(ratio < 1.0, ratio, xp.ones_like(ratio)) ** (5.0 / 3.0)
    far = xp.where(ratio > 1.0, ratio, xp.ones_like(ratio)) ** (2.0 / 3.0)
    at_turn = sd_at_1km_mm**2 * turn ** (5.0 / 3.0) / unit
    return at_turn * near * far


@lru_cache(maxsize=32)
def _variance_table(looks: float) -> NDArray[np.float64]:
    """Exact phase variance at 1025 evenly spaced coherences from 0 to the highest one."""
    if not looks > 0:
        raise BadInputError(f"The number of looks must be positive, not {looks}.")
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    phase = (nodes + 1.0) * (math.pi / 2.0)
    coherence = np.linspace(0.0, HIGHEST_COHERENCE, _TABLE_STEPS + 1)
    density = phase_density(phase[None, :], coherence[:, None], looks)
    moment: NDArray[np.float64] = (density * phase**2) @ weights / (density @ weights)
    return moment
