"""A new site file loads, says what each line is for, and never costs the user his own file."""

import copy
import importlib
import json
import threading
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from core.errors import SettingsError
from core.settings import Endpoints, Service, load_site
from services.commands import config
from services.commands._site_units import area_round, km_between, read_units
from services.commands.site_new import create
from services.ingest import http

TODAY = date(2024, 6, 30)
HERE = (64.99, -147.6)
ISD = '"USAF","WBAN","STATION NAME","CTRY","STATE","ICAO","LAT","LON","ELEV(M)","BEGIN","END"\n'


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch):
    monkeypatch.setattr(http, "FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(http, "LONGEST_WAIT_S", 0.0)
    generator = importlib.import_module("asf_search.search.search_generator")
    monkeypatch.setattr(generator.get_page.retry, "sleep", lambda _: None)


class World:
    """The outside services on 127.0.0.1: files by path, granules by collection; else 404."""

    def __init__(self):
        self.files, self.items, self.asked, self.down = {}, {"SLC": [], "BURST": []}, [], False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self):
                length = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                fields = parse_qs(self.rfile.read(length).decode() or parts.query)
                outer.asked.append((parts.path, fields))
                status, body = outer.answer(parts.path, fields)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _serve  # noqa: N815

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def answer(self, path, fields):
        if self.down:
            return 503, b"out of order"
        if path == "/search/granules.umm_json":
            bursts = "SENTINEL-1_BURSTS" in fields.get("shortName", [])
            items = self.items["BURST" if bursts else "SLC"]
            return 200, json.dumps({"hits": len(items), "items": items}).encode()
        return (200, self.files[path]) if path in self.files else (404, b"none")

    def close(self):
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def world():
    world = World()
    yield world
    world.close()


@pytest.fixture
def service(world, tmp_path):
    endpoints = Endpoints(
        cmr=world.url,
        gsod=f"{world.url}/data/global-summary-of-the-day/access",
        usgs=f"{world.url}/nwis/dv/",
    )
    return Service(data=tmp_path / "var", sites=tmp_path / "sites", endpoints=endpoints).resolved()


def make(service, name="hill", **given):
    said = []
    asked = {"source": None, "at": HERE, "radius_km": 1.0, "path": None, "today": TODAY}
    path = create(name, service=service, echo=said.append, **{**asked, **given})
    return path, "\n".join(said)


def geojson(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def feature(ring, kind="Polygon", **properties):
    coordinates = [ring] if kind == "Polygon" else [[ring]]
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def square(lon, lat, size=0.01):
    east, north = lon + size, lat + size
    return [[lon, lat, 5.0], [east, lat], [east, north], [lon, north], [lon, lat]]


def granule(recorded, name, day, **attributes):
    path = recorded / "derived_cmr_envelopes" / f"{name}.json"
    item = copy.deepcopy(json.loads(path.read_bytes())["items"][0])
    umm, when = item["umm"], f"{day}T03:20:58Z"
    umm["TemporalExtent"]["RangeDateTime"] = {"BeginningDateTime": when, "EndingDateTime": when}
    for identifier in umm.get("DataGranule", {}).get("Identifiers") or []:
        identifier["Identifier"] += day
    umm["GranuleUR"] += day
    for one in umm["AdditionalAttributes"]:
        one["Values"] = attributes.get(one["Name"], one["Values"])
    return item


@pytest.fixture
def known_world(world, recorded):
    """Passes every 12 days, one working rain station, one lake; recordings moved to the place."""
    days = ["2024-05-25", "2024-06-06", "2024-06-18", "2024-06-30"]
    world.items["SLC"] = [granule(recorded, "Fairbanks_SLC", day) for day in days]
    world.items["BURST"] = [
        granule(recorded, "SLC_BURST", "2024-06-18", PATH_NUMBER=["94"]),
        {"umm": None},
    ]
    world.files["/pub/data/noaa/isd-history.csv"] = (
        ISD
        + '"010020","99999","CLOSED","NO","","","+64.980","-147.600","9","19310101","20200101"\n'
        '"010010","99999","JAN\nMAYEN","NO","","","+65.000","-147.900","9","19310101","20240615"\n'
        '"010030","99999","NO RAIN","NO","","","+64.991","-147.601","9","19310101","20240620"\n'
        '"010040","99999","FAR","NO","","","+70.000","-147.900","9","19310101","20240629"\n'
        '"010050","99999","NOWHERE","NO","","","","","9","19310101","20240629"\n'
    ).encode()
    gsod = (recorded / "gsod" / "01001099999.csv").read_bytes()
    world.files["/data/global-summary-of-the-day/access/2024/01001099999.csv"] = gsod
    rdb = (recorded / "usgs" / "waterservices_site.txt").read_text()
    lake = rdb.replace("GREENSBORO, MD\tST\t38.99719444\t-75.7858056", "LAKE\tLK\t65.1\t-147.5")
    world.files["/nwis/site/"] = lake.encode()
    return world


def test_what_the_outside_knows_is_filled_in(service, known_world):
    path, said = make(service)
    site, text = load_site(path), path.read_text()
    passes, rain, level = (feed.model_dump() for feed in site.feeds)
    assert passes == {"kind": "asf", "product": "SLC", "paths": [94]}
    assert rain == {"kind": "gsod", "station": "01001099999"}
    assert level == {"kind": "usgs", "site": "01491000"}
    assert (site.repeat_days, site.watched_from) == (12, TODAY)
    assert "A94: path 94 ASCENDING, SENTINEL-1B, last 2024-06-30 03:20 UTC, every 12 days" in text
    assert "bursts 174_372326_IW3" in text
    assert "JAN MAYEN" in text
    assert "SENECA" not in text
    assert "CLOSED" not in text
    assert "01491000 CHOPTANK RIVER NEAR LAKE" in said
    ((_, asked),) = [one for one in known_world.asked if one[0] == "/nwis/site/"]
    assert asked["siteType"] == ["LK"]
    assert asked["parameterCd"] == ["62614,62615"]
    assert asked["hasDataTypeCd"] == ["dv"]


def test_series_of_a_gauge_are_told_apart_and_old_ones_left_out(service, known_world):
    names = "agency_cd\tsite_no\tstation_nm\tsite_tp_cd\tdec_lat_va\tdec_long_va"
    names += "\tparm_cd\tstat_cd\tend_date"
    place = "LK\t65.0\t-147.5"
    rows = [
        f"USGS\t11111111\tOLD\t{place}\t62614\t00003\t2010-01-01",
        f"USGS\t22222222\tNEW\t{place}\t00010\t00003\t2024-06-29",
        f"USGS\t22222222\tNEW\t{place}\t62615\t32400\t2024-06-29",
    ]
    known_world.files["/nwis/site/"] = "\n".join(["# x", names, "5s\t15s", *rows]).encode()
    site = load_site(make(service)[0])
    expected = {"kind": "usgs", "site": "22222222", "parameter": "62615", "statistic": "32400"}
    assert site.feeds[-1].model_dump() == expected


def test_what_is_found_passes_the_check(service, known_world):
    make(service)
    lines = []
    assert config.check(service, lines.append)
    assert not [line for line in lines if line.startswith("error")]


@pytest.mark.parametrize("down", [True, False])
def test_a_silent_or_empty_world_leaves_lines_marked_missing(service, world, down):
    world.down = down
    path, said = make(service)
    site, text = load_site(path), path.read_text()
    assert [feed.model_dump() for feed in site.feeds] == [{"kind": "asf", "product": "SLC"}]
    for what in ("rain", "Sentinel-1", "reservoir"):
        assert any("MISSING" in line and what in line for line in text.splitlines()), what
    reasons = [line for line in text.splitlines() if "MISSING" in line and "503" in line]
    assert len(reasons) == (3 if down else 0)
    for what in ("firm ground", "displacement", "recipients", "config check", "--site hill"):
        assert what in said


def test_nonsense_from_outside_is_one_sentence_each(service, world):
    world.files["/pub/data/noaa/isd-history.csv"] = b"<html>\nlogin</html>"
    world.files["/nwis/site/"] = b"\x00\xff\r\n"
    path, said = make(service)
    assert load_site(path)
    assert said.count("the list of stations has no columns") == 4


def test_offline_asks_nobody(service, world):
    path, _ = make(service, offline=True)
    assert not world.asked
    site = load_site(path)
    (unit,) = site.slope_units
    assert site.reference.scene_median
    for lon, lat in unit.polygon:
        assert km_between(*HERE, lat, lon) == pytest.approx(1.0, abs=2e-3)
    west, south, _, _ = site.area
    assert km_between(HERE[0], HERE[1], south, HERE[1]) == pytest.approx(2.0, abs=2e-3)
    assert km_between(HERE[0], HERE[1], HERE[0], west) == pytest.approx(2.0, abs=5e-3)
    assert site.rules == ()


def test_every_line_of_the_file_has_its_reason(service, tmp_path):
    units = geojson(tmp_path / "u.json", feature(square(7, 46), id="a", slope_deg=3, aspect_deg=9))
    text = make(service, at=None, source=units, offline=True)[0].read_text()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line and line[0].isalpha():
            key = line.partition(":")[0]
            told = lines[number - 1].startswith("#") or "#" in line
            assert told or key == "rules", line
    assert "rules: []" in text
    assert "MISSING: slope_deg" not in text


def test_slope_units_of_a_file(service, tmp_path):
    odd = "Süd\x7f \ud800: #hang\n'x'"
    units = geojson(
        tmp_path / "u.geojson",
        feature(square(110.8, 30.9), id="a", name=odd, slope_deg=30, aspect_deg=190),
        feature(square(110.9, 30.9), "MultiPolygon", id="a", slope_deg="steep", aspect_deg=360),
        {**feature(square(110.7, 30.9)), "id": "east slope/2"},
        feature(square(110.6, 30.9)),
    )
    site = load_site(make(service, at=None, source=units, offline=True)[0])
    assert [unit.id for unit in site.slope_units] == ["a", "a-2", "east-slope-2", "slope-4"]
    first, second, *_ = site.slope_units
    assert first.polygon == ((110.8, 30.9), (110.81, 30.9), (110.81, 30.91), (110.8, 30.91))
    assert (first.name, first.slope_deg, first.aspect_deg) == ("Süd : #hang 'x'", 30, 190)
    assert (second.slope_deg, second.aspect_deg) == (None, None)
    west, south, east, north = site.area
    assert west < 110.6 - 0.01 < 110.91 + 0.01 < east
    assert (north - 30.91) * 111.2 == pytest.approx(1, abs=0.01)
    assert (30.9 - south) * 111.2 == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_single_feature_or_geometry(tmp_path, wrapped):
    one = feature(square(7, 46), id="one")
    path = tmp_path / "one.json"
    path.write_text(json.dumps(one if wrapped else one["geometry"]))
    (unit,) = read_units(path)
    assert unit.id == ("one" if wrapped else "slope-1")
    assert area_round([unit], 1.0)[0] < 7


KML = """<?xml version="1.0"?>{doctype}
<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Placemark><name>West hang</name>
<Polygon><outerBoundaryIs><LinearRing><coordinates>
7,46,0 7.01,46,0 7.01,46.01,0 7,46.01,0 7,46,0</coordinates></LinearRing></outerBoundaryIs>
<innerBoundaryIs><LinearRing><coordinates>7.001,46.001 7.002,46.001 7.002,46.002</coordinates>
</LinearRing></innerBoundaryIs></Polygon></Placemark></Document></kml>"""


def test_kml_polygons(tmp_path):
    path = tmp_path / "u.kml"
    path.write_text(KML.format(doctype=""))
    (unit,) = read_units(path)
    assert (unit.id, unit.name) == ("West-hang", "West hang")
    assert unit.polygon == ((7, 46), (7.01, 46), (7.01, 46.01), (7, 46.01))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_kml_with_a_document_type_is_refused(tmp_path, encoding):
    path = tmp_path / "u.kml"
    doctype = '<!DOCTYPE kml [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    xml = KML.format(doctype=doctype).replace('"1.0"', f'"1.0" encoding="{encoding}"')
    path.write_bytes(xml.encode(encoding))
    with pytest.raises(SettingsError, match="document type"):
        read_units(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "no GeoJSON"),
        (b"[" * 100_000, "no GeoJSON"),
        (b"[]", "no GeoJSON"),
        (b"\xff\xfe", "no GeoJSON"),
        (b"PK\x03\x04", "unpack"),
        (b"<kml", "no KML"),
        (b"<kml/>", "no polygon"),
        (b'{"type": "FeatureCollection", "features": []}', "no polygon"),
        (b'{"type": "Point", "coordinates": [7, 46]}', "not a Point"),
        (b'{"type": "Polygon", "coordinates": [[[7, 46], [8, 46], [7, 46]]]}', "three corners"),
        (b'{"type": "Polygon", "coordinates": [[[5e5, 4e6], [6e5, 4e6], [6e5, 5e6]]]}', "WGS84"),
        (b'{"type": "Polygon", "coordinates": [[[NaN, 1], [1, 1], [1, 0]]]}', "WGS84"),
        (b'{"type": "Polygon", "coordinates": [[[0,0],[1,1],[1,0],[0,1]]]}', "crosses"),
        (b'{"crs": {"properties": {"name": "EPSG:3857"}}, "features": []}', "EPSG:3857"),
        (b'{"type": "Polygon", "coordinates": [[[-179,0],[179,0],[179,1]]]}', "date line"),
    ],
)
def test_a_bad_file_is_one_sentence(service, tmp_path, content, said):
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=said) as raised:
        make(service, at=None, source=path, offline=True)
    assert "\n" not in str(raised.value)
    assert not service.sites.exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "two words"}, "letters"),
        ({"at": None}, "either"),
        ({"at": (110.8, 31.0)}, "latitude first"),
        ({"at": (float("nan"), 31.0)}, "latitude first"),
        ({"radius_km": 0.0}, "--radius"),
        ({"radius_km": 1000.0}, "--radius"),
        ({"at": None, "source": "absent.json"}, "cannot read"),
    ],
)
def test_a_wrong_call_is_one_sentence(service, tmp_path, given, said):
    if "source" in given:
        given = {**given, "source": tmp_path / given["source"]}
    with pytest.raises(SettingsError, match=said):
        make(service, offline=True, **given)


def test_a_file_that_is_there_stays(service, world):
    path, _ = make(service, offline=True)
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="is there already"):
        make(service)
    assert path.read_bytes() == before
    assert not world.asked
