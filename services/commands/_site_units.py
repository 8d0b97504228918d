"""Slope units for a new site: polygons of a GeoJSON or KML file, or a circle round a point.

Sources: RFC 7946 (GeoJSON: longitude, latitude in WGS84, the first ring is the outer one) and
OGC 12-007r2 (KML 2.3: `lon,lat[,height]` separated by white space). A document type in a KML file
is refused: entities could read other files or grow without end.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

from core.errors import SettingsError
from core.settings import MAX_FILE_BYTES, LonLat

Box = tuple[float, float, float, float]
KM_PER_DEGREE = 111.195
CORNERS = 24
MAX_RADIUS_KM = 50.0
MAX_LATITUDE = 85.0
DIGITS = 6


class Unit(NamedTuple):
    """A slope unit as found; an angle is None where the file does not tell it."""

    id: str
    name: str
    polygon: tuple[LonLat, ...]
    slope_deg: float | None = None
    aspect_deg: float | None = None


def round_unit(lat: float, lon: float, radius_km: float) -> Unit:
    """A circle to start with. Raises `SettingsError` for what is no place or no slope's size."""
    if not (abs(lat) <= MAX_LATITUDE and abs(lon) <= 180):
        raise SettingsError(
            f"--at {lat:g},{lon:g}: write LAT,LON in degrees, latitude first and within ±85"
        )
    if not 0 < radius_km <= MAX_RADIUS_KM:
        raise SettingsError(f"--radius {radius_km:g}: give 0 to {MAX_RADIUS_KM:g} km")
    high = radius_km / KM_PER_DEGREE
    wide = high / math.cos(math.radians(lat))
    turns = [2 * math.pi * n / CORNERS for n in range(CORNERS)]
    ring = [(lon + wide * math.sin(turn), lat + high * math.cos(turn)) for turn in turns]
    return Unit("slope-1", "", tuple((round(x, DIGITS), round(y, DIGITS)) for x, y in ring))


def area_round(units: Iterable[Unit], margin_km: float) -> Box:
    """West, south, east, north of all units, `margin_km` wider on every side."""
    corners = [corner for unit in units for corner in unit.polygon]
    lons, lats = zip(*corners, strict=True)
    if max(lons) - min(lons) > 180:
        raise SettingsError("slope units on both sides of the date line: make one site for each")
    south, north = min(lats), max(lats)
    high = margin_km / KM_PER_DEGREE
    wide = high / math.cos(math.radians(min(max(abs(south), abs(north)), MAX_LATITUDE)))
    return (
        max(round(min(lons) - wide, 5), -180.0),
        max(round(south - high, 5), -90.0),
        min(round(max(lons) + wide, 5), 180.0),
        min(round(north + high, 5), 90.0),
    )


def km_between(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Great-circle distance by the haversine formula."""
    a, b = math.radians(lat), math.radians(other_lat)
    half = math.sin((b - a) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(other_lon - lon) / 2) ** 2
    return 2 * KM_PER_DEGREE * math.degrees(math.asin(min(1.0, math.sqrt(half))))


def read_units(path: Path) -> list[Unit]:
    """The polygons of `path`; `SettingsError` says what is wrong with the file."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SettingsError(f"{path} is over 16 MiB: give the outlines of slope units only")
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror or error}") from error
    if content.startswith(b"PK"):
        raise SettingsError(f"{path} is packed (KMZ?): unpack it and give the .kml inside")
    xml = path.suffix.lower() == ".kml" or content.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<")
    try:
        found = list(_from_kml(content) if xml else _from_geojson(content))
        units = [_unit(one, number) for number, one in enumerate(found, start=1)]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        kind = "KML" if xml else "GeoJSON"
        reason = error if isinstance(error, ValueError) else "a part of it has another form"
        raise SettingsError(f"{path} is no {kind} of polygons: {reason}") from error
    if not units:
        raise SettingsError(f"{path} holds no polygon: draw each slope unit as one polygon")
    return _named_apart(units)


class _Found(NamedTuple):
    """A ring and what stands beside it."""

    ring: list[Any]
    properties: Mapping[str, Any]


def _from_geojson(content: bytes) -> Iterator[_Found]:
    tree = json.loads(content.decode("utf-8-sig"))
    crs = str(((tree.get("crs") or {}).get("properties") or {}).get("name", "CRS84"))
    if not re.search(r"CRS84|EPSG:+(.*:)?4326", crs):
        raise ValueError(f"its coordinates are in {crs[:60]}: save it in WGS84 (EPSG:4326)")
    features = tree["features"] if tree.get("type") == "FeatureCollection" else [tree]
    for one in features:
        feature = one if one.get("type") == "Feature" else {"geometry": one}
        properties = dict(feature.get("properties") or {})
        if "id" not in properties and "id" in feature:
            properties["id"] = feature["id"]
        for ring in _rings(feature["geometry"]):
            yield _Found(ring, properties)


def _rings(geometry: Mapping[str, Any]) -> list[list[Any]]:
    if geometry["type"] == "Polygon":
        return [geometry["coordinates"][0]]
    if geometry["type"] == "MultiPolygon":
        return [polygon[0] for polygon in geometry["coordinates"]]
    raise ValueError(f"a slope unit is a Polygon, not a {str(geometry['type'])[:40]}")


def _from_kml(content: bytes) -> Iterator[_Found]:
    _refuse_document_type(content)
    root = ElementTree.fromstring(content)
    for placemark in _named(root, "Placemark"):
        name = next((e.text or "" for e in _named(placemark, "name")), "").strip()
        for polygon in _named(placemark, "Polygon"):
            for outer in _named(polygon, "outerBoundaryIs"):
                for text in _named(outer, "coordinates"):
                    ring = [corner.split(",")[:2] for corner in (text.text or "").split()]
                    yield _Found(ring, {"id": name, "name": name})


def _refuse_document_type(content: bytes) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("it declares a document type, which a map does not need")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise ValueError(f"it is no XML ({error})") from error


def _named(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """All elements of this name below `element`, whatever their namespace."""
    return (e for e in element.iter() if e.tag.rpartition("}")[2] == name)


def _unit(found: _Found, number: int) -> Unit:
    from shapely import Polygon
    from shapely.validation import explain_validity

    ring = [(round(float(p[0]), DIGITS), round(float(p[1]), DIGITS)) for p in found.ring]
    if ring and ring[0] == ring[-1]:
        ring.pop()
    if not all(abs(lon) <= 180 and abs(lat) <= 90 for lon, lat in ring):
        raise ValueError(f"polygon {number} is not in degrees: save it in WGS84 (EPSG:4326)")
    if len(ring) < 3:
        raise ValueError(f"polygon {number} has fewer than three corners")
    if not (outline := Polygon(ring)).is_valid:
        raise ValueError(
            f"polygon {number} crosses or touches itself ({explain_validity(outline)})"
        )
    said = found.properties
    return Unit(
        _short(str(said.get("id") or said.get("name") or ""), number),
        " ".join(str(said.get("name") or "").split())[:120],
        tuple(ring),
        _angle(said.get("slope_deg"), 90.0),
        _angle(said.get("aspect_deg"), 359.999999),
    )


def _short(text: str, number: int) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:60]
    return plain or f"slope-{number}"


def _angle(value: Any, highest: float) -> float | None:
    try:
        angle = float(value)
    except (TypeError, ValueError):
        return None
    return angle if 0 <= angle <= highest else None


def _named_apart(units: list[Unit]) -> list[Unit]:
    """The same with ids that differ: a repeated one gets a number."""
    taken: set[str] = set()
    apart = []
    for unit in units:
        unit_id, number = unit.id, 2
        while unit_id in taken:
            unit_id, number = f"{unit.id[:58]}-{number}", number + 1
        taken.add(unit_id)
        apart.append(unit._replace(id=unit_id))
    return apart
