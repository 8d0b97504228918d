"""`slopewatch site new`: a commented site file, with what can be found out filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TypeVar

import yaml

from core.clock import SystemClock
from core.errors import SettingsError, SlopewatchError
from core.settings import Service, Site, parse_site
from services.commands._site_file import Draft, plain, site_text
from services.commands._site_lookups import (
    LOOK_BACK_DAYS,
    MAX_LEVEL_KM,
    MAX_RAIN_KM,
    Gauge,
    Lookups,
    Station,
    Track,
)
from services.commands._site_units import Unit, area_round, read_units, round_unit

MARGIN_KM = 1.0
OFFLINE = "not asked for (offline)"

Echo = Callable[[str], None]
Found = TypeVar("Found")


def create(
    name: str,
    *,
    source: Path | None,
    at: tuple[float, float] | None,
    radius_km: float,
    service: Service,
    path: Path | None,
    offline: bool = False,
    echo: Echo,
    today: date | None = None,
    stations_url: str | None = None,
    gauges_url: str | None = None,
) -> Path:
    """Write the file of a new site to `path` (none: in the service's folder of sites).

    Slope units come from `source` (GeoJSON or KML), or are a circle of `radius_km` round `at`
    (latitude, longitude). Outside services are asked unless `offline`; what fails is said and
    left MISSING. Raises `SettingsError` for a wrong name, place or file, and for a file that is
    there already.
    """
    path = path or service.sites / f"{name}.yaml"
    _check_free(name, path)
    units, origin = _units(source, at, radius_km)
    day = today or SystemClock().now().date()
    area = area_round(units, MARGIN_KM)
    draft = Draft(name, origin, day, area, MARGIN_KM, units, circle=source is None)
    if offline:
        draft = replace(draft, missing=dict.fromkeys(("tracks", "rain", "level"), OFFLINE))
    else:
        lookups = Lookups(_bare_site(draft), service, day, stations_url, gauges_url)
        draft = _looked_up(draft, lookups, echo)
    text = site_text(draft)
    parse_site(yaml.safe_load(text), str(path))
    _write(path, text)
    for line in _checklist(draft, path):
        echo(line)
    return path


def _check_free(name: str, path: Path) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise SettingsError(f"site name {name!r}: use 1 to 64 letters, digits, - and _")
    if path.exists():
        raise SettingsError(f"{path} is there already: edit it, move it away, or take another name")


def _units(
    source: Path | None, at: tuple[float, float] | None, radius_km: float
) -> tuple[Sequence[Unit], str]:
    if (source is None) == (at is None):
        raise SettingsError("say where the slope is: either --from FILE or --at LAT,LON")
    if source is not None:
        return read_units(source), source.name
    lat, lon = at or (0.0, 0.0)
    return [round_unit(lat, lon, radius_km)], f"--at {lat:g},{lon:g} --radius {radius_km:g}"


def _bare_site(draft: Draft) -> Site:
    """What feeds need to know to be asked."""
    units = [{"id": unit.id, "polygon": unit.polygon} for unit in draft.units]
    tree = {"name": draft.name, "area": draft.area, "slope_units": units}
    return parse_site({**tree, "reference": {"scene_median": True}})


def _looked_up(draft: Draft, lookups: Lookups, echo: Echo) -> Draft:
    """The draft with what outside services know; nothing that fails ends the command."""
    missing: dict[str, str] = {}

    def ask(key: str, what: str, question: Callable[[], Found], nothing: str) -> Found | None:
        echo(f"looking for {what} ...")
        try:
            answer = question()
        except SlopewatchError as error:
            missing[key] = plain(f"{what} not found out: {error}")
            echo(f"  {missing[key]}")
            return None
        if not answer:
            missing[key] = nothing
            echo(f"  {nothing}")
        return answer

    tracks = ask(
        "tracks",
        "Sentinel-1 tracks",
        lookups.tracks,
        f"no Sentinel-1 pass over the area in the last {LOOK_BACK_DAYS} days",
    )
    if tracks:
        bursts = ask("bursts", "bursts", lookups.bursts, "no bursts in the catalogue") or {}
        tracks = [track._replace(bursts=bursts.get(track.path, ())) for track in tracks]
    stations = ask(
        "rain",
        "rain stations",
        lookups.rain_stations,
        f"no station of NOAA within {MAX_RAIN_KM:g} km reports rain these days",
    )
    gauges = ask(
        "level",
        "reservoir gauges",
        lookups.gauges,
        f"the USGS (United States only) has no daily reservoir level within {MAX_LEVEL_KM:g} km",
    )
    return replace(
        draft,
        tracks=tracks or (),
        stations=stations or (),
        gauges=gauges or (),
        missing=missing,
    )


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise SettingsError(f"{path} appeared meanwhile: it is left as it is") from error
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror or error}") from error


def _checklist(draft: Draft, path: Path) -> list[str]:
    lines = [f"wrote {path}", "found:", f"  {len(draft.units)} slope unit(s), area {draft.area}"]
    lines += [f"  track {_track_said(track)}" for track in draft.tracks]
    lines += [f"  rain station {_station_said(station)}" for station in draft.stations[:1]]
    lines += [f"  reservoir {_gauge_said(gauge)}" for gauge in draft.gauges[:1]]
    lines += ["still missing (MISSING in the file):"]
    lines += ["  reference: a box on firm ground; the scene's median stands in, which may move"]
    lines += ["  sources: where displacement comes from; without one the site is blind"]
    lines += ["  recipients: who is told; now nobody is"]
    if not draft.sloped:
        lines += ["  slope_deg and aspect_deg of every slope unit: for downslope motion"]
    if draft.circle:
        lines += ["  the true outline of the slope: a circle stands in"]
    lines += [f"  {key}: {reason}" for key, reason in draft.missing.items()]
    return [
        *lines,
        "next: fill these in, then",
        "  slopewatch config check",
        f"  slopewatch run --site {draft.name}",
    ]


def _track_said(track: Track) -> str:
    every = f", every {track.repeat_days} days" if track.repeat_days else ""
    return plain(f"{track.name} {track.direction}, last {track.last_pass:%Y-%m-%d}{every}")


def _station_said(station: Station) -> str:
    return plain(f"{station.id} {station.name}, {station.km:.0f} km")


def _gauge_said(gauge: Gauge) -> str:
    return plain(f"{gauge.id} {gauge.name}, {gauge.km:.0f} km: is it the water below the slope?")
