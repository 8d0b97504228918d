"""Tables of displacement in three layouts, with the faults that tables have."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from core.errors import BadInputError, UnavailableError
from core.settings import Service, Site
from services.ingest.sources import table

EGMS = (
    "pid,mp_type,latitude,longitude,easting,northing,height,height_wgs84,line,pixel,rmse,"
    "temporal_coherence,amplitude_dispersion,incidence_angle,track_angle,los_east,los_north,"
    "los_up,mean_velocity,mean_velocity_std,acceleration,acceleration_std,seasonality,"
    "seasonality_std,20200103,20200109,20200115\n"
)


def egms_row(pid: str, lat: str, lon: str, *values: str) -> str:
    geometry = "39.0,348.0,-0.6156,-0.1308,0.7771"
    rest = "1,2,450.5,500.1,7,8,1.5,0.95,0.1"
    rates = "-3,0.1,0,0.1,1,0.1"
    return f"{pid},0,{lat},{lon},{rest},{geometry},{rates},{','.join(values)}\n"


def feed(where: Path | str, **settings: Any) -> Any:
    return table.open(table.Settings(where=str(where), track="t44", **settings), Service())


@pytest.fixture
def egms(tmp_path: Path) -> Path:
    path = tmp_path / "EGMS_L2b_044_0246_IW2_VV.csv"
    path.write_text(
        EGMS
        + egms_row("b", "45.98", "10.01", "0.0", "-1.5", "-3.25")
        + egms_row("a", "45.97", "10.02", "0.5", "", "NaN")
        + egms_row("far", "50.0", "10.02", "0.5", "1", "2")
    )
    return path


def by_name(polled: Any, data: Any, field: str = "los_displacement_mm") -> dict[str, float]:
    names = polled.arrays(data.points)["id"].tolist()
    return dict(zip(names, polled.arrays(data.values)[field].tolist(), strict=True))


def test_egms_as_downloaded(egms: Path, site: Site, poll: Any) -> None:
    polled = poll(feed(egms, columns={"sigma": "rmse*"}), site)
    assert [(r.code, r.natural_key) for r in polled.rejections] == [
        ("R09", "table/t44/points outside")
    ]
    assert [d.epoch for d in polled.data] == [date(2020, 1, d) for d in (3, 9, 15)]
    assert {d.reference_epoch for d in polled.data} == {date(2020, 1, 3)}
    assert polled.observations[1].natural_key == "table/t44/20200109"
    assert polled.observations[1].valid_time == datetime(2020, 1, 9, tzinfo=UTC)
    assert [d.measured for d in polled.data] == [2, 1, 1]
    assert by_name(polled, polled.data[2])["b"] == -3.25
    assert np.isnan(by_name(polled, polled.data[2])["a"])
    assert by_name(polled, polled.data[2], "sigma_mm")["b"] == 1.5
    assert np.isnan(by_name(polled, polled.data[2], "sigma_mm")["a"])
    points = polled.arrays(polled.data[0].points)
    assert points["id"].tolist() == ["a", "b"]
    assert points["lon"].tolist() == [10.02, 10.01]
    assert points["los_east"].tolist() == [-0.6156, -0.6156]
    assert points["height_m"].tolist() == [450.5, 450.5]
    assert "slope_deg" not in points


def test_the_span_and_the_first_epoch(egms: Path, site: Site, poll: Any) -> None:
    polled = poll(feed(egms), site, date(2020, 1, 10), date(2020, 2, 1))
    assert [d.epoch for d in polled.data] == [date(2020, 1, 15)]
    assert polled.data[0].reference_epoch == date(2020, 1, 3)


def test_line_of_sight_from_angles_where_there_are_no_components(
    egms: Path, site: Site, poll: Any
) -> None:
    whole = poll(feed(egms), site)
    egms.write_text(egms.read_text().replace("los_", "xyz_"))
    by_angle = poll(feed(egms), site)
    for name in ("los_east", "los_north", "los_up"):
        one, other = (p.arrays(p.data[0].points)[name] for p in (whole, by_angle))
        np.testing.assert_allclose(one, other, atol=2e-4)


def test_bad_cells_and_rows_one_by_one(egms: Path, site: Site, poll: Any) -> None:
    with egms.open("a") as file:
        file.write(egms_row("c", "45.96", "10.03", "1", "broken", "2"))
        file.write(egms_row("d", "north", "10.03", "1", "1", "2"))
        file.write(egms_row("e", "95.0", "10.03", "1", "1", "2"))
        file.write(egms_row("", "45.96", "10.03", "1", "1", "2"))
        file.write(egms_row("a", "45.96", "10.02", "0.5", "", "NaN"))
        file.write(egms_row("b", "45.98", "10.01", "0.0", "-1.5", "-3.26"))
        file.write("short,row\n")
    polled = poll(feed(egms), site)
    found = [(r.code, r.natural_key) for r in polled.rejections]
    assert found == [
        ("R03", "table/t44/row 5 c 20200109"),
        ("R03", "table/t44/row 6"),
        ("R04", "table/t44/row 7"),
        ("R02", "table/t44/row 8"),
        ("R06", "table/t44/row 9"),
        ("R06", "table/t44/row 10 b 2020-01-15"),
        ("R01", "table/t44/row 11"),
        ("R09", "table/t44/points outside"),
    ]
    assert by_name(polled, polled.data[2]) == pytest.approx(
        {"a": np.nan, "b": -3.25, "c": 2.0}, nan_ok=True
    )


def test_a_day_twice_among_the_columns(egms: Path, site: Site, poll: Any) -> None:
    egms.write_text(egms.read_text().replace("20200115", "20200109"))
    polled = poll(feed(egms), site)
    assert [r.code for r in polled.rejections] == ["R06", "R09"]
    assert by_name(polled, polled.data[1])["b"] == -1.5
    egms.write_text(egms.read_text().replace("-3.25", "-1.5"))
    assert [r.code for r in poll(feed(egms), site).rejections] == ["R09"]


@pytest.fixture
def places(tmp_path: Path) -> Path:
    path = tmp_path / "points.csv"
    path.write_text(
        "pid,longitude,latitude,height\n1,10.01,45.99,300\nP2,10.02,45.98,310\nX,20,45,0\n"
    )
    return path


def test_a_row_an_epoch_in_any_order(tmp_path: Path, places: Path, site: Site, poll: Any) -> None:
    path = tmp_path / "epochs.csv"
    path.write_text(
        "date;1;P2;X;stray\n2020-01-13;0,5;1,0;9;9\n2020-01-01;0;0;9;9\n"
        "2020-01-13;0,5;1,1;9;9\nsoon;1;1;9;9\n1020-01-01;1;1;9;9\n"
    )
    polled = poll(
        feed(
            path,
            layout="epochs",
            points=str(places),
            table={"separator": ";", "decimal": ","},
            unit="cm",
            positive="away",
            sigma_mm=2.0,
            heading_deg=-12.0,
            incidence_deg=39.0,
        ),
        site,
    )
    codes = [r.code for r in polled.rejections]
    assert codes == ["R11", "R06", "R05", "R05", "R05", "R09"]
    assert "stray" in polled.rejections[0].reason
    assert [d.epoch for d in polled.data] == [date(2020, 1, 1), date(2020, 1, 13)]
    assert by_name(polled, polled.data[1]) == {"1": -5.0, "P2": -10.0}
    assert set(by_name(polled, polled.data[1], "sigma_mm").values()) == {2.0}
    assert polled.arrays(polled.data[0].points)["los_east"][0] < -0.6


def test_a_row_a_value(tmp_path: Path, places: Path, site: Site, poll: Any) -> None:
    path = tmp_path / "long.csv"
    path.write_text(
        "point,date,value,sd\n1,2020-01-13,0.004,0.001\n1,2020-01-01,0,0.001\n"
        "P2,2020-01-13,bad,0.001\nP2,2020-01-01,0.001,\nQ,2020-01-01,0,0\nX,2020-01-01,0,0\n"
    )
    polled = poll(
        feed(path, layout="long", points=str(places), unit="m", columns={"sigma": "sd"}), site
    )
    assert [r.code for r in polled.rejections] == ["R03", "R11", "R09"]
    assert by_name(polled, polled.data[1]) == pytest.approx({"1": 4.0, "P2": np.nan}, nan_ok=True)
    assert by_name(polled, polled.data[0], "sigma_mm") == {"1": 1.0, "P2": 3.0}


def test_a_plane_of_motion_comes_back(tmp_path: Path, site: Site, poll: Any) -> None:
    random = np.random.default_rng(3)
    lon, lat = 10 + 0.05 * random.random(30), 45.95 + 0.05 * random.random(30)
    days = [date(2021, 1, 1 + 6 * k) for k in range(5)]
    series = np.outer(np.arange(5), 3.0 * (lon - 10) - 7.0 * (lat - 45.95))
    lines = [",".join(["pid", "longitude", "latitude", *(f"{d:%Y%m%d}" for d in days)])]
    for index in range(30):
        cells = [f"p{index:02d}", repr(float(lon[index])), repr(float(lat[index]))]
        lines.append(",".join(cells + [repr(float(v)) for v in series[:, index]]))
    (tmp_path / "plane.csv").write_text("\n".join(lines))
    polled = poll(feed(tmp_path / "plane.csv"), site)
    for data, expected in zip(polled.data, series, strict=True):
        values = polled.arrays(data.values)["los_displacement_mm"]
        np.testing.assert_array_equal(values, expected)


def test_what_is_no_such_table(tmp_path: Path, egms: Path, site: Site, poll: Any) -> None:
    with pytest.raises(UnavailableError, match="cannot read"):
        poll(feed(tmp_path / "nowhere.csv"), site)
    with pytest.raises(BadInputError, match="named like a day"):
        poll(feed(egms, columns={"epoch_format": "D%Y%m%d"}), site)
    egms.write_text(EGMS + egms_row("far", "50.0", "10.02", "0.5", "1", "2"))
    with pytest.raises(BadInputError, match="inside the site's area"):
        poll(feed(egms), site)
    egms.write_text("<html></html>")
    with pytest.raises(BadInputError, match="web page"):
        poll(feed(egms), site)
    with pytest.raises(ValidationError, match="needs `points`"):
        table.Settings(where="x", track="t", layout="long")


@pytest.fixture
def served(egms: Path) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(egms.read_bytes())

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/egms.csv?id=secret"
    server.shutdown()
    thread.join()
    server.server_close()


def test_over_http(served: str, egms: Path, site: Site, poll: Any) -> None:
    assert poll(feed(served), site).items == poll(feed(egms), site).items
