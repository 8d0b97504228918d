"""Time of failure after Voight: its cost, whether its intervals hold, and what it refuses.

One unit-epoch is the comparison of three models over 25 epochs of 12 days, 6 % missing, on a grid
of 2,048. Windows are drawn from the model's own priors, once with a runaway, once with an excess
that does not accelerate and once with neither; rates, seasons and expectations are drawn likewise.
A false refusal is a runaway whose time is not told. Each timing runs three times and the best
counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.frame import Table, best
from core.voight import Priors, Windows, failure_time, voight_excess_mm

PRIORS = Priors()
SIZE = 0.6
REVISIT = 12 * np.arange(24, -1, -1)
GAPS = 0.06
GOAL_MS = 0.14

Floats = np.ndarray[Any, np.dtype[np.float64]]


def draw(kind: str, count: int, noise_mm: float, seed: int = 20180106) -> tuple[Windows, Floats]:
    """Windows of `kind` "runaway", "steady" or "none", and the days left of each runaway."""
    rng = np.random.default_rng(seed)
    since, left = np.zeros(0), np.zeros(0)
    while len(since) < count:
        e, r = rng.uniform(6, 400, count), rng.uniform(1, 400, count)
        kept = rng.uniform(size=count) < 7 / (e + r)
        since, left = np.append(since, e[kept]), np.append(left, r[kept])
    since, left = since[:count, None], left[:count, None]
    rate = np.abs(rng.normal(size=(count, 1))) * PRIORS.onset_mm_d * SIZE
    alpha = rng.uniform(1.5, 2.5, (count, 1))
    excess = {
        "runaway": rate * voight_excess_mm(since - REVISIT, since + left, alpha),
        "steady": rate * np.maximum(since - REVISIT, 0.0),
        "none": np.zeros((count, len(REVISIT))),
    }[kind]
    year = 2 * np.pi * REVISIT / 365.25
    column = rng.normal(size=(4, count, 1))
    expected = 10 * column[0] * np.sin(year) - 0.3 * REVISIT
    season = PRIORS.season_mm * (column[1] * np.sin(year) + column[2] * np.cos(year))
    observed = excess + season + expected * (1 + PRIORS.hydrology_share * column[3])
    observed += noise_mm * rng.normal(size=observed.shape)
    observed[:, :-1][rng.uniform(size=(count, len(REVISIT) - 1)) < GAPS] = np.nan
    days = np.broadcast_to(REVISIT, observed.shape)
    sd = np.full(observed.shape, noise_mm)
    return Windows(days, observed, sd, expected, np.full(count, SIZE)), left[:, 0]


def cost(units: int) -> Table:
    """Milliseconds a unit-epoch by the number of units at once; the bits are the same."""
    given, _ = draw("runaway", units, 3.0)
    whole = failure_time(given, PRIORS)
    rows = []
    for size in (1, 8, units):
        part = Windows(*(field[:size] for field in given))
        seconds, found = best(lambda part=part: failure_time(part, PRIORS))
        for field, own in zip(whole, found, strict=True):
            np.testing.assert_array_equal(field[:size], own)
        rows.append((f"{size:,}", f"{1e3 * seconds / size:.2f}"))
    return Table(
        "Cost of a comparison",
        ("units at once", "ms a unit-epoch"),
        tuple(rows),
        (f"Goal: {GOAL_MS} ms. Rules compare only units with a sure excess at two epochs.",),
    )


def calibration(count: int) -> Table:
    """Coverage of the 80 % interval, told and untold, and the share of times not told."""
    rows = []
    for noise in (1.0, 3.0, 5.0):
        given, left = draw("runaway", count, noise)
        found = failure_time(given, PRIORS)
        inside = (left >= found.low_days) & (left <= found.high_days)
        told = found.refused == 0
        near = told & (left <= 30)
        rows.append(
            (
                f"{noise:g} mm",
                f"{np.mean(inside):.3f}",
                f"{np.mean(inside[told]):.3f}",
                f"{np.mean(found.probability_30d[told]):.3f} / {np.mean(left[told] <= 30):.3f}",
                f"{1 - np.mean(told):.3f}",
                f"{1 - near.sum() / (left <= 30).sum():.3f}",
            )
        )
    return Table(
        f"Runaways drawn from the priors, {count:,} each",
        (
            "noise of an epoch",
            "in the 80 % interval",
            "of those told",
            "P(30 d) said / true",
            "not told",
            "not told within 30 d",
        ),
        tuple(rows),
        ("Most runaways of the priors are slow or far from their end: they are hardly seen.",),
    )


def false_voices(count: int) -> Table:
    """How often motion that does not run away is taken for one."""
    rows = []
    for kind in ("none", "steady"):
        found = failure_time(draw(kind, count, 3.0)[0], PRIORS)
        against = np.mean(found.log10_bayes_factor < 0)
        told = np.mean(found.refused == 0)
        rows.append((f"excess: {kind}", f"{against:.3f}", f"{told:.4f}"))
    return Table(
        f"Motion that does not run away, 3 mm of noise, {count:,} each",
        ("motion", "Bayes factor below 1", "time of failure told"),
        tuple(rows),
    )


def run(quick: bool) -> list[Table]:
    """Measure."""
    count = 200 if quick else 5000
    return [cost(64 if quick else 1000), calibration(count), false_voices(count)]
