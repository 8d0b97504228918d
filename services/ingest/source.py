"""What every source of displacement shares: its settings, its latency, keys under its track."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Generic, Protocol, TypeVar

from core.artifacts import Artifacts
from core.settings import Site
from services.ingest.feed import Datum, Observation, Rejection


class SourceSettings(Protocol):
    """What the settings of every source have."""

    @property
    def track(self) -> str:
        """Name of the viewing geometry."""
        ...

    @property
    def latency_days(self) -> float:
        """From the image to the product, in days."""
        ...


T = TypeVar("T", bound=SourceSettings)


class Source(ABC, Generic[T]):
    """A `services.ingest.feed.Feed` of displacement that reads its files anew at every poll."""

    name: str
    brings: frozenset[Datum] = frozenset({"acquisitions"})

    def __init__(self, settings: T) -> None:
        self._settings = settings
        self.latency = timedelta(days=settings.latency_days)

    def poll(
        self, site: Site, since: date, until: date, artifacts: Artifacts
    ) -> Iterator[Observation | Rejection]:
        """All data in [since, until], with natural keys under the source and its track."""
        prefix = f"{self.name}/{self._settings.track}"
        for item in self.items(site, since, until, artifacts):
            yield item._replace(natural_key=f"{prefix}/{item.natural_key}")

    @abstractmethod
    def items(
        self, site: Site, since: date, until: date, artifacts: Artifacts
    ) -> Iterator[Observation | Rejection]:
        """The same with keys that are unique within the track."""
        ...
