"""A simulated slope as evidence and site file, for the tests of pictures and of the mail."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np
from notifying import message

from core.artifacts import Artifacts
from core.evidence import Evidence, not_said, pack_evidence
from core.settings import Site, parse_site, site_bytes
from core.twin import Kind, observe, simulate
from services.alerting.message import Message

TRACK = "84D"
FIRST_DAY = (date(2022, 1, 1) - date(1970, 1, 1)).days
UNITS = {
    "toe": [(110.350, 31.000), (110.3565, 31.0005), (110.3560, 31.0040), (110.3505, 31.0035)],
    "crown": [(110.3505, 31.0037), (110.3560, 31.0042), (110.3550, 31.0075), (110.3515, 31.0070)],
    "flank": [(110.3570, 31.001), (110.3595, 31.0015), (110.359, 31.0045), (110.357, 31.004)],
}


def site(**changes: Any) -> Site:
    """A site of three units."""
    units = [{"id": one, "name": one.title(), "polygon": ring} for one, ring in UNITS.items()]
    tree = {
        "name": "xinpu",
        "title": "Xinpu landslide",
        "area": (110.34, 30.99, 110.37, 31.02),
        "reference": {"scene_median": True},
        "slope_units": units,
    }
    return parse_site({**tree, **changes})


@cache
def evidence() -> Evidence:
    """A failing slope of the twin some days before it fails, as one track tells it.

    The two other units creep. Rates are fits to the last six epochs: enough to be drawn.
    """
    truth = simulate([11], Kind.FAILING)
    seen = observe(truth)
    last_day = int(truth.failure_day[0]) - 9
    used = (seen.epoch_day[0] >= 0) & (seen.epoch_day[0] <= last_day)
    day = seen.epoch_day[0, used]
    toe = seen.los_mm[0, used].mean(axis=-1)
    rng = np.random.default_rng(3)
    factor = float(truth.los_factor[0].mean())
    creep = factor * day / 365.25
    observed = np.stack([toe, 12 * creep, 4 * creep], axis=-1)
    observed[:, 1:] += rng.normal(0, 3, (day.size, 2))
    observed[rng.random(day.size) < 0.06] = np.nan
    velocity = np.stack([_slopes(day, series) for series in observed.T], axis=-1)
    expected = np.stack([_before(series) for series in velocity.T], axis=-1)
    sd = np.full(observed.shape, 0.03)
    water = slice(0, last_day + 1)
    lon, lat, unit = _points(rng)
    latest = np.where(unit >= 0, velocity[-1][unit], 0.0) * rng.uniform(0.7, 1.3, unit.size)
    points = np.stack([latest + rng.normal(0, 0.01, unit.size) for _ in range(3)])
    arrays = dict(
        epoch_day=FIRST_DAY + day,
        innovation_z=np.zeros(observed.shape),
        velocity_mm_d=velocity,
        velocity_sd_mm_d=sd,
        acceleration_mm_d2=np.zeros(observed.shape),
        acceleration_sd_mm_d2=sd,
        out_of_range=np.stack([seen.wrapped[0, used], *[np.zeros(day.size, bool)] * 2], axis=-1),
        los_factor=np.array([factor, factor, 0.1]),
        point_unit=unit,
        point_velocity_mm_d=points,
        point_velocity_sd_mm_d=np.full(points.shape, 0.02),
        observed_mm=observed,
        observed_sd_mm=np.full(observed.shape, 3.5),
        expected_mm_d=expected,
        excess_mm_d=velocity - expected,
        excess_sd_mm_d=sd,
        driver_day=FIRST_DAY + np.arange(last_day + 1),
        rain_mm=seen.gauge_mm[0, water],
        level_m=seen.level_m[0, water],
        point_lon=lon,
        point_lat=lat,
    )
    return Evidence(units=tuple(UNITS), **{**not_said(arrays), **arrays})


def old_evidence() -> Evidence:
    """Evidence of before it held what pictures need."""
    full = evidence()
    nothing = np.full(full.velocity_mm_d.shape, np.nan)
    return replace(
        full,
        observed_mm=nothing,
        observed_sd_mm=nothing,
        point_lon=np.full(full.point_unit.shape, np.nan),
        point_lat=np.full(full.point_unit.shape, np.nan),
    )


def pictured(artifacts: Artifacts, seen: Evidence | None = None, **changes: Any) -> Message:
    """A message whose evidence and site file are in `artifacts`."""
    seen = seen or evidence()
    last = date(1970, 1, 1) + timedelta(days=int(seen.epoch_day[-1]))
    values = {
        "evidence": {TRACK: artifacts.put(pack_evidence(seen))},
        "site_file": artifacts.put(site_bytes(site())),
        "arose": last,
    }
    return message(**{**values, **changes})


def _slopes(day: Any, series: Any) -> Any:
    slopes = np.zeros(day.size)
    for end in range(2, day.size):
        window = slice(max(0, end - 5), end + 1)
        known = np.isfinite(series[window])
        if known.sum() > 2:
            slopes[end] = np.polyfit(day[window][known], series[window][known], 1)[0]
    return slopes


def _before(velocity: Any) -> Any:
    return np.array([np.median(velocity[max(0, i - 40) : i + 1]) for i in range(velocity.size)])


def _points(rng: np.random.Generator) -> tuple[Any, Any, Any]:
    lon, lat, unit = [], [], []
    for place, ring in enumerate(UNITS.values()):
        corners = np.array(ring)
        weights = rng.dirichlet(np.ones(len(ring)), 70)
        lon.append(weights @ corners[:, 0])
        lat.append(weights @ corners[:, 1])
        unit.append(np.full(70, place))
    lon.append(rng.uniform(110.348, 110.361, 60))
    lat.append(rng.uniform(30.9985, 31.009, 60))
    unit.append(np.full(60, -1))
    return np.concatenate(lon), np.concatenate(lat), np.concatenate(unit)
