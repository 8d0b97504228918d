"""What differs between two JSON values, field by field, for a person to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

LONGEST_VALUE = 60
_NAMES = ("track", "unit", "rule", "recipient", "id")
"""Fields that tell the members of a list apart."""


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING: Any = _Nothing()
"""Stands where one side has no such field; another thing than null."""


class Difference(NamedTuple):
    """A field, and its value then and now; `NOTHING` where one side has none."""

    field: str
    then: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.field}: then {_shown(self.then)}, now {_shown(self.now)}"


def differences(then: Any, now: Any, field: str = "") -> Iterator[Difference]:
    """Every leaf that differs; members of lists are matched by what names them, else by place."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        yield from _in_mapping(then, now, field, ".")
    elif _is_list(then) and _is_list(now):
        yield from _in_mapping(_by_name(then, now), _by_name(now, then), field, "")
    elif type(then) is not type(now) or then != now:
        yield Difference(field, then, now)


def _in_mapping(
    then: Mapping[str, Any], now: Mapping[str, Any], field: str, dot: str
) -> Iterator[Difference]:
    for key in dict.fromkeys([*then, *now]):
        name = f"{field}{dot if field else ''}{key}"
        yield from differences(then.get(key, NOTHING), now.get(key, NOTHING), name)


def _by_name(items: Sequence[Any], others: Sequence[Any]) -> dict[str, Any]:
    names = [_name(item) for item in items]
    theirs = [_name(item) for item in others]
    if None in names + theirs or any(len(set(n)) < len(n) for n in (names, theirs)):
        names = [str(place) for place in range(len(items))]
    return {f"[{name}]": item for name, item in zip(names, items, strict=True)}


def _name(item: Any) -> str | None:
    if not isinstance(item, Mapping):
        return None
    return " ".join(str(item[key]) for key in _NAMES if item.get(key) is not None) or None


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _shown(value: Any) -> str:
    text = repr(value) if value is NOTHING else msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."
