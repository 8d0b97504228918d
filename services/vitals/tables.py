"""Whether the tables for dashboards can be read: all else goes on without them and never asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.figures import Figure
from services.vitals.look import Fault

if TYPE_CHECKING:
    from services.compose import Slopewatch


class ProjectionTables:
    """Of the projection that this process fills; it finds no figure, only that they are there."""

    name = "projection"
    every_s = 300.0
    lasting = False

    def __init__(self, app: Slopewatch) -> None:
        self._app = app

    def look(self) -> Iterator[Figure | Fault]:
        """See `Look.look`."""
        if self._app.projection is not None:
            self._app.projection.counts()
        yield from ()
