"""The granule search of NASA's Common Metadata Repository, as far as asf_search uses it.

Source: https://cmr.earthdata.nasa.gov/search/site/docs/search/api.html. A scene covers the site's
own area and no more: simulated sites know nothing of each other. Several boxes or polygons must all
be met, with `options[bounding_box][or]=true` any of them. Not served, and refused with 400: lines,
circles, seasons, page numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec
import shapely

from services.demo.standin.answers import Fields, RefusedError, Reply, Request, as_json
from services.demo.standin.granules import Granule

CONTENT_TYPE = "application/vnd.nasa.cmr.umm_results+json;version=1.6.5; charset=utf-8"
DEFAULT_PAGE, LARGEST_PAGE = 10, 2000

Criterion = Callable[[Granule], bool]
Key = tuple[Any, ...]

_SORTS: dict[str, Callable[[Granule], Any]] = {
    "start_date": lambda g: _ms(g.start),
    "-start_date": lambda g: -_ms(g.start),
    "end_date": lambda g: _ms(g.stop),
    "-end_date": lambda g: -_ms(g.stop),
    "granule_ur": lambda g: g.ur,
}


def search(granules: Iterable[Granule], request: Request, now: datetime) -> Reply:
    """One page of the granules published by `now` that fit the request's fields."""
    asked = _grouped(request.fields)
    size = _page_size(asked.pop("page_size", [str(DEFAULT_PAGE)]))
    order = _order(asked.pop("sort_key", []))
    wildcards = asked.pop("options[readable_granule_name][pattern]", ["false"]) == ["true"]
    criteria = _criteria(asked, wildcards)
    found = [g for g in granules if g.published <= now and all(fits(g) for fits in criteria)]
    keyed = sorted(((order(g), g) for g in found), key=lambda pair: pair[0])
    if (token := request.headers.get("cmr-search-after")) is not None:
        last = _last_key(token, order)
        keyed = [(key, g) for key, g in keyed if key > last]
    page = keyed[:size]
    headers = {"CMR-Hits": str(len(found)), "CMR-Took": "1"}
    if page:
        headers["CMR-Search-After"] = json.dumps(page[-1][0])
    content = {"hits": len(found), "took": 1, "items": [g.item for _, g in page]}
    return as_json(content, kind=CONTENT_TYPE, headers=headers)


def _grouped(fields: Fields) -> dict[str, list[str]]:
    """Values by parameter; `name[]` and `shortName` are other spellings of `name`, `short_name`."""
    grouped: dict[str, list[str]] = {}
    for name, value in fields:
        plain = name.removesuffix("[]")
        grouped.setdefault("short_name" if plain == "shortName" else plain, []).append(value)
    return grouped


def _criteria(asked: Mapping[str, list[str]], wildcards: bool) -> list[Criterion]:
    criteria: list[Criterion] = []
    for name, values in asked.items():
        if name == "readable_granule_name":
            criteria.append(_named(values, wildcards))
        elif name in _SHAPES:
            one_will_do = asked.get(f"options[{name}][or]") == ["true"]
            criteria.append(_touches([_SHAPES[name](value) for value in values], one_will_do))
        elif name in _PARAMETERS:
            criteria += _PARAMETERS[name](values)
        elif not name.startswith("options["):
            raise RefusedError(400, f"Parameter [{name}] was not recognized.")
    return criteria


def _one_of(read: Callable[[Granule], str]) -> Callable[[list[str]], list[Criterion]]:
    def build(values: list[str]) -> list[Criterion]:
        wanted = {value.lower() for value in values}
        return [lambda g: read(g).lower() in wanted]

    return build


def _named(names: list[str], wildcards: bool) -> Criterion:
    """Granules of these names; with wildcards * and ? stand for letters."""
    patterns = [
        re.escape(n).replace(r"\*", ".*").replace(r"\?", ".") if wildcards else re.escape(n)
        for n in names
    ]
    wanted = re.compile("|".join(patterns), re.IGNORECASE)
    return lambda g: bool(wanted.fullmatch(g.ur) or wanted.fullmatch(g.scene))


def _attribute(text: str) -> Criterion:
    """`type,NAME,value`, or `type,NAME,least,most` where either end may be open."""
    kind, name, *values = (text + ",," if "," not in text else text).split(",")
    if kind not in ("string", "int", "float") or not name or len(values) > 2 or not any(values):
        raise RefusedError(400, f"[{text}] is not an additional attribute: type,name,value")
    if kind == "string":
        wanted = ",".join(values).lower()
        return lambda g: g.attributes.get(name, "\0").lower() == wanted
    cast: Callable[[str], float] = int if kind == "int" else float
    try:
        ends = [cast(value) if value else None for value in values]
    except ValueError:
        raise RefusedError(
            400, f"[{','.join(values)}] is an invalid value for type [{kind}]"
        ) from None
    least, most = (ends[0], ends[0]) if len(ends) == 1 else ends

    def fits(granule: Granule) -> bool:
        try:
            found = float(granule.attributes[name])
        except (KeyError, ValueError):
            return False
        if least is not None and not found >= least:
            return False
        return most is None or found <= most

    return fits


def _orbit(text: str) -> Criterion:
    numbers = _numbers(text, "orbit_number")
    if len(numbers) not in (1, 2):
        raise RefusedError(400, f"orbit_number [{text}] is neither a number nor a range")
    return lambda g: numbers[0] <= g.orbit <= numbers[-1]


def _temporal(text: str) -> Criterion:
    """`start,end`: scenes that overlap the range; either end may be open."""
    start, end, *season = [*(part.strip() for part in text.split(",")), ""]
    if any(season):
        raise RefusedError(400, f"temporal [{text}]: seasons are not served here")
    first, last = _datetime(start, "start"), _datetime(end, "end")
    if first and last and first > last:
        raise RefusedError(400, f"start_date [{start}] must be before end_date [{end}]")
    return lambda g: (first is None or g.stop >= first) and (last is None or g.start <= last)


def _datetime(text: str, which: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"temporal {which} datetime is invalid: [{text}] is not a valid datetime."
        raise RefusedError(400, message) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _touches(shapes: list[Any], one_will_do: bool) -> Criterion:
    enough = any if one_will_do else all
    touched = cache(lambda area: enough(shapely.box(*area).intersects(one) for one in shapes))
    return lambda g: touched(g.area)


def _point(text: str) -> Any:
    numbers = _numbers(text, "point")
    if len(numbers) != 2:
        raise RefusedError(400, f"[{text}] is not a valid URL encoded point")
    return shapely.Point(*numbers)


def _box(text: str) -> Any:
    numbers = _numbers(text, "bounding_box")
    if len(numbers) != 4 or numbers[1] > numbers[3]:
        raise RefusedError(400, f"[{text}] is not a valid URL encoded bounding_box")
    west, south, east, north = numbers
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union(
        shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)
    )


def _polygon(text: str) -> Any:
    numbers = _numbers(text, "polygon")
    corners = list(zip(numbers[::2], numbers[1::2], strict=False))
    if len(numbers) % 2 or len(corners) < 4 or corners[0] != corners[-1]:
        raise RefusedError(400, f"[{text}] is not a valid URL encoded polygon")
    if sum((b[0] - a[0]) * (b[1] + a[1]) for a, b in pairwise(corners)) > 0:
        raise RefusedError(
            400, "The polygon boundary points are listed in the wrong order (clockwise)"
        )
    ring = shapely.Polygon(corners)
    if not ring.is_valid:
        raise RefusedError(400, "The shape contained points that cross itself")
    return ring


def _numbers(text: str, name: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise RefusedError(400, f"[{text}] is not a valid URL encoded {name}") from None
    if not all(abs(number) < 1e9 for number in numbers):
        raise RefusedError(400, f"[{text}] is not a valid URL encoded {name}")
    return numbers


_PARAMETERS: dict[str, Callable[[list[str]], list[Criterion]]] = {
    "short_name": _one_of(lambda g: g.collection),
    "platform": _one_of(lambda g: g.platform),
    "provider": _one_of(lambda g: "ASF"),
    "instrument": _one_of(lambda g: "C-SAR"),
    "granule_ur": _one_of(lambda g: g.ur),
    "attribute": lambda values: [_attribute(value) for value in values],
    "orbit_number": lambda values: [_orbit(value) for value in values],
    "temporal": lambda values: [_temporal(value) for value in values],
}
_SHAPES: dict[str, Callable[[str], Any]] = {
    "point": _point,
    "polygon": _polygon,
    "bounding_box": _box,
}


def _page_size(values: list[str]) -> int:
    text = values[-1]
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) > LARGEST_PAGE:
        raise RefusedError(400, f"page_size must be a number between 0 and {LARGEST_PAGE}")
    return int(text)


def _order(names: list[str]) -> Callable[[Granule], Key]:
    for name in names:
        if name not in _SORTS:
            raise RefusedError(400, f"The sort key [{name}] is not a valid field to sort by.")
    parts = [_SORTS[name] for name in dict.fromkeys([*(names or ["start_date"]), "granule_ur"])]
    return lambda g: tuple(part(g) for part in parts)


def _last_key(token: str, order: Callable[[Granule], Key]) -> Key:
    """The key of the last granule of the page before; it comes back as it was sent."""
    sample = order(_SAMPLE)
    try:
        key = tuple(msgspec.json.decode(token))
    except (msgspec.DecodeError, TypeError):
        key = ()
    if [type(part) for part in key] != [type(part) for part in sample]:
        raise RefusedError(400, f"The search-after header [{token[:100]}] is not one of ours.")
    return key


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SAMPLE = Granule(
    "", "", "", "", 0, _EPOCH, _EPOCH, _EPOCH, (0.0, 0.0, 0.0, 0.0), {}, msgspec.Raw()
)
