"""Displacement series as a table: CSV, JSON or Excel, from a file or over HTTP.

Three layouts. `points`: a row a point, a column a day (YYYYMMDD), as the European Ground Motion
Service gives its L2 products; columns are found by name since heights and errors are named
otherwise in other releases. `epochs`: a row a day, a column a point. `long`: a row a value. For
the last two a second table says where the points are. Values come out in millimetres along the
line of sight, positive toward the satellite, cumulative as given: the table's first epoch is
their `reference_epoch`, and a constant by which a point does not start at zero stays in.

A bad cell costs only itself. A day that comes twice counts once; where its values differ, the
first stands. Epochs need not be in order. Points outside the site's area or reference box are
left out and counted in one rejection, for a region's file holds many.

Source: EGMS product description, https://land.copernicus.eu/en/products/european-ground-motion-service
(columns pid, latitude, longitude, los_east, los_north, los_up, incidence_angle, track_angle, one
column of millimetres a day; positive toward the satellite).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from core.artifacts import Artifacts, pack
from core.clock import midnight
from core.errors import BadInputError
from core.events import ArtifactRef, DisplacementMeasured
from core.settings import Service, Site, Tree
from services.ingest.feed import Feed, Observation, Rejection
from services.ingest.grids import boxes_of
from services.ingest.source import Source
from services.ingest.sources._headers import los_from_angles
from services.ingest.sources._points import PointColumns, PointError, Points
from services.ingest.sources._series import Columns, Series, content_of, shown, with_unique_names
from services.ingest.tables import TableFormat, read_rows, row_text

MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "m": 1e3}


class Settings(Tree):
    """Where the table is and how to read it."""

    where: str = Field(description="file, or http(s) address, of the displacements")
    track: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="name of the viewing geometry")
    layout: Literal["points", "epochs", "long"] = Field(
        "points", description="a row is a point, an epoch, or one value"
    )
    table: TableFormat = Field(TableFormat(), description="how the table is written")
    columns: Columns = Field(Columns(), description="which columns hold what")
    points: str | None = Field(None, description="file or address of the points' own table")
    points_table: TableFormat = Field(TableFormat(), description="how that one is written")
    point_columns: PointColumns = Field(
        PointColumns(), description="which columns, of that one or of the table, describe a point"
    )
    unit: Literal["mm", "cm", "m"] = Field("mm", description="of displacements and sigma")
    positive: Literal["toward", "away"] = Field(
        "toward", description="motion that a positive value means, seen from the satellite"
    )
    sigma_mm: float = Field(
        3.0, gt=0, description="standard deviation of a value where no column says it"
    )
    heading_deg: float | None = Field(
        None, ge=-360, le=360, description="flight direction, where no column says it"
    )
    incidence_deg: float | None = Field(
        None, gt=0, lt=90, description="from the vertical, where no column says it"
    )
    latency_days: float = Field(2.0, ge=0, description="from an epoch to its value")

    @model_validator(mode="after")
    def _placed(self) -> Settings:
        if self.layout != "points" and self.points is None:
            raise ValueError(f"layout {self.layout} needs `points`: a table of where they are")
        return self


def open(settings: Settings, service: Service) -> Feed:
    """The source over `settings.where`."""
    return _Table(settings)


class _Table(Source[Settings]):
    """Reads the whole table anew at every poll and keeps the wanted epochs."""

    name = "table"

    def items(
        self, site: Site, since: date, until: date, artifacts: Artifacts
    ) -> Iterator[Observation | Rejection]:
        given = self._settings
        los = los_from_angles(given.heading_deg, given.incidence_deg)
        form = given.points_table if given.points else given.table
        points = Points(given.point_columns, form, boxes_of(site), los)
        series = Series(given.columns, given.table, since, until)
        if given.points:
            yield from self._place(points, given.points)
        content, where = content_of(given.where), shown(given.where)
        form = with_unique_names(content, given.table)
        for number, row in read_rows(content, form, where):
            if isinstance(row, Rejection):
                yield row
            elif given.layout == "epochs":
                yield from series.add_epoch(number, row, points)
            elif given.layout == "long":
                yield from series.add_value(number, row, points)
            else:
                yield from series.add_point(number, row, points, place=given.points is None)
        yield from points.outside()
        if not points.names():
            raise BadInputError(f"{where}: none of its points lies inside the site's area")
        if series.first is None:
            raise BadInputError(f"{where} holds no epoch: check `layout` and `columns`")
        yield from self._epochs(points, series, series.first, artifacts)

    def _place(self, points: Points, where: str) -> Iterator[Rejection]:
        form = self._settings.points_table
        for number, row in read_rows(content_of(where), form, shown(where)):
            if isinstance(row, Rejection):
                yield row
                continue
            try:
                points.add(row)
            except PointError as error:
                reason = f"row {number}: {error}"
                yield Rejection(error.code, reason, f"point row {number}", row_text(row))

    def _epochs(
        self, points: Points, series: Series, first: date, artifacts: Artifacts
    ) -> Iterator[Observation]:
        given = self._settings
        factor = MM_PER_UNIT[given.unit]
        sign = 1.0 if given.positive == "toward" else -1.0
        names = points.names()
        geometry = artifacts.put(pack(points.arrays()))
        for epoch in sorted(series.values):
            cells = series.values[epoch]
            found = [cells.get(name, (math.nan, math.nan)) for name in names]
            value, sigma = np.array(found, dtype=np.float64).T
            displacement = sign * factor * value
            spread = np.where(np.isfinite(sigma), factor * sigma, given.sigma_mm)
            spread[~np.isfinite(displacement)] = np.nan
            packed = pack({"los_displacement_mm": displacement, "sigma_mm": spread})
            yield self._measured(
                epoch, first, artifacts.put(packed), geometry, int(np.isfinite(displacement).sum())
            )

    def _measured(
        self, epoch: date, first: date, values: ArtifactRef, points: ArtifactRef, measured: int
    ) -> Observation:
        data = DisplacementMeasured(
            feed=self.name,
            track=self._settings.track,
            epoch=epoch,
            reference_epoch=first,
            values=values,
            points=points,
            measured=measured,
        )
        return Observation(f"{epoch:%Y%m%d}", midnight(epoch), None, data)
