"""`slopewatch understand` on a simulated site that rain moves at its head."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from core.errors import SettingsError, SlopewatchError
from core.events import OBSERVATIONS, Event
from core.settings import Service
from services import cli
from services.commands.understanding import understand
from services.understanding import reading
from tests.pipeline import Scene, append, day, make_site
from tests.services.commands.scenario_site import NAME, UNITS, rain_mm, running, service_in

DAYS = 3 * 365
FACING = {"slope_deg": 25, "aspect_deg": 260, "flank_pixels": None}


def story(scene: Scene, *, level: bool = True) -> list[Event]:
    """Three years at once: rain moves every point, after five days on average."""
    rain = np.array([rain_mm(number) for number in range(DAYS)])
    wet = np.array([rain[max(0, n - 10) : n + 1].mean() for n in range(DAYS)])
    moved = np.cumsum(0.02 + 0.1 * wet)
    days = np.arange(DAYS)
    water = 165 + 8 * np.cos(2 * np.pi * days / 365) + 3 * np.cos(2 * np.pi * days / 47)
    said = [scene.configured()]
    for number in range(DAYS):
        if number % 12 == 0:
            said.append(scene.epoch(number, float(moved[number])))
        said.append(scene.rain(number, float(rain[number])))
        if level:
            said.append(scene.level(number, float(water[number])))
    return [*said, scene.closed(DAYS - 1)]


def service_with(folder: Path, *, level: bool = True) -> Service:
    units = [
        {**unit, **FACING, "bank_distance_m": distance}
        for unit, distance in zip(UNITS, (80, 500), strict=True)
    ]
    site = make_site(NAME, slope_units=units)
    service = service_in(folder, site)
    with running(service, DAYS) as app:
        append(app.log, OBSERVATIONS, story(Scene(site, app.artifacts), level=level))
        app.settle()
        assert not [w.parked for w in app.workers if w.parked]
    return service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return service_with(tmp_path_factory.mktemp("understood"))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise SlopewatchError("MUSEnetC's shares need torch: install slopewatch[torch]")

    monkeypatch.setattr(reading, "network_shares", missing)


@pytest.mark.usefixtures("no_network")
def test_pages_of_units_and_points_are_written(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.commands.understanding.MOST", 4)
    lines: list[str] = []
    pages = understand(service, NAME, tmp_path / "new", None, lines.append, surrogates=40)
    text = "\n".join(lines)
    assert lines[0] == f"{NAME} is SIMULATED: no real place"
    assert re.search(r"The ridge \(head\) follows rain after about \d+ days", text)
    assert "MUSEnetC's forecasts were not asked: MUSEnetC's shares need torch" in text
    assert "maps show 4 of 6 points in units, evenly chosen" in text
    units, points = (page.read_text() for page in pages)
    assert [page.parent.name for page in pages] == ["units", "points"]
    assert f"as known at the end of {day(DAYS - 1)}" in units
    assert "track A44 (4 of 6)" in points
    for page in pages:
        assert "Simulated data: no real slope." in page.read_text()
        assert len(list(page.parent.glob("*.png"))) == 4


def test_without_the_level_one_sentence_says_so(tmp_path: Path) -> None:
    dry = service_with(tmp_path, level=False)
    with pytest.raises(SlopewatchError, match=r"^track A44 of lian as of .*: level is unknown on"):
        understand(dry, NAME, tmp_path / "out", None, print)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("as_of", "sentence"),
    [
        (datetime(2022, 6, 1), "days of drivers are too few: lags need two years or more"),
        (datetime(2030, 1, 1), "--as-of 2030-01-01 lies after 2024-12-30"),
    ],
)
def test_days_that_cannot_be_read_are_one_sentence(
    service: Service, tmp_path: Path, as_of: datetime, sentence: str
) -> None:
    with pytest.raises(SlopewatchError, match=re.escape(sentence)):
        understand(service, NAME, tmp_path / "out", as_of, print)


def test_a_file_in_the_way_is_named(service: Service, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(SettingsError, match="name a folder"):
        understand(service, NAME, tmp_path / "out", None, print)


def test_the_command_line_takes_a_day_and_a_folder() -> None:
    result = CliRunner().invoke(cli.app, ["understand", "--help"])
    assert result.exit_code == 0
    assert "--as-of" in result.output
    assert "--out" in result.output
