"""Simulated stacks of epochs and the daily labels interpolated from them.

Source: 30 past deformations, 30 days of rain and of level; 1,648 daily labels a point, of which
the first 1,090 train and the last 558 test.
Our reading: labels are linear between epochs 12 days apart (161 scenes cannot give 1,648 daily
values otherwise); the source does not say how they were made.
Our choice: the sites (simulated, development seeds), regular epochs, and white noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from core.evidence import Floats
from core.twin import SEED_RANGES, Kind, Truth, simulate
from core.twin.forcing import read_gauge
from core.twin.seeds import Purpose, site_rng
from services.inference.known import Ints

STEP_D = 12
"""Days between epochs. No epoch is missing: across a gap even a label 12 days back would contain
an acquisition of today or later."""
TRAIN_D, TEST_D = 1090, 558
LONGEST_LAG_D = 360
FIRST_LABEL_D = 2 * STEP_D + LONGEST_LAG_D
"""First day that is forecast. Two epochs lie before the longest lag, so that smoothing is whole."""
LABELS_END_D = FIRST_LABEL_D + TRAIN_D + TEST_D
YEARS = 6
SITE_SEEDS = SEED_RANGES["development"][900_001:900_005]
"""Two sites that move as the reservoir falls and two that move at high water."""
TRIANGLE = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9.0
"""Weights of the smoothed labels: two epochs on either side, so two lie in the future."""


class Stack(NamedTuple):
    """Daily series of G sites with P points each, S = G P, series of a site side by side.

    Days count from the first epoch, which is a 1 January.
    """

    label_mm: Floats
    """(T, S) LOS displacement interpolated between epochs, positive toward the satellite."""
    truth_mm: Floats
    """(T, S) true LOS displacement, on the same zero."""
    rain_mm: Floats
    """(T, G) what the gauge said, mm/d, with its errors."""
    level_m: Floats
    """(T, G) reservoir level, m a.s.l."""

    @property
    def points(self) -> int:
        """Points a site, P."""
        return int(self.label_mm.shape[1] // self.level_m.shape[1])


def simulated_sites(seeds: Sequence[int] = SITE_SEEDS) -> Truth:
    """Six years of quiet sites of the first hydrology family."""
    return simulate(seeds, Kind.QUIET, years=YEARS, hydrology_family="diffusion")


def stack_of(truth: Truth, *, noise_mm: float, smoothed: bool) -> Stack:
    """The stack of the sites of `truth` with one epoch every 12 days.

    Args:
        truth: daily truth.
        noise_mm: standard deviation of the error of an epoch; the draws are the same for all.
        smoothed: whether each epoch is first averaged with its neighbours, later ones included.
    """
    moved = np.einsum("gtp,gp->tgp", truth.displacement_mm, truth.los_factor)
    days, sites, points = moved.shape
    epochs = np.arange(0, days, STEP_D)
    error = [
        site_rng(int(seed), Purpose.NOISE).normal(size=(len(epochs), points))
        for seed in truth.seeds
    ]
    seen = moved[epochs] + noise_mm * np.stack(error, axis=1)
    seen = seen.reshape(len(epochs), sites * points)
    if smoothed:
        seen = smooth_epochs(seen)
    covered = int(epochs[-1]) + 1
    gauge = [
        read_gauge(site_rng(int(seed), Purpose.GAUGE), rain)
        for seed, rain in zip(truth.seeds, truth.rain_mm, strict=True)
    ]
    return Stack(
        label_mm=interpolate_daily(epochs, seen),
        truth_mm=moved.reshape(days, -1)[:covered],
        rain_mm=np.stack(gauge, axis=1)[:covered],
        level_m=truth.level_m.T[:covered].copy(),
    )


def smooth_epochs(seen_mm: Floats) -> Floats:
    """Weighted mean of each epoch and two on either side, (K, S); cut and renormalised at ends.

    Not causal, as time-series products of many processors are not.
    """
    width = len(TRIANGLE) // 2
    padded = np.pad(seen_mm, ((width, width), (0, 0)))
    there = np.pad(np.ones(len(seen_mm)), width)
    count = len(seen_mm)
    total = sum(weight * padded[k : k + count] for k, weight in enumerate(TRIANGLE))
    share = sum(weight * there[k : k + count] for k, weight in enumerate(TRIANGLE))
    return np.asarray(total / np.asarray(share)[:, None])


def interpolate_daily(epoch_day: Ints, seen_mm: Floats) -> Floats:
    """Labels of every day from the first to the last epoch, straight between epochs, (T, S)."""
    days = np.arange(epoch_day[0], epoch_day[-1] + 1)
    later = np.clip(np.searchsorted(epoch_day, days, side="left"), 1, None)
    begin, end = epoch_day[later - 1], epoch_day[later]
    share = ((days - begin) / (end - begin))[:, None]
    return np.asarray((1.0 - share) * seen_mm[later - 1] + share * seen_mm[later])
