"""Which part of the stand-in answers a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from core.clock import Clock
from services.demo.standin import catalogue, gauges, products
from services.demo.standin.answers import RefusedError, Reply, Request
from services.demo.standin.granules import granules_of
from services.demo.standin.site import StandInSite

OTHER = "other"


class _Route(NamedTuple):
    endpoint: str
    methods: tuple[str, ...]
    pattern: re.Pattern[str]
    answer: Callable[[re.Match[str], Request, datetime], Reply]


class Desk:
    """Answers requests as of the clock's now; knows nothing of sockets."""

    def __init__(self, sites: Iterable[StandInSite], clock: Clock) -> None:
        self._clock = clock
        every = list(sites)
        self._sites = {site.name: site for site in every}
        self._rain = {site.station_rain: site for site in every}
        self._level = {site.station_level: site for site in every}
        if not len(self._sites) == len(self._rain) == len(self._level) == len(every):
            raise ValueError("two stand-in sites share a name or a station")
        self._granules = [granule for site in every for granule in granules_of(site)]
        both = ("GET", "HEAD")
        self._routes = (
            _Route("cmr", ("POST", *both), re.compile(r"/search/granules\.umm_json"), self._search),
            _Route("gsod", both, re.compile(r"/gsod/([0-9]{4})/([0-9A-Z]{11})\.csv"), self._gsod),
            _Route("usgs", both, re.compile(r"/usgs/?"), self._usgs),
            _Route(
                "displacement",
                both,
                re.compile(r"/products/([\w-]+)/displacement\.csv"),
                self._moved,
            ),
            _Route("points", both, re.compile(r"/products/([\w-]+)/points\.csv"), self._points),
        )
        self.endpoints = (*(route.endpoint for route in self._routes), OTHER)

    def endpoint(self, path: str) -> str:
        """The name under which requests for `path` are counted."""
        found = (route.endpoint for route in self._routes if route.pattern.fullmatch(path))
        return next(found, OTHER)

    def answer(self, request: Request) -> Reply:
        """The answer; `RefusedError` where there is none."""
        for route in self._routes:
            if match := route.pattern.fullmatch(request.path):
                if request.method not in route.methods:
                    raise RefusedError(405, f"{request.method} is not possible here")
                return route.answer(match, request, self._clock.now())
        raise RefusedError(404, "there is no such document here")

    def _search(self, match: re.Match[str], request: Request, now: datetime) -> Reply:
        return catalogue.search(self._granules, request, now)

    def _gsod(self, match: re.Match[str], request: Request, now: datetime) -> Reply:
        year = int(match[1])
        if year < 1:
            raise RefusedError(404, "there is no year 0")
        return gauges.gsod(self._rain.get(match[2]), year, now)

    def _usgs(self, match: re.Match[str], request: Request, now: datetime) -> Reply:
        return gauges.usgs(self._level, request, now)

    def _moved(self, match: re.Match[str], request: Request, now: datetime) -> Reply:
        return products.displacement(self._site(match), request, now)

    def _points(self, match: re.Match[str], request: Request, now: datetime) -> Reply:
        return products.points(self._site(match), request, now)

    def _site(self, match: re.Match[str]) -> StandInSite:
        site = self._sites.get(match[1])
        if site is None:
            raise RefusedError(404, "there is no such site here")
        return site
