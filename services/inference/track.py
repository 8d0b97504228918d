"""A track's archive of epochs, and how they fold into its motion.

The archive grows by arrival; the fold runs in valid time. An epoch that is late for its day is
put into the archive and folded from the newest checkpoint before it, later ones after it in their
order: the answer is that of the right order, however late it came and however few checkpoints
are left. A checkpoint is a cache.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.events import ArtifactRef
from core.evidence import Floats
from core.kalman import TrendState
from core.settings import Noise
from services.inference.pairs import PairWindow
from services.inference.points import Points
from services.inference.timeseries.motion import Motion, assimilate, begin

FIGURES = (
    "displacement_mm",
    "velocity_mm_d",
    "var_displacement",
    "cov_displacement_velocity",
    "var_velocity",
    "gain_displacement",
    "gain_velocity",
    "innovation_z",
    "out_of_range",
    "measured",
    "seen_mm",
    "seen_sd_mm",
)
"""What the history keeps of each unit at each epoch, in this order."""


class Entry(NamedTuple):
    """One archived epoch of a track: when it is valid, when it was known, which vintage it is."""

    day: int
    available_ns: int
    processed_ns: int
    seq: int
    vintage: int


class Values(NamedTuple):
    """Displacement (mm, toward the satellite) and own sd of every point; NaN = not measured."""

    displacement_mm: Floats
    sigma_mm: Floats


@dataclass(frozen=True)
class Track:
    """One track of one site.

    `entries[i]` is the i-th arrival; `loaded` holds those whose values are not stored yet,
    `read_values` fetches the others. `days` and `history` (E, F, U) run in valid time;
    `checkpoint_days` says which checkpoints exist, `fresh` holds those not stored yet.
    `first_change` is the first history row that differs from what is stored. `references` are the
    reference epochs of the series that are zero where the track's first one is, that one first.
    """

    name: str
    points: Points
    points_ref: ArtifactRef
    motion: Motion
    days: tuple[int, ...] = ()
    history: Floats = field(default_factory=lambda: np.zeros((0, len(FIGURES), 0)))
    entries: tuple[Entry, ...] = ()
    loaded: dict[int, Values] = field(default_factory=dict)
    checkpoint_days: tuple[int, ...] = ()
    fresh: dict[int, Motion] = field(default_factory=dict)
    first_change: int | None = None
    window: PairWindow | None = None
    window_changed: bool = False
    references: tuple[date, ...] = ()
    read_values: Callable[[int], Values] | None = None
    read_checkpoint: Callable[[int], Motion] | None = None


def new_track(name: str, points: Points, points_ref: ArtifactRef, noise: Noise) -> Track:
    """A track without any epoch."""
    return Track(name, points, points_ref, _begin(points, noise))


def add_epoch(track: Track, entry: Entry, values: Values, noise: Noise) -> Track:
    """Archive one epoch and fold it in; the newest vintage of a day is what counts."""
    number = len(track.entries)
    track = replace(
        track,
        entries=(*track.entries, entry),
        loaded={**track.loaded, number: values},
    )
    return refold(track, entry.day, noise)


def refold(track: Track, day: int, noise: Noise) -> Track:
    """Fold all epochs from `day` on again, from the newest checkpoint before it."""
    usable = bisect_left(track.checkpoint_days, day)
    kept = track.checkpoint_days[:usable]
    base = kept[-1] if kept else None
    position = bisect_left(track.days, base + 1) if base is not None else 0
    track = replace(
        track,
        motion=_motion_after(track, base, noise),
        days=track.days[:position],
        history=track.history[:position],
        checkpoint_days=kept,
        fresh={d: m for d, m in track.fresh.items() if base is not None and d <= base},
        first_change=position if track.first_change is None else min(position, track.first_change),
    )
    for number in newest_vintages(track.entries, after=base):
        track = _fold_one(track, track.entries[number].day, values_of(track, number), noise)
    return track


def newest_vintages(
    entries: tuple[Entry, ...], after: int | None = None, as_of_ns: int | None = None
) -> list[int]:
    """Archive numbers of the epochs to fold, in valid time: per day the newest vintage.

    `as_of_ns` leaves out what was not available then.
    """
    newest: dict[int, int] = {}
    for number, entry in enumerate(entries):
        if after is not None and entry.day <= after:
            continue
        if as_of_ns is None or entry.available_ns <= as_of_ns:
            newest[entry.day] = number
    return [newest[day] for day in sorted(newest)]


def as_of(track: Track, available_ns: int, noise: Noise) -> Track:
    """The track as it could be known then: the archive up to that moment, folded from nothing."""
    return folded_anew(track, newest_vintages(track.entries, as_of_ns=available_ns), noise)


def folded_anew(track: Track, numbers: Iterable[int], noise: Noise) -> Track:
    """The track after these archive entries alone, in their order, folded from nothing."""
    empty = replace(
        track,
        motion=_begin(track.points, noise),
        days=(),
        history=track.history[:0],
        checkpoint_days=(),
        fresh={},
        window=None,
    )
    for number in numbers:
        empty = _fold_one(empty, track.entries[number].day, values_of(track, number), noise)
    return empty


def values_of(track: Track, number: int) -> Values:
    """Values of archive entry `number`, from memory or from the store."""
    if number in track.loaded:
        return track.loaded[number]
    assert track.read_values is not None
    return track.read_values(number)


def _begin(points: Points, noise: Noise) -> Motion:
    return begin(
        np.zeros(points.lon.size), np.zeros(points.factor.size), noise.velocity_prior_sd_mm_d
    )


def _motion_after(track: Track, day: int | None, noise: Noise) -> Motion:
    """Motion at a checkpoint, or before everything."""
    if day is None:
        return _begin(track.points, noise)
    if day == track.days[-1]:
        return track.motion
    return checkpoint_of(track, day)


def checkpoint_of(track: Track, day: int) -> Motion:
    """The checkpoint after the epoch of `day`, from memory or from the store."""
    if day in track.fresh:
        return track.fresh[day]
    assert track.read_checkpoint is not None
    return track.read_checkpoint(day)


def _fold_one(track: Track, day: int, values: Values, noise: Noise) -> Track:
    """Assimilate one epoch after all that was folded, relative to the site's firm ground.

    The archive holds what came, so that another reference area holds for the past as well.
    """
    dt = float(day - track.days[-1]) if track.days else 0.0
    moved = _relative(values.displacement_mm, track.points.in_reference)
    motion, step = assimilate(
        track.motion,
        track.points.layout,
        dt,
        moved,
        values.sigma_mm**2,
        track.points.shared_mm2,
        track.points.shared_unit_mm2,
        noise.rate_walk_mm2_d3,
        noise.velocity_prior_sd_mm_d,
    )
    row = np.stack(
        [
            *motion.units,
            step.innovation.gain_displacement,
            step.innovation.gain_velocity,
            step.innovation_z,
            step.out_of_range.astype(float),
            step.measured,
            motion.seen_mm,
            step.observed_variance_mm2**0.5,
        ]
    )
    history = track.history if len(track.days) else np.zeros((0, *row.shape))
    return replace(
        track,
        motion=motion,
        days=(*track.days, day),
        history=np.concatenate([history, row[None]]),
        checkpoint_days=(*track.checkpoint_days, day),
        fresh={**track.fresh, day: motion},
    )


def _relative(moved: Floats, firm: npt.NDArray[np.bool_]) -> Floats:
    """Displacement relative to firm ground; not measured (NaN) where none of that was.

    A track without any point on firm ground stays as delivered.
    """
    if not firm.any():
        return moved
    seen = moved[firm & np.isfinite(moved)]
    return moved - np.median(seen) if seen.size else np.full_like(moved, np.nan)


def figure(track: Track, name: str) -> npt.NDArray[np.float64]:
    """One figure of the history, (E, U)."""
    if not track.days:
        return np.zeros((0, track.points.factor.size))
    return track.history[:, FIGURES.index(name), :]


def unit_state(track: Track, epochs: npt.NDArray[np.int64]) -> TrendState:
    """Filter state of the units right after each of the history rows `epochs`."""
    return TrendState(*(track.history[epochs, i] for i in range(5)))
