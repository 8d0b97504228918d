"""What a projection wants written: rows to be put, and rows to be cleared, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from sqlalchemy import Table

M = TypeVar("M", bound=msgspec.Struct)
Row = Mapping[str, Any]


class Put(NamedTuple):
    """A whole row; it takes the place of one with the same key."""

    table: Table
    row: Row


class Clear(NamedTuple):
    """All rows whose columns, of the key, have these values."""

    table: Table
    where: Row


Change = Put | Clear


@dataclass(frozen=True)
class Projected(Generic[M]):
    """State of a projection of one site: what it remembers, and what is not written yet."""

    memory: M
    changes: tuple[Change, ...] = ()

    def then(self, memory: M, changes: Iterable[Change] = ()) -> Projected[M]:
        """The state after one more input."""
        return Projected(memory, (*self.changes, *changes))


@dataclass
class Work:
    """All that is to be done to one table: first clear, then put; no key twice."""

    clear: list[Row] = field(default_factory=list)
    put: dict[tuple[Any, ...], Row] = field(default_factory=dict)

    def take(self, change: Change) -> None:
        """Take in the next change."""
        if isinstance(change, Put):
            key = tuple(change.row[column.name] for column in change.table.primary_key)
            self.put[key] = change.row
            return
        self.put = {key: row for key, row in self.put.items() if not _in(row, change.where)}
        if change.where not in self.clear:
            self.clear.append(change.where)


def in_short(changes: Iterable[Change]) -> dict[Table, Work]:
    """What `changes`, one after the other, come to."""
    found: dict[Table, Work] = {}
    for change in changes:
        found.setdefault(change.table, Work()).take(change)
    return found


def _in(row: Row, where: Row) -> bool:
    return all(row[name] == value for name, value in where.items())
