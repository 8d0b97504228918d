"""Folders of interferograms: names, headers, grids, signs, and files that are no good."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.artifacts import FileArtifacts
from core.errors import BadInputError, UnavailableError
from core.settings import Service, Site
from services.ingest.sources import interferograms

WAVELENGTH_MM = 55.46576
PAR = """Gamma Interferometric SAR Processor (ISP) - Image Parameter File

date:      2020 01 01
heading:                 -12.2742586   degrees
incidence_angle:             39.7036   degrees
azimuth_angle:               90.0000   degrees
radar_frequency:        5.4050005e+09  Hz
"""


def feed(folder: Path, **settings: Any) -> Any:
    given = {"folder": folder, "track": "t005", "style": "gamma", **settings}
    return interferograms.open(interferograms.Settings(**given), Service())


def plane(rows: int = 6, cols: int = 8, rate: float = 1.0) -> np.ndarray:
    row, col = np.mgrid[:rows, :cols]
    return (rate * (5.0 + 0.7 * row - 0.4 * col)).astype(np.float32)


@pytest.fixture
def stack(tmp_path: Path, write_tif: Callable[..., Path]) -> Path:
    """Three pairs in GAMMA names, a header, and something of a file half written."""
    (tmp_path / "headers").mkdir()
    (tmp_path / "headers" / "r20200101_slc.par").write_text(PAR)
    (tmp_path / "headers" / "base.par").write_text("initial_baseline(TCN): 0.0 1.0 2.0 m m m\n")
    for number, days in enumerate(("20200101-20200113", "20200101-20200125", "20200113-20200125")):
        write_tif(tmp_path / "ifg" / f"x_{days}_VV_8rlks_eqa_unw.tif", plane(rate=number + 1.0))
        coherence = np.full((6, 8), 0.5 + 0.1 * number, dtype=np.float32)
        write_tif(tmp_path / "ifg" / f"x_{days}_VV_8rlks_flat_eqa_cc.tif", coherence)
    (tmp_path / "ifg" / "x_20200125-20200206_VV_8rlks_eqa_unw.tif.part").write_bytes(b"II*")
    (tmp_path / "ifg" / ".x_20200125-20200206_eqa_unw.tif").write_bytes(b"II*")
    return tmp_path


def test_a_plane_comes_back_as_it_was_written(stack: Path, site: Site, poll: Any) -> None:
    polled = poll(feed(stack), site)
    assert not polled.rejections
    assert [(d.reference, d.secondary) for d in polled.data] == [
        (date(2020, 1, 1), date(2020, 1, 13)),
        (date(2020, 1, 1), date(2020, 1, 25)),
        (date(2020, 1, 13), date(2020, 1, 25)),
    ]
    points = polled.arrays(polled.data[0].points)
    assert {d.points for d in polled.data} == {polled.data[0].points}
    np.testing.assert_allclose(points["lon"], 10.0 + (points["col"] + 0.5) * 0.001, rtol=1e-14)
    np.testing.assert_allclose(points["lat"], 46.0 - (points["row"] + 0.5) * 0.001, rtol=1e-14)
    for number, data in enumerate(polled.data):
        layers = polled.arrays(data.layers)
        written = plane(rate=number + 1.0)
        np.testing.assert_array_equal(layers["phase_rad"], written[points["row"], points["col"]])
        np.testing.assert_array_equal(layers["coherence"], np.float32(0.5 + 0.1 * number))
        assert data.pixels == 48


def test_times_keys_header_and_looks(stack: Path, site: Site, poll: Any) -> None:
    first = poll(feed(stack), site).observations[0]
    assert first.natural_key == "interferograms/t005/20200101-20200113"
    assert first.valid_time == datetime(2020, 1, 13, tzinfo=UTC)
    assert first.data.wavelength_mm == pytest.approx(WAVELENGTH_MM, abs=1e-4)
    assert first.data.looks == site.noise.looks
    assert poll(feed(stack, looks=33), site).data[0].looks == 33


def test_line_of_sight_of_the_header_points_west_and_up(stack: Path, site: Site, poll: Any) -> None:
    polled = poll(feed(stack), site)
    points = polled.arrays(polled.data[0].points)
    los = [points[name][0] for name in ("los_east", "los_north", "los_up")]
    incidence, heading = math.radians(39.7036), math.radians(-12.2742586)
    expected = [
        -math.sin(incidence) * math.cos(heading),
        math.sin(incidence) * math.sin(heading),
        math.cos(incidence),
    ]
    np.testing.assert_allclose(los, expected, rtol=1e-12)


def test_only_pairs_that_end_in_the_span(stack: Path, site: Site, poll: Any) -> None:
    polled = poll(feed(stack), site, date(2020, 1, 14), date(2020, 1, 25))
    assert {d.secondary for d in polled.data} == {date(2020, 1, 25)}
    assert len(polled.data) == 2
    assert not poll(feed(stack), site, date(2020, 2, 1), date(2020, 3, 1)).items


def test_the_same_folder_gives_the_same_artifacts(
    stack: Path, site: Site, tmp_path: Path, poll: Any
) -> None:
    kept = FileArtifacts(tmp_path / "kept")
    once = list(feed(stack).poll(site, date.min, date.max, kept))
    again = poll(feed(stack), site).items
    assert once == again


def test_only_pixels_of_area_and_reference_box(
    stack: Path, make_site: Callable[..., Site], poll: Any
) -> None:
    area = (10.0, 45.998, 10.002, 46.0)
    polled = poll(feed(stack), make_site(area, box=(10.0061, 45.9951, 10.0072, 45.9959)))
    points = polled.arrays(polled.data[0].points)
    found = list(zip(points["row"].tolist(), points["col"].tolist(), strict=True))
    assert found == [(0, 0), (0, 1), (1, 0), (1, 1), (4, 6)]
    with pytest.raises(BadInputError, match="site's area"):
        poll(feed(stack), make_site((50.0, 10.0, 51.0, 11.0)))


def test_zero_is_no_data_and_low_coherence_is_left_out(
    stack: Path, site: Site, poll: Any, write_tif: Callable[..., Path]
) -> None:
    phase, coherence = plane(), np.full((6, 8), 0.8, dtype=np.float32)
    phase[0, 0], phase[1, 1], coherence[2, 2], coherence[3, 3] = 0.0, np.nan, 0.2, 0.0
    write_tif(stack / "ifg" / "x_20200101-20200113_VV_8rlks_eqa_unw.tif", phase)
    write_tif(stack / "ifg" / "x_20200101-20200113_VV_8rlks_flat_eqa_cc.tif", coherence)
    polled = poll(feed(stack), site)
    layers = polled.arrays(polled.data[0].layers)
    assert np.flatnonzero(np.isnan(layers["phase_rad"])).tolist() == [0, 9]
    assert np.flatnonzero(np.isnan(layers["coherence"])).tolist() == [27]
    polled = poll(feed(stack, min_coherence=0.3), site)
    layers = polled.arrays(polled.data[0].layers)
    assert np.flatnonzero(np.isnan(layers["phase_rad"])).tolist() == [0, 9, 18, 27]
    assert polled.data[0].pixels == 44


def test_a_processor_with_the_other_sign(stack: Path, site: Site, poll: Any) -> None:
    away, toward = (poll(feed(stack, positive=sign), site) for sign in ("away", "toward"))
    phase = away.arrays(away.data[0].layers)["phase_rad"]
    np.testing.assert_array_equal(toward.arrays(toward.data[0].layers)["phase_rad"], -phase)


def test_a_corrupt_file_costs_only_its_pair(stack: Path, site: Site, poll: Any) -> None:
    path = stack / "ifg" / "x_20200101-20200113_VV_8rlks_eqa_unw.tif"
    path.write_bytes(path.read_bytes()[:150])
    polled = poll(feed(stack), site)
    assert [r.code for r in polled.rejections] == ["R08"]
    assert polled.rejections[0].natural_key == "interferograms/t005/20200101-20200113"
    assert len(polled.data) == 2
    path.write_text("<html>quota exceeded</html>")
    assert [r.code for r in poll(feed(stack), site).rejections] == ["R08"]


def test_a_cut_off_file_costs_only_its_pair(stack: Path, site: Site, poll: Any) -> None:
    path = stack / "ifg" / "x_20200101-20200125_VV_8rlks_flat_eqa_cc.tif"
    path.write_bytes(path.read_bytes()[:-60])
    polled = poll(feed(stack), site)
    assert [r.code for r in polled.rejections] == ["R08"]
    assert len(polled.data) == 2


def test_missing_coherence_is_missing_metadata(stack: Path, site: Site, poll: Any) -> None:
    (stack / "ifg" / "x_20200101-20200125_VV_8rlks_flat_eqa_cc.tif").unlink()
    polled = poll(feed(stack), site)
    assert [(r.code, "coherence" in r.reason) for r in polled.rejections] == [("R11", True)]
    assert len(polled.data) == 2


@pytest.mark.parametrize(
    "changed",
    [{"corner": (10.0004, 46.0)}, {"step": 0.0011}, {"crs": "EPSG:32632"}, {"crs": None}],
)
def test_another_grid_is_rejected(
    stack: Path, site: Site, poll: Any, write_tif: Callable[..., Path], changed: dict[str, Any]
) -> None:
    write_tif(stack / "ifg" / "x_20200101-20200125_VV_8rlks_eqa_unw.tif", plane(), **changed)
    polled = poll(feed(stack), site)
    assert [r.code for r in polled.rejections] == ["R11"]
    assert len(polled.data) == 2


def test_a_shifted_extent_on_the_same_pixels_is_read_in_place(
    stack: Path, site: Site, poll: Any, write_tif: Callable[..., Path]
) -> None:
    for name, values in (("eqa_unw", plane()), ("flat_eqa_cc", np.full((6, 8), 0.7, np.float32))):
        path = stack / "ifg" / f"x_20200101-20200125_VV_8rlks_{name}.tif"
        write_tif(path, values, corner=(10.0 + 3 * 0.001, 46.0 + 2 * 0.001))
    polled = poll(feed(stack), site)
    assert not polled.rejections
    phase = polled.arrays(polled.data[1].layers)["phase_rad"].reshape(6, 8)
    expected = np.full((6, 8), np.nan, dtype=np.float32)
    expected[:4, 3:] = plane()[2:, :5]
    np.testing.assert_array_equal(phase, expected)


def test_degrees_and_wrapped_phase_are_other_units(
    stack: Path, site: Site, poll: Any, write_tif: Callable[..., Path]
) -> None:
    wrapped = np.angle(np.exp(1j * plane(rate=3.0))).astype(np.float32)
    write_tif(stack / "ifg" / "x_20200101-20200113_VV_8rlks_eqa_unw.tif", wrapped)
    write_tif(stack / "ifg" / "x_20200101-20200125_VV_8rlks_eqa_unw.tif", plane(rate=900.0))
    polled = poll(feed(stack), site)
    assert [r.code for r in polled.rejections] == ["R07", "R07"]
    assert "wrapped" in polled.rejections[0].reason
    assert len(polled.data) == 1


def test_a_quiet_unwrapped_phase_is_not_taken_for_a_wrapped_one(
    stack: Path, site: Site, poll: Any, write_tif: Callable[..., Path]
) -> None:
    quiet = (plane() * 0.2).astype(np.float32)
    assert abs(quiet).max() < math.pi
    write_tif(stack / "ifg" / "x_20200101-20200113_VV_8rlks_eqa_unw.tif", quiet)
    assert not poll(feed(stack), site).rejections


def test_coherence_in_bytes_is_another_unit(
    stack: Path, site: Site, poll: Any, write_tif: Callable[..., Path]
) -> None:
    path = stack / "ifg" / "x_20200101-20200113_VV_8rlks_flat_eqa_cc.tif"
    write_tif(path, np.full((6, 8), 200, dtype=np.uint8))
    assert [r.code for r in poll(feed(stack), site).rejections] == ["R07"]


def test_names_without_dates_and_twice_the_same_pair(
    stack: Path, site: Site, poll: Any, write_tif: Callable[..., Path]
) -> None:
    for name in ("x_20201301-20200113_eqa_unw.tif", "x_20200125-20200113_eqa_unw.tif"):
        write_tif(stack / name, plane())
    write_tif(stack / "y" / "x_20200101-20200113_VV_8rlks_eqa_unw.tif", plane())
    polled = poll(feed(stack), site)
    assert sorted(r.code for r in polled.rejections) == ["R05", "R05", "R06"]
    assert len(polled.data) == 3


def test_a_folder_that_is_not_there_or_named_otherwise(stack: Path, site: Site, poll: Any) -> None:
    with pytest.raises(UnavailableError, match="folder"):
        poll(feed(stack / "nowhere"), site)
    with pytest.raises(BadInputError, match="style"):
        poll(feed(stack, style="hyp3"), site)
    (stack / "empty").mkdir()
    assert not poll(feed(stack / "empty"), site).items


def test_a_stack_without_headers_needs_a_wavelength(stack: Path, site: Site, poll: Any) -> None:
    (stack / "headers" / "r20200101_slc.par").unlink()
    with pytest.raises(BadInputError, match="wavelength_mm"):
        poll(feed(stack), site)
    polled = poll(feed(stack, wavelength_mm=55.5), site)
    assert polled.data[0].wavelength_mm == 55.5
    assert np.isnan(polled.arrays(polled.data[0].points)["los_up"]).all()


def test_a_header_with_a_broken_number_says_so(stack: Path, site: Site, poll: Any) -> None:
    (stack / "headers" / "r20200101_slc.par").write_text(PAR.replace("-12.2742586", "-12.2x"))
    with pytest.raises(BadInputError, match="heading"):
        poll(feed(stack), site)
