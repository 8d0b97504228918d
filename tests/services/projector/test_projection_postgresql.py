"""A projection on a PostgreSQL server, and that its rows equal SQLite's."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import text

from core.errors import UnavailableError
from services.projector.drivers import Drivers
from services.projector.projection import Projection
from services.projector.schema import TABLES
from tests.services.projector.projection_contract import ProjectionContract
from tools.engine.process import free_port


class TestPostgresqlProjection(ProjectionContract):
    batch = 30

    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        return postgres_url

    def test_the_server_knows_what_tables_and_columns_mean(self, url: str) -> None:
        of_table = text("SELECT obj_description(CAST(:name AS regclass))")
        of_first = text("SELECT col_description(CAST(:name AS regclass), 1)")
        with closing(Projection(url)) as projection, projection._ready().read() as connection:
            for table in TABLES:
                name = {"name": table.name}
                assert connection.scalar(of_table, name) == table.comment
                assert connection.scalar(of_first, name) == "name of the site"


def test_a_server_out_of_reach_keeps_back_only_what_is_written_to_it() -> None:
    with (
        closing(Projection(f"postgresql://me@127.0.0.1:{free_port()}/db")) as projection,
        pytest.raises(UnavailableError, match=r"the projection .* is out of reach"),
    ):
        projection.sites(Drivers.name)
