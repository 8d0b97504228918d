"""The evidence that rules look at, made of a track and of the water a site has taken in."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from core.evidence import Evidence, Floats, not_said, pack_evidence
from core.settings import Site
from services.inference.conditioning import (
    DAYS_TOLD,
    Named,
    Units,
    Water,
    conditioned_evidence,
    forecast_misses,
    water_of,
)
from services.inference.issuing.archive import DriverRecord, given_to_units
from services.inference.known import Ints
from services.inference.numerics.conditioned import Memory
from services.inference.track import Track, checkpoint_of, figure, unit_state
from services.inference.unit_states import accelerations

POINT_EPOCHS = 3
WATER_DAYS = 120
"""Days of rain and level in the evidence of a closed day."""


def evidence_of(
    track: Track,
    site: Site,
    record: DriverRecord,
    known_ns: int,
    memory: Memory | None = None,
) -> bytes:
    """The evidence artifact after the track's newest epoch, with the water known at `known_ns`.

    `memory` saves work from epoch to epoch and never changes a bit.
    """
    change, change_sd = accelerations(track, np.arange(len(track.days)))
    velocity, sd = _point_series(track)
    days = np.array(track.days, np.int64)
    driver_day, rain, level = _water(track, record, known_ns)
    told = slice(-DAYS_TOLD, None)
    points = track.points
    return pack_evidence(
        Evidence(
            units=tuple(u.id for u in site.slope_units),
            epoch_day=days,
            innovation_z=figure(track, "innovation_z"),
            velocity_mm_d=figure(track, "velocity_mm_d"),
            velocity_sd_mm_d=np.sqrt(figure(track, "var_velocity")),
            acceleration_mm_d2=change,
            acceleration_sd_mm_d2=change_sd,
            out_of_range=figure(track, "out_of_range") > 0,
            los_factor=points.factor,
            **_filtered(track, site, water_of(int(driver_day[0]), rain, level), memory),
            driver_day=driver_day[told],
            rain_mm=rain[told],
            level_m=level[told],
            point_unit=points.unit,
            point_lon=points.lon,
            point_lat=points.lat,
            point_velocity_mm_d=velocity,
            point_velocity_sd_mm_d=sd,
        )
    )


def _water(track: Track, record: DriverRecord, known_ns: int) -> tuple[Ints, Floats, Floats]:
    """Days, rain and level from the beginning of either record to the newest epoch, (T,) each."""
    last = track.days[-1]
    first = min(track.days[0], record.first_known(known_ns, last))
    rain, level = (record.daily(name, first, last, known_ns) for name in ("rain", "level"))
    return np.arange(first, last + 1), rain, level


def _filtered(track: Track, site: Site, water: Water, memory: Memory | None) -> dict[str, Floats]:
    """What the units' filters were given at each epoch, and what they make of it, (E, U) each."""
    units = len(track.points.factor)
    days = np.repeat(np.array(track.days, np.int64)[:, None], units, axis=1)
    observed, begins = given_to_units(track)
    sd = np.where(np.isfinite(observed), figure(track, "seen_sd_mm"), np.nan)
    given = Units(days, observed, sd, begins, np.zeros(units, np.int64))
    states = unit_state(track, np.arange(len(track.days)))
    kept = Named(memory, f"{site.name} {track.name}") if memory else None
    return {
        "observed_mm": observed,
        "observed_sd_mm": sd,
        "forecast_z": forecast_misses(given, states, site.noise.rate_walk_mm2_d3),
        **conditioned_evidence(given, [water], kept),
    }


def water_evidence(
    tracks: Iterable[Track], site: Site, record: DriverRecord, known_ns: int, day: int
) -> bytes | None:
    """Evidence of a closed day: the water of its last 120 days, and how fast the units move.

    The motion is that after the newest epoch of any track. None for a site without an epoch, or of
    whose rain and level nothing is known.
    """
    newest = max((t for t in tracks if t.days), key=lambda track: track.days[-1], default=None)
    first = day - WATER_DAYS + 1
    if newest is None or record.first_known(known_ns, day + 1) > day:
        return None
    rows = slice(-1, None)
    velocity = figure(newest, "velocity_mm_d")[rows]
    nothing = np.full(velocity.shape, math.nan)
    no_point = np.zeros(0, np.int64)
    absent = np.zeros((POINT_EPOCHS, 0))
    return pack_evidence(
        Evidence(
            **{
                **not_said({"velocity_mm_d": velocity, "point_unit": no_point}),
                "driver_day": np.arange(first, day + 1),
                "rain_mm": record.daily("rain", first, day, known_ns),
                "level_m": record.daily("level", first, day, known_ns),
            },
            units=tuple(u.id for u in site.slope_units),
            epoch_day=np.array(newest.days[-1:], np.int64),
            innovation_z=figure(newest, "innovation_z")[rows],
            velocity_mm_d=velocity,
            velocity_sd_mm_d=np.sqrt(figure(newest, "var_velocity")[rows]),
            acceleration_mm_d2=nothing,
            acceleration_sd_mm_d2=nothing,
            out_of_range=figure(newest, "out_of_range")[rows] > 0,
            los_factor=newest.points.factor,
            point_unit=no_point,
            point_velocity_mm_d=absent,
            point_velocity_sd_mm_d=absent,
        )
    )


def _point_series(track: Track) -> tuple[Floats, Floats]:
    """Velocity and sd of the points after the last three epochs, oldest first: (3, P) each."""
    count = track.points.lon.size
    velocity = np.full((POINT_EPOCHS, count), math.nan)
    sd = np.full((POINT_EPOCHS, count), math.nan)
    for back, day in enumerate(reversed(track.checkpoint_days[-POINT_EPOCHS:])):
        points = track.motion.points if back == 0 else checkpoint_of(track, day).points
        velocity[-1 - back] = points.velocity_mm_d
        sd[-1 - back] = np.where(np.isnan(points.velocity_mm_d), math.nan, points.var_velocity**0.5)
    return velocity, sd
