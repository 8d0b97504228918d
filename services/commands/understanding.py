"""`slopewatch understand`: what moves a site, and how late, as pages with lags and shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from core.errors import BadInputError, SettingsError, SlopewatchError
from core.evidence import Floats
from core.settings import Service, Site
from services.commands._site_state import state_of
from services.compose import load_sites
from services.inference.issuing.archive import DriverRecord, SiteHistory, driver_record
from services.inference.known import History
from services.inference.state import SiteState, day_number, day_of
from services.inference.track import Track
from services.understanding.reading import read
from services.understanding.rhythm import SURROGATES
from services.understanding.thinned import MOST, Thinned, evenly
from services.understanding.words import (
    LIMITS,
    independence_sentences,
    network_sentence,
    sentences,
)

Echo = Callable[[str], None]


def understand(
    service: Service,
    name: str,
    out: Path,
    as_of: datetime | None,
    echo: Echo,
    *,
    surrogates: int = SURROGATES,
) -> list[Path]:
    """Write the pages of a site's tracks into `out`: one of the units, one of the points, each.

    Args:
        service: settings in force.
        name: of the site.
        out: folder, made where it is missing.
        as_of: UTC day at whose end it is known; the last closed one without it.
        echo: takes the sentences.
        surrogates: for the significance of coherence.

    Returns:
        Paths of the pages.

    Raises:
        SlopewatchError: no day is closed, or no track has enough epochs and drivers.
    """
    site = load_sites(service, name)[0]
    if out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out}: name a folder")
    with state_of(service, name, echo) as (state, _):
        day = _day(state, as_of, name)
        if site.simulated:
            echo(f"{name} is SIMULATED: no real place")
        record = driver_record(state)
        pages, silent = [], []
        for _, track in sorted(state.tracks.items()):
            try:
                pages += _of_track(site, state, track, record, day, out, echo, surrogates)
            except BadInputError as error:
                silent.append(f"track {track.name} of {name} as of {day_of(day)}: {error}")
    if not pages:
        raise SlopewatchError("; ".join(silent) or f"site {name!r} has no track with epochs yet")
    for line in silent:
        echo(line)
    return pages


def _day(state: SiteState, as_of: datetime | None, name: str) -> int:
    if state.last_closed is None:
        raise SlopewatchError(f"no day of {name} is closed yet")
    day = day_number(as_of.date() if as_of else state.last_closed)
    if day > day_number(state.last_closed):
        raise SlopewatchError(f"--as-of {day_of(day)} lies after {state.last_closed}")
    return day


def _of_track(
    site: Site,
    state: SiteState,
    track: Track,
    record: DriverRecord,
    day: int,
    out: Path,
    echo: Echo,
    surrogates: int,
) -> list[Path]:
    """Pages of one track: its units, and its points where units have any."""
    title = f"{site.title or site.name}, track {track.name}"
    units = SiteHistory(state, track, "units", record=record)
    names = [unit.id for unit in site.slope_units]
    folder = out / track.name
    made = [
        understand_site(
            units, day, title, folder / "units", echo,
            names=names, simulated=site.simulated, network=True, surrogates=surrogates,
        )
    ]  # fmt: skip
    inside = np.flatnonzero(track.points.unit >= 0)
    use = evenly(inside, MOST)
    if not use.size:
        return made
    if use.size < inside.size:
        echo(f"maps show {MOST} of {inside.size} points in units, evenly chosen")
    points = Thinned(SiteHistory(state, track, "points", record=record), use)
    where = track.points.lon[use], track.points.lat[use]
    title = f"points of {title}"
    if use.size < inside.size:
        title += f" ({use.size} of {inside.size})"
    try:
        page = understand_site(
            points, day, title, folder / "points", lambda _: None,
            names=[f"point {one}" for one in use], position=where, simulated=site.simulated,
            surrogates=surrogates,
        )  # fmt: skip
    except BadInputError as error:
        echo(f"no maps of points: {error}")
        return made
    echo(f"maps of points: {page}")
    return [*made, page]


def understand_site(
    history: History,
    day: int,
    title: str,
    out: Path,
    echo: Echo,
    *,
    names: Sequence[str] | None = None,
    position: tuple[Floats, Floats] | None = None,
    simulated: bool = False,
    surrogates: int = SURROGATES,
    network: bool = False,
) -> Path:
    """Read a record as known at the end of `day` and write its page and pictures into `out`.

    Args:
        history: the record of one site.
        day: as known at its end.
        title: of the site.
        out: folder, made where it is missing; gets `understanding.html` and four PNG files.
        echo: takes the sentences.
        names: of the series; their numbers without it.
        position: longitude and latitude (S,) of the series, for maps.
        simulated: whether the data are simulated.
        surrogates: for the significance of coherence.
        network: whether to ask MUSEnetC's forecasts as well, where torch is installed.

    Returns:
        Path of the page.

    Raises:
        BadInputError: drivers are missing, or no series can be read.
    """
    from services.understanding.figures import pictures
    from services.understanding.page import page

    reading = read(history, day, names, surrogates=surrogates, network=network)
    for line in [*sentences(reading), *independence_sentences(reading), network_sentence(reading)]:
        if line:
            echo(line)
    echo("Limits: " + " ".join(LIMITS))
    lon, lat = position or (None, None)
    out.mkdir(parents=True, exist_ok=True)
    drawn = pictures(reading, lon, lat, simulated=simulated)
    for file, content in drawn.items():
        (out / file).write_bytes(content)
    written = out / "understanding.html"
    text = page(reading, title, drawn, simulated=simulated)
    written.write_text(text, encoding="utf-8")
    echo(f"page of {title}: {written}")
    return written
