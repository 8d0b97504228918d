"""Daily rain of NOAA's Global Summary of the Day: one CSV a station and year.

Source: https://www.ncei.noaa.gov/data/global-summary-of-the-day/doc/readme.txt. Rain is in
inches; 99.99 is missing, and 0.00 with the attribute I says that the station reported no
precipitation data at all, so it is unknown, not dry. Days nobody reported are absent and stay so.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial

from pydantic import Field

from core.artifacts import Artifacts
from core.errors import BadInputError
from core.settings import Service, Site, Tree
from services.ingest import http, tables
from services.ingest.feed import Datum, Feed, Observation, Rejection
from services.ingest.feeds import _daily

MM_PER_INCH = 25.4
MISSING_INCH = 99.99
FIRST_WEEKS = 31
"""Days into a year for which a station's file may not be there yet."""

_FORM = tables.TableFormat()


class Settings(Tree):
    """Which station."""

    station: str = Field(
        pattern=r"^[0-9A-Z]{11}$", description="11 characters: USAF then WBAN number"
    )
    latency_days: float = Field(
        3.0, gt=0, description="from the start of a day to its publication, for backfills"
    )


def open(settings: Settings, service: Service) -> Feed:
    """The feed of one station."""
    return _Gsod(settings, service.endpoints.gsod.rstrip("/"))


class _Gsod(_daily.Station):
    name = "gsod"
    brings: frozenset[Datum] = frozenset({"rainfall"})

    def __init__(self, settings: Settings, base: str) -> None:
        self._station = settings.station
        self._base = base
        self.latency = timedelta(days=settings.latency_days)

    def poll(
        self, site: Site, since: date, until: date, artifacts: Artifacts
    ) -> Iterator[Observation | Rejection]:
        """Rain of the days in [since, until]; one request a year, no file is no data.

        Raises `BadInputError` when no year has a file, right after New Year excepted.
        """
        kind = _daily.Kind(self.name, self._station, "rain", 0.0, _daily.MAX_RAIN_MM)
        years = {year: self._content(year) for year in range(since.year, until.year + 1)}
        early = since.year == until.year and until.timetuple().tm_yday <= FIRST_WEEKS
        if not any(content is not None for content in years.values()) and not early:
            raise BadInputError(
                f"NOAA has no file of station {self._station} for {since.year} to {until.year}: "
                "check the station's number and whether it works"
            )
        found = [
            reading
            for year, content in years.items()
            if content is not None
            for reading in _readings(year, content)
        ]
        yield from _daily.observations(kind, found, since, until)

    def _content(self, year: int) -> bytes | None:
        try:
            return http.get(f"{self._base}/{year}/{self._station}.csv")
        except http.MissingError:
            return None


def _readings(year: int, content: bytes) -> Iterator[_daily.Reading | Rejection]:
    for line, row in tables.read_rows(content, _FORM, f"the GSOD file of {year}"):
        yield row if isinstance(row, Rejection) else _reading(f"{year} row {line}", row)


def _reading(place: str, row: tables.Row) -> _daily.Reading | Rejection:
    text = partial(tables.row_text, row)
    if "DATE" not in row or "PRCP" not in row or "PRCP_ATTRIBUTES" not in row:
        raise BadInputError(f"{place} has no DATE, PRCP and PRCP_ATTRIBUTES: this is no GSOD file")
    try:
        day = date.fromisoformat(str(row["DATE"]).strip())
    except ValueError:
        return Rejection("R05", f"{place}: {row['DATE']!r} is not a date", place, text())
    try:
        inches = tables.number(row["PRCP"], _FORM)
    except ValueError:
        return Rejection("R03", f"{place}: {row['PRCP']!r} is not a number", place, text())
    return _daily.Reading(day, _rain_mm(inches, str(row["PRCP_ATTRIBUTES"]).strip()), place, text)


def _rain_mm(inches: float | None, attribute: str) -> float | None:
    if inches is None or inches == MISSING_INCH or (attribute == "I" and inches == 0):
        return None
    return round(inches * MM_PER_INCH, 3)
