"""What outside services know of a place: Sentinel-1 tracks, rain stations, reservoir gauges.

Sources: https://www.ncei.noaa.gov/pub/data/noaa/readme.txt (isd-history.csv, stations with their
first and last day) and https://waterservices.usgs.gov/docs/site-service/site-service-details/
(RDB: tab-separated, `#` comments, a line of column widths below the names).
"""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import urljoin

from core.artifacts import MemoryArtifacts
from core.errors import BadInputError
from core.events import AcquisitionFound, RainfallObserved
from core.settings import Service, Site
from services.commands._site_units import KM_PER_DEGREE, km_between
from services.ingest import http
from services.ingest.feed import Observation

LOOK_BACK_DAYS = 40
MAX_RAIN_KM = 100.0
MAX_LEVEL_KM = 25.0
ACTIVE_DAYS = 60
RAIN_DAYS = 120
TRIED_STATIONS = 6
ELEVATIONS = ("62614", "62615")
MOST_PLACES = 3


class Track(NamedTuple):
    """One relative orbit that sees the place, as the catalogue's last weeks show it."""

    path: int
    direction: str
    platforms: tuple[str, ...]
    last_pass: datetime
    repeat_days: int | None
    bursts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Short name for settings: A or D and the path."""
        return f"{self.direction[:1]}{self.path}"


class Station(NamedTuple):
    """A rain station; `days` with a known rain sum of the last `RAIN_DAYS`."""

    id: str
    name: str
    km: float
    days: int


class Gauge(NamedTuple):
    """A lake or reservoir gauge; what the list of sites does not tell is empty."""

    id: str
    name: str
    km: float
    parameter: str = ""
    statistic: str = ""
    last_day: str = ""


class Lookups:
    """Asks about the place of `site`; `today` is the last day asked for.

    `stations_url` and `gauges_url` are found beside the service's own endpoints when not given.
    Every method raises a `SlopewatchError` when the service does not answer or answers nonsense.
    """

    def __init__(
        self,
        site: Site,
        service: Service,
        today: date,
        stations_url: str | None = None,
        gauges_url: str | None = None,
    ) -> None:
        west, south, east, north = site.area
        self._site, self._service, self._today = site, service, today
        self._lat, self._lon = (south + north) / 2, (west + east) / 2
        self.stations_url = stations_url or urljoin(
            service.endpoints.gsod, "/pub/data/noaa/isd-history.csv"
        )
        usgs = service.endpoints.usgs.rstrip("/") + "/"
        self.gauges_url = gauges_url or urljoin(usgs, "../site/")

    def tracks(self) -> list[Track]:
        """Tracks with passes in the last `LOOK_BACK_DAYS`, by path; without bursts."""
        passes: dict[int, list[AcquisitionFound]] = defaultdict(list)
        for found in self._acquisitions("SLC"):
            if found.path is not None:
                passes[found.path].append(found)
        return [_track(path, found) for path, found in sorted(passes.items())]

    def bursts(self) -> dict[int, tuple[str, ...]]:
        """Ids of the bursts over the area, by path."""
        found: dict[int, set[str]] = defaultdict(set)
        for one in self._acquisitions("BURST"):
            if one.path is not None and one.burst:
                found[one.path].add(one.burst)
        return {path: tuple(sorted(ids)) for path, ids in found.items()}

    def _acquisitions(self, product: str) -> Iterator[AcquisitionFound]:
        from services.ingest.feeds import asf

        feed = asf.open(asf.Settings.model_validate({"product": product}), self._service)
        since = self._today - timedelta(days=LOOK_BACK_DAYS)
        for item in feed.poll(self._site, since, self._today, MemoryArtifacts()):
            if isinstance(item, Observation) and isinstance(item.data, AcquisitionFound):
                yield item.data

    def rain_stations(self) -> list[Station]:
        """Nearby stations that report rain these days, nearest first."""
        known = _rows(http.get(self.stations_url), ("USAF", "WBAN", "LAT", "LON", "END"))
        # The list itself may be old: a station is active when it was so as the list was made.
        ends = [_day(row["END"]) for row in known]
        newest = max((end for end in ends if end <= self._today), default=date.min)
        active = [row for row, end in zip(known, ends, strict=True) if _near_in_time(end, newest)]
        near = sorted(self._stations(active), key=lambda station: station.km)[:TRIED_STATIONS]
        asked = (station._replace(days=self._rain_days(station.id)) for station in near)
        return [station for station in asked if station.days][:MOST_PLACES]

    def _stations(self, rows: list[dict[str, str]]) -> Iterator[Station]:
        for row in rows:
            km = self._km(row["LAT"], row["LON"])
            if km is not None and km <= MAX_RAIN_KM:
                name = f"{row.get('STATION NAME', '')}, {row.get('CTRY', '')}"
                yield Station(row["USAF"] + row["WBAN"].zfill(5), name, km, 0)

    def _rain_days(self, station: str) -> int:
        from services.ingest.feeds import gsod

        feed = gsod.open(gsod.Settings(station=station), self._service)
        since = self._today - timedelta(days=RAIN_DAYS)
        try:
            found = list(feed.poll(self._site, since, self._today, MemoryArtifacts()))
        except BadInputError:
            return 0
        data = [item.data for item in found if isinstance(item, Observation)]
        return sum(1 for d in data if isinstance(d, RainfallObserved) and d.rain_mm is not None)

    def gauges(self) -> list[Gauge]:
        """Lakes and reservoirs of the USGS with daily elevations nearby, nearest first."""
        west, south, east, north = self._site.area
        more = MAX_LEVEL_KM / KM_PER_DEGREE
        asked = {
            "format": "rdb",
            "bBox": f"{west - more:.5f},{south - more:.5f},{east + more:.5f},{north + more:.5f}",
            "siteType": "LK",
            "parameterCd": ",".join(ELEVATIONS),
            "hasDataTypeCd": "dv",
            "outputDataTypeCd": "dv",
            "siteStatus": "active",
        }
        try:
            content = http.get(self.gauges_url, asked)
        except http.MissingError:  # that service's way to say: none
            return []
        rows = _rows(_without_widths(content), ("site_no", "dec_lat_va", "dec_long_va"), "\t")
        found: dict[str, Gauge] = {}
        for row in rows:
            gauge = self._gauge(row)
            if gauge and gauge.last_day >= found.get(gauge.id, gauge).last_day:
                found[gauge.id] = gauge
        return sorted(found.values(), key=lambda gauge: gauge.km)[:MOST_PLACES]

    def _gauge(self, row: dict[str, str]) -> Gauge | None:
        km, parameter = self._km(row["dec_lat_va"], row["dec_long_va"]), row.get("parm_cd", "")
        last_day, statistic = row.get("end_date", ""), row.get("stat_cd", "")
        if km is None or not row["site_no"].isdigit():
            return None
        if row.get("site_tp_cd", "LK") != "LK" or parameter not in ("", *ELEVATIONS):
            return None
        if last_day and last_day < (self._today - timedelta(days=ACTIVE_DAYS)).isoformat():
            return None
        return Gauge(row["site_no"], row.get("station_nm", ""), km, parameter, statistic, last_day)

    def _km(self, lat: str, lon: str) -> float | None:
        try:
            km = km_between(self._lat, self._lon, float(lat), float(lon))
        except ValueError:
            return None
        return km if math.isfinite(km) else None


def _track(path: int, found: list[AcquisitionFound]) -> Track:
    latest = max(found, key=lambda one: one.stop_time)
    days = sorted({one.stop_time.date() for one in found})
    # Scenes of one pass may end on both sides of midnight.
    apart = [(later - earlier).days for earlier, later in pairwise(days)]
    return Track(
        path,
        latest.direction or "unknown",
        tuple(sorted({one.platform for one in found})),
        latest.stop_time,
        min((gap for gap in apart if gap > 1), default=None),
    )


def _rows(content: bytes, needed: tuple[str, ...], delimiter: str = ",") -> list[dict[str, str]]:
    """Rows of a table with a line of names; those without all `needed` columns are left out."""
    reader = csv.DictReader(
        io.StringIO(content.decode("utf-8", "replace"), newline=""), delimiter=delimiter
    )
    try:
        if not set(needed) <= set(reader.fieldnames or ()):
            raise BadInputError(f"the list of stations has no columns {', '.join(needed)}")
        return [
            {name: text.strip() for name, text in row.items() if isinstance(text, str)}
            for row in reader
            if all(row[name] for name in needed)
        ]
    except csv.Error as error:
        raise BadInputError(f"the list of stations is no table: {error}") from error


def _without_widths(content: bytes) -> bytes:
    lines = [line for line in content.splitlines() if not line.startswith(b"#")]
    return b"\n".join(lines[:1] + lines[2:])


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return date.min


def _near_in_time(end: date, newest: date) -> bool:
    return end > date.min and newest - end <= timedelta(days=ACTIVE_DAYS)
