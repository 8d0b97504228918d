"""MintPy's HDF5 files: attributes, grid and geometry, read in windows and never as a whole.

Source: https://mintpy.readthedocs.io, pages "Attributes" and "HDF-EOS5"/"API"; X_FIRST and
Y_FIRST are the outer corner of the first pixel, HEADING is clockwise from north, UNIT names the
data's unit. `azimuthAngle` is that of the vector from ground to satellite, counted from north
anticlockwise; `incidenceAngle` is counted from the vertical.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from core.errors import BadInputError
from services.ingest.grids import (
    MAX_RASTER_BYTES,
    WGS84,
    Box,
    Doubles,
    Lattice,
    Pixels,
    Window,
    inside,
    pixels_in,
    relief,
)
from services.ingest.sources._headers import los_from_angles

MM_PER_UNIT = {"m": 1e3, "cm": 10.0, "mm": 1.0}


class Product(NamedTuple):
    """One open file: HDF5 handle, its name, and its attributes as text."""

    file: Any
    name: str
    attributes: dict[str, str]

    def dataset(self, name: str) -> Any:
        """A dataset that lies in this very file and whose planes are of bounded size."""
        import h5py

        with _reading(self.name):
            link = self.file.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise BadInputError(f"{self.name} holds no {name}")
            found = self.file[name]
        if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
            raise BadInputError(f"{self.name}: {name} is not an array of this file")
        if math.prod(found.shape[-2:]) * found.dtype.itemsize > MAX_RASTER_BYTES:
            raise BadInputError(f"{self.name}: {name} has planes over 2 GB")
        return found

    def plane(self, name: str, window: Window, index: int | None = None) -> Doubles:
        """`window` of a raster, or of the raster `index` of a stack."""
        found = self.dataset(name)
        rows = slice(window.row, window.row + window.rows)
        cols = slice(window.col, window.col + window.cols)
        if found.ndim != (2 if index is None else 3) or found.dtype.kind not in "fiu":
            raise BadInputError(f"{self.name}: {name} is not a raster of numbers")
        with _reading(self.name):
            values = found[rows, cols] if index is None else found[index, rows, cols]
        if values.shape != (window.rows, window.cols):
            raise BadInputError(f"{self.name}: {name} does not cover the grid of the series")
        return np.asarray(values, dtype=np.float64)

    def text(self, name: str) -> list[str]:
        """A one-dimensional array of names."""
        with _reading(self.name):
            return [_text(item) for item in self.dataset(name)[:]]

    def has(self, name: str) -> bool:
        """Whether there is such a dataset."""
        return name in self.file

    def number(self, name: str) -> float | None:
        """An attribute as a number; None where it is absent."""
        text = self.attributes.get(name)
        if text is None or text.strip() in ("", "None", "none"):
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise BadInputError(f"{self.name}: {name} is {text!r}, not a number")
        return value

    def mm_per_unit(self, suffixes: Sequence[str] = ("",)) -> float:
        """Factor from the file's UNIT (`m`, or `m/year` with suffixes) to millimetres."""
        unit = self.attributes.get("UNIT", "m" + suffixes[0])
        for name, factor in MM_PER_UNIT.items():
            if unit in [name + suffix for suffix in suffixes]:
                return factor
        raise BadInputError(f"{self.name}: UNIT is {unit!r}, not m{suffixes[0]}")


@contextmanager
def opened(path: Path) -> Iterator[Product]:
    """Open a MintPy file; whatever is damaged in it comes as a `BadInputError`."""
    import h5py

    with _reading(path.name):
        file = h5py.File(path, "r")
    with file:
        with _reading(path.name):
            attributes = {name: _text(value) for name, value in file.attrs.items()}
        yield Product(file, path.name, attributes)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, RuntimeError, ValueError, UnicodeError) as error:
        raise BadInputError(f"{name} is not a whole HDF5 file: {error}") from error


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return ",".join(map(_text, value.ravel()))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class Ground(NamedTuple):
    """Where the pixels of a product lie; `lattice` is None for radar coordinates."""

    lattice: Lattice | None
    pixels: Pixels
    window: Window

    def keep(self, mask: npt.NDArray[np.bool_]) -> Ground:
        """Only the pixels of `mask` (P,)."""
        row, col, lon, lat = self.pixels
        pixels = Pixels(row[mask], col[mask], lon[mask], lat[mask])
        if not pixels.row.size:
            raise BadInputError("no pixel of the site's area has data of the wanted coherence")
        return Ground(self.lattice, pixels, pixels.window())


def ground_of(
    product: Product, raster: str, geometry: Product | None, boxes: Sequence[Box], every: int
) -> Ground:
    """Pixels of `raster` with their centre in `boxes`, each n-th row and column."""
    rows, cols = product.dataset(raster).shape[-2:]
    for name, size in (("LENGTH", rows), ("WIDTH", cols)):
        said = product.number(name)
        if said is not None and said != size:
            raise BadInputError(f"{product.name}: {name} is {said:.0f}, its data has {size}")
    if product.number("X_FIRST") is not None:
        lattice = _lattice(product, rows, cols)
        pixels = pixels_in(lattice, boxes, every)
        return Ground(lattice, pixels, pixels.window())
    if geometry is None or not (geometry.has("latitude") and geometry.has("longitude")):
        raise BadInputError(
            f"{product.name} is in radar coordinates: geocode it, or lay beside it a geometry "
            "file with latitude and longitude"
        )
    whole = Window(0, 0, rows, cols)
    lon, lat = geometry.plane("longitude", whole), geometry.plane("latitude", whole)
    kept = inside(lon, lat, boxes)
    kept[np.arange(rows) % every != 0] = False
    kept[:, np.arange(cols) % every != 0] = False
    row, col = np.nonzero(kept)
    pixels = Pixels(row.astype(np.int64), col.astype(np.int64), lon[kept], lat[kept])
    return Ground(None, pixels, whole).keep(np.ones(row.shape, dtype=bool))


def _lattice(product: Product, rows: int, cols: int) -> Lattice:
    given = {n: product.number(n) for n in ("X_FIRST", "X_STEP", "Y_FIRST", "Y_STEP")}
    west, step_x, north, step_y = given.values()
    if west is None or step_x is None or north is None or step_y is None:
        raise BadInputError(f"{product.name}: {', '.join(given)} must all be there")
    if step_x <= 0 or step_y >= 0:
        raise BadInputError(f"{product.name}: the grid is not north-up (X_STEP, Y_STEP)")
    return Lattice(_crs(product), west, north, step_x, -step_y, rows, cols)


def _crs(product: Product) -> str:
    if product.attributes.get("X_UNIT", "degrees").lower().startswith("deg"):
        return WGS84
    if epsg := product.number("EPSG"):
        return f"EPSG:{epsg:.0f}"
    zone = re.fullmatch(r"(\d{1,2})([NS])", product.attributes.get("UTM_ZONE", "").strip())
    if zone is None:
        raise BadInputError(f"{product.name} is in metres without EPSG or UTM_ZONE")
    return f"EPSG:{(32600 if zone[2] == 'N' else 32700) + int(zone[1])}"


def geometry_arrays(
    product: Product,
    geometry: Product | None,
    ground: Ground,
    incidence_deg: float | None,
    heading_deg: float | None,
) -> dict[str, npt.NDArray[Any]]:
    """Arrays of the points artifact; the line of sight is NaN where nothing tells it."""
    pixels, shape = ground.pixels, ground.pixels.lon.shape
    arrays: dict[str, npt.NDArray[Any]] = {
        "lon": pixels.lon,
        "lat": pixels.lat,
        "row": pixels.row,
        "col": pixels.col,
    }
    if geometry and geometry.has("incidenceAngle") and geometry.has("azimuthAngle"):
        planes = [geometry.plane(n, ground.window) for n in ("incidenceAngle", "azimuthAngle")]
        tilt, turn = (np.radians(pixels.pick(plane, ground.window)) for plane in planes)
        los = [-np.sin(tilt) * np.sin(turn), np.sin(tilt) * np.cos(turn), np.cos(tilt)]
        for part in los:  # MintPy fills both angles with 0 where it has none
            part[tilt == 0] = np.nan
    else:
        los = list(map(np.asarray, _scalar_los(product, incidence_deg, heading_deg)))
    for name, part in zip(("los_east", "los_north", "los_up"), los, strict=True):
        arrays[name] = np.broadcast_to(part, shape).astype(np.float64)
    if geometry and geometry.has("height"):
        if ground.lattice:
            window = pixels.window(margin=1).within(ground.lattice)
            arrays.update(relief(geometry.plane("height", window), window, ground.lattice, pixels))
        else:
            heights = geometry.plane("height", ground.window)
            arrays["height_m"] = pixels.pick(heights, ground.window)
    return arrays


def _scalar_los(
    product: Product, incidence_deg: float | None, heading_deg: float | None
) -> list[float]:
    heading = product.number("HEADING") if heading_deg is None else heading_deg
    incidence = product.number("CENTER_INCIDENCE_ANGLE") if incidence_deg is None else incidence_deg
    if heading is not None and incidence is not None and product.number("ANTENNA_SIDE") == 1:
        raise BadInputError(f"{product.name} is of a left-looking radar: give a geometry file")
    return los_from_angles(heading, incidence)


def epochs_of(product: Product) -> tuple[dict[date, int], list[tuple[int, str]]]:
    """Index of each date of the series, and what is no date or comes again."""
    dates = product.dataset("date")
    stack = product.dataset("timeseries")
    if stack.ndim != 3 or dates.shape != stack.shape[:1] or stack.shape[0] > 100_000:
        raise BadInputError(f"{product.name}: `date` and `timeseries` differ in length")
    epochs: dict[date, int] = {}
    rejected = []
    for index, text in enumerate(product.text("date")):
        day = day_of(text)
        if day is None or day in epochs:
            rejected.append((index, text))
        else:
            epochs[day] = index
    if not epochs:
        raise BadInputError(f"{product.name} holds no readable date")
    return epochs, rejected


def day_of(text: str) -> date | None:
    """The day of YYYYMMDD, alone or at the beginning; None where there is none."""
    try:
        return datetime.strptime(text.strip()[:8], "%Y%m%d").date()
    except ValueError:
        return None
