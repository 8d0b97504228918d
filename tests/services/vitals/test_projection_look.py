"""Tables for dashboards that cannot be filled are seen where the process goes on without them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import SettingsError
from services.projector.projection import Projection
from services.vitals.tables import ProjectionTables


def test_tables_that_cannot_be_filled_are_seen_until_they_can(tmp_path: Path) -> None:
    path = tmp_path / "projection.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE other (a)")
    with closing(Projection(f"sqlite://{path}")) as projection:
        app: Any = SimpleNamespace(projection=projection)
        with pytest.raises(SettingsError, match="not a projection"):
            list(ProjectionTables(app).look())
        path.unlink()
        assert list(ProjectionTables(app).look()) == []


def test_a_process_without_a_projection_has_none_to_look_at() -> None:
    app: Any = SimpleNamespace(projection=None)
    assert list(ProjectionTables(app).look()) == []
