"""A season with alerts, lived once; each test gets a copy to tamper with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.settings import Service
from tests.services.commands.alert_season import live


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two alerts."""
    folder = tmp_path_factory.mktemp("lived")
    live(folder)
    return folder


@pytest.fixture
def alerted(lived: Path, tmp_path: Path) -> Service:
    """A copy of it."""
    shutil.copytree(lived, tmp_path / "alerted")
    return Service(data=tmp_path / "alerted").resolved()
