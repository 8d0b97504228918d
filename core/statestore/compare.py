"""Whether two sites hold the same, bit for bit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from core.statestore import SiteRepository


def differences(a: SiteRepository, b: SiteRepository, ignoring_attrs: Collection[str]) -> list[str]:
    """See `core.statestore.equal`."""
    found = [
        name for name in _unequal_keys(a.attrs(), b.attrs(), "@") if name[1:] not in ignoring_attrs
    ]
    shared = set(a.groups()) & set(b.groups())
    found += set(a.groups()) ^ set(b.groups())
    for group in shared:
        found += _in_group(group, a.read(group), b.read(group))
    return sorted(found)


def _in_group(group: str, a: xr.Dataset, b: xr.Dataset) -> Iterator[str]:
    yield from _unequal_keys(a.attrs, b.attrs, f"{group}@")
    for name in set(a.variables) | set(b.variables):
        both = name in a.variables and name in b.variables
        same_role = (name in a.coords) == (name in b.coords)
        if not (both and same_role and _same(a.variables[name], b.variables[name])):
            yield f"{group}/{name}"


def _unequal_keys(a: Mapping[Any, Any], b: Mapping[Any, Any], prefix: str) -> Iterator[str]:
    for key in set(a) | set(b):
        if key not in a or key not in b or a[key] != b[key]:
            yield f"{prefix}{key}"


def _same(a: xr.Variable, b: xr.Variable) -> bool:
    return a.dims == b.dims and a.attrs == b.attrs and _same_values(a.values, b.values)


def _same_values(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    if a.dtype.kind == b.dtype.kind == "U":
        return bool(np.array_equal(a, b))
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.tobytes() == b.tobytes():
        return True
    if a.dtype.kind == "c":
        return _same_values(a.real, b.real) and _same_values(a.imag, b.imag)
    return a.dtype.kind == "f" and _same_numbers(np.ascontiguousarray(a), np.ascontiguousarray(b))


def _same_numbers(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    bits = np.dtype(f"u{a.dtype.itemsize}")
    return bool(np.all((a.view(bits) == b.view(bits)) | (np.isnan(a) & np.isnan(b))))
