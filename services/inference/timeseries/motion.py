"""One epoch assimilated into the motion of a track: its points, and its slope units.

Points are filtered one by one. A slope unit has a filter of its own, fed with the mean over its
points, because the atmosphere of an epoch is **shared** by a unit's points: the unit's variance is
that of the mean of what is independent plus the whole of what is shared, never divided by the
number of points.

The mean is kept free of jumps when points come and go: what a missing point would have shown is
its own prediction plus the mean innovation of those that were measured; a point that starts later
shifts an offset, not the mean.

C-band cannot tell motion of more than a quarter wavelength between two epochs across a sharp
flank. Where that is likely (probability >= `OUT_OF_RANGE_PROBABILITY`) the epoch is out of range:
it is not assimilated, and nothing after it either until the unit has been seen moving slowly for
`RECOVERY_EPOCHS` epochs in a row; then its filters begin anew.

All arrays may carry leading batch axes (sites), so that the twin's pools are scored by the very
functions that run in the service. Any namespace of the Python array API will do.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from array_api_compat import array_namespace

from core.kalman import Innovation, TrendState, predict, update
from core.kinematics import probability_above

Array: TypeAlias = Any

OUT_OF_RANGE_PROBABILITY = 0.05
RECOVERY_EPOCHS = 4


class Layout(NamedTuple):
    """Which point belongs to which unit, and what C-band can tell there.

    `membership` (..., U, P): 1 where the point is in the unit. `limit_mm` (..., U): motion
    between two epochs that can still be told, infinite where the source's unwrapping takes care.
    """

    membership: Array
    limit_mm: Array


class Motion(NamedTuple):
    """Filters of one track, and what its units need besides."""

    points: TrendState
    units: TrendState
    offset_mm: Array
    """(..., U): unit displacement minus the mean over its started points."""
    seen_mm: Array
    """(..., U): mean of the last epoch as observed, assimilated or not; NaN before the first."""
    calm: Array
    """(..., U): -1 in range; else the slow epochs in a row since the unit went out of range."""


class Step(NamedTuple):
    """What one epoch said about each unit (..., U)."""

    innovation: Innovation
    innovation_z: Array
    out_of_range: Array
    measured: Array
    """Number of points measured, taken in or not, as a float."""
    observed_variance_mm2: Array
    """Variance of the unit's observed mean: its points' own, and the shared atmosphere."""


def begin(points: Array, units: Array, velocity_sd_mm_d: float) -> Motion:
    """Nothing known yet. `points` (..., P) and `units` (..., U) give shapes, dtype and device."""
    xp = array_namespace(points, units)
    nothing = xp.full_like(units, float("nan"))
    return Motion(
        points=_unstarted(points, velocity_sd_mm_d),
        units=_unstarted(units, velocity_sd_mm_d),
        offset_mm=xp.zeros_like(units),
        seen_mm=nothing,
        calm=xp.full_like(units, -1.0),
    )


def assimilate(
    motion: Motion,
    layout: Layout,
    dt_days: Array,
    observed_mm: Array,
    variance_mm2: Array,
    shared_mm2: Array,
    shared_unit_mm2: Array,
    rate_walk_mm2_d3: float,
    velocity_sd_mm_d: float,
) -> tuple[Motion, Step]:
    """Take in one epoch.

    `dt_days` (...,) or number: days since the last epoch (0 at the first). `observed_mm`,
    `variance_mm2`, `shared_mm2` (..., P): displacement, its own variance and that of the
    atmosphere; NaN = not measured. `shared_unit_mm2` (..., U).
    """
    xp = array_namespace(observed_mm)
    dt = _column(dt_days, xp)
    points = predict(motion.points, dt, rate_walk_mm2_d3)
    units = predict(motion.units, dt, rate_walk_mm2_d3)
    calm = _watch_range(motion, layout, dt, rate_walk_mm2_d3, observed_mm)
    restarts = calm >= RECOVERY_EPOCHS
    blocked = (calm >= 0) & ~restarts
    points = _restart(points, _to_points(restarts, layout), velocity_sd_mm_d)
    units = _restart(units, restarts, velocity_sd_mm_d)
    taken = xp.where(
        _to_points(blocked, layout), xp.full_like(observed_mm, float("nan")), observed_mm
    )
    offset = xp.where(restarts, xp.zeros_like(motion.offset_mm), motion.offset_mm)
    seen, variance = _unit_observation(points, offset, layout, taken, variance_mm2, shared_unit_mm2)
    after_units, innovation = update(units, seen, variance)
    after_points, _ = update(points, taken, variance_mm2 + shared_mm2)
    after = Motion(
        points=after_points,
        units=after_units,
        offset_mm=_offset(points, after_points, offset, layout),
        seen_mm=_keep(_mean(observed_mm, layout), motion.seen_mm),
        calm=xp.where(restarts, xp.full_like(calm, -1.0), calm),
    )
    z = innovation.value_mm / xp.sqrt(innovation.variance_mm2)
    measured = _sum(xp.astype(~xp.isnan(observed_mm), observed_mm.dtype), layout)
    return after, Step(innovation, z, blocked, measured, variance)


def _unstarted(like: Array, velocity_sd_mm_d: float) -> TrendState:
    xp = array_namespace(like)
    nothing = xp.full_like(like, float("nan"))
    return TrendState(nothing, nothing, nothing, nothing, xp.full_like(like, velocity_sd_mm_d**2))


def _column(dt_days: Array, xp: Any) -> Array:
    """Batch times as a column beside the points; a plain number stays one."""
    return dt_days if isinstance(dt_days, int | float) else xp.asarray(dt_days)[..., None]


def _watch_range(
    motion: Motion, layout: Layout, dt: Array, rate_walk: float, observed: Array
) -> Array:
    """The new `calm` count of each unit: -1 in range, 0 out of range, n slow epochs since."""
    xp = array_namespace(observed)
    units = motion.units
    expected = units.velocity_mm_d * dt
    sd = xp.sqrt(units.var_velocity * dt * dt + rate_walk * dt * dt * dt / 3.0)
    tail = probability_above(xp.abs(expected), sd, layout.limit_mm)
    leaves = (tail >= OUT_OF_RANGE_PROBABILITY) & _established(units)
    moved = xp.abs(_mean(observed, layout) - motion.seen_mm)
    slow = moved < layout.limit_mm / 2.0
    measured = ~xp.isnan(moved)
    counted = xp.where(slow, motion.calm + 1.0, xp.zeros_like(motion.calm))
    waiting = xp.where(measured, counted, motion.calm)
    inside = xp.where(leaves, xp.zeros_like(motion.calm), motion.calm)
    return xp.where(motion.calm >= 0, waiting, inside)


def _established(units: TrendState) -> Array:
    """Units whose velocity is known to better than its prior: at least a few epochs old."""
    xp = array_namespace(units.var_velocity)
    return ~xp.isnan(units.displacement_mm) & (units.var_velocity < 0.25)


def _unit_observation(
    points: TrendState,
    offset: Array,
    layout: Layout,
    observed: Array,
    variance: Array,
    shared: Array,
) -> tuple[Array, Array]:
    """Mean displacement of each unit as observed, and its variance."""
    xp = array_namespace(observed)
    seen = ~xp.isnan(observed)
    started = ~xp.isnan(points.displacement_mm)
    fresh = observed - points.displacement_mm
    known = seen & started
    count = _sum(xp.where(seen, xp.ones_like(observed), xp.zeros_like(observed)), layout)
    news = _ratio(
        _sum(xp.where(known, fresh, xp.zeros_like(fresh)), layout),
        _sum(xp.where(known, xp.ones_like(fresh), xp.zeros_like(fresh)), layout),
    )
    first = _mean(observed, layout)
    anything = _sum(xp.astype(started, observed.dtype), layout) > 0
    level = xp.where(anything, _mean(points.displacement_mm, layout) + news + offset, first)
    own = _sum(xp.where(seen, variance, xp.zeros_like(variance)), layout)
    safe = xp.where(count > 0, count, xp.ones_like(count))
    return level, own / (safe * safe) + shared


def _offset(before: TrendState, after: TrendState, offset: Array, layout: Layout) -> Array:
    """Keep the unit's level while points join: shift the offset by what they do to the mean."""
    xp = array_namespace(offset)
    nothing = xp.full_like(before.displacement_mm, float("nan"))
    old = xp.where(xp.isnan(before.displacement_mm), nothing, after.displacement_mm)
    shift = _mean(old, layout) - _mean(after.displacement_mm, layout)
    return offset + xp.where(xp.isnan(shift), xp.zeros_like(shift), shift)


def _restart(state: TrendState, which: Array, velocity_sd_mm_d: float) -> TrendState:
    xp = array_namespace(which)
    fresh = _unstarted(state.displacement_mm, velocity_sd_mm_d)
    return TrendState(*(xp.where(which, n, o) for n, o in zip(fresh, state, strict=True)))


def _keep(new: Array, old: Array) -> Array:
    xp = array_namespace(new)
    return xp.where(xp.isnan(new), old, new)


def _sum(values: Array, layout: Layout) -> Array:
    """(..., P) summed over each unit's points: (..., U)."""
    xp = array_namespace(values)
    return xp.matmul(layout.membership, values[..., None])[..., 0]


def _mean(values: Array, layout: Layout) -> Array:
    """Mean over each unit's points that have a value, NaN where none has."""
    xp = array_namespace(values)
    there = ~xp.isnan(values)
    total = _sum(xp.where(there, values, xp.zeros_like(values)), layout)
    return _ratio(total, _sum(xp.astype(there, values.dtype), layout))


def _ratio(total: Array, count: Array) -> Array:
    xp = array_namespace(total)
    empty = count == 0
    mean = total / xp.where(empty, xp.ones_like(count), count)
    return xp.where(empty, xp.full_like(mean, float("nan")), mean)


def _to_points(units: Array, layout: Layout) -> Array:
    """A unit's flag at each of its points: (..., U) bool to (..., P) bool."""
    xp = array_namespace(layout.membership)
    flags = xp.astype(units, layout.membership.dtype)
    return xp.matmul(flags[..., None, :], layout.membership)[..., 0, :] > 0
