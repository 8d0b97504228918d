"""Passes of a stand-in site as the catalogue describes them: Sentinel-1 SLC in UMM-G.

Sources: https://wiki.earthdata.nasa.gov/display/CMR/UMM+Documents (UMM-G);
https://sentiwiki.copernicus.eu/web/s1-products (names of products, relative orbits:
(orbit - 73) mod 175 + 1 for Sentinel-1A, (orbit - 172) mod 175 + 1 for 1C).
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from services.demo.standin.site import Box, LonLat, StandInSite

PASS_LENGTH = timedelta(seconds=27)
PUBLISHED_AFTER = timedelta(hours=6)
_ORBIT_S = 12 * 86400 / 175
_FIRST_1C = date(2025, 1, 1)


class _Craft(NamedTuple):
    """A satellite: when it was near which orbit, and how orbits turn into paths."""

    letter: str
    day: date
    orbit: int
    offset: int


_CRAFT_A = _Craft("A", date(2024, 8, 16), 55232, 73)
_CRAFT_C = _Craft("C", date(2024, 12, 5), 0, 172)


class Granule(NamedTuple):
    """One scene: what is asked about it, and the item that is answered."""

    ur: str
    scene: str
    collection: str
    platform: str
    orbit: int
    start: datetime
    stop: datetime
    published: datetime
    area: Box
    attributes: dict[str, str]
    item: msgspec.Raw


def granules_of(site: StandInSite) -> list[Granule]:
    """The scenes of all passes, past and future."""
    return [_granule(site, day) for day in site.pass_days]


def _granule(site: StandInSite, day: date) -> Granule:
    start = datetime.combine(day, site.pass_time, UTC)
    stop = start + PASS_LENGTH
    craft = _craft(site, day)
    orbit = _orbit(craft, site.path, day)
    mark = hashlib.sha256(f"{site.name} {start.isoformat()}".encode()).hexdigest()
    take = (orbit * 9 + 0x1000) & 0xFFFFFF
    scene = (
        f"S1{craft.letter}_IW_SLC__1SDV_{start:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}"
        f"_{orbit:06d}_{take:06X}_{mark[:4].upper()}"
    )
    seen = Granule(
        ur=f"{scene}-SLC",
        scene=scene,
        collection=f"SENTINEL-1{craft.letter}_SLC",
        platform=f"Sentinel-1{craft.letter}",
        orbit=orbit,
        start=start,
        stop=stop,
        published=stop + PUBLISHED_AFTER,
        area=site.area,
        attributes={},
        item=msgspec.Raw(),
    )
    seen = seen._replace(attributes=_attributes(site, seen, mark))
    return seen._replace(item=msgspec.Raw(msgspec.json.encode(_item(site, seen, mark))))


def _craft(site: StandInSite, day: date) -> _Craft:
    """Sentinel-1A; 1C for the passes between those of 1A's 12-day cycle, once it flies."""
    between = (day - site.pass_days[0]).days % 12 != 0
    return _CRAFT_C if between and day >= _FIRST_1C else _CRAFT_A


def _orbit(craft: _Craft, path: int, day: date) -> int:
    """The orbit number of this path nearest to the day: 175 orbits take 12 days."""
    about = craft.orbit + (day - craft.day).days * 175 / 12
    cycle = max(round((about - craft.offset - path + 1) / 175), 0)
    return 175 * cycle + path - 1 + craft.offset


def _attributes(site: StandInSite, seen: Granule, mark: str) -> dict[str, str]:
    near_end, near_start, far_start, far_end = _footprint(site)
    lon, lat = _centre(site.area)
    from_node = lat if site.direction == "ASCENDING" else 180 - lat
    node = seen.start - timedelta(seconds=from_node / 360 * _ORBIT_S)
    craft = seen.platform[-1]
    found = {
        "ACQUISITION_DATE": _moment(seen.stop),
        "ASCENDING_DESCENDING": site.direction,
        "ASC_NODE_TIME": _moment(node),
        "ASF_PLATFORM": seen.platform,
        "BEAM_MODE": "IW",
        "BEAM_MODE_TYPE": "IW",
        "BYTES": str(4_100_000_000 + int(mark[:7], 16)),
        "CENTER_LAT": f"{lat:.4f}",
        "CENTER_LON": f"{lon:.4f}",
        "FRAME_NUMBER": str(site.frame),
        "GRANULE_TYPE": f"SENTINEL_1{craft}_FRAME",
        "GROUP_ID": f"S1{craft}_IWDV_{site.frame:04d}_{seen.orbit:06d}_{site.path:03d}",
        "LOOK_DIRECTION": "R",
        "MD5SUM": mark[:32],
        "PATH_NUMBER": str(site.path),
        "POLARIZATION": "VV+VH",
        "PROCESSING_DATE": _moment(seen.published),
        "PROCESSING_DESCRIPTION": "Simulated Sentinel-1 Single Look Complex product",
        "PROCESSING_LEVEL": "L1",
        "PROCESSING_TYPE": "SLC",
        "PROCESSING_TYPE_DISPLAY": "L1 Single Look Complex (SLC)",
    }
    corners = dict(NEAR_END=near_end, NEAR_START=near_start, FAR_START=far_start, FAR_END=far_end)
    for name, (corner_lon, corner_lat) in corners.items():
        found[f"{name}_LAT"], found[f"{name}_LON"] = str(corner_lat), str(corner_lon)
    return found


def _item(site: StandInSite, seen: Granule, mark: str) -> dict[str, Any]:
    return {
        "meta": {
            "concept-type": "granule",
            "concept-id": f"G{int(mark[:10], 16)}-ASF",
            "revision-id": 1,
            "native-id": seen.ur,
            "provider-id": "ASF",
            "format": "application/echo10+xml",
            "revision-date": f"{seen.published:%Y-%m-%dT%H:%M:%S}.000Z",
        },
        "umm": _umm(site, seen),
    }


def _umm(site: StandInSite, seen: Granule) -> dict[str, Any]:
    published = f"{seen.published:%Y-%m-%dT%H:%M:%S}.000Z"
    ring = _footprint(site)
    # The host is reserved: nobody can take a simulated scene for one that could be fetched.
    url = f"https://standin.invalid/SLC/S{seen.platform[-1]}/{seen.scene}.zip"
    span = {"BeginningDateTime": _moment(seen.start), "EndingDateTime": _moment(seen.stop)}
    boundary = [{"Longitude": lon, "Latitude": lat} for lon, lat in (*ring, ring[0])]
    polygons = {"GPolygons": [{"Boundary": {"Points": boundary}}]}
    size = {"Name": "Not provided", "SizeUnit": "MB", "Format": "Not provided"}
    megabytes = int(seen.attributes["BYTES"]) / (1 << 20)
    return {
        "TemporalExtent": {"RangeDateTime": span},
        "OrbitCalculatedSpatialDomains": [{"OrbitNumber": seen.orbit}],
        "GranuleUR": seen.ur,
        "AdditionalAttributes": [
            {"Name": name, "Values": [value]} for name, value in sorted(seen.attributes.items())
        ],
        "SpatialExtent": {"HorizontalSpatialDomain": {"Geometry": polygons}},
        "ProviderDates": [{"Date": published, "Type": kind} for kind in ("Insert", "Update")],
        "CollectionReference": {"ShortName": seen.collection, "Version": "1"},
        "PGEVersionClass": {"PGEName": "Sentinel-1 IPF", "PGEVersion": "003.91"},
        "RelatedUrls": [{"Format": "Not provided", "Type": "GET DATA", "URL": url}],
        "DataGranule": {
            "DayNightFlag": "Unspecified",
            "Identifiers": [
                {"Identifier": seen.scene, "IdentifierType": "ProducerGranuleId"},
            ],
            "ProductionDateTime": _moment(seen.start),
            "ArchiveAndDistributionInformation": [{**size, "Size": megabytes}],
        },
        "Platforms": [
            {"ShortName": seen.platform.upper(), "Instruments": [{"ShortName": "C-SAR"}]}
        ],
        "MetadataSpecification": {
            "URL": "https://cdn.earthdata.nasa.gov/umm/granule/v1.6.5",
            "Name": "UMM-G",
            "Version": "1.6.5",
        },
    }


def _footprint(site: StandInSite) -> tuple[LonLat, LonLat, LonLat, LonLat]:
    """Near end, near start, far start, far end, seen to the right: of the site's area alone."""
    west, south, east, north = site.area
    if site.direction == "ASCENDING":
        return (west, north), (west, south), (east, south), (east, north)
    return (east, south), (east, north), (west, north), (west, south)


def _centre(area: Box) -> LonLat:
    return (area[0] + area[2]) / 2, (area[1] + area[3]) / 2


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
