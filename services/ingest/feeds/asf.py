"""Sentinel-1 passes and products over the site, from the Alaska Satellite Facility's catalogue.

Sources: https://docs.asf.alaska.edu/asf_search/basics/ (the client) and
https://cmr.earthdata.nasa.gov/search/site/docs/search/api.html (the catalogue, NASA CMR). Searching
needs no account. Pages are read here item by item, with asf_search's own queries and translation:
its page iterator loses a whole page to one item it cannot translate.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import requests
from pydantic import Field
from requests.adapters import HTTPAdapter

from core.artifacts import Artifacts
from core.clock import SystemClock, end_of, midnight
from core.errors import BadInputError, SettingsError, UnavailableError
from core.events import AcquisitionFound
from core.retry_after import wait_asked_for
from core.settings import Service, Site, Tree, secret
from services.ingest import http
from services.ingest.feed import Datum, Feed, Observation, Rejection
from services.ingest.feeds import _footprints
from services.ingest.tables import bounded

if TYPE_CHECKING:
    from asf_search import ASFSession

CMR = "https://cmr.earthdata.nasa.gov"
SEARCH_PATH = "/search/granules.umm_json"
MAX_PAGES = 400
MAX_SAID = 300

Form = list[tuple[str, Any]]
Product = Literal["SLC", "BURST", "CSLC", "RTC", "DISP-S1"]


class _Kind(NamedTuple):
    """How asf_search names a product, its frames and bursts, and how soon it is published."""

    dataset: str
    frames: str | None
    bursts: str | None
    latency: timedelta


KINDS: dict[str, _Kind] = {
    "SLC": _Kind("SENTINEL-1", "frame", None, timedelta(hours=6)),
    "BURST": _Kind("SLC-BURST", None, "fullBurstID", timedelta(hours=6)),
    "CSLC": _Kind("OPERA-S1", None, "operaBurstID", timedelta(days=1)),
    "RTC": _Kind("OPERA-S1", None, "operaBurstID", timedelta(days=1)),
    "DISP-S1": _Kind("OPERA-S1", "asfFrame", None, timedelta(days=3)),
}


class Settings(Tree):
    """What to look for over the site's area."""

    product: Product = Field("SLC", description="SLC, BURST, or of OPERA: CSLC, RTC, DISP-S1")
    paths: tuple[int, ...] = Field((), description="relative orbits; none: all that see the site")
    frames: tuple[int, ...] = Field((), description="frames of SLC or DISP-S1; none: all")
    bursts: tuple[str, ...] = Field(
        (), description="burst ids, 174_372326_IW3 for BURST, T131_279916_IW1 for OPERA; none: all"
    )
    polarization: Literal["VV", "VH", "HH", "HV", "VV+VH", "HH+HV"] | None = Field(
        None, description="as the catalogue writes it; none: any"
    )
    token_env: str | None = Field(
        None, description="environment variable with an Earthdata token; searching needs none"
    )


def open(settings: Settings, service: Service) -> Feed:
    """The feed of one product."""
    kind = KINDS[settings.product]
    if settings.frames and not kind.frames:
        raise SettingsError(f"feed asf: {settings.product} has no frames, give bursts or nothing")
    if settings.bursts and not kind.bursts:
        raise SettingsError(f"feed asf: {settings.product} has no bursts, give frames or nothing")
    return _Asf(settings, service.endpoints.cmr.rstrip("/"))


class _Asf:
    name = "asf"
    brings: frozenset[Datum] = frozenset({"acquisitions"})

    def __init__(self, settings: Settings, base: str) -> None:
        self._settings = settings
        self._base = base
        self.latency = KINDS[settings.product].latency

    def poll(
        self, site: Site, since: date, until: date, artifacts: Artifacts
    ) -> Iterator[Observation | Rejection]:
        """Passes that ended in [since, until], each scene once; rejections come first."""
        with _session(self._settings, self._base) as session:
            items = _items(session, _queries(self._settings, (site.area,), since, until))
            yield from _in_order((_translated(item, session) for item in items), since, until)

    def poll_group(
        self, sites: Sequence[Site], since: date, until: date, artifacts: Artifacts
    ) -> Mapping[str, Sequence[Observation | Rejection]]:
        """One search for all areas; each item goes to every site that its footprint meets.

        Where an item's footprint is not to be read or meets none of the sites, the sites are asked
        for one by one: the catalogue alone knows whose it is.
        """
        found: dict[str, list[Observation | Rejection]] = {site.name: [] for site in sites}
        areas = tuple(dict.fromkeys(site.area for site in sites))
        with _session(self._settings, self._base) as session:
            for item in _items(session, _queries(self._settings, areas, since, until)):
                footprint = _footprints.footprint(item)
                met = [s.name for s in sites if footprint and footprint.meets(s.area)]
                if not met:
                    return {s.name: list(self.poll(s, since, until, artifacts)) for s in sites}
                seen = _translated(item, session)
                for name in met:
                    found[name].append(seen)
        return {name: list(_in_order(items, since, until)) for name, items in found.items()}


def _in_order(
    items: Iterable[Observation | Rejection], since: date, until: date
) -> Iterator[Observation | Rejection]:
    found: dict[str, Observation] = {}
    for seen in items:
        if isinstance(seen, Rejection):
            yield seen
        elif since <= seen.valid_time.date() <= until:
            found.setdefault(seen.natural_key, seen)
    yield from sorted(found.values(), key=lambda o: (o.valid_time, o.natural_key))


class _Redirected(HTTPAdapter):
    """Sends what asf_search addresses to the catalogue to another base: it knows only https."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        """Send `request` to the same path under the other base."""
        request.url = self._base + (request.url or "").removeprefix(CMR)
        return super().send(request, *args, **kwargs)


def _session(settings: Settings, base: str) -> ASFSession:
    import asf_search

    asf_search.REPORT_ERRORS = False  # else failures are posted to ASF behind our back
    session = asf_search.ASFSession()
    if base != CMR:
        session.mount(CMR, _Redirected(base))
        session.trust_env = not http.is_loopback(base)
    token = secret(settings.token_env) if settings.token_env else None
    if token and base.startswith("https://"):
        session.headers["Authorization"] = f"Bearer {token}"
    return session


def _queries(
    settings: Settings, areas: tuple[_footprints.Box, ...], since: date, until: date
) -> list[Form]:
    """The form fields of each request; lists of frames or bursts make one request each."""
    ends = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (midnight(since), end_of(until)))
    temporal = ("temporal", f"{','.join(ends)},")
    boxes = [("bounding_box[]", ",".join(map(str, area))) for area in areas[1:]]
    # The catalogue wants to meet all boxes unless it is told otherwise.
    several = [*boxes, ("options[bounding_box][or]", "true")] if boxes else []
    return [[*form, *several, temporal] for form in _forms(settings, areas[0])]


@lru_cache(maxsize=256)
def _forms(settings: Settings, area: _footprints.Box) -> list[Form]:
    """All form fields but the time, as asf_search words them; that takes it tens of ms."""
    from asf_search import ASFSearchOptions
    from asf_search.CMR import build_subqueries, translate_opts
    from asf_search.search import preprocess_opts

    kind = KINDS[settings.product]
    wanted: dict[str, Any] = {
        "dataset": kind.dataset,
        "processingLevel": settings.product,
        # A box needs none of the repairs (and deprecated calls) that a polygon goes through.
        "bbox": area,
    }
    if settings.paths:
        wanted["relativeOrbit"] = list(settings.paths)
    if settings.frames and kind.frames:
        wanted[kind.frames] = list(settings.frames)
    if settings.bursts and kind.bursts:
        wanted[kind.bursts] = list(settings.bursts)
    if settings.polarization:
        wanted["polarization"] = settings.polarization
    try:
        options = ASFSearchOptions(**wanted)
        preprocess_opts(options)
        return [translate_opts(query) for query in build_subqueries(options)]
    except (ValueError, KeyError) as error:
        raise SettingsError(f"feed asf: asf_search refuses these settings: {error}") from error


def _items(session: ASFSession, queries: list[Form]) -> Iterator[Any]:
    """Raw items of all pages of all queries; CMR-Search-After leads from page to page."""
    for fields in queries:
        session.headers.pop("CMR-Search-After", None)
        seen = 0
        for _ in range(MAX_PAGES):
            items, hits, after = _page(session, fields)
            yield from items
            seen += len(items)
            if not items or seen >= hits or not after:
                break
            session.headers["CMR-Search-After"] = after
        else:
            raise BadInputError(f"the catalogue sends over {MAX_PAGES} pages: narrow the settings")


def _page(session: ASFSession, fields: Form) -> tuple[list[Any], int, str | None]:
    from asf_search import ASFSearchError
    from asf_search.search.search_generator import get_page

    try:
        response = get_page(session=session, url=CMR + SEARCH_PATH, translated_opts=fields)
    except (ASFSearchError, requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise _explained(error) from error
    try:
        answer = response.json()
        items, hits = answer["items"], int(answer["hits"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInputError(f"the catalogue (CMR) sends no whole search result: {error}") from error
    if not isinstance(items, list):
        raise BadInputError("the catalogue (CMR) sends no list of items")
    return items, hits, response.headers.get("CMR-Search-After")


def _explained(error: BaseException) -> Exception:
    """What went wrong, in our words. asf_search fails oddly on an error page that is not JSON."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, requests.HTTPError):
        cause = cause.__cause__ or cause.__context__
    if cause is None or cause.response is None:
        reason = type(error).__name__
        return UnavailableError(f"the catalogue (CMR) does not answer or broke off ({reason})")
    response = cause.response
    status, said = response.status_code, " ".join(response.text[:MAX_SAID].split())
    if status >= 500 or status in (408, 425, 429):
        wait = wait_asked_for(response.headers.get("Retry-After"), SystemClock().now())
        return UnavailableError(f"the catalogue (CMR) answers {status}: {said}", retry_after=wait)
    if status in (401, 403):
        return SettingsError(f"the catalogue (CMR) refuses the token ({status}): renew it")
    return SettingsError(f"the catalogue (CMR) refuses the search ({status}): {said}")


def _translated(item: Any, session: ASFSession) -> Observation | Rejection:
    """One item as an acquisition, or why not."""
    from asf_search.search.search_generator import as_ASFProduct

    text = bounded(json.dumps(item, ensure_ascii=False))
    name = _name(item)
    try:
        product = as_ASFProduct(item, session=session)
    except Exception as error:  # whatever asf_search stumbles over: the item is lost, not the page
        reason = f"asf_search cannot read {name} ({type(error).__name__}: {error})"
        return Rejection("R01", bounded(reason), name, text)
    try:
        return _observation(product.properties, product.meta)
    except (KeyError, TypeError, ValueError, AttributeError, msgspec.MsgspecError) as error:
        return Rejection("R11", bounded(f"{name} lacks metadata: {error}"), name, text)


def _observation(found: dict[str, Any], meta: dict[str, Any]) -> Observation:
    scene, stop = found.get("sceneName"), found.get("stopTime")
    if not scene or not stop:
        raise ValueError("no scene name" if not scene else "no time at which the pass ended")
    stop_time = _moment(stop)
    polarization = found.get("polarization")
    burst = found.get("burst") or {}
    data = AcquisitionFound(
        feed="asf",
        scene=scene,
        platform=str(found.get("platform") or "unknown").upper(),
        path=found.get("pathNumber"),
        frame=found.get("frameNumber"),
        burst=burst.get("fullBurstID") or found.get("operaBurstID"),
        direction=found.get("flightDirection"),
        polarization="+".join(polarization) if isinstance(polarization, list) else polarization,
        product=str(found.get("processingLevel") or "unknown"),
        stop_time=stop_time,
        url=found.get("url"),
        bytes=_bytes(found.get("bytes")),
    )
    # Structs take any type and text when made: reading it back finds what the log would refuse.
    data = msgspec.json.decode(msgspec.json.encode(data), type=AcquisitionFound)
    return Observation(scene, stop_time, _published(meta, stop_time), data)


def _published(meta: dict[str, Any], stop_time: datetime) -> datetime | None:
    """The catalogue's date of the first revision; that of a later one is not the publication."""
    if meta.get("revision-id") != 1 or not meta.get("revision-date"):
        return None
    published = _moment(meta["revision-date"])
    return published if published >= stop_time else None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset")
    return moment


def _bytes(size: Any) -> int | None:
    """Bursts give a text, OPERA products one size a file."""
    if isinstance(size, dict):
        return sum(int(part["bytes"]) for part in size.values()) or None
    return None if size in (None, "") else int(float(size))


def _name(item: Any) -> str:
    try:
        return str(item["umm"].get("GranuleUR") or item["meta"]["native-id"])[:200]
    except (KeyError, TypeError, AttributeError):
        return "an unnamed item"
