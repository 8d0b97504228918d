"""How one variable lies on disk: a plain Zarr v3 array, cut into chunks along one axis only.

The array documents and chunks are made here rather than by zarr-python: a commit touches many
small arrays, and going through its array objects costs several times the commit itself. What is
written is ordinary Zarr that xarray opens (see the Zarr v3 core specification; text is the
registered `string` type with the `vlen-utf8` codec), and moments follow the CF conventions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from numcodecs.vlen import VLenUTF8  # type: ignore[import-untyped]
from numcodecs.zstd import Zstd  # type: ignore[import-untyped]

from core.errors import SlopewatchError

Values = npt.NDArray[Any]

EXTENDED_ROWS = 4096
MAX_CHUNK_BYTES = 16 << 20
_ZSTD_LEVEL = 1
_UNITS = {
    "D": "days",
    "h": "hours",
    "m": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
}
_STEPS = {name: step for step, name in _UNITS.items()}
_RESERVED = {"calendar", "dtype", "chunked_axis"}
_EPOCH = " since 1970-01-01"


@dataclass(frozen=True)
class Layout:
    """One array on disk.

    `dtype` is the Zarr data type, `axis` the axis cut into chunks of `rows`, `attributes` those
    on disk: the variable's own and what its time or duration was encoded as.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    axis: int
    rows: int
    attributes: Mapping[str, Any]

    def resized(self, length: int) -> Layout:
        """The same with `length` along the chunked axis."""
        shape = (*self.shape[: self.axis], length, *self.shape[self.axis + 1 :])
        return replace(self, shape=shape)

    def sizes(self) -> dict[str, int]:
        """Size of every dimension."""
        return dict(zip(self.dims, self.shape, strict=True))

    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of every chunk, padding included."""
        return tuple(
            self.rows if axis == self.axis else max(size, 1) for axis, size in enumerate(self.shape)
        )

    def chunks(self, start: int, stop: int) -> range:
        """Numbers of the chunks that hold `start:stop` of the chunked axis."""
        if 0 in self.shape or start >= stop:
            return range(0)
        return range(start // self.rows, -(-stop // self.rows))

    def length(self) -> int:
        """Size along the chunked axis; 1 for a scalar."""
        return self.shape[self.axis] if self.shape else 1

    def nbytes(self) -> int:
        """Weight of the values in memory; text counts as pointers."""
        itemsize = 8 if self.dtype == "string" else np.dtype(self.dtype).itemsize
        return itemsize * math.prod(self.shape)

    def key(self, chunk: int) -> str:
        """Key of a chunk below the array's path."""
        return "/".join(["c", *(str(chunk * (a == self.axis)) for a in range(len(self.shape)))])

    def part(self, start: int, stop: int) -> tuple[Any, ...]:
        """Index of `start:stop` along the chunked axis; of the one value of a scalar."""
        return (slice(None),) * self.axis + (slice(start, stop),) if self.shape else (...,)

    def empty(self, length: int) -> Values:
        """Stored values of that length along the chunked axis, to be filled."""
        dtype = np.dtype(object) if self.dtype == "string" else np.dtype(self.dtype)
        return np.full(self.resized(length).shape if self.shape else (), _fill(self.dtype), dtype)


def wanted(variable: xr.Variable, dim: str | None) -> tuple[Layout, Values]:
    """Layout and stored values of a variable; `dim` is the dimension it grows along, if any."""
    values, encoding = _stored(variable.values)
    if clash := (encoding.keys() | _RESERVED) & variable.attrs.keys():
        raise SlopewatchError(f"the attribute {min(clash)!r} is taken: it says how values lie")
    dims = tuple(str(name) for name in variable.dims)
    grows = dim is not None and dim in dims
    axis = dims.index(dim) if dim is not None and grows else 0
    if grows:
        rows = 1 if len(dims) > 1 else EXTENDED_ROWS
    else:
        length = max(values.shape[0], 1) if values.shape else 1
        rows = min(length, max(1, MAX_CHUNK_BYTES // max(1, values.nbytes // length)))
    dtype = "string" if values.dtype == object else values.dtype.name
    attributes = {**jsonable(variable.attrs), **encoding}
    return Layout(dims, values.shape, dtype, axis, rows, attributes), values


def fitted(layout: Layout, variable: xr.Variable) -> Values:
    """Stored values of a variable that continues an existing array.

    Raises `SlopewatchError` when its dimensions, other sizes or kind of values are not the same.
    """
    sizes = [size for axis, size in enumerate(variable.shape) if axis != layout.axis]
    expected = [size for axis, size in enumerate(layout.shape) if axis != layout.axis]
    if variable.dims != layout.dims or sizes != expected:
        raise SlopewatchError(f"{dict(variable.sizes)} does not continue {layout.sizes()}")
    values = variable.values
    if layout.dtype != "string":
        dtype = restored(layout, layout.empty(0)).dtype
        if values.dtype.kind != dtype.kind or not np.can_cast(values.dtype, dtype, "safe"):
            raise SlopewatchError(f"{values.dtype} does not continue {dtype}")
        values = values.astype(dtype, copy=False)
    elif values.dtype.kind not in "UO":
        raise SlopewatchError(f"{values.dtype} does not continue text")
    return _stored(values)[0]


def jsonable(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes as JSON gives them back. Raises `SlopewatchError` for what is not JSON."""
    try:
        tree: dict[str, Any] = json.loads(json.dumps(dict(attrs), default=_plain))
        return tree
    except (TypeError, ValueError) as error:
        raise SlopewatchError(f"attributes must be JSON: {error}") from error


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _stored(values: Values) -> tuple[Values, dict[str, str]]:
    kind = values.dtype.kind
    if kind in "Mm":
        step, count = np.datetime_data(values.dtype)
        if step not in _UNITS or count != 1:
            raise SlopewatchError(f"times in steps of {count} {step} cannot be stored")
        encoding = {"units": _UNITS[step] + _EPOCH, "calendar": "proleptic_gregorian"}
        if kind == "m":
            encoding = {"units": _UNITS[step], "dtype": f"timedelta64[{step}]"}
        return values.astype(f"{kind}8[{step}]").view("i8"), encoding
    if kind in "fiubc" and values.dtype.itemsize <= 16 and values.dtype != np.longdouble:
        return values.astype(values.dtype.newbyteorder("="), copy=False), {}
    if kind == "U" or (kind == "O" and all(isinstance(v, str) for v in values.flat)):
        return values.astype(object), {}
    raise SlopewatchError(f"values of type {values.dtype} cannot be stored")


def restored(layout: Layout, values: Values) -> xr.Variable:
    """The variable whose stored values (or a part of them) are given."""
    attrs = dict(layout.attributes)
    units = str(attrs.get("units", ""))
    if "calendar" in attrs and units.endswith(_EPOCH):
        values = values.view(f"M8[{_STEPS[units.removesuffix(_EPOCH)]}]")
        del attrs["units"], attrs["calendar"]
    elif str(attrs.get("dtype", "")).startswith("timedelta64"):
        values = values.view(f"m8[{_STEPS[units]}]")
        del attrs["units"], attrs["dtype"]
    elif layout.dtype == "string":
        values = values.astype(str)
    return xr.Variable(layout.dims, values, attrs)


def encode(layout: Layout, values: Values) -> bytes:
    """One chunk's bytes; fewer rows than the chunk holds are padded."""
    if layout.shape and values.shape[layout.axis] < layout.rows:
        padded = layout.empty(layout.rows)
        padded[layout.part(0, values.shape[layout.axis])] = values
        values = padded
    if layout.dtype == "string":
        plain = bytes(VLenUTF8().encode(values.reshape(-1)))
    else:
        plain = values.astype(np.dtype(layout.dtype).newbyteorder("<"), copy=False).tobytes()
    return bytes(_zstd().encode(plain))


def decode(layout: Layout, content: bytes) -> Values:
    """A chunk's stored values, padding included. Raises `SlopewatchError` when it is damaged."""
    try:
        plain = _zstd().decode(content)
        if layout.dtype == "string":
            values: Values = VLenUTF8().decode(plain)
        else:
            values = np.frombuffer(plain, np.dtype(layout.dtype).newbyteorder("<"))
        return values.reshape(layout.chunk_shape())
    except (RuntimeError, ValueError) as error:
        raise SlopewatchError(f"a chunk of the state store is damaged: {error}") from error


@cache
def _zstd() -> Any:
    return Zstd(level=_ZSTD_LEVEL, checksum=True)


def _fill(dtype: str) -> Any:
    return "" if dtype == "string" else np.dtype(dtype).type(0)


def to_document(layout: Layout) -> bytes:
    """The array's `zarr.json`."""
    text = layout.dtype == "string"
    fill = _fill(layout.dtype)
    serializer = {"name": "vlen-utf8"} if text else _named("bytes", endian="little")
    return json.dumps(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": layout.shape,
            "data_type": layout.dtype,
            "chunk_grid": _named("regular", chunk_shape=layout.chunk_shape()),
            "chunk_key_encoding": _named("default", separator="/"),
            "fill_value": [0.0, 0.0] if isinstance(fill, np.complexfloating) else _plain_fill(fill),
            "codecs": [serializer, _named("zstd", level=_ZSTD_LEVEL, checksum=True)],
            "attributes": {**layout.attributes, "chunked_axis": layout.axis},
            "dimension_names": layout.dims,
            "storage_transformers": [],
        }
    ).encode()


def _plain_fill(fill: Any) -> Any:
    return fill if isinstance(fill, str) else fill.item()


def _named(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


def from_document(document: Mapping[str, Any]) -> Layout:
    """Inverse of `to_document`."""
    attributes = dict(document["attributes"])
    axis = attributes.pop("chunked_axis")
    chunk: Sequence[int] = document["chunk_grid"]["configuration"]["chunk_shape"]
    return Layout(
        tuple(document["dimension_names"]),
        tuple(document["shape"]),
        document["data_type"],
        axis,
        chunk[axis] if chunk else 1,
        attributes,
    )


def pieces(layout: Layout, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Per chunk of `start:stop`: its number and the part of `start:stop` in it."""
    for number in layout.chunks(start, stop):
        yield (
            number,
            max(start, number * layout.rows),
            min(stop, (number + 1) * layout.rows),
        )
