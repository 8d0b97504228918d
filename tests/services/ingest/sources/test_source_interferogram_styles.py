"""Ways in which processors name interferograms and tell their geometry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from core.settings import Service, Site
from services.ingest.sources import interferograms


def feed(folder: Path, **settings: Any) -> Any:
    given = interferograms.Settings(folder=folder, track="t005", **settings)
    return interferograms.open(given, Service())


def plane(rows: int = 6, cols: int = 8) -> np.ndarray:
    row, col = np.mgrid[:rows, :cols]
    return (5.0 + 0.7 * row - 0.4 * col).astype(np.float32)


def test_own_patterns_must_name_both_dates() -> None:
    with pytest.raises(ValidationError, match="reference and secondary"):
        interferograms.Settings(folder=Path(), track="t", phase=r"^ifg_(\d+)")
    with pytest.raises(ValidationError, match="regular expression"):
        interferograms.Settings(folder=Path(), track="t", phase="(")


def test_own_patterns(
    tmp_path: Path, site: Site, poll: Any, write_tif: Callable[..., Path]
) -> None:
    write_tif(tmp_path / "20200101_20200113" / "20200101_20200113.unw.geo.tif", plane())
    coherence = np.full((6, 8), 0.5, dtype=np.float32)
    write_tif(tmp_path / "20200101_20200113" / "20200101_20200113.cc.geo.tif", coherence)
    days = r"(?P<reference>\d{8})_(?P<secondary>\d{8})"
    polled = poll(
        feed(
            tmp_path,
            style="gamma",
            phase=rf"^{days}\.unw\.geo\.tif$",
            coherence=rf"^{days}\.cc\.geo\.tif$",
            wavelength_mm=55.5,
            heading_deg=-168.0,
            incidence_deg=35.0,
        ),
        site,
    )
    assert len(polled.data) == 1
    points = polled.arrays(polled.data[0].points)
    assert points["los_east"][0] > 0.5


def test_a_hyp3_product_in_utm(
    tmp_path: Path, make_site: Callable[..., Site], poll: Any, write_tif: Callable[..., Path]
) -> None:
    name = "S1_136232_IW2_20200604_20200616_VV_INT80_663F"
    utm = {"corner": (392680.0, 3962360.0), "step": 80.0, "crs": "EPSG:32611"}
    for layer, value in {
        "unw_phase": plane(10, 10),
        "corr": np.full((10, 10), 0.9, np.float32),
        "lv_theta": np.full((10, 10), 0.8184, np.float32),
        "lv_phi": np.full((10, 10), -0.1691, np.float32),
        "dem": (1000 + 80 * np.mgrid[:10, :10][1]).astype(np.float32),
    }.items():
        write_tif(tmp_path / name / f"{name}_{layer}.tif", value, nodata=0.0, **utm)
    (tmp_path / name / f"{name}.txt").write_text(
        "Reference Granule: S1_136232_IW2_20200604T022315_VV_7C85-BURST\nHeading: -167.44\n"
    )
    (tmp_path / name / f"{name}_README.md.txt").write_text("# README\n")
    polled = poll(feed(tmp_path, style="hyp3"), make_site((-119, 35, -117, 36.5)))
    assert polled.data[0].pixels == 100
    assert polled.data[0].wavelength_mm == pytest.approx(55.46576, abs=1e-3)
    points = polled.arrays(polled.data[0].points)
    los = [points[n][0] for n in ("los_east", "los_north", "los_up")]
    np.testing.assert_allclose(los, [0.674, -0.115, 0.730], atol=1e-3)
    inner = (points["row"] % 9 > 0) & (points["col"] % 9 > 0)
    np.testing.assert_allclose(points["slope_deg"][inner], 45.0, rtol=1e-6)
    np.testing.assert_allclose(points["aspect_deg"][inner], 270.0, rtol=1e-6)
    # Zone 11 has its meridian at 117 W; this corner lies 107 km west of it.
    assert abs(points["lon"][0] - -118.188) < 0.01
    assert abs(points["lat"][0] - 35.799) < 0.01
