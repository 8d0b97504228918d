"""A folder of unwrapped interferograms with their coherence, as GeoTIFFs.

Each pair becomes one `interferogram ready` of the day of its secondary image (00:00 UTC). Phases
stay as the processor wrote them: referencing and inversion come later. All pairs lie on the
pixels of the earliest readable one (same system, size and corners; the extents may differ, and
what a pair does not cover is NaN); a pair on other pixels is rejected. Kept are the pixels with
their centre in the site's area or reference box.

Sources: HyP3 product guide, https://hyp3-docs.asf.alaska.edu/guides/insar_product_guide/ (names,
layers, positive phase = motion away from the sensor); GAMMA DIFF&GEO file names as in PyRate's
test data, https://github.com/GeoscienceAustralia/PyRate. Both write 0 where there is no data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from core.artifacts import Artifacts, pack
from core.clock import midnight
from core.errors import BadInputError
from core.events import ArtifactRef, InterferogramReady
from core.settings import Service, Site, Tree
from services.ingest.feed import Feed, Observation, Rejection
from services.ingest.grids import (
    Floats,
    Lattice,
    Pixels,
    UnusableFileError,
    Window,
    boxes_of,
    lattice_of,
    pixels_in,
    read_window,
    relief,
)
from services.ingest.source import Source
from services.ingest.sources import _headers as headers
from services.ingest.sources._pairs import STYLES, Pair, Style, files_in, find_pairs, named


class Settings(Tree):
    """Where the interferograms are and what their files do not say."""

    folder: Path = Field(description="searched with all its folders")
    track: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="name of the viewing geometry")
    style: Literal["hyp3", "gamma"] = Field("hyp3", description="how files and headers are named")
    phase: str | None = Field(
        None,
        description="own regular expression for names of phase files, with groups reference and "
        "secondary (YYYYMMDD); other named groups must agree with the coherence file's",
    )
    coherence: str | None = Field(None, description="the same for coherence files")
    headers: str | None = Field(None, description="own glob for names of header files")
    look_theta: str = Field("*lv_theta.tif", description="name glob: elevation of line of sight")
    look_phi: str = Field("*lv_phi.tif", description="name glob: its direction from east")
    dem: str = Field("*dem.tif", description="name glob: heights in metres, same grid")
    nodata: float | None = Field(0.0, description="value that says: no phase, no coherence")
    positive: Literal["away", "toward"] = Field(
        "away", description="motion that a positive phase means, seen from the satellite"
    )
    min_coherence: float | None = Field(
        None, ge=0, le=1, description="phase below it is left out; none: all is kept"
    )
    looks: float | None = Field(
        None, gt=0, description="effective looks; none: those of the site's noise settings"
    )
    heading_deg: float | None = Field(None, ge=-360, le=360, description="instead of the header's")
    incidence_deg: float | None = Field(None, gt=0, lt=90, description="instead of the header's")
    wavelength_mm: float | None = Field(None, gt=0, description="instead of the header's")
    latency_days: float = Field(2.0, ge=0, description="from the secondary image to the file")

    @field_validator("phase", "coherence")
    @classmethod
    def _has_dates(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if not {"reference", "secondary"} <= set(groups):
            raise ValueError("needs the named groups reference and secondary")
        return pattern


def open(settings: Settings, service: Service) -> Feed:
    """The source over `settings.folder`."""
    return _Interferograms(settings)


class _Scene(NamedTuple):
    """What all pairs share."""

    lattice: Lattice
    pixels: Pixels
    window: Window
    points: ArtifactRef


class _Interferograms(Source[Settings]):
    """Reads the folder anew at every poll."""

    name = "interferograms"

    def items(
        self, site: Site, since: date, until: date, artifacts: Artifacts
    ) -> Iterator[Observation | Rejection]:
        given, preset = self._settings, STYLES[self._settings.style]
        style = Style(given.phase or preset.phase, given.coherence or preset.coherence, "")
        files = files_in(given.folder)
        pairs, unread = find_pairs(files, style)
        yield from unread
        wanted = [pair for pair in pairs if since <= pair.secondary <= until]
        if not wanted:
            return
        found = self._headers(files)
        anchor = _first_readable(pairs)
        scene = None
        if anchor:
            lattice = anchor[1]
            pixels = pixels_in(lattice, boxes_of(site))
            arrays, rejected = self._geometry(*anchor, pixels, files, found)
            yield from rejected
            scene = _Scene(lattice, pixels, pixels.window(), artifacts.put(pack(arrays)))
        seen: set[tuple[date, date]] = set()
        for pair in wanted:
            dates = (pair.reference, pair.secondary)
            try:
                if dates in seen:
                    raise UnusableFileError("R06", f"{pair.phase.name}: another file of this pair")
                seen.add(dates)
                yield self._read(pair, scene, site, found, artifacts)
            except UnusableFileError as error:
                yield Rejection(error.code, str(error), _key(pair), pair.phase.name)

    def _headers(self, files: list[Path]) -> list[headers.Header]:
        """Headers of the folder by file name."""
        style = self._settings.style
        read = {"hyp3": headers.read_hyp3, "gamma": headers.read_gamma}[style]
        wanted = named(files, self._settings.headers or STYLES[style].headers)
        return [header for file in wanted if (header := read(file))]

    def _geometry(
        self,
        anchor: Pair,
        lattice: Lattice,
        pixels: Pixels,
        files: list[Path],
        found: list[headers.Header],
    ) -> tuple[dict[str, npt.NDArray[np.generic]], list[Rejection]]:
        """Arrays of the points artifact; a DEM or look vectors of no use are rejected apart."""
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "lon": pixels.lon,
            "lat": pixels.lat,
            "row": pixels.row,
            "col": pixels.col,
        }
        rejected = []
        header = _header_of(anchor.reference, found)
        given = self._settings
        los: Sequence[npt.ArrayLike] = headers.los_from_angles(
            given.heading_deg if given.heading_deg is not None else header.heading_deg,
            given.incidence_deg if given.incidence_deg is not None else header.incidence_deg,
        )
        theta, phi = (_beside(anchor, files, p) for p in (given.look_theta, given.look_phi))
        try:
            if theta and phi:
                window = pixels.window()
                angles = [read_window(f, lattice, window, given.nodata) for f in (theta, phi)]
                los = headers.los_from_look(*(pixels.pick(angle, window) for angle in angles))
        except UnusableFileError as error:
            rejected.append(Rejection(error.code, str(error), "look vectors", str(theta)))
        for name, part in zip(("los_east", "los_north", "los_up"), los, strict=True):
            arrays[name] = np.broadcast_to(part, pixels.lon.shape).astype(np.float64)
        dem = _beside(anchor, files, given.dem)
        if dem:
            window = pixels.window(margin=1)
            try:
                arrays.update(relief(read_window(dem, lattice, window), window, lattice, pixels))
            except UnusableFileError as error:
                rejected.append(Rejection(error.code, str(error), "dem", dem.name))
        return arrays, rejected

    def _read(
        self,
        pair: Pair,
        scene: _Scene | None,
        site: Site,
        found: list[headers.Header],
        artifacts: Artifacts,
    ) -> Observation:
        given = self._settings
        lattice_of(pair.phase)
        if scene is None or pair.coherence is None:
            raise UnusableFileError("R11", f"{pair.phase.name} has no coherence file beside it")
        phase = read_window(pair.phase, scene.lattice, scene.window, given.nodata)
        coherence = read_window(pair.coherence, scene.lattice, scene.window, given.nodata)
        _check_units(pair, phase, coherence)
        if given.positive == "toward":
            phase = -phase
        if given.min_coherence is not None:
            phase[~(coherence >= given.min_coherence)] = np.nan
        layers = {
            "phase_rad": scene.pixels.pick(phase, scene.window),
            "coherence": scene.pixels.pick(coherence, scene.window),
        }
        count = int(np.isfinite(layers["phase_rad"]).sum())
        if not count:
            raise UnusableFileError("R09", f"{pair.phase.name} has no phase inside the site's area")
        wavelength = given.wavelength_mm or _header_of(pair.reference, found).wavelength_mm
        if wavelength is None:
            raise BadInputError(
                f"no header says the wavelength of track {given.track}: set wavelength_mm"
            )
        data = InterferogramReady(
            feed=self.name,
            track=given.track,
            reference=pair.reference,
            secondary=pair.secondary,
            layers=artifacts.put(pack(layers)),
            points=scene.points,
            wavelength_mm=wavelength,
            looks=given.looks or site.noise.looks,
            pixels=count,
        )
        return Observation(_key(pair), midnight(pair.secondary), None, data)


def _key(pair: Pair) -> str:
    return f"{pair.reference:%Y%m%d}-{pair.secondary:%Y%m%d}"


def _first_readable(pairs: list[Pair]) -> tuple[Pair, Lattice] | None:
    for pair in pairs:
        try:
            return pair, lattice_of(pair.phase)
        except UnusableFileError:  # said as a rejection when its turn comes
            continue
    return None


def _beside(anchor: Pair, files: list[Path], pattern: str) -> Path | None:
    """The first file so named, one in the folder of `anchor` before others."""
    found = named(files, pattern)
    own = [file for file in found if file.parent == anchor.phase.parent]
    return next(iter(own or found), None)


def _header_of(day: date, found: list[headers.Header]) -> headers.Header:
    """The header of that day's image, else the first: one track flies one geometry."""
    same = [header for header in found if header.day == day]
    return next(iter(same or found), headers.Header())


def _check_units(pair: Pair, phase: Floats, coherence: Floats) -> None:
    """R07 where the phase cannot be unwrapped radians or the coherence runs past 1."""
    size = np.abs(phase[np.isfinite(phase)])
    if size.size and np.percentile(size, 99) > 1000:
        raise UnusableFileError(
            "R07", f"{pair.phase.name}: phases up to {size.max():.0f} rad are in another unit"
        )
    # Wrapped phase jumps by nearly a cycle between neighbours; a quiet unwrapped one does not.
    jumps = max((np.nanmax(abs(np.diff(phase, axis=a)), initial=0.0) for a in (0, 1)), default=0)
    if size.size and size.max() <= np.pi + 1e-5 and jumps > np.pi:
        raise UnusableFileError(
            "R07", f"{pair.phase.name}: all phases lie within -pi..pi and jump: it is wrapped"
        )
    if (coherence < 0).any() or (coherence > 1.001).any():
        raise UnusableFileError(
            "R07", f"{pair.phase.name}: coherence up to {np.nanmax(coherence):.4g} is not 0 to 1"
        )
