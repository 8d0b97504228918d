"""What was known of a real site at the end of any day, from its archive.

The archive keeps every epoch and every driver as it came, with the moment at which it could be
known. A history cuts it there: of each day the newest vintage that had come by the end of the day
asked for, whatever came later. A unit's series is what its filter was given, the mean over its
points kept free of jumps when points come and go; a point's is its own measurement, relative to
firm ground. Epochs that were out of range for a unit are not there for its points either.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from core.clock import end_of
from core.evidence import Floats
from core.kalman import TrendState, predict
from core.settings import SlopeUnit
from services.inference.conditioning import given_to_filter
from services.inference.known import FURTHEST_D, Drivers, Flags, Ints, Known, Setting
from services.inference.state import DriverRow, SiteState, day_of, nanoseconds
from services.inference.track import (
    Track,
    Values,
    checkpoint_of,
    figure,
    folded_anew,
    newest_vintages,
    values_of,
)

Series = Literal["units", "points"]
REMEMBERED_TRACKS = 8
_QUANTITIES = ("rain", "level")


class Readings:
    """Measurements of points read from stores, kept for the next day; never changes an answer.

    An entry of an archive is named by site, track and its place in the site's order, and what has
    that name is always the same.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, str], dict[tuple[int, int], Values]] = OrderedDict()

    def of(self, site: str, track: Track, numbers: Sequence[int]) -> tuple[Floats, Floats]:
        """Displacement and sd (K, P) of these archive entries, as they came."""
        name = (site, track.name, track.points_ref.sha256)
        kept = self._kept.setdefault(name, {})
        self._kept.move_to_end(name)
        if len(self._kept) > REMEMBERED_TRACKS:
            self._kept.popitem(last=False)
        rows = []
        for number in numbers:
            entry = track.entries[number]
            key = (entry.seq, entry.day)
            if key not in kept:
                kept[key] = values_of(track, number)
            rows.append(kept[key])
        if not rows:
            nothing = np.zeros((0, track.points.lon.size))
            return nothing, nothing
        return np.stack([r.displacement_mm for r in rows]), np.stack([r.sigma_mm for r in rows])


class _Columns(NamedTuple):
    """Rows of one driver: place among its stations, day, value, when it could be known."""

    stations: tuple[str, ...]
    station: Ints
    day: Ints
    value: Floats
    available_ns: Ints


class DriverRecord:
    """Rain and level of a site as they came; says what was known of every day at any moment.

    Where several stations report a quantity its value is the mean of those that did. Levels of
    stations with different datums must not be mixed: name one level station a site.
    """

    def __init__(self, rows: Sequence[DriverRow] = ()) -> None:
        self._columns = {name: _columns(rows, name) for name in _QUANTITIES}
        self.first_day: int | None = min((row.day for row in rows), default=None)

    def extended(self, rows: Sequence[DriverRow]) -> DriverRecord:
        """The same with rows that came later."""
        longer = DriverRecord()
        longer._columns = {n: _columns(rows, n, after=self._columns[n]) for n in _QUANTITIES}
        days = [row.day for row in rows]
        days += [self.first_day] if self.first_day is not None else []
        longer.first_day = min(days, default=None)
        return longer

    def first_known(self, known_ns: int, otherwise: int) -> int:
        """First day of which something was known at `known_ns`, `otherwise` where nothing was."""
        days = [
            int(rows.day[rows.available_ns <= known_ns].min(initial=otherwise))
            for rows in self._columns.values()
        ]
        return min(days)

    def daily(self, quantity: str, first: int, last: int, known_ns: int) -> Floats:
        """Values of the days `first` to `last` as known at `known_ns`, NaN where nothing was."""
        rows = self._columns[quantity]
        grid = np.full((len(rows.stations), last - first + 1), np.nan)
        take = (rows.available_ns <= known_ns) & (rows.day >= first) & (rows.day <= last)
        # Rows lie in the order of arrival, and of several for one place the last one is kept.
        grid[rows.station[take], rows.day[take] - first] = rows.value[take]
        there = np.isfinite(grid)
        count = there.sum(axis=0)
        total = np.where(there, grid, 0.0).sum(axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _columns(rows: Sequence[DriverRow], quantity: str, after: _Columns | None = None) -> _Columns:
    mine = [row for row in rows if row.quantity == quantity]
    names = dict.fromkeys((*(after.stations if after else ()), *(row.station for row in mine)))
    place = {name: n for n, name in enumerate(names)}
    earlier = after or _NOTHING
    return _Columns(
        stations=tuple(names),
        station=_longer(earlier.station, (place[row.station] for row in mine)),
        day=_longer(earlier.day, (row.day for row in mine)),
        value=np.append(earlier.value, [row.value for row in mine]),
        available_ns=_longer(earlier.available_ns, (row.available_ns for row in mine)),
    )


def _longer(earlier: Ints, new: Iterable[int]) -> Ints:
    return np.concatenate([earlier, np.fromiter(new, np.int64)])


_NO_DAYS = np.zeros(0, np.int64)
_NOTHING = _Columns((), _NO_DAYS, _NO_DAYS, np.zeros(0), _NO_DAYS)


class SiteHistory:
    """`services.inference.known.History` of the units or the points of one track.

    What feeds forecast of rain and level is not archived yet: days to come are NaN, and models
    fill them as they do where nobody issued anything. One slope, so one place.
    """

    def __init__(
        self,
        state: SiteState,
        track: Track,
        series: Series = "units",
        *,
        record: DriverRecord | None = None,
        readings: Readings | None = None,
    ) -> None:
        assert state.site is not None
        self._site = state.site
        self._track = track
        self._series = series
        self._record = record or driver_record(state)
        self._readings = readings or Readings()
        self._folds: dict[tuple[int, ...], Track] = {}

    @property
    def track(self) -> str:
        """Name of the track."""
        return self._track.name

    @property
    def first_day(self) -> int:
        """The first day of which anything is known."""
        days = [min(e.day for e in self._track.entries)] if self._track.entries else []
        days += [self._record.first_day] if self._record.first_day is not None else []
        return min(days, default=0)

    def known(self, day: int) -> Known:
        """Everything known at the end of `day`, and nothing else."""
        numbers = self._numbers(day)
        track = self._folded(numbers)
        los, sd = self._units(track) if self._series == "units" else self._points(track, numbers)
        count = los.shape[1]
        days = np.array(track.days, np.int64)
        return Known(
            day=day,
            epoch_day=np.repeat(days[:, None], count, axis=1),
            los_mm=los,
            sd_mm=sd,
            place=np.zeros(count, np.int64),
            drivers=self._drivers(day, numbers),
            setting=self._setting(count),
        )

    def track_on(self, day: int) -> Track:
        """The track with the history that was known at the end of `day`."""
        return self._folded(self._numbers(day))

    def filtered(self, day: int) -> TrendState:
        """The filter on `day` as known at its end, predicted from the newest epoch by then.

        (S,) each, NaN before the first epoch.
        """
        numbers = self._numbers(day)
        track = self._folded(numbers)
        if self._series == "points":
            state = self._point_filter(numbers)
        elif track.days:
            state = TrendState(*(track.history[-1, part] for part in range(5)))
        else:
            state = TrendState(*(np.full_like(part, np.nan) for part in self._track.motion.units))
        ahead = float(day - track.days[-1]) if track.days else 0.0
        return predict(state, ahead, self._site.noise.rate_walk_mm2_d3)

    def _point_filter(self, numbers: list[int]) -> TrendState:
        """Filter of the points after these entries: at hand, or folded from nothing."""
        folded = newest_vintages(self._track.entries)
        if numbers == folded:
            return self._track.motion.points
        if numbers and numbers == folded[: len(numbers)]:
            last = self._track.days[len(numbers) - 1]
            if last in self._track.checkpoint_days:
                return checkpoint_of(self._track, last).points
        return self._anew(numbers).motion.points

    def _numbers(self, day: int) -> list[int]:
        """Archive entries that count at the end of `day`, by day: the newest vintage by then."""
        entries = self._track.entries
        known_ns = nanoseconds(end_of(day_of(day)))
        return [n for n in newest_vintages(entries, as_of_ns=known_ns) if entries[n].day <= day]

    def _folded(self, numbers: list[int]) -> Track:
        """The track with the history of these entries alone.

        Mostly they are the first ones of what is folded already; where an epoch or a vintage came
        in between later, they are folded once more.
        """
        track = self._track
        whole = newest_vintages(track.entries)
        if numbers == whole:
            return track
        if numbers == whole[: len(numbers)]:
            count = len(numbers)
            return replace(track, days=track.days[:count], history=track.history[:count])
        return self._anew(numbers)

    def _anew(self, numbers: list[int]) -> Track:
        key = tuple(numbers)
        if key not in self._folds:
            self._folds = {key: folded_anew(self._track, numbers, self._site.noise)}
        return self._folds[key]

    def _units(self, track: Track) -> tuple[Floats, Floats]:
        given, _ = given_to_units(track)
        return given, np.where(np.isfinite(given), figure(track, "seen_sd_mm"), np.nan)

    def _points(self, track: Track, numbers: list[int]) -> tuple[Floats, Floats]:
        points = track.points
        moved, sigma = self._readings.of(self._site.name, track, numbers)
        moved = _on_firm_ground(moved, points.in_reference)
        outside = figure(track, "out_of_range") > 0
        blocked = (points.unit >= 0) & outside[:, points.unit]
        moved = np.where(blocked | ~np.isfinite(sigma), np.nan, moved)
        sd = np.sqrt(sigma**2 + points.shared_mm2)
        return moved, np.where(np.isfinite(moved), sd, np.nan)

    def _drivers(self, day: int, numbers: list[int]) -> Drivers:
        known_ns = nanoseconds(end_of(day_of(day)))
        first = min((self._track.entries[n].day for n in numbers), default=day)
        first = min(first, self._record.first_known(known_ns, day))
        last = day + FURTHEST_D
        values = []
        for quantity in _QUANTITIES:
            daily = self._record.daily(quantity, first, day, known_ns)
            ahead = np.full(last - day, np.nan)
            values.append(np.concatenate([daily, ahead])[:, None])
        nothing = np.zeros((last - first + 1, 1), bool)
        return Drivers(first, values[0], values[1], nothing, nothing)

    def _setting(self, count: int) -> Setting:
        units = self._site.slope_units
        points = self._track.points
        columns = [
            points.factor,
            *(_of_units(units, name) for name in ("bank_distance_m", "height_m", "position")),
        ]
        if self._series == "points":
            inside = points.unit >= 0
            columns = [np.where(inside, column[points.unit], np.nan) for column in columns]
        return Setting(*columns)


def driver_record(state: SiteState) -> DriverRecord:
    """All that a site has taken in of rain and level."""
    return DriverRecord((*state.past_drivers, *state.drivers))


def given_to_units(track: Track) -> tuple[Floats, Flags]:
    """What the filter of each unit was given at each epoch, and where it began: (E, U) each."""
    return given_to_filter(
        np.array(track.days, float)[:, None],
        figure(track, "displacement_mm"),
        figure(track, "velocity_mm_d"),
        figure(track, "gain_displacement"),
    )


def _on_firm_ground(moved: Floats, firm: Flags) -> Floats:
    """Displacement (K, P) relative to firm ground at each epoch, as the filter takes it."""
    if not firm.any() or not len(moved):
        return moved
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an epoch without firm ground is NaN
        zero = np.nanmedian(moved[:, firm], axis=1, keepdims=True)
    return moved - zero


def _of_units(units: Sequence[SlopeUnit], name: str) -> Floats:
    values = (getattr(unit, name) for unit in units)
    return np.array([np.nan if value is None else value for value in values], float)
