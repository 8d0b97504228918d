"""Displacement series of MintPy: `timeseries.h5` with coherence and geometry beside it.

Each date becomes one `displacement measured` with, per pixel, millimetres along the line of
sight since REF_DATE, positive toward the satellite as MintPy has it (it inverts phases with
-wavelength / (4 pi)), relative to MintPy's own reference pixel. Pixels are chosen by temporal
coherence, which is known only of the whole series: a hindcast that wants to be honest takes the
series as it was processed then. The standard deviation is a constant from the settings, or that
of a phase of the pixel's temporal coherence g and L looks, sqrt((1 - g^2) / (2 L g^2)).

Where there is only a `velocity.h5` and `mean_rate` is set, its **mean rate** comes in as two
epochs: 0 on START_DATE and rate x span on END_DATE, with velocityStd x span. That is a straight
line between two days, not a measured series: it says nothing about any change within the span.
Its natural keys say `mean-rate`.

Sources: Z. Yunjun, H. Fattahi, F. Amelung, Computers & Geosciences 133 (2019) 104331;
https://mintpy.readthedocs.io; for the phase's deviation, E. Rodriguez, J. M. Martin, IEE
Proceedings F 139 (1992) 147-159.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from core.artifacts import Artifacts, pack
from core.clock import midnight
from core.errors import BadInputError, UnavailableError
from core.events import ArtifactRef, DisplacementMeasured
from core.kinematics import DAYS_PER_YEAR
from core.settings import Service, Site, Tree
from services.ingest.feed import Feed, Observation, Rejection
from services.ingest.grids import Doubles, boxes_of, read_window, relief
from services.ingest.source import Source
from services.ingest.sources._mintpy_files import (
    Ground,
    Product,
    day_of,
    epochs_of,
    geometry_arrays,
    ground_of,
    opened,
)

IMPLAUSIBLE_MM = 50_000.0


class Settings(Tree):
    """Where MintPy's files are and which of their pixels to take."""

    folder: Path = Field(description="with MintPy's HDF5 files")
    track: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="name of the viewing geometry")
    timeseries: str = Field("timeseries.h5", description="name of the series, corrected or not")
    geometry: str = Field("geometryGeo.h5", description="its angles and heights, where there")
    coherence: str = Field("temporalCoherence.h5", description="its temporal coherence")
    velocity: str = Field("velocity.h5", description="mean rate, for mean_rate")
    dem: str | None = Field(None, description="GeoTIFF of heights in metres on the same grid")
    min_temporal_coherence: float | None = Field(
        0.7, ge=0, le=1, description="pixels below it are left out; none: all are kept"
    )
    every: int = Field(1, ge=1, description="keep each n-th row and column")
    sigma_mm: float | None = Field(
        None, gt=0, description="standard deviation of an epoch; none: from temporal coherence"
    )
    sigma_floor_mm: float = Field(1.0, gt=0, description="least standard deviation")
    looks: float | None = Field(
        None, gt=0, description="effective looks; none: those of the site's noise settings"
    )
    incidence_deg: float | None = Field(
        None, gt=0, lt=90, description="where no geometry file tells it"
    )
    heading_deg: float | None = Field(None, ge=-360, le=360, description="instead of HEADING")
    mean_rate: bool = Field(
        False, description="take velocity.h5 as a two-epoch straight line where no series is"
    )
    latency_days: float = Field(2.0, ge=0, description="from an epoch to its file")


def open(settings: Settings, service: Service) -> Feed:
    """The source over `settings.folder`."""
    return _MintPy(settings)


class _Beside(NamedTuple):
    geometry: Product | None
    coherence: Product | None


class _MintPy(Source[Settings]):
    """Reads the files anew at every poll, one epoch at a time."""

    name = "mintpy"

    def items(
        self, site: Site, since: date, until: date, artifacts: Artifacts
    ) -> Iterator[Observation | Rejection]:
        given = self._settings
        if not given.folder.is_dir():
            raise UnavailableError(f"no folder {given.folder}: is it mounted, is `folder` right?")
        series, velocity = given.folder / given.timeseries, given.folder / given.velocity
        with ExitStack() as files:
            beside = _Beside(
                *(
                    files.enter_context(opened(path)) if path.is_file() else None
                    for path in (given.folder / given.geometry, given.folder / given.coherence)
                )
            )
            if series.is_file():
                product = files.enter_context(opened(series))
                yield from self._series(product, beside, site, (since, until), artifacts)
            elif velocity.is_file() and given.mean_rate:
                product = files.enter_context(opened(velocity))
                for datum in self._mean_rate(product, beside, site, artifacts):
                    if since <= datum.data.epoch <= until:  # type: ignore[attr-defined]
                        yield datum
            elif velocity.is_file():
                raise BadInputError(
                    f"{given.folder} has no {given.timeseries}, only {given.velocity}: set "
                    "`mean_rate: true` to take its mean rate as a straight line between two days"
                )
            else:
                raise BadInputError(f"{given.folder} has no {given.timeseries}")

    def _series(
        self,
        product: Product,
        beside: _Beside,
        site: Site,
        days: tuple[date, date],
        artifacts: Artifacts,
    ) -> Iterator[Observation | Rejection]:
        factor = product.mm_per_unit()
        epochs, rejected = epochs_of(product)
        for index, text in rejected:
            reason = f"{product.name}: date {index} is {text!r}, unreadable or there twice"
            yield Rejection("R05", reason, f"date {index}", text)
        said = day_of(product.attributes.get("REF_DATE", ""))
        reference = said if said in epochs else min(epochs)
        ground, coherence = self._ground(product, "timeseries", beside, site)
        sigma = self._sigma(product, ground, coherence, site)
        first = next((i for day, i in epochs.items() if day != reference), None)
        if first is not None:
            plane = product.plane("timeseries", ground.window, first)
            kept = _filled(product, ground, plane == 0)
            ground, sigma = ground.keep(kept), sigma[kept]
        points = self._points(product, beside, ground, artifacts)
        for epoch, index in sorted(epochs.items()):
            if not days[0] <= epoch <= days[1]:
                continue
            plane = product.plane("timeseries", ground.window, index)
            displacement = factor * ground.pixels.pick(plane, ground.window)
            key = f"{epoch:%Y%m%d}"
            if trouble := _unusable(displacement):
                code, why = trouble
                yield Rejection(code, f"{product.name} {epoch}: {why}", key, str(epoch))
                continue
            yield self._measured(key, epoch, reference, displacement, sigma, points, artifacts)

    def _mean_rate(
        self, product: Product, beside: _Beside, site: Site, artifacts: Artifacts
    ) -> Iterator[Observation]:
        factor = product.mm_per_unit(("/year", "/yr"))
        start, end = (day_of(product.attributes.get(n, "")) for n in ("START_DATE", "END_DATE"))
        if start is None or end is None or end <= start:
            raise BadInputError(f"{product.name}: START_DATE and END_DATE do not name a span")
        years = (end - start).days / DAYS_PER_YEAR
        given = self._settings
        has_std = product.has("velocityStd")
        if given.sigma_mm is None and not has_std:
            raise BadInputError(f"{product.name} holds no velocityStd: set `sigma_mm`")
        ground, _ = self._ground(product, "velocity", beside, site)
        rate = product.plane("velocity", ground.window)
        spread = product.plane("velocityStd", ground.window) if has_std else np.zeros_like(rate)
        absent = (rate == 0) & (spread == 0)
        window = ground.window
        ground = ground.keep(_filled(product, ground, absent))
        rate, spread = (ground.pixels.pick(a, window) * factor * years for a in (rate, spread))
        floor = np.full(rate.shape, given.sigma_floor_mm)
        sigma = np.maximum(spread, floor) if given.sigma_mm is None else floor * 0 + given.sigma_mm
        still = np.where(np.isfinite(rate), 0.0, np.nan)
        points = self._points(product, beside, ground, artifacts)
        for epoch, displacement, deviation in ((start, still, floor), (end, rate, sigma)):
            key = f"mean-rate {start:%Y%m%d}-{end:%Y%m%d}/{epoch:%Y%m%d}"
            yield self._measured(key, epoch, start, displacement, deviation, points, artifacts)

    def _ground(
        self, product: Product, raster: str, beside: _Beside, site: Site
    ) -> tuple[Ground, Doubles | None]:
        """The wanted pixels and their temporal coherence, where it is known."""
        given = self._settings
        ground = ground_of(product, raster, beside.geometry, boxes_of(site), given.every)
        coherence = None
        if beside.coherence:
            plane = beside.coherence.plane("temporalCoherence", ground.window)
            coherence = ground.pixels.pick(plane, ground.window)
        if given.min_temporal_coherence is not None:
            if coherence is None:
                raise BadInputError(
                    f"{given.folder} has no {given.coherence}: set `min_temporal_coherence: null` "
                    "to take every pixel"
                )
            kept = coherence >= given.min_temporal_coherence
            ground, coherence = ground.keep(kept), coherence[kept]
        return ground, coherence

    def _sigma(
        self, product: Product, ground: Ground, coherence: Doubles | None, site: Site
    ) -> Doubles:
        """Standard deviation (mm) of an epoch, per pixel."""
        given = self._settings
        if given.sigma_mm is not None:
            return np.full(ground.pixels.lon.shape, given.sigma_mm)
        wavelength = product.number("WAVELENGTH")
        if coherence is None or wavelength is None:
            raise BadInputError(f"{product.name}: no coherence or WAVELENGTH: set `sigma_mm`")
        g = np.clip(coherence, 0.05, 1.0)
        phase_sd = np.sqrt((1 - g**2) / (2 * (given.looks or site.noise.looks) * g**2))
        sigma = phase_sd * 1e3 * wavelength / (4 * math.pi)
        return np.maximum(sigma, given.sigma_floor_mm)

    def _points(
        self, product: Product, beside: _Beside, ground: Ground, artifacts: Artifacts
    ) -> ArtifactRef:
        given = self._settings
        arrays = geometry_arrays(
            product, beside.geometry, ground, given.incidence_deg, given.heading_deg
        )
        if given.dem and ground.lattice:
            window = ground.pixels.window(margin=1)
            heights = read_window(given.folder / given.dem, ground.lattice, window)
            arrays.update(relief(heights, window, ground.lattice, ground.pixels))
        return artifacts.put(pack(arrays))

    def _measured(
        self,
        key: str,
        epoch: date,
        reference: date,
        displacement: Doubles,
        sigma: Doubles,
        points: ArtifactRef,
        artifacts: Artifacts,
    ) -> Observation:
        measured = np.isfinite(displacement)
        values = {
            "los_displacement_mm": displacement,
            "sigma_mm": np.where(measured, sigma, np.nan),
        }
        data = DisplacementMeasured(
            feed=self.name,
            track=self._settings.track,
            epoch=epoch,
            reference_epoch=reference,
            values=artifacts.put(pack(values)),
            points=points,
            measured=int(measured.sum()),
        )
        return Observation(key, midnight(epoch), None, data)


def _filled(
    product: Product, ground: Ground, absent: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which pixels MintPy did not fill with 0; its reference pixel is 0 and counts."""
    row, col = product.number("REF_Y"), product.number("REF_X")
    at_reference = (ground.pixels.row == row) & (ground.pixels.col == col)
    kept: npt.NDArray[np.bool_] = at_reference | ~ground.pixels.pick(absent, ground.window)
    return kept


def _unusable(displacement_mm: Doubles) -> tuple[str, str] | None:
    size = np.abs(displacement_mm[np.isfinite(displacement_mm)])
    if not size.size:
        return "R03", "no pixel of the site's area has a number"
    if np.percentile(size, 99) > IMPLAUSIBLE_MM:
        return "R07", f"{size.max() / 1e3:.3g} m of motion: the data are not in the unit named"
    return None
