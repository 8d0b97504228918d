"""Time of failure after Voight: how much does a series speak for a runaway, and when would it end?

Failing slopes speed up as dv/dt = A v^alpha. From an onset t0 on, the rate beyond the creep of
before is then a ((1 - s / tau)^-p - 1), with s the time since t0, tau = T_f - t0, p = 1 / (alpha -
1) and a the rate at the onset; it starts at zero and ends at T_f. Three models of the displacement
of a slope unit are compared by their marginal likelihoods:

- H: creep, season, and what rain and level explain. D0 and v_b have flat priors, the share by which
  the hydrological expectation may be wrong and the season Gaussian ones.
- L: H and an excess from t0 on that does not accelerate: a steady rate, or one that dies away.
- V: H and Voight's excess.

All linear parameters are integrated out in closed form, the size of an excess with a half-normal
prior downslope; t0, T_f and alpha on a grid of 2,048. Nothing is fitted to 1 / v, which is
heavy-tailed where v is noisy.

Priors of the grid: runaways start at any time alike and their durations are log-uniform, so that
being `e` days after the onset with `r` days left has density 1 / (e + r); alpha is uniform in
1.5 .. 2.5; the onset of L is uniform.

The arithmetic of one unit knows nothing of the others: a batch gives each unit the bits it gets
alone.

Sources: B. Voight, Science 243 (1989) 200-203; T. Fukuzono, Proc. 4th Int. Conf. Landslides (1985)
145-150; R. E. Kass and A. E. Raftery, J. Am. Stat. Assoc. 90 (1995) 773-795 for Bayes factors and
for 10 as the least that counts as strong.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInputError

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]

WINDOW_DAYS = 400
"""Epochs older than this are left out."""
HORIZON_DAYS = 30.0
LEAST_EPOCHS = 8
LEAST_BAYES_FACTOR = 10.0
LEAST_ACCELERATING = 4
REFUSALS = (
    "",
    f"fewer than {LEAST_EPOCHS} epochs in the window",
    f"the Bayes factor against motion that does not run away is below {LEAST_BAYES_FACTOR:g}",
    f"fewer than {LEAST_ACCELERATING} epochs lie in the acceleration",
)
"""Why no time of failure is given; the first stands for none."""

_CELLS_LEFT, _CELLS_SINCE, _CELLS_ALPHA = 16, 16, 8
_LEFT_EDGES = np.geomspace(1.0, 400.0, _CELLS_LEFT + 1)
_SINCE_EDGES = np.geomspace(6.0, 400.0, _CELLS_SINCE + 1)
_ALPHA = 1.5 + (np.arange(_CELLS_ALPHA) + 0.5) / _CELLS_ALPHA
_DECAY_DAYS = (math.inf, 60.0, 20.0)
_YEAR_DAYS = 365.25
_AT_ONCE = 32


class Priors(NamedTuple):
    """Scales of what is integrated out; all but `onset_mm_d` along the line of sight."""

    onset_mm_d: float = 1.0
    """Half-normal scale of the rate at the onset, and of the excess rate of L, downslope."""
    hydrology_share: float = 0.3
    """Standard deviation of the share by which the expected motion is wrong."""
    season_mm: float = 3.0
    """Standard deviation of the sine and of the cosine of an unexplained season."""
    extra_sd_mm: float = 0.0
    """Noise of each epoch beyond the one given with it."""


class Windows(NamedTuple):
    """The recent epochs of a batch of units, each (B, N) with NaN for nothing; the last is now.

    Displacements are signed so that downslope is positive.
    """

    days_ago: Whole
    """Days from each epoch to now, 0 or more."""
    observed_mm: Floats
    sd_mm: Floats
    expected_mm: Floats
    """Displacement that creep, rain and level explain, from any zero; known where observed is."""
    size: Floats
    """(B,) mm along the line of sight for one mm downslope, above 0."""


class FailureTime(NamedTuple):
    """What the windows say, each (B,); times are in days from now and hold if V is true.

    The time left is looked for within 1 .. 400 days.
    """

    log10_bayes_factor: Floats
    """Of V against the better of L and H; -inf with fewer than 8 epochs."""
    probability_30d: Floats
    low_days: Floats
    median_days: Floats
    high_days: Floats
    """Quantiles 10, 50 and 90 % of the time left."""
    epochs_in_acceleration: Whole
    """Epochs after the onset, posterior median."""
    refused: Whole
    """Index into `REFUSALS`; the times are not to be told unless it is 0."""


class _Shapes(NamedTuple):
    """Shapes of excess by whole days ago, (days, columns), each 1 now."""

    shape: Floats
    now_d: Floats
    """Displacement now of each for an onset rate, or a rate of excess, of 1 mm/d."""
    log_prior: Floats


class _UnderH(NamedTuple):
    """Precision M of the observations under H, and what of them it leaves unexplained.

    For a shape b of excess: b' M b = sum(weight b^2) - |design b|^2 and b' M y = residual b.
    """

    weight: Floats
    design: Floats
    residual: Floats


def failure_time(windows: Windows, priors: Priors) -> FailureTime:
    """Compare the three models for each window and give the time left under V.

    Raises BadInputError for shapes that do not fit each other, and for a standard deviation or a
    size that is not above 0.
    """
    _check(windows)
    parts = [
        _block(Windows._make(field[at : at + _AT_ONCE] for field in windows), priors)
        for at in range(0, max(len(windows.size), 1), _AT_ONCE)
    ]
    return FailureTime._make(np.concatenate(fields) for fields in zip(*parts, strict=True))


def voight_excess_mm(
    since_days: Floats | float, duration_days: Floats | float, alpha: Floats | float
) -> Floats:
    """Displacement beyond steady creep, per mm/d of rate at the onset, `since_days` after it.

    tau expm1((p - 1) u) / (p - 1) - s with u = -log(1 - s / tau) and p = 1 / (alpha - 1); for alpha
    = 2 the limit tau u - s. Zero before the onset. The arguments broadcast; `since_days` must be
    below `duration_days`, and alpha above 1.
    """
    since = np.maximum(since_days, 0.0)
    power = 1.0 / (np.asarray(alpha, dtype=np.float64) - 1.0) - 1.0
    straight = np.abs(power) < 1e-9
    power = np.where(straight, 1.0, power)
    strain = -np.log1p(-since / duration_days)
    grown = np.where(straight, strain, np.expm1(power * strain) / power)
    return np.asarray(duration_days * grown - since)


def _check(windows: Windows) -> None:
    shape = windows.days_ago.shape
    fields = (windows.observed_mm, windows.sd_mm, windows.expected_mm)
    if len(shape) != 2 or any(f.shape != shape for f in fields) or windows.size.shape != shape[:1]:
        raise BadInputError("Windows of the failure time need (B, N) fields and a size of (B,).")
    if (windows.sd_mm <= 0).any() or not (windows.size > 0).all():
        raise BadInputError("Windows of the failure time need sds and sizes above 0.")


def _block(windows: Windows, priors: Priors) -> FailureTime:
    """A few windows at once; see `failure_time`."""
    known = np.isfinite(windows.observed_mm) & np.isfinite(windows.sd_mm)
    known &= windows.days_ago <= WINDOW_DAYS
    under_h = _under_h(windows, known, priors)
    rows = np.clip(windows.days_ago, 0, WINDOW_DAYS)
    scale = priors.onset_mm_d * windows.size
    log_v, posterior = _against_h(under_h, _runaways(), rows, scale)
    log_l, _ = _against_h(under_h, _calm_excesses(), rows, scale)
    usable = known.sum(axis=-1)
    bayes = (log_v - np.maximum(log_l, 0.0)) / math.log(10.0)
    bayes = np.where(usable < LEAST_EPOCHS, -np.inf, bayes)
    cells = posterior.reshape(len(usable), _CELLS_ALPHA, _CELLS_SINCE, _CELLS_LEFT)
    left = cells.sum(axis=(1, 2))
    count = _epochs_since(cells.sum(axis=(1, 3)), windows.days_ago, known)
    return FailureTime(
        log10_bayes_factor=bayes,
        probability_30d=_below(left, HORIZON_DAYS),
        low_days=_quantile(left, 0.1),
        median_days=_quantile(left, 0.5),
        high_days=_quantile(left, 0.9),
        epochs_in_acceleration=count,
        refused=_refusal(usable, bayes, count),
    )


@functools.cache
def _runaways() -> _Shapes:
    """Voight's, in the order alpha, days since the onset, days left."""
    axes = (_ALPHA, _centres(_SINCE_EDGES), _centres(_LEFT_EDGES))
    alpha, since, left = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
    volume = np.outer(np.diff(_SINCE_EDGES), np.diff(_LEFT_EDGES)).ravel()
    ago = np.arange(WINDOW_DAYS + 1.0)[:, None]
    shape = voight_excess_mm(since - ago, since + left, alpha)
    return _shapes(shape, np.tile(volume, _CELLS_ALPHA) / (since + left))


@functools.cache
def _calm_excesses() -> _Shapes:
    """Steady or dying away, in the order decay, days since the onset."""
    decay, since = (a.ravel() for a in np.meshgrid(_DECAY_DAYS, _centres(_SINCE_EDGES)))
    elapsed = np.maximum(since - np.arange(WINDOW_DAYS + 1.0)[:, None], 0.0)
    lasts = np.isinf(decay)
    finite = np.where(lasts, 1.0, decay)
    shape = np.where(lasts, elapsed, -finite * np.expm1(-elapsed / finite))
    return _shapes(shape, np.repeat(np.diff(_SINCE_EDGES), len(_DECAY_DAYS)))


def _centres(edges: Floats) -> Floats:
    return np.asarray(np.sqrt(edges[1:] * edges[:-1]))


def _shapes(shape: Floats, prior: Floats) -> _Shapes:
    now = shape[0].copy()
    return _Shapes(shape / now, now, np.log(prior / prior.sum()))


def _under_h(windows: Windows, known: Flags, priors: Priors) -> _UnderH:
    """Take creep, expected motion and season out of the epochs that are `known`."""
    root = np.where(known, windows.sd_mm, 1.0) ** 2 + priors.extra_sd_mm**2
    root = np.where(known, 1.0 / np.sqrt(root), 0.0)
    year = 2.0 * np.pi * windows.days_ago / _YEAR_DAYS
    columns = [
        np.ones_like(root),
        windows.days_ago / 100.0,
        np.where(known, windows.expected_mm, 0.0) * priors.hydrology_share,
        np.sin(year) * priors.season_mm,
        np.cos(year) * priors.season_mm,
    ]
    explained = np.stack(columns, axis=-1) * root[..., None]
    held = np.zeros((len(root), 3, len(columns)))
    held[:, [0, 1, 2], [2, 3, 4]] = 1.0
    basis = np.linalg.qr(np.concatenate([explained, held], axis=1)).Q[:, : root.shape[1]]
    unexplained = np.where(known, windows.observed_mm - windows.expected_mm, 0.0) * root
    taken = (basis * unexplained[..., None]).sum(axis=1)
    residual = unexplained - (basis * taken[:, None, :]).sum(axis=-1)
    return _UnderH(root**2, np.swapaxes(basis * root[..., None], 1, 2), residual * root)


def _against_h(
    under_h: _UnderH, shapes: _Shapes, rows: Whole, scale: Floats
) -> tuple[Floats, Floats]:
    """log marginal likelihood over that of H, (B,), and posterior of the columns, (B, columns).

    The size of a shape is half-normal with scale s: with q = b' M b + 1 / s^2 and m = b' M y the
    integral is 2 exp(m^2 / 2 q) Phi(m / sqrt(q)) / (s sqrt(q)).
    """
    from scipy.special import log_ndtr

    meets, curvature = _products(under_h, shapes.shape, rows)
    scale_mm = scale[:, None] * shapes.now_d
    spread = np.sqrt(np.maximum(curvature, 0.0) * scale_mm**2 + 1.0)
    score = meets * scale_mm / spread
    log_ratio = math.log(2.0) - np.log(spread) + 0.5 * score**2 + log_ndtr(score)
    log_ratio += shapes.log_prior
    top = log_ratio.max(axis=-1, keepdims=True)
    relative = np.exp(log_ratio - top)
    total = relative.sum(axis=-1, keepdims=True)
    return (top + np.log(total))[:, 0], relative / total


def _products(under_h: _UnderH, shape: Floats, rows: Whole) -> tuple[Floats, Floats]:
    """b' M y and b' M b of every shape b, (B, columns), unit by unit.

    One product of one form for each unit: what BLAS does with it cannot depend on the others.
    """
    meets, curvature = np.empty((2, len(rows), shape.shape[1]))
    together = np.concatenate([under_h.residual[:, None, :], under_h.design], axis=1)
    for unit, own in enumerate(rows):
        shapes = shape[own]
        found = together[unit] @ shapes
        meets[unit] = found[0]
        curvature[unit] = under_h.weight[unit] @ shapes**2 - (found[1:] ** 2).sum(axis=0)
    return meets, curvature


def _below(left: Floats, days: float) -> Floats:
    """Probability that the time left is at most `days`; log-uniform within a cell."""
    part = np.log(days / _LEFT_EDGES[:-1]) / np.log(_LEFT_EDGES[1:] / _LEFT_EDGES[:-1])
    return np.asarray((left * np.clip(part, 0.0, 1.0)).sum(axis=-1))


def _quantile(left: Floats, share: float) -> Floats:
    """Days of which the time left is below with probability `share`; log-uniform in a cell."""
    reached = np.cumsum(left, axis=-1)
    cell = np.minimum((reached < share).sum(axis=-1), left.shape[-1] - 1)[:, None]
    inside = np.take_along_axis(left, cell, -1)
    before = np.take_along_axis(reached, cell, -1) - inside
    part = np.clip((share - before) / np.where(inside > 0, inside, 1.0), 0.0, 1.0)[:, 0]
    low, high = _LEFT_EDGES[:-1][cell[:, 0]], _LEFT_EDGES[1:][cell[:, 0]]
    return np.asarray(low * (high / low) ** part)


def _epochs_since(since: Floats, days_ago: Whole, known: Flags) -> Whole:
    """Known epochs after the posterior median of the onset."""
    cell = (np.cumsum(since, axis=-1) < 0.5).sum(axis=-1)
    onset = _centres(_SINCE_EDGES)[np.minimum(cell, since.shape[-1] - 1)]
    return np.asarray((known & (days_ago < onset[:, None])).sum(axis=-1))


def _refusal(usable: Whole, bayes: Floats, accelerating: Whole) -> Whole:
    thin = [usable < LEAST_EPOCHS, bayes < math.log10(LEAST_BAYES_FACTOR)]
    return np.select([*thin, accelerating < LEAST_ACCELERATING], [1, 2, 3], 0)
