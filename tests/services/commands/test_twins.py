"""Simulated sites leave as a CF file that says they are simulated, and as a picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from core.errors import SettingsError
from core.twin.pools import SimulatedPool, forecast_pool
from core.twin.truth import fingerprint
from services.commands._twin_figure import figure
from services.commands.twins import make_twin, plot_twin


@pytest.fixture(scope="module")
def pool() -> SimulatedPool:
    return forecast_pool("events", "radar", 4)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    path = tmp_path_factory.mktemp("twin") / "events.nc"
    said: list[str] = []
    make_twin("events", "radar", path, 4, said.append)
    assert len(said) == 1
    assert "4 simulated sites, 2555 days, noise radar" in said[0]
    return xr.load_dataset(path, engine="h5netcdf")


def test_the_file_holds_the_pool(written: xr.Dataset, pool: SimulatedPool) -> None:
    truth, seen = pool.truth, pool.seen
    np.testing.assert_array_equal(written.downslope_displacement, truth.displacement_mm)
    np.testing.assert_array_equal(written.rain, truth.rain_mm)
    np.testing.assert_array_equal(written.los_displacement, seen.los_mm)
    np.testing.assert_array_equal(written.rain_issued, pool.prospects.rain_issued_mm)
    assert written.kind.values.tolist() == truth.kind.tolist()
    used = seen.epoch_day >= 0
    np.testing.assert_array_equal(written.epoch_day.values[used], seen.epoch_day[used])
    assert np.isnan(written.epoch_day.values[~used]).all()
    np.testing.assert_array_equal(np.isnan(written.failure_day), truth.failure_day < 0)


def test_the_file_says_that_it_is_simulated_and_where_it_is_from(
    written: xr.Dataset, pool: SimulatedPool
) -> None:
    assert written.attrs["simulated"] == "true"
    assert written.attrs["title"].startswith("Simulated")
    assert written.attrs["Conventions"].startswith("CF-")
    assert written.attrs["pool"] == "forecast-1"
    assert written.attrs["truth_sha256"] == fingerprint(pool.truth)
    assert written.attrs["observed_sha256"] == fingerprint(pool.seen)


def test_every_quantity_has_a_name_and_every_number_a_unit(written: xr.Dataset) -> None:
    for name, variable in written.variables.items():
        assert variable.attrs["long_name"]
        if variable.dtype.kind in "if" and name != "seed":
            assert variable.attrs["units"] in {"1", "mm", "m", "mm d-1", "d"}
    assert written.los_displacement.attrs["positive"] == "toward the satellite"
    assert written.downslope_displacement.attrs["positive"] == "downslope"


@pytest.mark.parametrize(("ending", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_a_site_is_drawn(tmp_path: Path, ending: str, magic: bytes) -> None:
    said: list[str] = []
    path = tmp_path / f"site{ending}"
    plot_twin("events", "white-3", 0, path, said.append)
    assert path.read_bytes().startswith(magic)
    assert "simulated site 0 of events, drawdown, failing" in said[0]


def test_the_picture_shows_what_was_and_what_was_seen(pool: SimulatedPool) -> None:
    site = 1
    drawn = figure(pool, site)
    assert "Simulated" in drawn.get_suptitle()
    rain, level, motion = drawn.axes
    bars = np.array([bar.get_height() for bar in rain.patches])
    assert bars.sum() == pytest.approx(pool.truth.rain_mm[site, :2550].sum())
    np.testing.assert_array_equal(level.lines[1].get_ydata(), pool.truth.level_m[site])
    marks = [text.get_text() for text in rain.texts]
    assert marks == ["onset", "failure"]
    labels = {text.get_text() for text in motion.get_legend().get_texts()}
    assert {"toe, truth", "ridge, truth", "cycles lost"} <= labels
    failure = pool.truth.failure_day[site]
    toe = next(line for line in motion.lines if line.get_label() == "toe, truth")
    assert len(toe.get_ydata()) == failure


def test_a_quiet_site_has_no_marks() -> None:
    drawn = figure(forecast_pool("development", "white-5", 1), 0)
    assert not drawn.axes[0].texts
    labels = {text.get_text() for text in drawn.axes[2].get_legend().get_texts()}
    assert "cycles lost" not in labels


def test_wrong_requests_are_one_sentence(tmp_path: Path) -> None:
    def silent(_: str) -> None:
        raise AssertionError("nothing is to be said of a request that fails")

    with pytest.raises(SettingsError, match="'demo' is not one of training"):
        make_twin("demo", "radar", tmp_path / "a.nc", 1, silent)
    with pytest.raises(SettingsError, match="'pink' is not one of white-3"):
        make_twin("test", "pink", tmp_path / "a.nc", 1, silent)
    with pytest.raises(SettingsError, match=r"must end in \.nc"):
        make_twin("test", "radar", tmp_path / "a.zip", 1, silent)
    with pytest.raises(SettingsError, match="the pool has 24"):
        plot_twin("events", "radar", 24, tmp_path / "a.png", silent)
    with pytest.raises(SettingsError, match="numbered from 0"):
        plot_twin("events", "radar", -1, tmp_path / "a.png", silent)
    with pytest.raises(SettingsError, match="is no folder"):
        plot_twin("events", "radar", 0, tmp_path / "none" / "a.png", silent)
    assert not list(tmp_path.iterdir())


def test_the_command_loads_no_plotting_until_it_plots() -> None:
    code = (
        "import sys, services.commands.twins;"
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'xarray', 'core.twin')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
