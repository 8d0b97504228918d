"""The site file that a user would write for a stand-in site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

from services.demo.standin.site import StandInSite

ATMOSPHERE_SD_MM = 3.0
"""As in the calibration of the shipped thresholds."""


def site_tree(
    site: StandInSite,
    base_url: str,
    *,
    recipients: Sequence[Mapping[str, Any]] = (),
    watched_from: date | None = None,
    title: str = "",
) -> dict[str, Any]:
    """The tree of a site's YAML file (`core.settings.Site`), plain enough for any YAML writer.

    Feeds find the stand-in by the service's endpoints, see `StandIn.endpoints`; the displacement
    table by its address under `base_url`.
    """
    steps = np.diff([day.toordinal() for day in site.pass_days])
    return {
        "name": site.name,
        "title": title or f"Simulated slope {site.name}",
        "area": list(site.area),
        "history_from": site.first_day.isoformat(),
        "watched_from": watched_from.isoformat() if watched_from else None,
        "simulated": True,
        "reference": {"box": list(site.slope.firm_ground)},
        "repeat_days": int(np.median(steps)) if len(steps) else 12,
        "slope_units": [_slope_unit(site)],
        "feeds": [
            {"kind": "asf", "product": "SLC", "paths": [site.path], "frames": [site.frame]},
            {"kind": "gsod", "station": site.station_rain},
            {"kind": "usgs", "site": site.station_level, "parameter": "62614"},
        ],
        "sources": [_source(site, base_url.rstrip("/"))],
        "noise": {"atmosphere_sd_mm": ATMOSPHERE_SD_MM},
        "recipients": [dict(recipient) for recipient in recipients],
    }


def _slope_unit(site: StandInSite) -> dict[str, Any]:
    return {
        "id": "slope",
        "name": "main slope",
        "polygon": [list(corner) for corner in site.slope.polygon],
        "slope_deg": round(site.slope.slope_deg, 3),
        "aspect_deg": round(site.slope.aspect_deg, 3),
        "flank_pixels": site.slope.flank_pixels,
    }


def _source(site: StandInSite, base_url: str) -> dict[str, Any]:
    products = f"{base_url}/products/{site.name}"
    return {
        "kind": "table",
        "where": f"{products}/displacement.csv",
        "track": f"P{site.path:03d}{site.direction[0]}",
        "layout": "epochs",
        "points": f"{products}/points.csv",
        "point_columns": {"id": "id"},
        "sigma_mm": round(float(np.median([p.sigma_mm for p in site.points])), 3),
    }
