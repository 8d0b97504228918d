"""What a C-band radar sees of the truth, and when it arrives.

Sentinel-1: wavelength 55.466 mm, so a quarter wave is 13.87 mm of LOS motion. Between two
acquisitions more than that, relative to the stable ground around the flank, cannot be told from
less: the increment comes back wrapped and every later epoch carries the loss.

Phase noise follows the exact multilook distribution (Goodman 1963; Tough et al. 1995), drawn
through the Bartlett factor of the complex Wishart matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.twin.forcing import YEAR_DAYS, read_gauge
from core.twin.seeds import Purpose, site_rng
from core.twin.slope import POINTS
from core.twin.truth import Truth

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WAVELENGTH_MM = 55.466
AMBIGUITY_MM = WAVELENGTH_MM / 2
"""LOS motion of one phase cycle."""
_MM_PER_RAD = WAVELENGTH_MM / (4 * np.pi)

Noise = Literal["radar", "white"]


@dataclass(frozen=True)
class Observed:
    """What the service may see of S sites, K acquisitions at most, P = 6 points.

    Rows of a site are its usable acquisitions in order of `epoch_day`, then padding.
    """

    gauge_mm: Floats
    """(S, T) rain gauge, mm/d, with missed days and errors."""
    level_m: Floats
    """(S, T) reservoir level, m a.s.l."""
    epoch_day: Ints
    """(S, K) day of acquisition, -1 in padding."""
    arrival_day: Ints
    """(S, K) day on which the epoch can be used first, -1 in padding; late ones may overtake."""
    los_mm: Floats
    """(S, K, P) cumulative LOS displacement relative to the first epoch, positive toward the
    satellite; NaN in padding."""
    sigma_mm: Floats
    """(S, K, P) standard deviation a processor would state for one point's epoch: phase noise
    alone, without the atmosphere the points share; NaN in padding."""
    wrapped: NDArray[np.bool_]
    """(S, K) truth, for scoring: since the epoch before, at least one point lost whole cycles."""


def observe(
    truth: Truth,
    *,
    noise: Noise = "radar",
    sigma_mm: float = 3.0,
    repeat_days: int = 12,
    flank_pixels: int = 1,
) -> Observed:
    """Observe a truth.

    Args:
        truth: the simulated sites.
        noise: 'white' (independent, `sigma_mm` each epoch and point) or 'radar' (phase noise by
            coherence, seasonal stratified delay, turbulence shared by the unit, reference error).
        sigma_mm: standard deviation of white noise; not used by 'radar'.
        repeat_days: days between acquisitions, 6 or more.
        flank_pixels: pixels across the flank over which the motion falls to that of stable ground;
            each can carry a quarter wave between two acquisitions.

    Raises:
        ValueError: an unknown noise, a negative sigma, a repeat below 6 days or no pixel.
    """
    if noise not in ("radar", "white") or min(sigma_mm, repeat_days - 6, flank_pixels - 1) < 0:
        asked = f"{noise=}, {sigma_mm=}, {repeat_days=}, {flank_pixels=}"
        raise ValueError(f"cannot observe with {asked}")
    sites, days, _ = truth.displacement_mm.shape
    width = -(-days // repeat_days)
    epoch_day = np.full((sites, width), -1, dtype=np.int64)
    arrival_day = np.full((sites, width), -1, dtype=np.int64)
    los = np.full((sites, width, POINTS), np.nan)
    sigma = np.full((sites, width, POINTS), np.nan)
    wrapped = np.zeros((sites, width), dtype=np.bool_)
    gauge = np.empty_like(truth.rain_mm)
    for row in range(sites):
        seed = int(truth.seeds[row])
        gauge[row] = read_gauge(site_rng(seed, Purpose.GAUGE), truth.rain_mm[row])
        end = int(truth.failure_day[row]) if truth.failure_day[row] >= 0 else days
        epoch, arrival = _acquire(site_rng(seed, Purpose.ACQUISITIONS), days, repeat_days)
        usable = epoch < end
        epoch, count = epoch[usable], int(usable.sum())
        motion = truth.displacement_mm[row, epoch] * truth.los_factor[row]
        seen, lost = wrap_increments(motion, flank_pixels)
        rng = site_rng(seed, Purpose.NOISE)
        if noise == "white":
            error, stated = rng.normal(0.0, sigma_mm, seen.shape), np.full(seen.shape, sigma_mm)
        else:
            error, stated = _radar_error(rng, epoch, repeat_days, truth.height_m[row])
        seen = seen + error
        epoch_day[row, :count], arrival_day[row, :count] = epoch, arrival[usable]
        los[row, :count], sigma[row, :count] = seen - seen[0], stated
        wrapped[row, :count] = lost
    return Observed(gauge, truth.level_m.copy(), epoch_day, arrival_day, los, sigma, wrapped)


def wrap_increments(motion_mm: Floats, flank_pixels: int = 1) -> tuple[Floats, NDArray[np.bool_]]:
    """Accumulate motion (K, P) from increments as they are unwrapped.

    An increment within a quarter wave for each pixel of the flank is recovered; any other comes
    back wrapped into (-13.87, 13.87] mm.

    Returns:
        The series as seen, (K, P), and whether any point lost cycles at each epoch, (K,).
    """
    increments = np.diff(motion_mm, axis=0, prepend=motion_mm[:1])
    limit = flank_pixels * AMBIGUITY_MM / 2
    recovered = (increments > -limit) & (increments <= limit)
    cycles = np.where(recovered, 0.0, np.ceil(increments / AMBIGUITY_MM - 0.5))
    return motion_mm - AMBIGUITY_MM * np.cumsum(cycles, axis=0), (cycles != 0).any(axis=1)


def _acquire(rng: np.random.Generator, days: int, repeat_days: int) -> tuple[Ints, Ints]:
    """Acquisition and arrival days: 6 % missing, one gap of 24-36 d every two years."""
    planned = np.arange(int(rng.integers(repeat_days)), days, repeat_days)
    kept = rng.random(len(planned)) >= 0.06
    for start in range(0, days, 2 * YEAR_DAYS):
        missed = -(-int(rng.integers(24, 37)) // repeat_days) - 1
        first = np.searchsorted(planned, start + int(rng.integers(2 * YEAR_DAYS - 40)))
        kept[first : first + max(missed, 1)] = False
    kept[0] = True
    share = [0.25, 0.45, 0.2, 0.025, 0.025, 0.025, 0.025]
    latency = rng.choice(np.arange(1, 8), size=len(planned), p=share)
    return planned[kept], (planned + latency)[kept]


def phase_noise(rng: np.random.Generator, coherence: Floats, looks: float) -> Floats:
    """Draw interferometric phase noise (rad, in (-pi, pi]) for coherences of any shape."""
    first = np.sqrt(rng.standard_gamma(looks, coherence.shape))
    real, imaginary = rng.normal(0.0, np.sqrt(0.5), (2, *coherence.shape))
    rest = np.sqrt(1 - coherence**2)
    return np.asarray(np.arctan2(rest * imaginary, coherence * first + rest * real))


def _radar_error(
    rng: np.random.Generator, epoch_day: Ints, repeat_days: int, height_m: Floats
) -> tuple[Floats, Floats]:
    """LOS error (mm) and the stated per-point sigma (mm), each (K, P)."""
    coherence = _draw_coherence(rng, epoch_day, repeat_days)
    looks = rng.uniform(5.0, 20.0)
    points = _MM_PER_RAD * phase_noise(rng, coherence, looks)
    stated = _MM_PER_RAD * np.sqrt((1 - coherence**2) / (2 * looks * coherence**2))
    shared = _shared_turbulence(rng, len(epoch_day)) + _reference(rng, len(epoch_day))
    return points + shared + _stratified(rng, epoch_day, height_m), stated


def _draw_coherence(rng: np.random.Generator, epoch_day: Ints, repeat_days: int) -> Floats:
    """Coherence of the pairs behind each epoch (K, P): exponential decay, lower in summer."""
    fresh, lasting = rng.uniform(0.6, 0.85, POINTS), rng.uniform(0.08, 0.35, POINTS)
    vegetated = rng.random(POINTS) < 0.6
    memory = np.where(vegetated, rng.uniform(15.0, 60.0, POINTS), rng.uniform(200.0, 400.0, POINTS))
    coherence = (fresh - lasting) * np.exp(-repeat_days / memory) + lasting
    summer = 0.5 - 0.5 * np.cos(2 * np.pi * (epoch_day - 15) / YEAR_DAYS)
    return np.asarray(coherence * (1 - (1 - rng.uniform(0.6, 0.9)) * summer[:, None]))


def _shared_turbulence(rng: np.random.Generator, epochs: int) -> Floats:
    """Turbulent delay (K, P): 1-4 mm to a reference 1-3 km away, nearly one for the unit."""
    shared = rng.uniform(1.0, 4.0) * rng.normal(size=(epochs, 1))
    along = rng.uniform(0.2, 0.6) * rng.normal(size=(epochs, 1)) * np.linspace(-1.0, 1.0, POINTS)
    return np.asarray(shared + along)


def _reference(rng: np.random.Generator, epochs: int) -> Floats:
    """Error of the reference point, the same for all points, (K, 1)."""
    white = rng.uniform(0.5, 1.5) * rng.normal(size=epochs)
    return np.asarray((white + np.cumsum(0.3 * rng.normal(size=epochs)))[:, None])


def _stratified(rng: np.random.Generator, epoch_day: Ints, height_m: Floats) -> Floats:
    """Delay by height (K, P), largest in July: in step with rain and summer motion."""
    amplitude, peak = rng.uniform(5.0, 15.0), rng.normal(196.0, 10.0)
    seasonal = amplitude * np.cos(2 * np.pi * (epoch_day - peak) / YEAR_DAYS)
    weather = rng.uniform(8.0, 20.0) * rng.normal(size=len(epoch_day))
    reference_m = rng.uniform(-50.0, 250.0)
    return np.asarray((seasonal + weather)[:, None] * (height_m - reference_m) / 1000.0)
