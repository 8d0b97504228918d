"""The sources on real data: Mexico City interferograms, Kirishima rates, HyP3 products."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from core.errors import BadInputError
from core.settings import Service, Site
from services.ingest.sources import _headers, interferograms, mintpy

MEXICO_AREA = (-99.1911, 19.3679, -99.0521, 19.4513)
MEXICO_FIRM = (-99.1911, 19.4096, -99.1772, 19.4513)


def test_mexico_city_stack(recorded: Path, make_site: Callable[..., Site], poll: Any) -> None:
    settings = interferograms.Settings(
        folder=recorded.parent / "data" / "pyrate_cropA_s1", track="t005a", style="gamma"
    )
    site = make_site(MEXICO_AREA, MEXICO_FIRM)
    polled = poll(interferograms.open(settings, Service()), site)
    assert not polled.rejections
    assert len(polled.data) == 30
    assert len({day for d in polled.data for day in (d.reference, d.secondary)}) == 13
    assert len({d.points for d in polled.data}) == 1
    assert all(abs(d.wavelength_mm - 55.466) < 1e-3 for d in polled.data)
    assert [d.secondary for d in polled.data] == sorted(d.secondary for d in polled.data)
    phases = [polled.arrays(d.layers)["phase_rad"] for d in polled.data]
    assert int(np.all(np.isfinite(phases), axis=0).sum()) == 5882
    points = polled.arrays(polled.data[0].points)
    assert points["lon"].shape == (6000,)
    los = [points[name][0] for name in ("los_east", "los_north", "los_up")]
    np.testing.assert_allclose(los, [-0.6242, -0.1358, 0.7694], atol=1e-4)
    assert points["height_m"].min() == 2217
    assert points["height_m"].max() == 2287


def test_firm_ground_of_mexico_city_is_the_box_of_its_pixel_centres(
    recorded: Path, make_site: Callable[..., Site], poll: Any
) -> None:
    settings = interferograms.Settings(
        folder=recorded.parent / "data" / "pyrate_cropA_s1", track="t005a", style="gamma"
    )
    polled = poll(interferograms.open(settings, Service()), make_site(MEXICO_FIRM))
    points = polled.arrays(polled.data[0].points)
    assert points["row"].shape == (300,)
    assert (points["row"].max(), points["col"].max()) == (29, 9)


def test_kirishima_mean_rate(recorded: Path, make_site: Callable[..., Site], poll: Any) -> None:
    folder = recorded.parent / "data" / "kirishima_mintpy"
    site = make_site((130.8, 31.85, 130.95, 32.0))
    without = mintpy.open(mintpy.Settings(folder=folder, track="d23"), Service())
    with pytest.raises(BadInputError, match="mean_rate"):
        poll(without, site)
    settings = mintpy.Settings(folder=folder, track="d23", mean_rate=True, dem="height.tif")
    polled = poll(mintpy.open(settings, Service()), site)
    assert [f"{d.epoch:%Y%m%d}" for d in polled.data] == ["20150209", "20170918"]
    points = polled.arrays(polled.data[0].points)
    with (
        h5py.File(folder / "velocity.h5") as file,
        h5py.File(folder / "temporalCoherence.h5") as beside,
    ):
        attributes = dict(file.attrs)
        rate, spread = file["velocity"][:], file["velocityStd"][:]
        coherent = beside["temporalCoherence"][:] >= 0.7
    place = int(attributes["REF_Y"]), int(attributes["REF_X"])
    coherent &= (rate != 0) | (spread != 0)
    coherent[place] = True
    assert points["lon"].shape == (int(coherent.sum()),)
    index = np.flatnonzero((points["row"] == place[0]) & (points["col"] == place[1]))[0]
    assert points["lat"][index] == pytest.approx(float(attributes["REF_LAT"]), abs=1e-8)
    assert points["lon"][index] == pytest.approx(float(attributes["REF_LON"]), abs=1e-8)
    end = polled.arrays(polled.data[1].values)
    years = 952 / 365.25
    at = points["row"], points["col"]
    expected = rate[at].astype(np.float64) * years * 1e3
    np.testing.assert_allclose(end["los_displacement_mm"], expected, rtol=1e-12)
    deviation = np.maximum(spread[at].astype(np.float64) * years * 1e3, 1.0)
    np.testing.assert_allclose(end["sigma_mm"], deviation, rtol=1e-12)
    assert 400 < points["height_m"].min() < points["height_m"].max() < 1740
    assert 0 <= np.nanmin(points["slope_deg"]) < np.nanmax(points["slope_deg"]) < 75


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("hyp3_isce2/history_product_663F/S1_136232_IW2_20200604_20200616_VV_INT80_663F", -167.44),
        ("mintpy/S1_056072_IW2_20220814_20220907_VV_INT80_E09B", -13.31),
        (
            "mintpy/S1_044_000000s1n00-093117s2n01-093118s3n01_IW_20250718_20250730_VV_INT80_B4FA",
            -164.28,
        ),
        ("mintpy/S1AC_20251001T204513_20251007T204359_HHR006_INT40_G_ueF_1DBE", -18.15),
    ],
)
def test_hyp3_metadata(recorded: Path, name: str, heading: float) -> None:
    header = _headers.read_hyp3(recorded / f"{name}.txt")
    assert header is not None
    assert header.heading_deg == pytest.approx(heading, abs=0.01)
    assert header.incidence_deg is not None
    assert 29 < header.incidence_deg < 46
    assert header.wavelength_mm == pytest.approx(55.466, abs=1e-3)
    assert header.day is not None
    assert f"{header.day:%Y%m%d}" in name


def test_hyp3_layers_under_their_product_name(
    recorded: Path, tmp_path: Path, make_site: Callable[..., Site], poll: Any
) -> None:
    name = "S1_136232_IW2_20200604_20200616_VV_INT80_663F"
    sample = recorded / "hyp3_isce2"
    (tmp_path / name).mkdir()
    for layer in ("unw_phase", "corr", "lv_theta", "lv_phi", "dem"):
        file = sample / "history_insar_mini" / f"insar_{layer}.tif"
        shutil.copy(file, tmp_path / name / f"{name}_{layer}.tif")
    text = sample / "history_product_663F" / f"{name}.txt"
    shutil.copy(text, tmp_path / name / text.name)
    settings = interferograms.Settings(folder=tmp_path, track="d136")
    site = make_site((-119, 35, -117, 36.5))
    polled = poll(interferograms.open(settings, Service()), site)
    assert not polled.rejections
    assert polled.data[0].pixels == 98
    points = polled.arrays(polled.data[0].points)
    los = np.array([points[n] for n in ("los_east", "los_north", "los_up")])
    np.testing.assert_allclose((los**2).sum(axis=0), 1.0, atol=1e-12)
    assert (los[0] > 0.6).all()  # a descending radar looks from the east
    assert 1470 < points["height_m"].min() < points["height_m"].max() < 1827
