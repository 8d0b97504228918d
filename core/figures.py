"""Series of gauges that are shown for as long as somebody finds them again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from prometheus_client import Gauge


class Figure(NamedTuple):
    """The value of one series."""

    gauge: Gauge
    labels: tuple[str, ...]
    value: float


class Shown:
    """Shows figures and takes away those that are gone: an old figure is worse than none."""

    def __init__(self) -> None:
        self._series: set[tuple[Gauge, tuple[str, ...]]] = set()

    def show(self, figures: Iterable[Figure], *, keep: bool = False) -> None:
        """Show `figures` and, unless `keep`, nothing else of what was shown before."""
        found = set()
        for gauge, labels, value in figures:
            gauge.labels(*labels).set(value)
            found.add((gauge, labels))
        for gauge, labels in set() if keep else self._series - found:
            gauge.remove(*labels)
        self._series = self._series | found if keep else found
