"""A projection in an SQLite file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from core.errors import SettingsError
from services.projector.projection import Projection
from tests.pipeline import Bench
from tests.services.projector.looking import look
from tests.services.projector.projection_contract import ProjectionContract


class TestSqliteProjection(ProjectionContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite://{tmp_path}/projection.db"

    def test_times_are_text_that_sqlite_reckons_with(
        self, url: str, tmp_path: Path, bench: Bench
    ) -> None:
        look(url, bench)
        with closing(sqlite3.connect(tmp_path / "projection.db")) as file:
            (count,) = file.execute(
                "SELECT count(*) FROM rain WHERE available_at > '2022-01-10' AND"
                " strftime('%s', available_at) - strftime('%s', day) >= 86400"
            ).fetchone()
        assert count == 25


def test_a_bad_address_is_refused_at_once() -> None:
    with pytest.raises(SettingsError, match="a projection url begins with sqlite"):
        Projection("mysql://db/projection")
    with pytest.raises(SettingsError, match="SLOPEWATCH_PROJECTION_PASSWORD"):
        Projection("postgresql://me:hunter2@db/projection")
