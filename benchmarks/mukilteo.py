"""Reads the rain and the landslide dates of Mukilteo, as the U.S. Geological Survey keeps them.

A station's file has one fixed-width row an hour, `SSYYYYMMDDHHVVV`: station, date, hour and rain in
hundredths of an inch. That unit is of the program that writes such files (nwsfmt in
github.com/usgs/landslides-thresholds: inches times 100, cut to a whole number). The same program
may fill gaps with zeros, so an hour of no rain may be one that was not measured. Hours can be
absent; the time zone is not said. Dates of landslides are MM/DD/YYYY, one a row.
"""

from __future__ import annotations

import os
import re
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FOLDER = "data/usgs_mukilteo"
STATION = "nws_KPAE.txt"
DATES = "landslide_dates2011Muk.txt"
MM_PER_HUNDREDTH = 0.254
LEAST_HOURS = 18
"""A day with fewer hours is not known; the rain of the others is a lower bound."""

_ROW = re.compile(r"(\d{2})(\d{4})(\d{2})(\d{2})(\d{2})(\d{3})")
_FIRST = date(1970, 1, 1)
_ROOT = Path(__file__).parents[1]


class Hours(NamedTuple):
    """Rain by day since `first_day` (days since 1970-01-01) and hour (T, 24), hundredths of an
    inch; NaN where an hour is absent."""

    first_day: int
    hundredths: Floats


def folder() -> Path:
    """Where the record lies: under $SLOPEWATCH_RECORDED, else ../shared."""
    return Path(os.environ.get("SLOPEWATCH_RECORDED", _ROOT.parent / "shared")) / FOLDER


def read_hours(path: Path) -> Hours:
    """A station's record. Raises `ValueError` for a row that is not one, or out of order."""
    found: dict[datetime, float] = {}
    station = None
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), start=1):
        where = f"{path.name}, row {number}"
        row = _ROW.fullmatch(line.strip())
        if row is None:
            raise ValueError(f"{where}: not SSYYYYMMDDHHVVV: {line!r}")
        moment = _moment("".join(row.groups()[1:5]), "%Y%m%d%H", where)
        if found and moment <= next(reversed(found)):
            raise ValueError(f"{where}: {moment} is not after the row before")
        if station not in (None, row[1]):
            raise ValueError(f"{where}: station {row[1]} in a record of station {station}")
        station = row[1]
        found[moment] = float(row[6])
    if not found:
        raise ValueError(f"{path.name} has no rows")
    days = [number_of(moment.date()) for moment in found]
    hundredths = np.full((days[-1] - days[0] + 1, 24), np.nan)
    for day, (moment, value) in zip(days, found.items(), strict=True):
        hundredths[day - days[0], moment.hour] = value
    return Hours(days[0], hundredths)


def daily_mm(hours: Hours) -> Floats:
    """Rain of each day (T,) in mm; NaN where fewer than 18 hours are there."""
    known = np.isfinite(hours.hundredths).sum(axis=1) >= LEAST_HOURS
    return np.where(known, np.nansum(hours.hundredths, axis=1) * MM_PER_HUNDREDTH, np.nan)


def read_dates(path: Path) -> list[int]:
    """Days since 1970-01-01 on which landslides were reported; `ValueError` for another row."""
    rows = enumerate(path.read_text(encoding="ascii").split(), start=1)
    moments = [_moment(row, "%m/%d/%Y", f"{path.name}, row {number}") for number, row in rows]
    return [number_of(moment.date()) for moment in moments]


def _moment(text: str, form: str, where: str) -> datetime:
    try:
        return datetime.strptime(text, form)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def number_of(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - _FIRST).days


def day_of(number: int) -> date:
    """Inverse of `number_of`."""
    return _FIRST + timedelta(days=int(number))
