"""How the rate of a series answers rain and level, as far as its epochs tell: a Bayesian fit.

The rate, in units of the series' own mean rate, is one plus a weighted sum of the columns of
`basis` plus what they do not explain, a process with a memory of a week. The epochs see its
integral, with the error they state, a seasonal delay of the air and a wandering reference. All of
it is Gaussian, so the fit is exact: weights have a zero-mean prior whose width for rain, for level
and of the unexplained part is averaged over a small grid by the evidence of the epochs. Daily rates
are drawn by correcting a draw of the prior (Matheron's rule; J. T. Wilson et al., J. Mach. Learn.
Res. 22 (2021) 1-47).

No interpolated displacement enters, and nothing of any simulated slope but the grid's values.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.signal import lfilter

from core.evidence import Floats
from services.inference.known import Flags, Ints, Known
from services.understanding.basis import GROUPS, LEVEL, RAIN

WEIGHT_SDS = (0.02, 0.1, 0.3)
"""Prior standard deviations of a weight: rain and level each take one of them."""
UNEXPLAINED_VARIANCES = (0.5, 1.5)
"""Variance of the daily rate the columns leave, in squared mean rates."""
UNEXPLAINED_MEMORY_D = 7.5
SEASONAL_DELAY_MM = 2.0
"""Prior sd of the annual cosine and sine of tropospheric delay in a series."""
REFERENCE_WALK_MM2_D = 0.0075
"""Wander of the reference: 0.3 mm over a 12-day repeat."""
_TREND_SD = 0.2
_FREE = 1e4
_SMALL = 1e-9

FEWEST_EPOCHS = 40
SHORTEST_D = 730
SLOWEST_MM_YR = 8.0
"""Mean motion below which nothing is said: the rate would be compared with noise."""


class Epochs(NamedTuple):
    """One series, in units of its own mean motion."""

    day: Ints
    """(K,) days since the drivers' first day."""
    moved_d: Floats
    """(K,) displacement divided by the mean rate, its trend taken out: days ahead of the mean."""
    error: Floats
    """(K, K) covariance of the epochs' errors, d²."""
    rate_mm_d: float
    """Mean LOS rate that the units stand for, signed."""


def epochs_of(known: Known, series: int, first_day: int) -> Epochs | str:
    """Epochs of one series, or the reason why nothing can be said of it."""
    value, sd = known.los_mm[:, series], known.sd_mm[:, series]
    day = known.epoch_day[:, series]
    use = np.isfinite(value) & np.isfinite(sd) & (day >= first_day)
    day, value, sd = day[use] - first_day, value[use], sd[use]
    if len(day) < FEWEST_EPOCHS or day[-1] - day[0] < SHORTEST_D:
        return f"{len(day)} epochs: {FEWEST_EPOCHS} over two years are needed"
    rate = float(np.polyfit(day.astype(float), value, 1)[0])
    if abs(rate) * 365.25 < SLOWEST_MM_YR:
        return f"moves {rate * 365.25:+.0f} mm/yr in the line of sight: too little to tell"
    moved = value / rate - day
    return Epochs(day, moved - moved.mean(), _error(day, sd, rate), rate)


def _error(day: Ints, sd_mm: Floats, rate_mm_d: float) -> Floats:
    phase = 2 * np.pi * day / 365.2425
    wave = np.stack([np.cos(phase), np.sin(phase)])
    since = (day - day[0]).astype(float)
    total = np.diag(sd_mm**2) + SEASONAL_DELAY_MM**2 * wave.T @ wave
    total += REFERENCE_WALK_MM2_D * np.minimum.outer(since, since)
    return np.asarray(total / rate_mm_d**2 + _SMALL * np.eye(len(day)))


@dataclass(frozen=True)
class Ground:
    """What all series with the same epochs and drivers share."""

    daily: Floats
    """(T, J) columns of mean 0 and variance 1."""
    summed: Floats
    """(K, J) sums of the columns since the first epoch."""
    unexplained: Floats
    """(K, K) covariance of the integrated unexplained rate of unit variance."""
    crossed: Floats
    """(T, K) its covariance with the daily rate."""
    day: Ints

    @staticmethod
    def of(daily: Floats, day: Ints) -> Ground:
        """From standardised daily columns (T, J) and epoch days (K,)."""
        total = np.cumsum(daily, axis=0)
        return Ground(
            daily,
            total[day] - total[day[0]],
            _integral_covariance(day - day[0]),
            _crossed(np.arange(len(daily)), day),
            day,
        )


def _integral_covariance(since: Ints) -> Floats:
    """Covariance of the integral of an Ornstein-Uhlenbeck process of unit variance from 0."""
    memory = UNEXPLAINED_MEMORY_D

    def spread(span: Floats) -> Floats:
        return 2 * memory * (span - memory * (1 - np.exp(-span / memory)))

    one, other = np.meshgrid(since.astype(float), since.astype(float), indexing="ij")
    both = spread(one) + spread(other) - spread(np.abs(one - other))
    return np.asarray(0.5 * both)


def _crossed(days: Ints, epoch_day: Ints) -> Floats:
    def reach(span: Floats) -> Floats:
        weight = 1 - np.exp(-np.abs(span) / UNEXPLAINED_MEMORY_D)
        return np.asarray(np.sign(span) * UNEXPLAINED_MEMORY_D * weight)

    to_first = reach((days - epoch_day[0])[:, None].astype(float))
    return np.asarray(to_first - reach((days[:, None] - epoch_day[None, :]).astype(float)))


class _Width(NamedTuple):
    """One point of the grid."""

    prior: Floats
    """(J,) variances of the weights."""
    unexplained: float
    factor: Floats
    """Lower Cholesky factor of the epochs' covariance, (K, K)."""
    solved: Floats
    """Covariance solved for the epochs, (K,)."""


class Response:
    """The posterior of one series."""

    def __init__(self, ground: Ground, epochs: Epochs, keep: Flags | None = None) -> None:
        """Fit to all epochs, or to those of `keep` (K,) with a free step where they are missing.

        The step takes away what the last epoch before a gap and the first after it say of the
        motion in between, so that a year left out is really unseen.
        """
        self._ground = ground
        use = np.ones(len(epochs.day), bool) if keep is None else keep
        self._summed = ground.summed[use]
        self._use = use
        self._error = epochs.error[np.ix_(use, use)]
        self._y = epochs.moved_d[use]
        trend = ground.day[use] - ground.day[use].mean()
        self._loose = [(np.ones(use.sum()), _FREE), (trend, _TREND_SD**2)]
        self._loose += [(step, _FREE) for step in _steps(use)]
        self._widths: list[_Width] = []
        self.weight_of: Floats = np.empty(0)

    def fit(self, grid: tuple[tuple[float, float, float], ...] | None = None) -> Response:
        """Weigh the grid's points, or take the given ones."""
        points = grid or tuple(product(WEIGHT_SDS, WEIGHT_SDS, UNEXPLAINED_VARIANCES))
        covered = [self._summed[:, group == GROUPS] for group in (RAIN, LEVEL)]
        kernels = [part @ part.T for part in covered]
        base = self._error + sum(size * np.outer(part, part) for part, size in self._loose)
        unexplained = self._ground.unexplained[np.ix_(self._use, self._use)]
        evidence = []
        for rain_sd, level_sd, left in points:
            total = base + rain_sd**2 * kernels[0] + level_sd**2 * kernels[1]
            factor = cholesky(total + left * unexplained, lower=True, check_finite=False)
            white = solve_triangular(factor, self._y, lower=True, check_finite=False)
            evidence.append(-0.5 * white @ white - np.log(np.diag(factor)).sum())
            solved = solve_triangular(factor, white, lower=True, trans=1, check_finite=False)
            prior = np.where(GROUPS == RAIN, rain_sd**2, level_sd**2)
            self._widths.append(_Width(prior, left, factor, solved))
        likely = np.exp(np.array(evidence) - max(evidence))
        self.weight_of = likely / likely.sum()
        self.best = points[int(np.argmax(evidence))]
        return self

    def weights(self) -> Floats:
        """Posterior mean of the columns' weights, (J,), in mean rates."""
        means = [width.prior * (self._summed.T @ width.solved) for width in self._widths]
        return np.asarray(self.weight_of @ np.stack(means))

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Daily rates (count, T) of the posterior, in mean rates, unexplained part included."""
        shares = rng.multinomial(count, self.weight_of)
        parts = [
            self._draw(width, int(share), rng)
            for width, share in zip(self._widths, shares, strict=True)
            if share
        ]
        return np.concatenate(parts)

    def _draw(self, width: _Width, count: int, rng: np.random.Generator) -> Floats:
        ground, days = self._ground, len(self._ground.daily)
        weights = rng.standard_normal((count, len(width.prior))) * np.sqrt(width.prior)
        left = np.sqrt(width.unexplained) * _wander(count, days, rng)
        moved = np.cumsum(left, axis=1)[:, ground.day]
        seen = weights @ self._summed.T + (moved - moved[:, :1])[:, self._use]
        noise = cholesky(self._error, lower=True, check_finite=False)
        seen += rng.standard_normal(seen.shape) @ noise.T
        for part, size in self._loose:
            seen += np.sqrt(size) * rng.standard_normal((count, 1)) * part
        gain = cho_solve((width.factor, True), (self._y - seen).T, check_finite=False)
        weights += (width.prior[:, None] * (self._summed.T @ gain)).T
        left += width.unexplained * (ground.crossed[:, self._use] @ gain).T
        return np.asarray(1.0 + weights @ ground.daily.T + left)


def _steps(use: Flags) -> list[Floats]:
    """One step behind each run of epochs left out, over the epochs used."""
    gone = np.flatnonzero(~use)
    if not gone.size:
        return []
    ends = gone[np.diff(gone, append=len(use) + 1) > 1]
    at = np.flatnonzero(use)
    steps = [(at > end).astype(float) for end in ends]
    return [step for step in steps if 0 < step.sum() < len(step)]


def _wander(count: int, days: int, rng: np.random.Generator) -> Floats:
    """Stationary series of unit variance with a memory of `UNEXPLAINED_MEMORY_D`, (count, days)."""
    kept = np.exp(-1 / UNEXPLAINED_MEMORY_D)
    noise = rng.standard_normal((count, days))
    noise[:, 1:] *= np.sqrt(1 - kept**2)
    return np.asarray(lfilter([1.0], [1.0, -kept], noise, axis=1))
