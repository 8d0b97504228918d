"""Tables of named points: where each lies and along which direction it was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from core.settings import Tree
from services.ingest.feed import Rejection
from services.ingest.grids import Box, inside
from services.ingest.sources._headers import los_from_angles
from services.ingest.tables import Cell, Row, TableFormat, number, row_text

LOS = ("los_east", "los_north", "los_up")


class PointColumns(Tree):
    """Columns that describe a point. `*` stands for any letters: the first such column is read."""

    id: str = Field("pid", description="name of the point")
    lon: str = Field("longitude", description="degrees")
    lat: str = Field("latitude", description="degrees")
    height: str = Field("height*", description="metres; need not be there")
    slope: str = Field("slope*", description="degrees; need not be there")
    aspect: str = Field("aspect*", description="degrees, downhill; need not be there")
    los_east: str = Field("los_east", description="ground to satellite; need not be there")
    los_north: str = Field("los_north", description="ground to satellite; need not be there")
    los_up: str = Field("los_up", description="ground to satellite; need not be there")
    incidence: str = Field("incidence_angle", description="degrees, where there are no los columns")
    heading: str = Field("track_angle", description="flight direction, degrees, to go with it")


class Point(NamedTuple):
    """One point; NaN where the table does not say."""

    id: str
    lon: float
    lat: float
    los: tuple[float, float, float]
    height_m: float
    slope_deg: float
    aspect_deg: float


class PointError(Exception):
    """Why a row is no point: numbered reason and sentence."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def matching(row: Row, pattern: str) -> str | None:
    """The first column of `row` named so."""
    return pattern if pattern in row else next((n for n in row if fnmatchcase(n, pattern)), None)


def plain_name(cell: Cell) -> str:
    """A cell as one would write it as a column's name: 6, not 6.0; empty where there is none."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell).strip()


def finite(cell: Cell, form: TableFormat) -> float:
    """A cell's number, NaN where it holds none; `ValueError` for anything else."""
    if isinstance(cell, str) and cell.strip().lower() == "nan":
        return math.nan
    value = number(cell, form)
    return math.nan if value is None else value


class Points:
    """Points of a site by name, gathered row by row; later ones of a name must be equal."""

    def __init__(
        self, columns: PointColumns, form: TableFormat, boxes: Sequence[Box], los: Sequence[float]
    ) -> None:
        self.columns, self._form, self._boxes = columns, form, boxes
        self._los = (los[0], los[1], los[2])
        self._found: dict[str, Point] = {}
        self._outside: dict[str, None] = {}

    def add(self, row: Row) -> Point | None:
        """The row's point; None where it lies outside the site. `PointError` where it is none."""
        point = self._read(row)
        if not inside(point.lon, point.lat, self._boxes):
            self._outside[point.id] = None
            return None
        known = self._found.setdefault(point.id, point)
        if not np.array_equal(known[1:3], point[1:3]):
            raise PointError("R06", f"point {point.id} was at another place before")
        return known

    def _read(self, row: Row) -> Point:
        columns = self.columns
        name = plain_name(row.get(columns.id))
        if not name or len(name) > 256:
            raise PointError("R02", f"no point name in column {columns.id!r}")
        lon, lat = self._value(row, columns.lon), self._value(row, columns.lat)
        if math.isnan(lon) or math.isnan(lat):
            raise PointError("R02", f"no position in columns {columns.lon!r}, {columns.lat!r}")
        if not (-180 <= lon <= 180 and -90 <= lat <= 90):
            raise PointError("R04", f"{lon}, {lat} is no longitude and latitude in degrees")
        extra = (self._value(row, n) for n in (columns.height, columns.slope, columns.aspect))
        return Point(name, lon, lat, self._direction(row), *extra)

    def _direction(self, row: Row) -> tuple[float, float, float]:
        columns = self.columns
        given = [self._value(row, n) for n in (columns.los_east, columns.los_north, columns.los_up)]
        if any(map(math.isnan, given)):
            angles = self._value(row, columns.heading), self._value(row, columns.incidence)
            if any(map(math.isnan, angles)):
                return self._los
            given = los_from_angles(*angles)
        if abs(math.hypot(*given) - 1) > 0.02:
            raise PointError("R04", f"line of sight {given} is not of length one")
        return given[0], given[1], given[2]

    def _value(self, row: Row, pattern: str) -> float:
        name = matching(row, pattern)
        try:
            return math.nan if name is None else finite(row[name], self._form)
        except ValueError as error:
            raise PointError("R03", f"{name}: {error}") from error

    def outside(self) -> Iterator[Rejection]:
        """One word about all points outside the site: a whole region's file may hold millions."""
        if count := len(self._outside):
            first = [name for name, _ in zip(self._outside, range(20), strict=False)]
            reason = f"{count} points lie outside the site's area, {first[0]} the first"
            yield Rejection("R09", reason, "points outside", row_text({"id": first}))

    def has(self, name: str) -> bool:
        """Whether the point is known and inside the site."""
        return name in self._found

    def is_outside(self, name: str) -> bool:
        """Whether the point is known and outside the site."""
        return name in self._outside

    def names(self) -> list[str]:
        """Names, sorted: the order of all arrays."""
        return sorted(self._found)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays of the points artifact, by sorted name."""
        points = [self._found[name] for name in self.names()]
        arrays: dict[str, npt.NDArray[Any]] = {"id": np.array([p.id for p in points], dtype=str)}
        for field in ("lon", "lat", "height_m", "slope_deg", "aspect_deg"):
            column = np.array([getattr(p, field) for p in points], dtype=np.float64)
            if field in ("lon", "lat") or np.isfinite(column).any():
                arrays[field] = column
        for index, name in enumerate(LOS):
            arrays[name] = np.array([p.los[index] for p in points], dtype=np.float64)
        return arrays
