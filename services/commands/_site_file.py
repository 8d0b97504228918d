"""The text of a new site file: every line says what it is for, what is missing is marked so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from core.settings import LonLat
from services.commands._site_lookups import (
    LOOK_BACK_DAYS,
    RAIN_DAYS,
    Gauge,
    Station,
    Track,
)
from services.commands._site_units import Box, Unit

CORNERS_A_LINE = 4
DEFAULT_REPEAT_DAYS = 12


@dataclass(frozen=True)
class Draft:
    """All that is known of a new site. `missing`: why a look-up found nothing, by its name.

    `circle`: the only unit is a circle that stands in for the true outline.
    """

    name: str
    origin: str
    written: date
    area: Box
    margin_km: float
    units: Sequence[Unit]
    circle: bool = False
    tracks: Sequence[Track] = ()
    stations: Sequence[Station] = ()
    gauges: Sequence[Gauge] = ()
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def sloped(self) -> bool:
        """Whether the downslope direction of every unit is known."""
        return all(u.slope_deg is not None and u.aspect_deg is not None for u in self.units)


def site_text(draft: Draft) -> str:
    """The file as YAML; it can be loaded as it is."""
    parts = (_head, _place, _reference, _units, _feeds, _sources, _rules, _recipients)
    return "\n\n".join("\n".join(part(draft)) for part in parts) + "\n"


def plain(text: str) -> str:
    """`text` of another machine on one line, fit for a comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]


def _head(draft: Draft) -> Iterator[str]:
    yield f"# A place watched by slopewatch; written {draft.written} from {plain(draft.origin)}."
    yield "# Lines marked MISSING wait for you; `slopewatch config check` says what else is wrong."


def _place(draft: Draft) -> Iterator[str]:
    yield "# Name in commands, records and file names; another name is another site."
    yield f"name: {json.dumps(draft.name)}"
    yield "# Name for people, on pages and in messages."
    yield f"title: {json.dumps(draft.name)}"
    yield "# What is asked of feeds and cut out of rasters: west, south, east, north in degrees;"
    yield f"# the slope units and {draft.margin_km:g} km round them, so that firm ground is inside."
    yield f"area: {_flow(draft.area)}"
    yield "# First day whose alerts are told; what lies before is history and nobody is told."
    yield f"watched_from: {draft.written}"
    history = draft.written.replace(day=1) - timedelta(days=3 * 365)
    yield "# First day to fetch; without this line 3 years before watched_from."
    yield f"# history_from: {history}"
    yield "# Days between two passes of one track: data older than a few of them is called stale."
    repeats = [t.repeat_days for t in draft.tracks if t.repeat_days]
    if repeats:
        yield f"repeat_days: {max(repeats)}"
    else:
        yield "# MISSING: not found out; 12 is one Sentinel-1 satellite's rhythm, two make 6."
        yield f"repeat_days: {DEFAULT_REPEAT_DAYS}"


def _reference(draft: Draft) -> Iterator[str]:
    yield "# Firm ground: all displacement is relative to it."
    yield "# MISSING: a box on rock or old, firm buildings near the slope that do not move."
    yield "# Until then the median of the whole scene stands in, which is wrong where much of the"
    yield "# scene moves. Put your corners here in place of the line scene_median:"
    yield "#   box: [west, south, east, north]"
    yield "reference:"
    yield "  scene_median: true"


def _units(draft: Draft) -> Iterator[str]:
    yield "# Pieces of slope that each move as one. Per unit: id (in records), name (for people),"
    yield "# slope_deg (steepness), aspect_deg (downhill direction, clockwise from north), and the"
    yield "# outline as longitude, latitude. `slopewatch config show` tells what else may be set."
    if draft.circle:
        yield "# MISSING: the true outline: this circle is only a start. Draw it on a map, save it"
        yield "# as GeoJSON, and make the site again with --from, or write the corners here."
    yield "slope_units:"
    for unit in draft.units:
        yield f"  - id: {json.dumps(unit.id)}"
        yield f"    name: {json.dumps(plain(unit.name), ensure_ascii=False)}"
        for angle_name, angle in (("slope_deg", unit.slope_deg), ("aspect_deg", unit.aspect_deg)):
            if angle is None:
                yield f"    # MISSING: {angle_name}, without it downslope motion cannot be told"
                yield f"    # {angle_name}: ..."
            else:
                yield f"    {angle_name}: {angle:g}"
        yield "    polygon: ["
        yield from _corners(unit.polygon)
        yield "    ]"


def _corners(ring: Sequence[LonLat]) -> Iterator[str]:
    for start in range(0, len(ring), CORNERS_A_LINE):
        yield "      " + ", ".join(map(_flow, ring[start : start + CORNERS_A_LINE])) + ","


def _feeds(draft: Draft) -> Iterator[str]:
    yield "# What is asked for passes, rain and level."
    yield "feeds:"
    yield from _passes(draft)
    yield from _rain(draft)
    yield from _level(draft)


def _passes(draft: Draft) -> Iterator[str]:
    yield f"  # Sentinel-1 passes over the area; the catalogue of the last {LOOK_BACK_DAYS} days:"
    for key in ("tracks", "bursts"):
        if key in draft.missing:
            yield f"  # MISSING: {draft.missing[key]}"
    for track in draft.tracks:
        every = f", every {track.repeat_days} days" if track.repeat_days else ""
        yield (
            f"  #   {track.name}: path {track.path} {plain(track.direction)}, "
            f"{plain(', '.join(track.platforms))}, last {track.last_pass:%Y-%m-%d %H:%M} UTC{every}"
        )
        if track.bursts:
            yield f"  #     bursts {plain(', '.join(track.bursts[:8]))}{_more(track.bursts, 8)}"
    yield "  - kind: asf"
    yield "    product: SLC  # or BURST with bursts: [...], of OPERA also CSLC, RTC, DISP-S1"
    if draft.tracks:
        paths = ", ".join(str(track.path) for track in draft.tracks)
        yield f"    paths: [{paths}]  # keep those you have displacement of"


def _rain(draft: Draft) -> Iterator[str]:
    yield "  # Daily rain of NOAA's Global Summary of the Day, from the nearest station:"
    if not draft.stations:
        yield f"  # MISSING: {draft.missing['rain']}"
        yield "  # - kind: gsod"
        yield '  #   station: "..."  # 11 characters: USAF then WBAN number'
        return
    for place, station in enumerate(draft.stations):
        said = f"{plain(station.name)}, {station.km:.0f} km, rain on {station.days} of {RAIN_DAYS}"
        yield f"  #   {station.id}: {said} days known{' (taken)' if place == 0 else ''}"
    yield "  - kind: gsod"
    yield f"    station: {json.dumps(draft.stations[0].id)}"


def _level(draft: Draft) -> Iterator[str]:
    yield "  # Daily reservoir level, where one lies at the foot of the slope:"
    if not draft.gauges:
        yield f"  # MISSING: {draft.missing['level']}"
        yield "  # Of another authority, by kind table; in the USA:"
        yield "  # - kind: usgs"
        yield '  #   site: "..."  # USGS site number'
        return
    for place, gauge in enumerate(draft.gauges):
        last = f", last {plain(gauge.last_day)}" if gauge.last_day else ""
        taken = " (taken: remove it if that is not the water below the slope)" if not place else ""
        yield f"  #   {gauge.id}: {plain(gauge.name)}, {gauge.km:.0f} km{last}{taken}"
    nearest = draft.gauges[0]
    yield "  - kind: usgs"
    yield f"    site: {json.dumps(nearest.id)}"
    if nearest.parameter:
        yield f"    parameter: {json.dumps(nearest.parameter)}  # 62614 NGVD 1929, 62615 NAVD 1988"
    if nearest.statistic:
        yield f"    statistic: {json.dumps(nearest.statistic)}  # 00003 is the daily mean"


def _sources(draft: Draft) -> Iterator[str]:
    track = draft.tracks[0].name if draft.tracks else "A1"
    yield "# Where displacement comes from. Passes alone show nothing: without a source the site"
    yield "# is blind, and says so. Kinds: interferograms, mintpy, table."
    yield "# MISSING: a source for each track; write in place of the last line, such as"
    yield "# sources:"
    yield "#   - kind: interferograms  # a folder of unwrapped phase and coherence GeoTIFFs"
    yield "#     folder: /data/interferograms"
    yield f"#     track: {track}  # name of the viewing geometry, another one for each source"
    yield "sources: []"


def _rules(draft: Draft) -> Iterator[str]:
    yield "# How displacement goes on in forecasts: for each unit the model that forecast its last"
    yield "# year best. `kind: kalman` and the like would name one for all."
    yield "model: null"
    yield "# What raises a level. None named: every rule, with calibrated limits. Rules on rain and"
    yield "# level have none: name them here with limits of this place."
    if not draft.sloped:
        yield "# MISSING: slope_deg and aspect_deg of the units; until then motion toward and away"
        yield "# from the satellite counts alike."
    yield "rules: []"


def _recipients(draft: Draft) -> Iterator[str]:
    yield "# Who is told, from which level on. Addresses and secrets may come from the environment."
    yield "# MISSING: without a recipient nobody is told; write in place of the last line, such as"
    yield "# recipients:"
    yield "#   - id: duty"
    yield "#     from_level: yellow  # blue, yellow, orange or red"
    yield "#     notifier:"
    yield "#       kind: email  # or webhook, with url and secret_env"
    yield '#       to: ["${DUTY_MAIL}"]'
    yield "recipients: []"


def _flow(numbers: Sequence[float]) -> str:
    return "[" + ", ".join(f"{number:.6f}".rstrip("0").rstrip(".") for number in numbers) + "]"


def _more(items: Sequence[str], shown: int) -> str:
    return f" and {len(items) - shown} more" if len(items) > shown else ""
