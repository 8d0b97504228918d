"""What all benchmarks share: tables, conditions, and timers that count every second once."""

from __future__ import annotations

import functools
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

Label = str | Callable[..., str]


class LeftOutError(Exception):
    """This machine lacks what a benchmark needs; the text says what."""


class Table(NamedTuple):
    """One result as it is printed: a title, column heads, rows of text, and remarks below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def as_text(table: Table) -> str:
    """The table in aligned columns: the first to the left, the others to the right."""
    rows = [table.columns, *table.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))]
    lines = [table.title]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join([*lines, *(f"  {note}" for note in table.notes)])


def as_markdown(table: Table) -> str:
    """The same as Markdown."""
    rule = ["---", *("---:" for _ in table.columns[1:])]
    rows = [table.columns, rule, *table.rows]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n\n".join([f"**{table.title}**", "\n".join(lines), *table.notes])


def conditions() -> tuple[str, ...]:
    """Where and with what is measured; without them no figure means anything."""
    versions = ", ".join(
        f"{name} {metadata.version(name)}"
        for name in ("numpy", "scipy", "msgspec", "icechunk", "zarr", "xarray", "statsmodels")
    )
    load = ", ".join(f"{figure:.2f}" for figure in os.getloadavg())
    return (
        f"{len(os.sched_getaffinity(0))} cores, {_processor()}, load {load} (1, 5, 15 minutes)",
        f"Python {platform.python_version()} on {platform.system()}; {versions}",
        "Wall-clock times. Other work on the machine lengthens all of them: compare within a run.",
    )


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def best(task: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """The shortest of some runs in seconds, and the answer."""
    shortest, answer = float("inf"), None
    for _ in range(repeats):
        begin = time.perf_counter()
        answer = task()
        shortest = min(shortest, time.perf_counter() - begin)
    return shortest, answer


def rate(count: float, seconds: float) -> str:
    """Things per second, as text."""
    return f"{count / seconds:,.0f}"


class Stopwatch:
    """Times calls by label; a call inside another counts for itself and not for the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inside: list[float] = []

    def timed(self, function: Callable[..., Any], label: Label) -> Callable[..., Any]:
        """`function`, timed; a label may be made from its arguments."""

        @functools.wraps(function)
        def clocked(*args: Any, **kwargs: Any) -> Any:
            name = label if isinstance(label, str) else label(*args, **kwargs)
            begin = time.perf_counter()
            self._inside.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                whole = time.perf_counter() - begin
                self.seconds[name] += whole - self._inside.pop()
                self.calls[name] += 1
                if self._inside:
                    self._inside[-1] += whole

        return clocked

    @contextmanager
    def on(self, targets: Sequence[tuple[Any, str, Label]]) -> Iterator[None]:
        """Time attributes of classes or modules for as long as this lasts."""
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in targets]
        try:
            for owner, name, label in targets:
                setattr(owner, name, self.timed(getattr(owner, name), label))
            yield
        finally:
            for owner, name, function in before:
                setattr(owner, name, function)
