"""Displacement values of named points, gathered from a table's rows in any of three layouts."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from datetime import date, datetime
from itertools import islice
from pathlib import Path

from pydantic import Field

from core.errors import BadInputError, UnavailableError
from core.settings import Tree
from services.ingest import http
from services.ingest.feed import Rejection
from services.ingest.sources._points import PointError, Points, finite, matching, plain_name
from services.ingest.tables import MAX_BYTES, Cell, Row, TableFormat, moment, row_text

MAX_VALUES = 10_000_000
EARLIEST = date(1990, 1, 1)
_AGAIN = "\u0000again"


class Columns(Tree):
    """Columns that hold the displacements."""

    epoch_format: str = Field(
        "%Y%m%d", description="layout points: how the names of the days' columns are written"
    )
    date: str = Field("date", description="layouts epochs and long: column of the day")
    point: str = Field("point", description="layout long: column of the point's name")
    value: str = Field("value", description="layout long: column of the displacement")
    sigma: str | None = Field(
        None, description="layouts points and long: column of the standard deviation; * allowed"
    )


def content_of(where: str) -> bytes:
    """The bytes of a file or of what an http(s) address answers."""
    if where.startswith(("http://", "https://")):
        return http.get(where)
    try:
        with Path(where).open("rb") as file:
            return file.read(MAX_BYTES + 1)  # a longer one is refused by the reader
    except OSError as error:
        raise UnavailableError(f"cannot read {where}: {error.strerror or error}") from error


def shown(where: str) -> str:
    """`where` as it may be written into messages: an address without its keys."""
    return http.shown(where) if where.startswith(("http://", "https://")) else where


def with_unique_names(content: bytes, form: TableFormat) -> TableFormat:
    """The format with its column names spelt out, so that a name that comes twice is seen twice."""
    if form.format != "csv" or form.names or not form.header_row:
        return form
    lines = io.StringIO(content.decode(form.encoding, errors="replace"), newline=None)
    line = next(islice(lines, form.header_row - 1, None), "")
    names = [cell.strip() for cell in next(csv.reader([line], delimiter=form.separator), [])]
    if len(set(names)) == len(names):
        return form
    unique = [n + _AGAIN * names[:i].count(n) for i, n in enumerate(names)]
    return form.model_copy(update={"names": tuple(unique)})


class Series:
    """Values of the epochs in [since, until]; `first` is the table's first epoch of all."""

    def __init__(self, columns: Columns, form: TableFormat, since: date, until: date) -> None:
        self._columns, self._form = columns, form
        self._span = since, until
        self._days: dict[str, date | None] = {}
        self._count = 0
        self._unknown: set[str] = set()
        self.first: date | None = None
        self.values: dict[date, dict[str, tuple[float, float]]] = {}
        """Displacement and its standard deviation (NaN: not said) by epoch and point."""

    def add_point(self, number: int, row: Row, points: Points, place: bool) -> Iterator[Rejection]:
        """A row that is one point's series; `place`: it also says where the point is."""
        name = plain_name(row.get(points.columns.id))
        try:
            if place and points.add(row) is None:
                return
        except PointError as error:
            yield _rejection(error.code, number, str(error), row)
            return
        if not points.has(name):
            yield from self._stray(number, name, row, points)
            return
        sigma, trouble = self._sigma(number, row, name)
        yield from trouble
        dated = 0
        for heading, cell in row.items():
            if (epoch := self._day_of(heading)) is not None:
                dated += 1
                yield from self._add(number, heading, epoch, name, cell, sigma)
        if not dated:
            raise BadInputError(
                f"no column is named like a day ({self._columns.epoch_format}): check `layout`"
            )

    def add_epoch(self, number: int, row: Row, points: Points) -> Iterator[Rejection]:
        """A row that is one epoch of all points."""
        epoch, trouble = self._row_day(number, row)
        yield from trouble
        if epoch is None:
            return
        for heading, cell in row.items():
            name = heading.partition(_AGAIN)[0]
            if name == self._columns.date:
                continue
            if points.has(name):
                yield from self._add(number, heading, epoch, name, cell, math.nan)
            else:
                yield from self._stray(number, name, {name: cell}, points)

    def add_value(self, number: int, row: Row, points: Points) -> Iterator[Rejection]:
        """A row that is one point's value on one day."""
        epoch, trouble = self._row_day(number, row)
        yield from trouble
        if epoch is None:
            return
        name = plain_name(row.get(self._columns.point))
        if not points.has(name):
            yield from self._stray(number, name, row, points)
            return
        if self._columns.value not in row:
            yield _rejection("R02", number, f"no column {self._columns.value!r}", row)
            return
        sigma, trouble = self._sigma(number, row, name)
        yield from trouble
        value = self._columns.value
        yield from self._add(number, value, epoch, name, row[value], sigma)

    def _add(
        self, number: int, column: str, epoch: date, name: str, cell: Cell, sigma: float
    ) -> Iterator[Rejection]:
        column = column.partition(_AGAIN)[0]
        if epoch < EARLIEST:
            reason = f"{epoch} is before any radar satellite"
            yield _rejection("R05", number, reason, {column: cell}, name, epoch)
            return
        self.first = min(self.first or epoch, epoch)
        value, trouble = self._value(number, column, cell, name)
        yield from trouble
        if trouble or not self._span[0] <= epoch <= self._span[1]:
            return
        cells = self.values.setdefault(epoch, {})
        if math.isnan(value):
            return
        if name not in cells:
            self._count += 1
            cells[name] = value, sigma
        elif cells[name][0] != value:
            reason = f"{epoch} of point {name} was {cells[name][0]:g} before, {value:g} here"
            yield _rejection("R06", number, reason, {column: cell}, name, epoch)
        if self._count > MAX_VALUES:
            raise BadInputError(f"over {MAX_VALUES} values inside the site's area: thin the table")

    def _sigma(self, number: int, row: Row, name: str) -> tuple[float, tuple[Rejection, ...]]:
        column = matching(row, self._columns.sigma) if self._columns.sigma else None
        if column is None:
            return math.nan, ()
        sigma, trouble = self._value(number, column, row[column], name)
        return (sigma if sigma > 0 else math.nan), trouble

    def _value(
        self, number: int, column: str, cell: Cell, name: str
    ) -> tuple[float, tuple[Rejection, ...]]:
        try:
            return finite(cell, self._form), ()
        except ValueError:
            reason = f"{column} of point {name} is {cell!r}, not a number"
            return math.nan, (_rejection("R03", number, reason, {column: cell}, name, column),)

    def _row_day(self, number: int, row: Row) -> tuple[date | None, tuple[Rejection, ...]]:
        cell = row.get(self._columns.date)
        try:
            return moment(cell, self._form).date(), ()
        except (ValueError, OverflowError):
            reason = f"{self._columns.date} is {cell!r}, not a date as the settings say"
            return None, (_rejection("R05", number, reason, row),)

    def _day_of(self, heading: str) -> date | None:
        """The day a column's name tells; None for other columns."""
        if heading not in self._days:
            plain = heading.partition(_AGAIN)[0]
            try:
                found = datetime.strptime(plain, self._columns.epoch_format).date()
            except ValueError:
                self._days[heading] = None
            else:
                self._days[heading] = found
        return self._days[heading]

    def _stray(self, number: int, name: str, row: Row, points: Points) -> Iterator[Rejection]:
        """Say once of a point that nothing tells where it is; those outside the site are known."""
        if name in self._unknown or points.is_outside(name):
            return
        self._unknown.add(name)
        yield _rejection("R11", number, f"nothing tells where point {name!r} is", row)


def _rejection(code: str, number: int, reason: str, row: Row, *place: object) -> Rejection:
    key = " ".join(map(str, (f"row {number}", *place)))
    return Rejection(code, f"row {number}: {reason}", key, row_text(row))
