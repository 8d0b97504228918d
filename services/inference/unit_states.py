"""What inference says of a track's slope units: their motion now, then and between epochs."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from core.events import UnitState
from core.evidence import Floats
from core.kalman import ErrorTransition, Innovation, TrendState, compose, predict, transition
from core.kinematics import ACCELERATION_LAG_DAYS, acceleration
from core.settings import Site
from services.inference.track import Track, figure, unit_state

Rows = npt.NDArray[np.int64]


def accelerations(track: Track, epochs: Rows) -> tuple[Floats, Floats]:
    """Change of the units' velocity over 36 days (or the next longer gap), with its sd.

    For the N history rows `epochs`: (N, U) each, NaN where the history does not reach back.
    """
    days = np.array(track.days, np.int64)
    earlier = np.searchsorted(days, days[epochs] - ACCELERATION_LAG_DAYS, side="right") - 1
    known, since = (earlier >= 0)[:, None], np.maximum(earlier, 0)
    lag_days = np.where(known, (days[epochs] - days[since])[:, None], 1).astype(float)
    passage = _passage(track, since, np.where(known[:, 0], epochs, since))
    change = acceleration(unit_state(track, since), unit_state(track, epochs), passage, 1.0)
    return (
        np.where(known, change.value_mm_d2 / lag_days, math.nan),
        np.where(known, change.sd_mm_d2 / lag_days, math.nan),
    )


def _passage(track: Track, since: Rows, until: Rows) -> ErrorTransition:
    """How errors are carried from rows `since` to rows `until`, (N, U)."""
    step = since + 1
    passage = _transition(track, np.minimum(step, len(track.days) - 1))
    while (goes_on := step < until).any():
        step = step + goes_on
        further = compose(_transition(track, np.minimum(step, len(track.days) - 1)), passage)
        pairs = zip(further, passage, strict=True)
        passage = ErrorTransition(*(np.where(goes_on[:, None], new, old) for new, old in pairs))
    return passage


def _transition(track: Track, epochs: Rows) -> ErrorTransition:
    days = np.array(track.days, float)
    gain_d = figure(track, "gain_displacement")[epochs]
    gain_v = figure(track, "gain_velocity")[epochs]
    nothing = np.full_like(gain_d, math.nan)
    dt = (days[epochs] - days[epochs - 1])[:, None]
    return transition(dt, Innovation(nothing, nothing, gain_d, gain_v))


def predicted(track: Track, day: int, rate_walk_mm2_d3: float) -> TrendState:
    """Units on `day`, from the newest epoch: between acquisitions and beyond the last."""
    return predict(track.motion.units, float(max(0, day - track.days[-1])), rate_walk_mm2_d3)


def unit_states(track: Track, state: TrendState, site: Site) -> tuple[UnitState, ...]:
    """The units of a track as an event says them."""
    last = len(track.days) - 1
    (change,), (change_sd,) = accelerations(track, np.array([last]))
    measured, outside = figure(track, "measured")[last], figure(track, "out_of_range")[last]
    return tuple(
        UnitState(
            track=track.name,
            unit=unit.id,
            los_displacement_mm=_number(state.displacement_mm[i]),
            displacement_sd_mm=_number(state.var_displacement[i] ** 0.5),
            los_velocity_mm_d=_number(state.velocity_mm_d[i]),
            velocity_sd_mm_d=_number(state.var_velocity[i] ** 0.5),
            los_acceleration_mm_d2=_number(change[i]),
            acceleration_sd_mm_d2=_number(change_sd[i]),
            measured_points=int(measured[i]),
            usual_points=usual_points(track, i),
            los_factor=_number(track.points.factor[i]),
            out_of_range=bool(outside[i]),
        )
        for i, unit in enumerate(site.slope_units)
    )


def usual_points(track: Track, unit: int) -> int:
    """Median of the unit's measured points over the epochs before the newest; 0 where none.

    Epochs that did not measure the unit at all do not say what is usual.
    """
    earlier = figure(track, "measured")[:-1, unit]
    earlier = earlier[earlier > 0]
    return int(np.median(earlier)) if earlier.size else 0


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def daily(track: Track, days: Floats, rate_walk_mm2_d3: float) -> TrendState:
    """Units on every one of `days` (T,), each from the newest epoch by then: arrays (T, U).

    NaN before the first epoch. Between acquisitions this is the filter's prediction.
    """
    newest = np.searchsorted(np.array(track.days), days, side="right") - 1
    at = np.maximum(newest, 0)
    filtered = TrendState(*(track.history[at, i] for i in range(5)))
    dt = np.maximum(days - np.array(track.days, float)[at], 0.0)[:, None]
    known = (newest >= 0)[:, None]
    return TrendState(
        *(np.where(known, part, math.nan) for part in predict(filtered, dt, rate_walk_mm2_d3))
    )
