"""A processor's folder: the displacement of a site's points, as far as it has arrived."""

from __future__ import annotations

import hashlib
import math
from datetime import datetime
from email.utils import format_datetime

from core.clock import midnight
from services.demo.standin.answers import CSV, Reply, Request
from services.demo.standin.site import StandInSite

POINT_COLUMNS = ("id", "longitude", "latitude", "los_east", "los_north", "los_up", "sigma_mm")


def displacement(site: StandInSite, request: Request, now: datetime) -> Reply:
    """A row an epoch, a column a point: cumulative mm toward the satellite, empty: not measured."""
    known = site.epochs_known(now)
    lines = [",".join(["date", *(point.id for point in site.points)])]
    for k in known:
        cells = (f"{value:.3f}" if math.isfinite(value) else "" for value in site.los_mm[k])
        lines.append(",".join([site.epoch_dates[k].isoformat(), *cells]))
    newest = max((site.arrival_dates[k] for k in known), default=site.first_day)
    return _table(lines, midnight(newest), request)


def points(site: StandInSite, request: Request, now: datetime) -> Reply:
    """Where the points lie, and their lines of sight from ground to satellite."""
    lines = [",".join(POINT_COLUMNS)]
    for point in site.points:
        los = (f"{part:.6f}" for part in point.los)
        place = (f"{point.lon:.6f}", f"{point.lat:.6f}")
        lines.append(",".join([point.id, *place, *los, f"{point.sigma_mm:.3f}"]))
    return _table(lines, midnight(site.first_day), request)


def _table(lines: list[str], changed: datetime, request: Request) -> Reply:
    """The table, or 304 where the client says that it has just this one."""
    body = ("\n".join(lines) + "\n").encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "ETag": tag,
        "Last-Modified": format_datetime(changed, usegmt=True),
        "Cache-Control": "no-cache",
    }
    held = [held.strip().removeprefix("W/") for held in _held(request).split(",")]
    if tag in held or held == ["*"]:
        return Reply(304, b"", CSV, headers)
    return Reply(200, body, CSV, headers)


def _held(request: Request) -> str:
    return request.headers.get("if-none-match", "")
