"""Daily rain or level from any table: CSV, JSON or Excel, in a file or behind an address.

For authorities without a feed of their own. Units, columns, missing codes and the way dates are
written stand in the settings. One row a day; CDEC's CSV servlet
(https://cdec.water.ca.gov/dynamicapp/wsSensorData) is an example of what can be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from core.artifacts import Artifacts
from core.errors import BadInputError, SettingsError, UnavailableError
from core.settings import Service, Site, Tree
from services.ingest import http, tables
from services.ingest.feed import Datum, Feed, Observation, Rejection
from services.ingest.feeds import _daily

_BRINGS: dict[str, frozenset[Datum]] = {
    "rain": frozenset({"rainfall"}),
    "level": frozenset({"level"}),
}


class Settings(Tree):
    """Where the table is and what its columns mean."""

    at: str = Field(
        description="file or http(s) address; {since}, {until} and {year} stand for dates"
    )
    quantity: Literal["rain", "level"] = Field(description="rain (a day's sum) or level")
    station: str = Field(min_length=1, max_length=64, description="its name in our records")
    date_column: str = Field(description="column of the day")
    value_column: str = Field(description="column of rain or level")
    unit: Literal["mm", "cm", "m", "inch", "ft"] = Field(description="unit of the values")
    unit_column: str | None = Field(
        None, description="column that repeats the unit; a row with another one is rejected"
    )
    only: dict[str, str] = Field(
        {}, description="take only rows with these texts in these columns, e.g. a sensor number"
    )
    lowest: float | None = Field(
        None, description="mm or m below which a value is rejected; none: 0 mm or -500 m"
    )
    highest: float | None = Field(
        None, description="mm or m above which a value is rejected; none: 2000 mm or 9000 m"
    )
    latency_days: float = Field(
        1.5, gt=0, description="from the start of a day to its publication, for backfills"
    )
    table: tables.TableFormat = Field(tables.TableFormat(), description="how the table is written")

    @model_validator(mode="after")
    def _sensible(self) -> Settings:
        if self.lowest is not None and self.highest is not None and self.lowest >= self.highest:
            raise ValueError("lowest must be below highest")
        return self


def open(settings: Settings, service: Service) -> Feed:
    """The feed of one table."""
    return _Table(settings)


class _Table(_daily.Station):
    name = "table"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.latency = timedelta(days=settings.latency_days)
        self.brings: frozenset[Datum] = _BRINGS[settings.quantity]

    def poll(
        self, site: Site, since: date, until: date, artifacts: Artifacts
    ) -> Iterator[Observation | Rejection]:
        """The days in [since, until]; one request, or one a year where `at` names {year}."""
        found = [
            item
            for place in _places(self._settings.at, since, until)
            for item in self._readings(_content(place), http.shown(place) if _web(place) else place)
        ]
        yield from _daily.observations(self._kind(), found, since, until)

    def _kind(self) -> _daily.Kind:
        given = self._settings
        rain = given.quantity == "rain"
        lowest = (0.0 if rain else -500.0) if given.lowest is None else given.lowest
        highest = (
            (_daily.MAX_RAIN_MM if rain else 9000.0) if given.highest is None else given.highest
        )
        return _daily.Kind(self.name, given.station, given.quantity, lowest, highest)

    def _readings(self, content: bytes, where: str) -> Iterator[_daily.Reading | Rejection]:
        given = self._settings
        named = [given.date_column, given.value_column, *given.only]
        needed = [*named, given.unit_column] if given.unit_column else named
        known: set[str] = set()
        readable = False
        for number, row in tables.read_rows(content, given.table, where):
            if isinstance(row, Rejection):
                yield row
                continue
            known.update(row)
            if lacking := [column for column in needed if column not in row]:
                place = f"row {number}"
                reason = f"{place}: has no {', '.join(lacking)}"
                yield Rejection("R02", reason, place, tables.row_text(row))
                continue
            readable = True
            if all(_plain(row[column]) == text for column, text in given.only.items()):
                yield self._reading(number, row)
        if known and not readable:
            raise BadInputError(
                f"{where} has no columns {', '.join(c for c in needed if c not in known)}; it has "
                f"{', '.join(sorted(known)[:40])}"
            )

    def _reading(self, number: int, row: tables.Row) -> _daily.Reading | Rejection:
        given, place, text = self._settings, f"row {number}", partial(tables.row_text, row)
        try:
            day = tables.moment(row[given.date_column], given.table).date()
        except (ValueError, OverflowError):
            reason = f"{place}: {_short(row[given.date_column])} is not a date as settings say"
            return Rejection("R05", reason, place, text())
        if given.unit_column and _daily.unit_named(str(row[given.unit_column])) != given.unit:
            reason = f"{place}: unit {_short(row[given.unit_column])} is not {given.unit}"
            return Rejection("R07", reason, place, text())
        try:
            value = tables.number(row[given.value_column], given.table)
        except ValueError:
            reason = f"{place}: {_short(row[given.value_column])} is not a number"
            return Rejection("R03", reason, place, text())
        if value is not None:
            per_m = 1000.0 if given.quantity == "rain" else 1.0
            value = round(value * _daily.FACTORS[given.unit] * per_m, 6)
        return _daily.Reading(day, value, place, text)


def _short(cell: tables.Cell) -> str:
    return repr(cell)[:80]


def _plain(cell: tables.Cell) -> str:
    """A cell as one would write it in the settings: 6, not 6.0."""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def _web(place: str) -> bool:
    return place.lower().startswith(("http://", "https://"))


def _places(at: str, since: date, until: date) -> list[str]:
    years = range(since.year, until.year + 1) if "{year}" in at else (until.year,)
    named = at.replace("{since}", since.isoformat()).replace("{until}", until.isoformat())
    return [named.replace("{year}", str(year)) for year in years]


def _content(place: str) -> bytes:
    if _web(place):
        return http.get(place)
    path = Path(place)
    try:
        if path.exists() and not path.is_file():
            raise SettingsError(f"{place} is not a file")
        if path.stat().st_size > tables.MAX_BYTES:
            raise BadInputError(f"{place} is over {tables.MAX_BYTES >> 20} MiB: that is no table")
        return path.read_bytes()
    except OSError as error:
        raise UnavailableError(f"cannot read {place}: {error.strerror or error}") from error
