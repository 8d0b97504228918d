"""MintPy folders: signs, units, grids, choice of pixels, mean rates, and damaged files."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from core.errors import BadInputError, UnavailableError
from core.settings import Service, Site
from services.ingest.sources import mintpy

DATES = ("20200101", "20200113", "20200125", "20200206")
ROWS, COLS = 5, 7
GRID = {"X_FIRST": "10.0", "X_STEP": "0.001", "Y_FIRST": "46.0", "Y_STEP": "-0.001"}
ATTRIBUTES = {
    **GRID,
    "X_UNIT": "degrees",
    "Y_UNIT": "degrees",
    "LENGTH": str(ROWS),
    "WIDTH": str(COLS),
    "REF_DATE": "20200113",
    "REF_Y": "1",
    "REF_X": "2",
    "WAVELENGTH": "0.05546576",
    "HEADING": "-168.0",
    "ANTENNA_SIDE": "-1",
}


def feed(folder: Path, **settings: Any) -> Any:
    return mintpy.open(mintpy.Settings(folder=folder, track="d168", **settings), Service())


def motion() -> np.ndarray:
    """A plane that sinks faster eastward, metres, 0 at the reference date and pixel."""
    row, col = np.mgrid[:ROWS, :COLS]
    rate = 0.001 * (1.1 + 0.5 * row - 0.25 * col)
    rate[1, 2] = 0.0
    days = np.array([-12.0, 0.0, 12.0, 24.0])
    return (days[:, None, None] * rate).astype(np.float32)


def write(path: Path, attributes: dict[str, str], **datasets: Any) -> None:
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        for name, values in datasets.items():
            file.create_dataset(name, data=values)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dates = np.array(DATES, dtype="S8")
    write(tmp_path / "timeseries.h5", {**ATTRIBUTES, "UNIT": "m"}, date=dates, timeseries=motion())
    coherence = np.full((ROWS, COLS), 0.9, dtype=np.float32)
    coherence[0, 0] = 0.4
    write(tmp_path / "temporalCoherence.h5", ATTRIBUTES, temporalCoherence=coherence)
    return tmp_path


def with_attributes(folder: Path, **changed: str | None) -> None:
    with h5py.File(folder / "timeseries.h5", "a") as file:
        for name, value in changed.items():
            if value is None:
                del file.attrs[name]
            else:
                file.attrs[name] = value


def test_a_plane_of_motion_comes_back_in_millimetres(folder: Path, site: Site, poll: Any) -> None:
    polled = poll(feed(folder), site)
    assert not polled.rejections
    assert [f"{d.epoch:%Y%m%d}" for d in polled.data] == list(DATES)
    assert {d.reference_epoch for d in polled.data} == {date(2020, 1, 13)}
    points = polled.arrays(polled.data[0].points)
    assert {d.points for d in polled.data} == {polled.data[0].points}
    assert len(points["lon"]) == ROWS * COLS - 1
    np.testing.assert_allclose(points["lat"], 46.0 - (points["row"] + 0.5) * 0.001, rtol=1e-14)
    for data, written in zip(polled.data, motion(), strict=True):
        values = polled.arrays(data.values)
        expected = 1e3 * written.astype(np.float64)[points["row"], points["col"]]
        np.testing.assert_array_equal(values["los_displacement_mm"], expected)
        assert data.measured == ROWS * COLS - 1


def test_keys_times_and_span(folder: Path, site: Site, poll: Any) -> None:
    polled = poll(feed(folder), site, date(2020, 1, 14), date(2020, 1, 25))
    assert [o.natural_key for o in polled.observations] == ["mintpy/d168/20200125"]
    assert polled.observations[0].valid_time == datetime(2020, 1, 25, tzinfo=UTC)
    assert polled.data[0].reference_epoch == date(2020, 1, 13)


def test_sigma_from_coherence_or_as_given(folder: Path, site: Site, poll: Any) -> None:
    polled = poll(feed(folder, looks=10, sigma_floor_mm=0.01), site)
    sigma = polled.arrays(polled.data[0].values)["sigma_mm"]
    g = float(np.float32(0.9))
    expected = math.sqrt((1 - g * g) / (2 * 10 * g * g)) * 55.46576 / (4 * math.pi)
    np.testing.assert_allclose(sigma, expected, rtol=1e-9)
    polled = poll(feed(folder, sigma_mm=4.0), site)
    assert set(polled.arrays(polled.data[0].values)["sigma_mm"]) == {4.0}


def test_coherence_and_decimation_choose_pixels(folder: Path, site: Site, poll: Any) -> None:
    polled = poll(feed(folder, every=2, min_temporal_coherence=0.3), site)
    points = polled.arrays(polled.data[0].points)
    assert set(points["row"]) == {0, 2, 4}
    assert set(points["col"]) == {0, 2, 4, 6}
    (folder / "temporalCoherence.h5").unlink()
    with pytest.raises(BadInputError, match="min_temporal_coherence"):
        poll(feed(folder), site)
    polled = poll(feed(folder, min_temporal_coherence=None, sigma_mm=3.0), site)
    assert polled.data[0].measured == ROWS * COLS


def test_pixels_filled_with_zero_are_no_data_but_the_reference_is(
    folder: Path, site: Site, poll: Any
) -> None:
    series = motion()
    series[:, 3, 3] = 0.0
    series[2, 4, 4] = np.nan
    with h5py.File(folder / "timeseries.h5", "a") as file:
        file["timeseries"][:] = series
    polled = poll(feed(folder), site)
    points = polled.arrays(polled.data[0].points)
    places = set(zip(points["row"].tolist(), points["col"].tolist(), strict=True))
    assert (3, 3) not in places
    assert (1, 2) in places
    assert [d.measured for d in polled.data] == [33, 33, 32, 33]


def test_line_of_sight_from_geometry_or_heading(folder: Path, site: Site, poll: Any) -> None:
    polled = poll(feed(folder), site)
    assert np.isnan(polled.arrays(polled.data[0].points)["los_up"]).all()
    polled = poll(feed(folder, incidence_deg=39.0), site)
    by_heading = polled.arrays(polled.data[0].points)
    shape = (ROWS, COLS)
    write(
        folder / "geometryGeo.h5",
        ATTRIBUTES,
        incidenceAngle=np.full(shape, 39.0, np.float32),
        azimuthAngle=np.full(shape, 90.0 + 168.0, np.float32),
        height=(100 + np.mgrid[:ROWS, :COLS][0] * 50).astype(np.float32),
    )
    polled = poll(feed(folder), site)
    by_geometry = polled.arrays(polled.data[0].points)
    for name in ("los_east", "los_north", "los_up"):
        np.testing.assert_allclose(by_geometry[name], by_heading[name], atol=1e-9)
    assert by_geometry["los_east"][0] > 0.6  # a descending radar looks from the east
    assert by_geometry["height_m"].max() == 300
    assert np.nanmax(np.abs(by_geometry["aspect_deg"] % 360)) < 1e-6


def test_radar_coordinates_need_a_geometry(folder: Path, site: Site, poll: Any) -> None:
    with_attributes(folder, X_FIRST=None, Y_FIRST=None, X_STEP=None, Y_STEP=None)
    with pytest.raises(BadInputError, match="radar coordinates"):
        poll(feed(folder), site)
    row, col = np.mgrid[:ROWS, :COLS]
    write(
        folder / "geometryGeo.h5",
        {},
        latitude=45.99 - 0.002 * row,
        longitude=10.01 + 0.002 * col,
    )
    polled = poll(feed(folder), site)
    points = polled.arrays(polled.data[0].points)
    np.testing.assert_array_equal(points["lon"], 10.01 + 0.002 * points["col"])
    assert len(points["lon"]) == ROWS * COLS - 1


def test_a_series_in_utm(folder: Path, make_site: Callable[..., Site], poll: Any) -> None:
    with_attributes(
        folder, X_FIRST="392680", X_STEP="80", Y_FIRST="3962360", Y_STEP="-80",
        X_UNIT="meters", Y_UNIT="meters",
    )  # fmt: skip
    site = make_site((-119, 35, -117, 36.5))
    with pytest.raises(BadInputError, match="UTM_ZONE"):
        poll(feed(folder), site)
    with_attributes(folder, UTM_ZONE="11N")
    points = (polled := poll(feed(folder), site)).arrays(polled.data[0].points)
    assert abs(points["lon"][0] - -118.188) < 0.01


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"UNIT": "radian"}, "UNIT"),
        ({"WIDTH": "9"}, "WIDTH"),
        ({"X_STEP": "abc"}, "X_STEP"),
        ({"Y_STEP": "0.001"}, "north-up"),
        ({"X_STEP": None}, "must all be there"),
    ],
)
def test_attributes_that_do_not_fit(
    folder: Path, site: Site, poll: Any, changed: dict[str, Any], said: str
) -> None:
    with_attributes(folder, **changed)
    with pytest.raises(BadInputError, match=said):
        poll(feed(folder), site)


def test_unreadable_and_repeated_dates(folder: Path, site: Site, poll: Any) -> None:
    with h5py.File(folder / "timeseries.h5", "a") as file:
        file["date"][2] = b"2020012x"
        file["date"][3] = b"20200101"
    polled = poll(feed(folder), site)
    assert [r.code for r in polled.rejections] == ["R05", "R05"]
    assert len(polled.data) == 2


def test_an_epoch_of_no_use_costs_only_itself(folder: Path, site: Site, poll: Any) -> None:
    with h5py.File(folder / "timeseries.h5", "a") as file:
        file["timeseries"][2] = np.nan
        file["timeseries"][3] = 9e4
    polled = poll(feed(folder), site)
    assert [r.code for r in polled.rejections] == ["R03", "R07"]
    assert len(polled.data) == 2


@pytest.mark.parametrize("damage", [b"", b"\x89HDF\r\n", None])
def test_damaged_files(folder: Path, site: Site, poll: Any, damage: bytes | None) -> None:
    path = folder / "timeseries.h5"
    path.write_bytes(path.read_bytes()[:3000] if damage is None else damage)
    with pytest.raises(BadInputError, match=r"timeseries\.h5"):
        poll(feed(folder), site)


def test_links_to_other_files_are_not_followed(folder: Path, site: Site, poll: Any) -> None:
    with h5py.File(folder / "timeseries.h5", "a") as file:
        file.move("timeseries", "kept")
        file["timeseries"] = h5py.ExternalLink(str(folder / "temporalCoherence.h5"), "x")
    with pytest.raises(BadInputError, match="no timeseries"):
        poll(feed(folder), site)


def test_an_array_put_together_from_other_files_is_not_read(
    folder: Path, site: Site, poll: Any
) -> None:
    with h5py.File(folder / "timeseries.h5", "r+") as file:
        shape = file["timeseries"].shape
        del file["timeseries"]
        layout = h5py.VirtualLayout(shape=shape, dtype="f4")
        layout[...] = h5py.VirtualSource(str(folder / "other.h5"), "timeseries", shape=shape)
        file.create_virtual_dataset("timeseries", layout)
    with pytest.raises(BadInputError, match="not an array of this file"):
        poll(feed(folder), site)


def test_a_folder_without_a_series(tmp_path: Path, site: Site, poll: Any) -> None:
    with pytest.raises(BadInputError, match="no timeseries"):
        poll(feed(tmp_path), site)
    with pytest.raises(UnavailableError, match="folder"):
        poll(feed(tmp_path / "nowhere"), site)


@pytest.fixture
def mean_rate(folder: Path) -> Path:
    (folder / "timeseries.h5").unlink()
    velocity = np.full((ROWS, COLS), -0.10, dtype=np.float64)
    spread = np.full((ROWS, COLS), 0.004)
    velocity[4, 6] = spread[4, 6] = velocity[1, 2] = spread[1, 2] = 0.0
    span = {"START_DATE": "20200101", "END_DATE": "20211231", "UNIT": "m/year"}
    write(folder / "velocity.h5", {**ATTRIBUTES, **span}, velocity=velocity, velocityStd=spread)
    return folder


def test_a_mean_rate_comes_only_when_asked_for(mean_rate: Path, site: Site, poll: Any) -> None:
    with pytest.raises(BadInputError, match="mean_rate: true"):
        poll(feed(mean_rate), site)
    polled = poll(feed(mean_rate, mean_rate=True), site)
    assert [o.natural_key for o in polled.observations] == [
        "mintpy/d168/mean-rate 20200101-20211231/20200101",
        "mintpy/d168/mean-rate 20200101-20211231/20211231",
    ]
    start, end = (polled.arrays(d.values) for d in polled.data)
    years = (date(2021, 12, 31) - date(2020, 1, 1)).days / 365.25
    assert set(start["los_displacement_mm"]) == {0.0}
    assert set(start["sigma_mm"]) == {1.0}
    points = polled.arrays(polled.data[0].points)
    at_reference = (points["row"] == 1) & (points["col"] == 2)
    assert at_reference.sum() == 1
    assert len(at_reference) == ROWS * COLS - 2
    np.testing.assert_allclose(end["los_displacement_mm"][~at_reference], -100 * years)
    np.testing.assert_allclose(end["sigma_mm"][~at_reference], 4 * years)
    assert end["sigma_mm"][at_reference] == 1.0
    assert len(poll(feed(mean_rate, mean_rate=True), site, date(2021, 1, 1)).data) == 1


def test_a_mean_rate_without_a_span_is_refused(mean_rate: Path, site: Site, poll: Any) -> None:
    with h5py.File(mean_rate / "velocity.h5", "a") as file:
        del file.attrs["START_DATE"]
    with pytest.raises(BadInputError, match="START_DATE"):
        poll(feed(mean_rate, mean_rate=True), site)
