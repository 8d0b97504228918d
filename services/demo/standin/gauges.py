"""Rain as NOAA's Global Summary of the Day and level as USGS daily values.

Sources: https://www.ncei.noaa.gov/data/global-summary-of-the-day/doc/readme.txt and
https://waterservices.usgs.gov/docs/dv-service/daily-values-service-details/. The twin knows rain
and level alone: every other column carries its missing code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from services.demo.standin.answers import CSV, RefusedError, Reply, Request, as_json
from services.demo.standin.site import StandInSite

MM_PER_INCH, M_PER_FT = 25.4, 0.3048
ELEVATION, MEAN = "62614", "00003"
NO_DATA = -999999
APPROVED_AFTER = timedelta(days=120)

# fmt: off
_COLUMNS = [
    "STATION", "DATE", "LATITUDE", "LONGITUDE", "ELEVATION", "NAME", "TEMP", "TEMP_ATTRIBUTES",
    "DEWP", "DEWP_ATTRIBUTES", "SLP", "SLP_ATTRIBUTES", "STP", "STP_ATTRIBUTES", "VISIB",
    "VISIB_ATTRIBUTES", "WDSP", "WDSP_ATTRIBUTES", "MXSPD", "GUST", "MAX", "MAX_ATTRIBUTES", "MIN",
    "MIN_ATTRIBUTES", "PRCP", "PRCP_ATTRIBUTES", "SNDP", "FRSHTT",
]
# fmt: on
_USGS_FIELDS = {"format", "sites", "parameterCd", "statCd", "startDT", "endDT", "siteStatus"}


def gsod(site: StandInSite | None, year: int, now: datetime) -> Reply:
    """A station's file of one year, up to the last day that is over; 404 where it has none."""
    if site is not None:
        # The year may lie before the record, or begin or end outside it.
        start = max((date(year, 1, 1) - site.first_day).days, 0)
        stop = min((date(year, 12, 31) - site.first_day).days + 1, site.days_over(now))
        if start < stop:
            rows = [_quoted(*_COLUMNS), *_gsod_rows(site, range(start, stop)), ""]
            return Reply(200, "\n".join(rows).encode(), CSV)
    raise RefusedError(404, f"no file of this station for {year}")


def _gsod_rows(site: StandInSite, days: range) -> Iterator[str]:
    lon, lat = (site.area[0] + site.area[2]) / 2, (site.area[1] + site.area[3]) / 2
    place = _quoted(f"{lat:.4f}", f"{lon:.4f}", "180.0", f"SIMULATED {site.name.upper()}")
    for index in days:
        rain = float(site.rain_mm[index])
        known = math.isfinite(rain)
        fallen = _quoted(f"{rain / MM_PER_INCH if known else 99.99:5.2f}", "D" if known else " ")
        day = _quoted(site.station_rain, site.day(index).isoformat())
        rest = _quoted("999.9", f"0{int(known and rain > 0)}0000")
        yield f"{day},{place},{_UNKNOWN},{fallen},{rest}"


def _quoted(*cells: str) -> str:
    return ",".join(f'"{cell}"' for cell in cells)


_UNKNOWN = _quoted(
    *("9999.9", " 0") * 4, *("999.9", " 0") * 2, *("999.9", "999.9"), *("9999.9", " ") * 2
)
"""TEMP to MIN_ATTRIBUTES."""


def usgs(sites: Mapping[str, StandInSite], request: Request, now: datetime) -> Reply:
    """Daily reservoir elevation in feet of the asked sites; unknown ones are left out."""
    for name, _ in request.fields:
        if name not in _USGS_FIELDS:
            raise RefusedError(400, f"{name} is not a parameter of this service")
    if request.one("format") != "json":
        raise RefusedError(400, "format must be json")
    numbers = request.one("sites").split(",")
    if not all(re.fullmatch(r"[0-9]{8,15}", number) for number in numbers):
        raise RefusedError(400, "sites must be USGS site numbers of 8 to 15 digits")
    start, end = _days(request, now)
    wanted = _listed(request, "parameterCd", ELEVATION) and _listed(request, "statCd", MEAN)
    series = [
        _series(sites[number], start, end, now)
        for number in dict.fromkeys(numbers)
        if number in sites and wanted
    ]
    info = {"queryURL": request.path, "criteria": {"locationParam": f"[ALL:{','.join(numbers)}]"}}
    kind = {"name": "ns1:timeSeriesResponseType", "globalScope": True, "typeSubstituted": False}
    return as_json({**kind, "value": {"queryInfo": info, "timeSeries": series}})


def _listed(request: Request, name: str, code: str) -> bool:
    asked = request.one(name)
    if asked and not re.fullmatch(r"[0-9]{5}(,[0-9]{5})*", asked):
        raise RefusedError(400, f"{name} must be codes of 5 digits")
    return not asked or code in asked.split(",")


def _days(request: Request, now: datetime) -> tuple[date, date]:
    """First and last day asked for; with neither the newest that is over."""
    newest = now.date() - timedelta(days=1)
    try:
        end = date.fromisoformat(request.one("endDT") or newest.isoformat())
        start = date.fromisoformat(request.one("startDT") or end.isoformat())
    except ValueError:
        raise RefusedError(400, "startDT and endDT must be dates such as 2024-01-31") from None
    if start > end:
        raise RefusedError(400, f"startDT {start} is after endDT {end}")
    return start, end


def _series(site: StandInSite, start: date, end: date, now: datetime) -> dict[str, Any]:
    first = max((start - site.first_day).days, 0)
    stop = min((end - site.first_day).days + 1, site.days_over(now))
    option = {"name": "Statistic", "optionCode": MEAN, "value": "Mean"}
    code = {"value": ELEVATION, "network": "NWIS", "vocabulary": "NWIS:UnitValues"}
    return {
        "sourceInfo": {
            "siteName": f"SIMULATED RESERVOIR AT {site.name.upper()}",
            "siteCode": [{"value": site.station_level, "network": "NWIS", "agencyCode": "USGS"}],
            "geoLocation": {
                "geogLocation": {
                    "srs": "EPSG:4326",
                    "latitude": (site.area[1] + site.area[3]) / 2,
                    "longitude": (site.area[0] + site.area[2]) / 2,
                }
            },
        },
        "variable": {
            "variableCode": [{**code, "default": True}],
            "variableName": "Lake or reservoir water surface elevation above NGVD 1929, ft",
            "valueType": "Derived Value",
            "unit": {"unitCode": "ft"},
            "options": {"option": [option]},
            "noDataValue": float(NO_DATA),
        },
        "values": [
            {
                "value": [_level(site, index, now) for index in range(first, stop)],
                "qualifier": [],
                "method": [{"methodDescription": "", "methodID": 1}],
            }
        ],
        "name": f"USGS:{site.station_level}:{ELEVATION}:{MEAN}",
    }


def _level(site: StandInSite, index: int, now: datetime) -> dict[str, Any]:
    level, day = float(site.level_m[index]), site.day(index)
    return {
        "value": f"{level / M_PER_FT:.2f}" if math.isfinite(level) else str(NO_DATA),
        "qualifiers": ["A" if day + APPROVED_AFTER <= now.date() else "P"],
        "dateTime": f"{day.isoformat()}T00:00:00.000",
    }
