"""At which periods two series move together, since when, and which of them follows.

The continuous wavelet transform of Torrence and Compo with the Morlet wavelet (omega0 = 6), and the
wavelet coherence of Grinsted et al.: cross-spectrum and spectra smoothed in time by the wavelet's
own width and in scale by 0.6 octaves. What lies within an e-folding time of an end of the record
(the cone of influence) is not read. Significance is told by pairs of AR(1) series that share
nothing: coherence is never small, and at long periods it is large by chance.

Series must be evenly sampled: `resample_rates` brings epochs to steps of 12 days. Two steps (24 d)
are the Nyquist period; no period below three steps (36 d) is looked at.

Sources: C. Torrence and G. P. Compo, Bull. Am. Meteorol. Soc. 79 (1998) 61-78; A. Grinsted,
J. C. Moore and S. Jevrejeva, Nonlin. Processes Geophys. 11 (2004) 561-566.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import fft
from numpy.typing import NDArray

from core.errors import BadInputError
from core.surrogates import autoregressive, p_value

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Flags = NDArray[np.bool_]

OMEGA0 = 6.0
PERIOD_PER_SCALE = 4 * np.pi / (OMEGA0 + np.sqrt(2 + OMEGA0**2))
"""Fourier period of a scale, 1.033."""
EDGE = np.sqrt(2.0)
"""e-folding time at an end of the record, in scales."""
SHORTEST_STEPS = 3
"""Shortest period that is looked at, in sampling steps; two are the Nyquist period."""
SCALE_WINDOW_OCTAVES = 0.6
STEP_D = 12
_CHUNK = 100


class Rates(NamedTuple):
    """Mean rates over equal steps: step n ends on day `first_day` + (n + 1) `step_d`."""

    first_day: int
    step_d: int
    rate_mm_d: Floats
    """(..., N)"""


class Coherence(NamedTuple):
    """Wavelet coherence of pairs of series with N steps at J periods."""

    period_d: Floats
    """(J,)"""
    coherence: Floats
    """(..., J, N) squared coherence, 0..1."""
    cross: Complexes
    """(..., J, N) smoothed cross-spectrum; its argument is the phase by which the second series
    follows the first."""
    safe: Flags
    """(J, N) outside the cone of influence."""
    whole: Floats
    """(..., J) squared coherence of all safe times together; NaN where no time is safe."""
    whole_cross: Complexes
    """(..., J) cross-spectrum summed over the safe times."""


class PhaseLag(NamedTuple):
    """How many days the second series follows the first at each period, (..., J) each."""

    period_d: Floats
    lag_d: Floats
    """Within half a period either way; a lag longer than that looks like another one."""
    low_d: Floats
    high_d: Floats
    """Circular confidence interval; half a period either way where the phase says nothing."""


class Significance(NamedTuple):
    """What pairs of unrelated AR(1) series show."""

    threshold: Floats
    """(J,) coherence that a time passes by chance with the given probability."""
    p: Floats
    """(J,) probability that unrelated series are as coherent over the whole record."""


def resample_rates(epoch_day: NDArray[np.int64], los_mm: Floats, step_d: int = STEP_D) -> Rates:
    """Mean rates over equal steps from epochs at uneven days.

    The displacement is taken as linear between epochs, so a gap holds one constant rate, and every
    step is a true increment of the series: nothing is smoothed beyond it.

    Args:
        epoch_day: (K,) ascending.
        los_mm: displacement (K, S), without NaN.
        step_d: length of a step in days.

    Returns:
        Rates (S, N), N = whole steps between the first and the last epoch.
    """
    edges = np.arange(int(epoch_day[0]), int(epoch_day[-1]) + 1, step_d)
    at = np.stack([np.interp(edges, epoch_day, one) for one in np.asarray(los_mm).T])
    return Rates(int(epoch_day[0]), step_d, np.diff(at, axis=-1) / step_d)


def step_means(daily: Floats, first_day: int, rates: Rates) -> Floats:
    """Means of a `daily` driver (..., T) over the steps of `rates`, (..., N).

    `first_day` is the day of the driver's first value; a step's days are those after its first
    edge up to its last, which are the days whose motion its increment holds.
    """
    begin = rates.first_day + 1 - first_day
    length = rates.rate_mm_d.shape[-1]
    days = np.asarray(daily)[..., begin : begin + length * rates.step_d]
    if begin < 0 or days.shape[-1] < length * rates.step_d:
        raise BadInputError(
            "the driver does not cover the steps of the rates: cut the epochs to its days"
        )
    return np.asarray(days.reshape(*days.shape[:-1], length, rates.step_d).mean(axis=-1))


def periods(length: int, step_d: float, per_octave: float = 8.0) -> Floats:
    """Periods (J,) from three steps to the longest that is safe for a whole period of its own.

    A year is read from 3.8 years of record on.
    """
    shortest = SHORTEST_STEPS * step_d
    longest = (length - 1) * step_d / (1 + 2 * EDGE / PERIOD_PER_SCALE)
    octaves = np.log2(max(longest / shortest, 1.0))
    return np.asarray(shortest * 2.0 ** (np.arange(int(octaves * per_octave) + 1) / per_octave))


def transform(series: Floats, period_d: Floats, step_d: float) -> Complexes:
    """Continuous wavelet transform of (..., N) at J periods, (..., J, N).

    Morlet wavelets of unit energy (Torrence and Compo 1998, equations 4 and 6). The series should
    have no mean; it is padded with zeros to a power of two beyond its length.
    """
    length = series.shape[-1]
    size = 2 ** int(np.floor(np.log2(length)) + 1)
    bank = _bank(period_d, step_d, size).astype(np.asarray(series).dtype, copy=False)
    spectrum = fft.fft(series, n=size, axis=-1)
    return np.asarray(fft.ifft(spectrum[..., None, :] * bank, axis=-1)[..., :length])


def _bank(period_d: Floats, step_d: float, size: int) -> Floats:
    """Fourier transforms of the daughters, (J, size): zero for negative frequencies."""
    scale = (np.asarray(period_d) / PERIOD_PER_SCALE)[:, None]
    omega = 2 * np.pi * fft.fftfreq(size, step_d)
    norm = np.sqrt(2 * np.pi * scale / step_d) * np.pi**-0.25
    return np.asarray(norm * np.exp(-0.5 * (scale * omega - OMEGA0) ** 2) * (omega > 0))


def safe_times(period_d: Floats, length: int, step_d: float) -> Flags:
    """Times farther than an e-folding time from both ends of the record, (J, length)."""
    from_end = np.minimum(np.arange(length), np.arange(length)[::-1]) * step_d
    edge = EDGE * np.asarray(period_d) / PERIOD_PER_SCALE
    return np.asarray(from_end[None, :] >= edge[:, None])


def coherence(
    first: Floats,
    second: Floats,
    step_d: float,
    period_d: Floats | None = None,
    *,
    window_octaves: float = SCALE_WINDOW_OCTAVES,
) -> Coherence:
    """Wavelet coherence of pairs of evenly sampled series.

    Args:
        first: (..., N), usually the driver.
        second: (..., N), usually the rate.
        step_d: sampling step in days.
        period_d: periods (J,), evenly spaced in their logarithm; those of `periods` without it.
        window_octaves: width of the smoothing over scales.

    Raises:
        BadInputError: a NaN, a constant series, or a record in which no period has a safe time.
    """
    x, y = (np.asarray(part, dtype=np.float64) for part in (first, second))
    length = x.shape[-1]
    asked = periods(length, step_d) if period_d is None else np.asarray(period_d)
    _check(x, y, asked, step_d)
    safe = safe_times(asked, length, step_d)
    spectra = [transform(_standard(part), asked, step_d) for part in (x, y)]
    return _coherence(spectra[0], spectra[1], asked, step_d, safe, window_octaves)


def _check(x: Floats, y: Floats, period_d: Floats, step_d: float) -> None:
    if x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise BadInputError(f"series of one shape without NaN are needed, got {x.shape}, {y.shape}")
    if (np.ptp(x, axis=-1) == 0).any() or (np.ptp(y, axis=-1) == 0).any():
        raise BadInputError("a constant series is coherent with nothing: leave it out")
    if period_d.min() < SHORTEST_STEPS * step_d * (1 - 1e-9):
        raise BadInputError(
            f"periods below {SHORTEST_STEPS * step_d:g} d cannot be read from steps of {step_d:g} d"
        )


def _standard(series: Floats) -> Floats:
    centred = series - series.mean(axis=-1, keepdims=True)
    return np.asarray(centred / centred.std(axis=-1, keepdims=True))


def _coherence(
    first: Complexes,
    second: Complexes,
    period_d: Floats,
    step_d: float,
    safe: Flags,
    window_octaves: float,
) -> Coherence:
    scale = (period_d / PERIOD_PER_SCALE)[:, None].astype(first.real.dtype)
    parts = [np.abs(first) ** 2 / scale, np.abs(second) ** 2 / scale, first * second.conj() / scale]
    total = [(part * safe).sum(axis=-1) for part in parts]
    power = np.where(safe.any(axis=-1), (total[0] * total[1]).real, np.nan)
    narrow = _smoothers(period_d, step_d, first.shape[-1], window_octaves)
    one, two, both = (_smooth(part, *narrow) for part in parts)
    squared = np.abs(both) ** 2 / (one.real * two.real)
    whole = np.abs(total[2]) ** 2 / power
    return Coherence(period_d, np.minimum(squared, 1.0), both, safe, whole, total[2])


def _smoothers(
    period_d: Floats, step_d: float, length: int, window_octaves: float
) -> tuple[Floats, Floats]:
    """Gaussian of each scale's width over frequencies (J, size), boxcar over scales (odd,)."""
    size = 2 ** int(np.floor(np.log2(length)) + 1)
    width = (period_d / PERIOD_PER_SCALE / step_d)[:, None]
    in_time = np.exp(-0.5 * (width * 2 * np.pi * fft.fftfreq(size)) ** 2)
    per_octave = 1 / np.log2(period_d[1] / period_d[0]) if len(period_d) > 1 else 1.0
    half = max(round((window_octaves * per_octave - 1) / 2), 0)
    box = np.ones(2 * half + 1)
    box[0] = box[-1] = 0.5
    return in_time, box / box.sum()


def _smooth(part: Complexes, in_time: Floats, box: Floats) -> Complexes:
    length, half = part.shape[-1], len(box) // 2
    spectrum = fft.fft(part, n=in_time.shape[-1], axis=-1)
    timed = fft.ifft(spectrum * in_time.astype(part.real.dtype), axis=-1)[..., :length]
    rows = timed.shape[-2]
    smooth: Complexes = np.zeros_like(timed)
    for shift, weight in zip(range(-half, half + 1), box.astype(part.real.dtype), strict=True):
        if abs(shift) >= rows:
            continue
        to = slice(max(0, -shift), min(rows, rows - shift))
        take = slice(max(0, shift), min(rows, rows + shift))
        smooth[..., to, :] += weight * timed[..., take, :]
    return smooth


def significance(
    first: Floats,
    second: Floats,
    seen: Coherence,
    step_d: float,
    *,
    surrogates: int = 1000,
    seed: int = 0,
    level: float = 0.05,
    window_octaves: float = SCALE_WINDOW_OCTAVES,
) -> Significance:
    """What pairs of AR(1) series with the memory of `first` and `second` (N,) each show.

    Args:
        first, second: one pair of series.
        seen: their coherence, which is judged.
        step_d: sampling step in days.
        surrogates: number of pairs.
        seed: of the surrogates; the same seed gives the same answer.
        level: probability with which a time of an unrelated pair passes the threshold.
        window_octaves: as in `coherence`.
    """
    rng = np.random.default_rng(seed)
    pairs = [autoregressive(np.asarray(part), surrogates, rng) for part in (first, second)]
    times = np.flatnonzero(seen.safe.any(axis=0))
    local = np.full((surrogates, *seen.safe.shape), np.nan, np.float32)
    whole = np.empty((surrogates, len(seen.period_d)))
    for start in range(0, surrogates, _CHUNK):
        some = slice(start, start + _CHUNK)
        one, two = (
            transform(_standard(part[some]).astype(np.float32), seen.period_d, step_d)
            for part in pairs
        )
        null = _coherence(one, two, seen.period_d, step_d, seen.safe, window_octaves)
        local[some] = np.where(seen.safe, null.coherence, np.nan)
        whole[some] = null.whole
    threshold = np.full(len(seen.period_d), np.nan)
    readable = seen.safe.any(axis=1)
    for row in np.flatnonzero(readable):
        threshold[row] = np.quantile(local[:, row, times][:, seen.safe[row, times]], 1 - level)
    p = np.where(readable, p_value(seen.whole, whole), np.nan)
    return Significance(threshold, p)


def phase_lag(seen: Coherence, step_d: float, *, z: float = 1.282) -> PhaseLag:
    """Lag of the second series behind the first from the phase over all safe times.

    The lag is arg(W) T / 2 pi. The phase of a coherence gamma^2 over n independent looks has the
    variance (1 - gamma^2) / (2 n gamma^2) (J. S. Bendat and A. G. Piersol, Random Data, 2010,
    section 9.2); n is the safe time divided by the time over which the wavelet is coherent with
    itself, 2 sqrt(pi) scales. `z` = 1.282 gives an 80 % interval.
    """
    period = seen.period_d
    looks = seen.safe.sum(axis=-1) * step_d / (2 * np.sqrt(np.pi) * period / PERIOD_PER_SCALE)
    looks = np.maximum(looks, 1.0)
    phase = np.angle(seen.whole_cross)
    gamma2 = np.clip(seen.whole, 1e-12, 1.0)
    half = np.minimum(z * np.sqrt((1 - gamma2) / (2 * looks * gamma2)), np.pi)
    days = period / (2 * np.pi)
    lag = np.where(np.isfinite(seen.whole), phase * days, np.nan)
    return PhaseLag(period, lag, lag - half * days, lag + half * days)


def newest_safe(seen: Coherence) -> NDArray[np.int64]:
    """Newest step that may be read at each period, (J,); -1 where none may.

    All that is known at the right edge: a period's answer is as old as its cone of influence is
    wide.
    """
    steps = np.arange(seen.safe.shape[-1])
    return np.asarray(np.where(seen.safe, steps, -1).max(axis=-1))
