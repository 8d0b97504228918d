"""Geocoded grids: which pixels lie in a site, where they are, and what a raster holds there.

A `Lattice` is an endless north-up raster; a file covers some of it. Rows and columns count from
the upper left pixel of the lattice's first file and may be negative in another file of the same
lattice. Positions are pixel centres; GDAL's geotransform names the upper left pixel's corner,
also for files that say AREA_OR_POINT=Point.

Source of the gradient: B. K. P. Horn, Proceedings of the IEEE 69 (1981) 14-47.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from core.errors import BadInputError
from core.settings import Site

Floats = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Box = tuple[float, float, float, float]
"""West, south, east, north in degrees."""

MAX_RASTER_BYTES = 2_000_000_000
WGS84 = "EPSG:4326"
_METRES_PER_DEGREE = math.pi / 180.0 * 6_371_008.8


class UnusableFileError(BadInputError):
    """A file that cannot be used; `code` is the number of its reason (see `feed`)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Lattice(NamedTuple):
    """A north-up raster: `west`, `north` are the corner of pixel (0, 0); steps are positive."""

    crs: str
    west: float
    north: float
    step_x: float
    step_y: float
    rows: int
    cols: int

    def offset(self, other: Lattice) -> tuple[int, int] | None:
        """(row, col) here of the pixel (0, 0) of `other`; None when the pixels do not coincide.

        A hundredth of a pixel over the whole of `other` is forgiven.
        """
        reach = 0.01 / max(other.rows, other.cols, 1)
        if other.crs != self.crs or not (
            math.isclose(other.step_x, self.step_x, rel_tol=reach)
            and math.isclose(other.step_y, self.step_y, rel_tol=reach)
        ):
            return None
        row = (self.north - other.north) / self.step_y
        col = (other.west - self.west) / self.step_x
        if abs(row - round(row)) > 0.01 or abs(col - round(col)) > 0.01:
            return None
        return round(row), round(col)


class Window(NamedTuple):
    """A rectangle of a lattice."""

    row: int
    col: int
    rows: int
    cols: int

    def within(self, lattice: Lattice) -> Window:
        """The part that the lattice's first file covers."""
        top, bottom = _overlap(self.row, self.rows, lattice.rows)
        left, right = _overlap(self.col, self.cols, lattice.cols)
        return Window(top, left, bottom - top, right - left)


class Pixels(NamedTuple):
    """Pixels of a lattice: indices and centres, (P,) each, in row-major order."""

    row: Integers
    col: Integers
    lon: Doubles
    lat: Doubles

    def window(self, margin: int = 0) -> Window:
        """The rectangle round all of them, `margin` pixels wider on each side."""
        top, left = int(self.row.min()) - margin, int(self.col.min()) - margin
        bottom, right = int(self.row.max()) + margin, int(self.col.max()) + margin
        return Window(top, left, bottom - top + 1, right - left + 1)

    def pick(self, array: npt.NDArray[Any], window: Window) -> npt.NDArray[Any]:
        """Values of `array`, which covers `window`, at these pixels."""
        return array[self.row - window.row, self.col - window.col]


def boxes_of(site: Site) -> tuple[Box, ...]:
    """What is kept of a scene: the site's area and, where it has one, its reference box."""
    box = site.reference.box
    return (site.area,) if box is None else (site.area, box)


def inside(lon: npt.ArrayLike, lat: npt.ArrayLike, boxes: Sequence[Box]) -> npt.NDArray[np.bool_]:
    """Which positions lie in one of `boxes`, edges included."""
    x, y = np.asarray(lon), np.asarray(lat)
    kept = np.zeros(x.shape, dtype=bool)
    for west, south, east, north in boxes:
        kept |= (x >= west) & (x <= east) & (y >= south) & (y <= north)
    return kept


def pixels_in(lattice: Lattice, boxes: Sequence[Box], every: int = 1) -> Pixels:
    """Pixels of the lattice's first file with their centre in one of `boxes`.

    `every` = n keeps each n-th row and column. Raises `BadInputError` when there are none.
    """
    keys = [np.empty(0, dtype=np.int64)]
    for box in boxes:
        row, col = _candidates(lattice, box, every)
        lon, lat = centres(lattice, row, col)
        keys.append((row * lattice.cols + col)[inside(lon, lat, [box])])
    row, col = np.divmod(np.unique(np.concatenate(keys)), lattice.cols)
    if not row.size:
        raise BadInputError("no pixel centre of the grid lies inside the site's area")
    return Pixels(row, col, *centres(lattice, row, col))


def centres(lattice: Lattice, row: Integers, col: Integers) -> tuple[Doubles, Doubles]:
    """Longitude and latitude (degrees) of pixel centres."""
    x = np.asarray(lattice.west + (col + 0.5) * lattice.step_x, dtype=np.float64)
    y = np.asarray(lattice.north - (row + 0.5) * lattice.step_y, dtype=np.float64)
    if lattice.crs == WGS84 or not x.size:
        return x, y
    from rasterio.warp import transform

    lon, lat = transform(lattice.crs, WGS84, x, y)
    return np.asarray(lon), np.asarray(lat)


def _candidates(lattice: Lattice, box: Box, every: int) -> tuple[Integers, Integers]:
    """All pixels of the first file that may lie in `box`."""
    west, south, east, north = box
    if lattice.crs != WGS84:
        from rasterio.warp import transform_bounds

        west, south, east, north = transform_bounds(WGS84, lattice.crs, *box, densify_pts=51)
        if not all(map(math.isfinite, (west, south, east, north))):
            return np.empty(0, np.int64), np.empty(0, np.int64)
    top = max(math.floor((lattice.north - north) / lattice.step_y) - 1, 0)
    bottom = min(math.ceil((lattice.north - south) / lattice.step_y) + 1, lattice.rows)
    left = max(math.floor((west - lattice.west) / lattice.step_x) - 1, 0)
    right = min(math.ceil((east - lattice.west) / lattice.step_x) + 1, lattice.cols)
    rows = np.arange(-(-top // every) * every, bottom, every, dtype=np.int64)
    cols = np.arange(-(-left // every) * every, right, every, dtype=np.int64)
    row, col = np.meshgrid(rows, cols, indexing="ij")
    return row.ravel(), col.ravel()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import rasterio
    from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            # Said as a rejection by `lattice_of`, in a sentence and with the file's name.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            # Only GeoTIFF: other drivers may follow names and addresses written in the file.
            with rasterio.open(path, driver="GTiff") as dataset:
                yield dataset
    except (RasterioError, CRSError) as error:
        raise UnusableFileError(
            "R08", f"{path.name} is not a whole GeoTIFF: {error}".replace("\n", " ")
        ) from error


def lattice_of(path: Path) -> Lattice:
    """The grid of a GeoTIFF; `UnusableFileError` R08 (corrupt), R11 (no or a turned grid)."""
    with _opened(path) as dataset:
        size = dataset.width * dataset.height * np.dtype(dataset.dtypes[0]).itemsize
        if size > MAX_RASTER_BYTES:
            raise UnusableFileError("R08", f"{path.name} holds {size} bytes of pixels, over 2 GB")
        a, b, west, d, e, north = dataset.transform[:6]
        if dataset.crs is None or b or d or a <= 0 or e >= 0:
            raise UnusableFileError(
                "R11", f"{path.name} is not a north-up grid with a coordinate system"
            )
        epsg = dataset.crs.to_epsg()
        crs = f"EPSG:{epsg}" if epsg else dataset.crs.to_wkt()
        return Lattice(crs, west, north, a, -e, dataset.height, dataset.width)


def read_window(
    path: Path, lattice: Lattice, window: Window, nodata: float | None = None
) -> Floats:
    """Band 1 of a GeoTIFF over `window` of `lattice`; floats as stored, integers as float64.

    NaN where the file ends, is not finite, or holds its own nodata value or `nodata`. Raises
    `UnusableFileError` R08 (corrupt) or R11 (its pixels are not those of the lattice).
    """
    offset = lattice.offset(lattice_of(path))
    if offset is None:
        raise UnusableFileError("R11", f"{path.name} lies on another grid than the files before")
    with _opened(path) as dataset:
        stored = np.dtype(dataset.dtypes[0])
        dtype = stored if stored.kind == "f" else np.dtype(np.float64)
        array = np.full((window.rows, window.cols), np.nan, dtype=dtype)
        top, bottom = _overlap(window.row - offset[0], window.rows, dataset.height)
        left, right = _overlap(window.col - offset[1], window.cols, dataset.width)
        if top < bottom and left < right:
            values = dataset.read(1, window=((top, bottom), (left, right))).astype(dtype)
            absent = [v for v in (nodata, dataset.nodata) if v is not None]
            values[~np.isfinite(values) | np.isin(values, absent)] = np.nan
            row, col = top + offset[0] - window.row, left + offset[1] - window.col
            array[row : row + bottom - top, col : col + right - left] = values
        return array


def _overlap(start: int, length: int, available: int) -> tuple[int, int]:
    return max(start, 0), min(start + length, available)


def spacing_m(lattice: Lattice, lat: float) -> tuple[float, float]:
    """Pixel size in metres (east, north) at latitude `lat`."""
    from rasterio.crs import CRS

    crs = CRS.from_user_input(lattice.crs)
    if crs.is_geographic:
        metres = _METRES_PER_DEGREE
        return lattice.step_x * metres * math.cos(math.radians(lat)), lattice.step_y * metres
    factor = crs.linear_units_factor[1]
    return lattice.step_x * factor, lattice.step_y * factor


def slope_aspect(height_m: Floats, spacing: tuple[float, float]) -> tuple[Floats, Floats]:
    """Slope and downhill azimuth (degrees) of heights (rows, cols), rows going south.

    Slope is below the horizontal, azimuth clockwise from north (the grid's, where projected);
    `spacing` is metres (east, north). The outermost pixels and neighbours of NaN are NaN, the
    aspect of level ground too.
    """
    slope = np.full(height_m.shape, np.nan)
    aspect = slope.copy()
    if min(height_m.shape) < 3:
        return slope, aspect
    h = height_m.astype(np.float64)
    rows = h[:-2] + 2 * h[1:-1] + h[2:]
    cols = h[:, :-2] + 2 * h[:, 1:-1] + h[:, 2:]
    east = (rows[:, 2:] - rows[:, :-2]) / (8 * spacing[0])
    north = (cols[:-2] - cols[2:]) / (8 * spacing[1])
    steepness = np.hypot(east, north)
    slope[1:-1, 1:-1] = np.degrees(np.arctan(steepness))
    level = steepness == 0
    azimuth = np.degrees(np.arctan2(-east, -north)) % 360.0
    aspect[1:-1, 1:-1] = np.where(level, np.nan, azimuth)
    return slope, aspect


def relief(height_m: Floats, window: Window, lattice: Lattice, pixels: Pixels) -> dict[str, Floats]:
    """Arrays `height_m`, `slope_deg`, `aspect_deg` (P,) float64 for a points artifact."""
    spacing = spacing_m(lattice, float(pixels.lat.mean()))
    slope, aspect = slope_aspect(height_m, spacing)
    return {
        "height_m": pixels.pick(height_m, window).astype(np.float64),
        "slope_deg": pixels.pick(slope, window),
        "aspect_deg": pixels.pick(aspect, window),
    }
