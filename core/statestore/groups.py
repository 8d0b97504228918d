"""Changing and reading groups of arrays in one open session."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from core.errors import SlopewatchError
from core.statestore import Change, Drop, Extend, Put, arrays
from core.statestore.arrays import Layout, Values
from core.statestore.files import Files

_AFTER = "after_snapshot"
_NAME = re.compile(r"(?!zarr\.json$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Group:
    """What a group holds: its attributes, the names of its coordinates, its arrays."""

    attrs: Mapping[str, Any]
    coords: frozenset[str]
    arrays: Mapping[str, Layout]

    def sizes(self) -> dict[str, int]:
        """Size of every dimension. Raises `SlopewatchError` when two arrays disagree."""
        sizes: dict[str, int] = {}
        for name, layout in self.arrays.items():
            for dim, size in layout.sizes().items():
                if sizes.setdefault(dim, size) != size:
                    raise SlopewatchError(f"{name}: {dim} is {size} long, elsewhere {sizes[dim]}")
        return sizes

    def document(self) -> bytes:
        """The group's `zarr.json`; xarray finds the coordinates where CF puts them."""
        attributes = {**self.attrs, "coordinates": " ".join(sorted(self.coords))}
        return _group_document(attributes)


Tree = dict[str, Group]


def _group_document(attributes: Mapping[str, Any]) -> bytes:
    return json.dumps(
        {"zarr_format": 3, "node_type": "group", "attributes": attributes}, sort_keys=True
    ).encode()


async def load(files: Files) -> tuple[dict[str, Any], Tree]:
    """Root attributes and all groups, without their data."""
    root = await files.get("zarr.json")
    if root is None:
        return {}, {}
    attrs: dict[str, Any] = json.loads(root)["attributes"]
    del attrs[_AFTER]
    tree: Tree = {}
    await _load_below(files, "", attrs, tree)
    return attrs, tree


async def _load_below(files: Files, path: str, attributes: dict[str, Any], tree: Tree) -> None:
    prefix = f"{path}/" if path else ""
    names = [name async for name in files.names(path) if name != "zarr.json"]
    contents = await asyncio.gather(*(files.get(f"{prefix}{name}/zarr.json") for name in names))
    nodes = {name: json.loads(text) for name, text in zip(names, contents, strict=True) if text}
    if path and "coordinates" in attributes:
        layouts = {name: arrays.from_document(node) for name, node in nodes.items()}
        coords = frozenset(attributes.pop("coordinates").split())
        tree[path] = Group(attributes, coords, layouts)
        return
    for name, node in nodes.items():
        await _load_below(files, f"{prefix}{name}", node["attributes"], tree)


async def apply(files: Files, tree: Tree, change: Change) -> None:
    """Make one change in the session and in `tree`."""
    try:
        match change:
            case Put():
                await _put(files, tree, change)
            case Extend():
                await _extend(files, tree, change)
            case Drop(group):
                if tree.pop(group, None) is not None:
                    await files.delete_below(group)
    except SlopewatchError as error:
        raise SlopewatchError(f"group {change.group}: {error}") from error


async def set_root(files: Files, attrs: Mapping[str, Any], after: str) -> None:
    """Replace the root attributes; `after` is the snapshot that this session stands on.

    It is stored beside them because Icechunk refuses a commit that changes nothing, and the same
    attributes with new outcomes are a commit.
    """
    if _AFTER in attrs:
        raise SlopewatchError(f"the attribute {_AFTER!r} is taken")
    await files.set("zarr.json", _group_document({**attrs, _AFTER: after}))


def _check_names(tree: Tree, group: str, dataset: xr.Dataset) -> None:
    for name in (*group.split("/"), *map(str, dataset.variables)):
        if not _NAME.fullmatch(name):
            raise SlopewatchError(f"{name!r} is no name for a group or variable")
    for other in tree:
        if other.startswith(f"{group}/") or group.startswith(f"{other}/"):
            raise SlopewatchError(f"a group cannot lie inside another, and {other} is one")
    if "coordinates" in dataset.attrs:
        raise SlopewatchError("the attribute 'coordinates' is taken")


async def _put(files: Files, tree: Tree, change: Put) -> None:
    dataset = change.dataset
    _check_names(tree, change.group, dataset)
    new = {str(n): arrays.wanted(v, None) for n, v in dataset.variables.items()}
    old = tree.get(change.group)
    before = old.arrays if old else {}
    await _remove(files, change.group, (n for n in before if n not in new))
    await _set_group(files, tree, change.group, _described(dataset, {n: new[n][0] for n in new}))
    for name, (layout, values) in new.items():
        await _replace(files, f"{change.group}/{name}", before.get(name), layout, values)


def _described(dataset: xr.Dataset, layouts: Mapping[str, Layout]) -> Group:
    coords = frozenset(str(name) for name in dataset.coords)
    return Group(arrays.jsonable(dataset.attrs), coords, layouts)


async def _set_group(files: Files, tree: Tree, name: str, group: Group) -> None:
    group.sizes()
    old = tree.get(name)
    if old is None:
        parts = name.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if not any(other.startswith(f"{parent}/") for other in tree):
                await files.set(f"{parent}/zarr.json", _group_document({}))
    if old is None or old.document() != group.document():
        await files.set(f"{name}/zarr.json", group.document())
    tree[name] = group


async def _remove(files: Files, group: str, names: Iterable[str]) -> None:
    for name in names:
        await files.delete_below(f"{group}/{name}")


async def _replace(
    files: Files, path: str, old: Layout | None, layout: Layout, values: Values
) -> None:
    """Write a whole array; an unchanged layout costs its chunks alone."""
    if old is not None and old.chunk_shape() != layout.chunk_shape():
        await files.delete_below(path)
        old = None
    await _write(files, path, old, layout, 0, values)


async def _write(
    files: Files, path: str, old: Layout | None, layout: Layout, start: int, values: Values
) -> None:
    """Write `values` from `start`, a chunk's beginning, to the end of the array."""
    end = layout.length()
    if old is not None:
        beyond = old.chunks(-(-end // old.rows) * old.rows, old.length())
        await asyncio.gather(*(files.delete(f"{path}/{old.key(n)}") for n in beyond))
    if old != layout:
        await files.set(f"{path}/zarr.json", arrays.to_document(layout))
    chunks = (
        (f"{path}/{layout.key(n)}", values[layout.part(first - start, last - start)])
        for n, first, last in arrays.pieces(layout, start, end)
    )
    # A chunk of one row will not be written again, the others soon will.
    keep = layout.rows > 1 or layout.length() == 1
    await asyncio.gather(
        *(files.set(k, arrays.encode(layout, part), keep=keep) for k, part in chunks)
    )


async def _extend(files: Files, tree: Tree, change: Extend) -> None:
    group, dim, start, dataset = change
    _check_names(tree, group, dataset)
    if dim not in dataset.dims:
        raise SlopewatchError(f"the dataset has no dimension {dim}")
    old = tree.get(group)
    length = old.sizes().get(dim, 0) if old else 0
    if not 0 <= start <= length:
        raise SlopewatchError(f"{dim} is {length} long: nothing can be written from {start} on")
    before = dict(old.arrays) if old else {}
    missing = [n for n, la in before.items() if dim in la.dims and n not in dataset.variables]
    if missing:
        raise SlopewatchError(f"{', '.join(missing)} must be extended along {dim} as well")
    parts = {
        str(name): await _continued(files, f"{group}/{name}", before.get(str(name)), v, dim, start)
        for name, v in dataset.variables.items()
        if dim in v.dims or name not in before
    }
    layouts = {**before, **{name: layout for name, (layout, _, _) in parts.items()}}
    described = _described(dataset, layouts)
    if old:
        described = Group(old.attrs, old.coords | described.coords, layouts)
    await _set_group(files, tree, group, described)
    for name, (layout, first, values) in parts.items():
        if first == 0:
            await _replace(files, f"{group}/{name}", before.get(name), layout, values)
        else:
            await _write(files, f"{group}/{name}", before.get(name), layout, first, values)


async def _continued(
    files: Files, path: str, old: Layout | None, variable: xr.Variable, dim: str, start: int
) -> tuple[Layout, int, Values]:
    """New layout, the row from which to write, and the values from there on.

    What lies before `start` in the same chunk is written again; an array that was not laid out
    for growing along `dim` is laid out anew as a whole.
    """
    layout, values = arrays.wanted(variable, dim)
    if old is None:
        return layout, 0, values
    old_along = _along(old, dim)
    values = arrays.fitted(old_along, variable)
    layout = Layout(
        layout.dims, layout.shape, old.dtype, layout.axis, layout.rows, old.attributes
    ).resized(start + values.shape[layout.axis])
    first = start - start % layout.rows
    if (old.axis, old.rows) != (layout.axis, layout.rows):
        first = 0
    if first < start:
        kept = await _head(files, path, old, layout, first, start)
        values = np.concatenate([kept, values], axis=layout.axis)
    return layout, first, values


def _along(layout: Layout, dim: str) -> Layout:
    axis = layout.dims.index(dim)
    return Layout(layout.dims, layout.shape, layout.dtype, axis, 1, layout.attributes)


async def _head(
    files: Files, path: str, old: Layout, layout: Layout, first: int, start: int
) -> Values:
    if old.axis == layout.axis:
        return await read_rows(files, path, old, first, start)
    whole = await read_rows(files, path, old, 0, old.length())
    head: Values = whole[layout.part(first, start)]
    return head


async def read_rows(files: Files, path: str, layout: Layout, start: int, stop: int) -> Values:
    """Stored values of `start:stop` along the chunked axis."""
    found = layout.empty(stop - start)
    parts = list(arrays.pieces(layout, start, stop))
    contents = await asyncio.gather(*(files.get(f"{path}/{layout.key(n)}") for n, _, _ in parts))
    for (number, first, last), content in zip(parts, contents, strict=True):
        if content is None:
            raise SlopewatchError(f"{path} lacks chunk {number}: the state store is damaged")
        offset = number * layout.rows
        values = arrays.decode(layout, content)[layout.part(first - offset, last - offset)]
        found[layout.part(first - start, last - start)] = values
    return found


async def read_variable(
    files: Files, path: str, layout: Layout, dim: str | None, part: slice
) -> xr.Variable:
    """A variable, cut to `part` along `dim` where it has it."""
    if dim is None or dim not in layout.dims:
        return arrays.restored(layout, await read_rows(files, path, layout, 0, layout.length()))
    if layout.dims[layout.axis] == dim:
        rows = await read_rows(files, path, layout, part.start, part.stop)
        return arrays.restored(layout, rows)
    whole = await read_rows(files, path, layout, 0, layout.length())
    return arrays.restored(layout, whole).isel({dim: part})
