"""What of a site fits by itself but not together: places, tracks, slopes, people to tell."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from core.settings import Site

Found = tuple[Literal["ok", "warning", "error"], str, str, str]
Said = Iterator[tuple[Literal["warning", "error"], str, str]]


def crosschecks(site: Site, path: Path, opened: Mapping[str, Sequence[Any]]) -> list[Found]:
    """Status, file, field and sentence of everything that does not fit.

    `opened`: by section the settings of its plug-ins in their order, None for wrong ones.
    """
    checks = (
        _reference(site),
        _units(site),
        _tracks(site, opened),
        _rules(site, opened),
        _people(site),
        _days(site),
    )
    return [(status, str(path), field, told) for check in checks for status, field, told in check]


def _reference(site: Site) -> Said:
    from shapely import Polygon, box

    given = site.reference.box
    if given is None:
        told = "the scene's median stands in; give a box on firm ground as soon as you know one"
        yield "warning", "reference", told
        return
    west, south, east, north = given
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        yield "error", "reference.box", "write west, south, east, north in degrees"
        return
    firm, area = box(*given), box(*site.area)
    if not firm.intersects(area):
        yield "error", "reference.box", "lies outside the area: make the area wider or move the box"
    elif not area.contains(firm):
        yield "warning", "reference.box", "is cut off by the area: only its part inside counts"
    for unit in site.slope_units:
        outline = Polygon(unit.polygon)
        if outline.is_valid and outline.intersection(firm).area > 0:
            yield "error", "reference.box", f"lies on slope unit {unit.id}, which may move: move it"


def _units(site: Site) -> Said:
    from shapely import Polygon, box

    area = box(*site.area)
    for unit in site.slope_units:
        field, outline = f"slope_units {unit.id}", Polygon(unit.polygon)
        if not outline.is_valid:
            yield "error", field, "its outline crosses itself: draw it again"
        elif not outline.intersects(area):
            yield "error", field, "lies outside the area: are longitude and latitude swapped?"
        elif not area.covers(outline):
            yield "warning", field, "reaches out of the area, where no data are taken: widen it"


def _tracks(site: Site, opened: Mapping[str, Sequence[Any]]) -> Said:
    if not site.sources:
        yield "warning", "sources", "none: the site is blind until one brings displacement"
    if not site.feeds:
        yield "warning", "feeds", "none: passes, rain and level stay unknown"
    sources = list(enumerate(opened["sources"], start=1))
    count = Counter(source.track for _, source in sources if source is not None)
    for track, times in count.items():
        if times > 1:
            yield "error", "sources", f"{times} have track {track}: give each its own name"
    for number, source in sources:
        yield from _reachable(f"sources, {number}", getattr(source, "folder", None), folder=True)
        yield from _reachable(f"sources, {number}", getattr(source, "where", None))
    for number, feed in enumerate(opened["feeds"], start=1):
        yield from _reachable(f"feeds, {number}", getattr(feed, "at", None))
    for number, (plugin, earlier) in enumerate(_with_earlier(site.feeds), start=1):
        if plugin in earlier:
            yield "warning", f"feeds, {number}", "is the same as one above: remove it"


def _with_earlier(given: Sequence[Any]) -> Iterator[tuple[Any, Sequence[Any]]]:
    for number, one in enumerate(given):
        yield one, given[:number]


def _reachable(field: str, at: object, *, folder: bool = False) -> Said:
    if at is None or urlsplit(str(at)).scheme in ("http", "https") or "{" in str(at):
        return
    path = Path(str(at))
    if not (path.is_dir() if folder else path.is_file()):
        yield "warning", field, f"there is no {'folder' if folder else 'file'} {path} (yet)"
    elif not os.access(path, os.R_OK):
        yield "warning", field, f"{path} may not be read by this user: change its permissions"


def _rules(site: Site, opened: Mapping[str, Sequence[Any]]) -> Said:
    lacking = [u.id for u in site.slope_units if u.slope_deg is None or u.aspect_deg is None]
    for number, rule in enumerate(opened["rules"], start=1):
        component = getattr(rule, "component", None)
        field = f"rules, {number}"
        if component == "downslope" and lacking:
            units = ", ".join(lacking[:5]) + (" ..." if len(lacking) > 5 else "")
            told = f"does not vote on {units}: give slope_deg and aspect_deg, or component: los"
            yield "warning", field, told
        if component == "downslope" and getattr(rule, "direction", "either") != "either":
            yield "warning", field, "direction counts only with component: los: remove it"


def _people(site: Site) -> Said:
    if not site.recipients:
        yield "warning", "recipients", "none: nobody is told of anything"
    elif all(recipient.from_level == "red" for recipient in site.recipients):
        yield "warning", "recipients", "everybody hears of red only: lower one from_level"


def _days(site: Site) -> Said:
    if site.watched_from is None:
        told = "not set: the day this site is first run counts; write it down to keep it"
        yield "warning", "watched_from", told
    elif site.history_from is not None and site.history_from > site.watched_from:
        yield "error", "history_from", "lies after watched_from: make it earlier"
