"""Accelerations laid over the seasonal creep: Voight failures, aborted ramps, storm steps.

Voight (1989): dv/dt = A v^alpha, so v = v0 (1 - s/tau)^(-1/(alpha-1)) a time s after onset, with
A = v0^(1-alpha) / ((alpha-1) tau) and failure at s = tau.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.twin.forcing import YEAR_DAYS
from core.twin.slope import POINTS

Floats = NDArray[np.float64]

RUNAWAY_FAMILIES = ("voight", "weakening", "none")


@dataclass(frozen=True)
class Ramp:
    """A drawn Voight acceleration."""

    onset_day: int
    duration_days: int
    alpha: float
    point_share: Floats
    """Share of the extra motion at each point, mean one, shape (6,)."""
    stop_share: float
    """For an aborted ramp: earliest stop as a share of the duration."""
    decay_days: float

    @property
    def failure_day(self) -> int:
        """Day on which an unstopped ramp reaches infinite rate."""
        return self.onset_day + self.duration_days


def first_onset_day(days: int) -> int:
    """First day on which a runaway may begin: three fifths of the record are without one."""
    return int(np.ceil(0.6 * days))


def draw_ramp(rng: np.random.Generator, days: int) -> Ramp:
    """Draw a ramp whose failure day falls in the last year of a record of `days` days."""
    swift = rng.random() < 0.5
    tau = int(rng.integers(20, 91)) if swift else int(rng.integers(91, 241))
    earliest = max(days - YEAR_DAYS, first_onset_day(days) + tau)
    share = rng.uniform(0.8, 1.2, POINTS)
    return Ramp(
        onset_day=int(rng.integers(earliest, days)) - tau,
        duration_days=tau,
        alpha=rng.uniform(1.6, 2.3),
        point_share=share / share.mean(),
        stop_share=rng.uniform(0.4, 0.8),
        decay_days=rng.uniform(10.0, 40.0),
    )


def onset_rate(rate: Floats, onset_day: int) -> float:
    """Rate v0 (mm/d) from which the unit runs away, from seasonal rates (6, T).

    The mean rate of the month before onset, or of the year before it where that is larger: a ramp
    from the near-zero rate of a dormant season would stay unseen until its last days.
    """
    year = rate[:, max(onset_day - YEAR_DAYS, 0) : onset_day].mean()
    return float(max(year, rate[:, onset_day - 30 : onset_day].mean()))


def voight_prefactor(v0_mm_d: float, ramp: Ramp) -> float:
    """A of dv/dt = A v^alpha that takes v0 to failure in the ramp's duration (mm, d)."""
    return float(v0_mm_d ** (1 - ramp.alpha) / ((ramp.alpha - 1) * ramp.duration_days))


def voight_motion(v0_mm_d: float, ramp: Ramp, elapsed_days: Floats) -> Floats:
    """Motion since onset (mm) after `elapsed_days` < duration, by the integral of the law."""
    power = 1 / (ramp.alpha - 1)
    left = 1 - elapsed_days / ramp.duration_days
    scale = v0_mm_d * ramp.duration_days
    if abs(power - 1) < 1e-9:
        return np.asarray(-scale * np.log(left))
    return np.asarray(scale * (1 - left ** (1 - power)) / (1 - power))


def extra_rate(rate: Floats, ramp: Ramp) -> Floats:
    """Rate beyond v0 (mm/d) on each day from onset to the day before failure, (duration,)."""
    v0 = onset_rate(rate, ramp.onset_day)
    elapsed = np.arange(ramp.duration_days, dtype=np.float64)
    daily = np.diff(voight_motion(v0, ramp, elapsed), prepend=0.0)
    daily[1:] -= v0
    return daily


def fail(rate: Floats, ramp: Ramp) -> Floats:
    """Add a Voight failure to rates (6, T); nothing moves from the failure day on."""
    failing = rate.copy()
    failing[:, ramp.onset_day : ramp.failure_day] += ramp.point_share[:, None] * extra_rate(
        rate, ramp
    )
    failing[:, ramp.failure_day :] = 0.0
    return failing


def abort(rate: Floats, ramp: Ramp, head_m: Floats) -> Floats:
    """Add a ramp that stops and decays when the water recedes.

    Args:
        rate: downslope rates in mm/d, shape (6, T).
        ramp: the ramp.
        head_m: mean pressure head on the slip zone, shape (T,); the ramp stops on the first day
            on or after its earliest stop with a lower head than a fortnight before, and at 0.85
            of its duration at the latest.
    """
    aborted = rate.copy()
    earliest = int(ramp.stop_share * ramp.duration_days)
    latest = max(int(0.85 * ramp.duration_days), earliest + 1)
    days = np.arange(earliest, latest) + ramp.onset_day
    receding = head_m[days] < head_m[days - 14]
    stop = earliest + int(receding.argmax()) if receding.any() else latest
    extra = extra_rate(rate, ramp)[:stop]
    left = rate.shape[1] - ramp.onset_day - stop
    fading = extra[-1] * np.exp(-np.arange(1, left + 1) / ramp.decay_days)
    profile = np.concatenate([extra, fading])
    aborted[:, ramp.onset_day :] += ramp.point_share[:, None] * profile
    return aborted


def draw_storm_day(rng: np.random.Generator, days: int) -> int:
    """Draw the first day of a 100-year storm: May to September of the last year."""
    return days - YEAR_DAYS + int(rng.integers(120, 270))


def step(rate: Floats, rng: np.random.Generator, storm_day: int) -> Floats:
    """Add a step of 20-120 mm, spent within weeks of the storm, to rates (6, T)."""
    stepped = rate.copy()
    size, fade = rng.uniform(20.0, 120.0), rng.uniform(3.0, 10.0)
    share = rng.uniform(0.7, 1.3, POINTS)
    left = np.exp(-np.arange(rate.shape[1] - storm_day + 1) / fade)
    stepped[:, storm_day:] += (share / share.mean())[:, None] * (size * -np.diff(left))
    return stepped
