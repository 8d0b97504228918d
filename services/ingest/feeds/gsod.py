"""Daily rain of NOAA's Global Summary of the Day: one CSV a station and year.

Source: https://www.ncei.noaa.gov/data/global-summary-of-the-day/doc/readme.txt. Rain is in
inches; 99.99 is missing, and 0.00 with the attribute I says that the station reported no
precipitation data at all, so it is unknown, not dry. Days nobody reported are absent and stay so.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from pydantic import Field

from core.artifacts import Artifacts
from core.errors import BadInputError
from core.settings import Service, Site, Tree
from services.ingest import http, tables
from services.ingest.feed import Feed, Observation, Rejection
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


class _Gsod:
    name = "gsod"

    def __init__(self, settings: Settings, base: str) -> None:
        self._station = settings.station
        self._base = base
        self.latency = timedelta(days=settings.latency_days)

    def poll(
        self, site: Site, since: date, until: date, artifacts: Artifacts
    ) -> Iterator[Observation | Rejection]:
        """Rain of the days in [since, until]; one request a year."""
        kind = _daily.Kind(self.name, self._station, "rain", 0.0, _daily.MAX_RAIN_MM)
        found = [
            reading
            for year in range(since.year, until.year + 1)
            for reading in self._year(year, until)
        ]
        yield from _daily.observations(kind, found, since, until)

    def _year(self, year: int, until: date) -> Iterator[_daily.Reading | Rejection]:
        url = f"{self._base}/{year}/{self._station}.csv"
        try:
            content = http.get(url)
        except http.MissingError as error:
            if year == until.year and until.timetuple().tm_yday <= FIRST_WEEKS:
                return
            raise BadInputError(
                f"NOAA has no file of station {self._station} for {year}: check the station's "
                f"number and whether it worked then"
            ) from error
        for line, row in tables.read_rows(content, _FORM, url):
            yield row if isinstance(row, Rejection) else _reading(line, row, url)


def _reading(line: int, row: tables.Row, url: str) -> _daily.Reading | Rejection:
    place = f"{url.rsplit('/', 2)[-2]} row {line}"
    text = tables.row_text(row)
    if "DATE" not in row or "PRCP" not in row or "PRCP_ATTRIBUTES" not in row:
        raise BadInputError(f"{url} has no columns DATE, PRCP and PRCP_ATTRIBUTES: not GSOD")
    try:
        day = date.fromisoformat(str(row["DATE"]).strip())
    except ValueError:
        return Rejection("R05", f"{place}: {row['DATE']!r} is not a date", place, text)
    try:
        inches = tables.number(row["PRCP"], _FORM)
    except ValueError:
        return Rejection("R03", f"{place}: {row['PRCP']!r} is not a number", place, text)
    return _daily.Reading(day, _rain_mm(inches, str(row["PRCP_ATTRIBUTES"]).strip()), place, text)


def _rain_mm(inches: float | None, attribute: str) -> float | None:
    if inches is None or inches == MISSING_INCH or (attribute == "I" and inches == 0):
        return None
    return round(inches * MM_PER_INCH, 3)
