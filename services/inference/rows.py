"""The lists of what a site has taken in, stored block by block: `inputs` and `drivers`.

A day brings a handful of rows, and every array that a commit touches costs milliseconds and two
files. So rows wait as one JSON text in the root attributes, which every commit writes anyway,
until a block is full. How many wait follows from the number of rows alone, never from how they
were cut into commits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import xarray as xr

from core.statestore import Change, Extend, SiteRepository
from services.inference.state import DriverRow, InputRow

BLOCK_ROWS = 128
INPUTS, DRIVERS = "inputs", "drivers"
R = TypeVar("R", InputRow, DriverRow)


class Waiting(NamedTuple):
    """Rows that no array holds yet; a driver's missing value is null."""

    inputs: tuple[InputRow, ...] = ()
    drivers: tuple[tuple[str, str, int, float | None, int, int, int, int], ...] = ()


def full_blocks(repository: SiteRepository, group: str, rows: Sequence[R]) -> list[Change]:
    """The extension of `group` by the rows that fill blocks; nothing where none is full."""
    full = rows[: len(rows) - len(rest(rows))]
    if not full:
        return []
    columns = {
        name: ("row", np.array(column))
        for name, column in zip(full[0]._fields, zip(*full, strict=True), strict=True)
    }
    return [Extend(group, "row", repository.length(group, "row"), xr.Dataset(columns))]


def rest(rows: Sequence[R]) -> tuple[R, ...]:
    """The rows after the last full block: they go on waiting."""
    return tuple(rows[len(rows) - len(rows) % BLOCK_ROWS :])


def to_text(inputs: Sequence[InputRow], drivers: Sequence[DriverRow]) -> str:
    """Waiting rows as the root attributes hold them."""
    nulled = [d if math.isfinite(d.value) else (*d[:3], None, *d[4:]) for d in drivers]
    return msgspec.json.encode((inputs, nulled)).decode()


def from_text(text: str) -> tuple[tuple[InputRow, ...], tuple[DriverRow, ...]]:
    """Inverse of `to_text`."""
    inputs, drivers = msgspec.json.decode(text, type=Waiting)
    values = (math.nan if row[3] is None else row[3] for row in drivers)
    rows = (DriverRow._make((*r[:3], v, *r[4:])) for r, v in zip(drivers, values, strict=True))
    return inputs, tuple(rows)


def read_inputs(repository: SiteRepository) -> list[str]:
    """Ids of all inputs taken in, in their order."""
    if not repository.attrs():
        return []
    waiting, _ = from_text(repository.attrs()["waiting"])
    return [*_column(repository, INPUTS, "id"), *(row.id for row in waiting)]


def read_drivers(repository: SiteRepository, *, waiting: bool = True) -> list[DriverRow]:
    """Every row of rain and level, in the order of arrival; those that wait only if asked for."""
    if not repository.attrs():
        return []
    rest_ = from_text(repository.attrs()["waiting"])[1] if waiting else ()
    columns = [_column(repository, DRIVERS, name) for name in DriverRow._fields]
    return [*(DriverRow(*row) for row in zip(*columns, strict=True)), *rest_]


def _column(repository: SiteRepository, group: str, name: str) -> list[Any]:
    if not repository.length(group, "row"):
        return []
    values: list[Any] = repository.read(group, variables=[name])[name].values.tolist()
    return values
