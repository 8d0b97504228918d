"""The stand-in server: real clients page, filter and poll it as of the clock, never beyond."""

from __future__ import annotations

import csv
import io
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
import requests

from core import plugins
from core.artifacts import MemoryArtifacts, unpack
from core.clock import ReplayClock, midnight
from core.errors import BadInputError, SettingsError, UnavailableError
from core.settings import Service, parse_site
from services.demo.standin import StandIn, StandInPoint, StandInSite, StandInSlope, site_tree
from services.ingest import http
from services.ingest.feed import FEEDS, SOURCES, Observation

FIRST = date(2004, 1, 1)
DAYS = 12 * 600
LAST = FIRST + timedelta(days=DAYS)
AREA = (110.485, 30.985, 110.515, 31.015)
END = ReplayClock(midnight(LAST) + timedelta(days=30))
SEARCH = "/search/granules.umm_json"


def make_site(**changes: Any) -> StandInSite:
    passes = tuple(FIRST + timedelta(days=12 * k) for k in range(600))
    rng = np.random.default_rng(7)
    rain = np.where(rng.random(DAYS) < 0.3, rng.gamma(1.0, 9.0, DAYS), 0.0)
    rain[5] = np.nan
    level = 160.0 + 10 * np.cos(np.arange(DAYS) / 58.0)
    level[9] = np.nan
    los = np.cumsum(rng.normal(-0.2, 1.0, (40, 2)), axis=0)
    los[3, 1] = np.nan
    fields: dict[str, Any] = {
        "name": "bank",
        "area": AREA,
        "path": 84,
        "frame": 98,
        "direction": "ASCENDING",
        "pass_time": time(10, 38, 12),
        "pass_days": passes,
        "station_rain": "99000199999",
        "station_level": "99000001",
        "first_day": FIRST,
        "rain_mm": rain,
        "level_m": level,
        "epoch_dates": passes[:40],
        "arrival_dates": tuple(
            day + timedelta(days=2 + 13 * (day == passes[8])) for day in passes[:40]
        ),
        "los_mm": los,
        "points": tuple(
            StandInPoint(f"P{n}", 110.5, 31.0 - 0.001 * n, (-0.61, -0.14, 0.78), 2.5)
            for n in (1, 2)
        ),
        "slope": StandInSlope(
            ((110.49, 30.99), (110.51, 30.99), (110.51, 31.01)),
            15.0,
            8.0,
            (110.486, 30.986, 110.488, 30.988),
        ),
    }
    return StandInSite(**{**fields, **changes})


@pytest.fixture
def clock() -> ReplayClock:
    return ReplayClock(END.now())


@pytest.fixture
def outside(clock):
    with StandIn([make_site()], clock) as running:
        yield running


@pytest.fixture(scope="module")
def shared():
    with StandIn([make_site()], END) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(http, "FIRST_WAIT_S", 0.01)


def poll(outside: StandIn, kind: str, since: date, until: date) -> list[Any]:
    tree = site_tree(make_site(), outside.base_url)
    package = SOURCES if kind == "table" else FEEDS
    given = next(g for g in tree["feeds"] + tree["sources"] if g["kind"] == kind)
    module = plugins.load(package, kind)
    feed = module.open(plugins.settings(package, given), Service(endpoints=outside.endpoints))
    return list(feed.poll(parse_site(tree), since, until, MemoryArtifacts()))


def post(outside: StandIn, *fields: tuple[str, str], **headers: str) -> requests.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(outside.base_url + SEARCH, data=fields, headers=names, timeout=10)


def get(outside: StandIn, path: str, **headers: str) -> requests.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(outside.base_url + path, headers=names, timeout=10)


def test_the_feed_pages_through_600_passes_and_gets_each_once(outside):
    found = poll(outside, "asf", FIRST, LAST)
    assert all(isinstance(item, Observation) for item in found)
    assert [item.valid_time.date() for item in found] == list(make_site().pass_days)
    assert len({item.natural_key for item in found}) == 600
    assert outside.counts()["cmr"] == 3
    for item in found:
        assert item.published_at == item.valid_time.replace(microsecond=0) + timedelta(hours=6)
        assert (item.data.path, item.data.frame, item.data.direction) == (84, 98, "ASCENDING")


def test_asf_search_itself_reads_every_item(outside):
    import asf_search
    from asf_search.search.search_generator import as_ASFProduct

    answer = post(outside, ("page_size", "2000"), ("sort_key[]", "start_date")).json()
    assert answer["hits"] == len(answer["items"]) == 600
    session = asf_search.ASFSession()
    orbits = []
    for item in answer["items"]:
        product = as_ASFProduct(item, session)
        found = product.properties
        assert type(product).__name__ == "S1Product"
        name = r"S1A_IW_SLC__1SDV_(\d{8}T\d{6})_(\d{8}T\d{6})_(\d{6})_[0-9A-F]{6}_[0-9A-F]{4}"
        assert re.fullmatch(name, found["sceneName"])
        assert found["platform"] == "Sentinel-1A"
        assert found["polarization"] == "VV+VH"
        assert found["processingLevel"] == "SLC"
        assert found["fileName"] == found["sceneName"] + ".zip"
        assert 4e9 < found["bytes"] < 5e9
        assert found["startTime"] < found["stopTime"]
        assert len(product.geometry["coordinates"][0]) == 5
        orbits.append(found["orbit"])
    assert set(np.diff(orbits)) <= {0, 175}
    assert (orbits[-1] - 73) % 175 + 1 == 84


def test_sentinel_1c_flies_between_the_passes_of_1a():
    days = tuple(date(2025, 6, 1) + timedelta(days=6 * k) for k in range(6))
    site = make_site(pass_days=days)
    with StandIn([site], ReplayClock(datetime(2026, 1, 1, tzinfo=UTC))) as outside:
        items = post(outside, ("sort_key", "start_date")).json()["items"]
    names = [item["umm"]["GranuleUR"] for item in items]
    assert [name[:3] for name in names] == ["S1A", "S1C"] * 3
    orbits = [item["umm"]["OrbitCalculatedSpatialDomains"][0]["OrbitNumber"] for item in items]
    assert {(orbit - 73) % 175 + 1 for orbit in orbits[::2]} == {84}
    assert {(orbit - 172) % 175 + 1 for orbit in orbits[1::2]} == {84}
    assert np.diff(orbits[::2]).tolist() == np.diff(orbits[1::2]).tolist() == [175, 175]


@pytest.mark.parametrize(
    ("fields", "hits"),
    [
        ([("shortName", "SENTINEL-1A_SLC"), ("shortName", "SENTINEL-1B_SLC")], 600),
        ([("shortName", "SENTINEL-1_BURSTS")], 0),
        ([("provider", "ASF"), ("platform[]", "SENTINEL-1A"), ("options[a][b]", "true")], 600),
        ([("attribute[]", "int,PATH_NUMBER,84"), ("attribute[]", "int,FRAME_NUMBER,90,100")], 600),
        ([("attribute[]", "int,PATH_NUMBER,84"), ("attribute[]", "int,FRAME_NUMBER,,97")], 0),
        ([("attribute[]", "string,BURST_ID_FULL,174_372326_IW3")], 0),
        ([("attribute[]", "string,ASCENDING_DESCENDING,ascending")], 600),
        ([("attribute[]", "int,BEAM_MODE,1")], 0),
        ([("temporal", "2004-01-13T00:00:00Z,2004-01-25T23:59:59Z,")], 2),
        ([("temporal", "2004-01-13T10:38:30+00:00,2004-01-13T10:38:31")], 1),
        ([("temporal", ",2004-01-13T10:38:11Z")], 1),
        ([("point", "110.5,31.0")], 600),
        ([("point", "111.5,31.0")], 0),
        ([("bounding_box", "110,30,110.49,31")], 600),
        ([("bounding_box", "170,30,-170,31")], 0),
        ([("polygon", "110,30,111,30,111,32,110,30")], 600),
        ([("polygon", "110,30,110.1,30,110,30.1,110,30")], 0),
        ([("readable_granule_name[]", "S1A_IW_SLC__1SDV_2004*")], 0),
    ],
)
def test_the_catalogue_filters(shared, fields, hits):
    answer = post(shared, *fields)
    assert answer.status_code == 200
    assert answer.headers["CMR-Hits"] == str(hits)
    assert answer.json()["hits"] == hits
    assert ("CMR-Search-After" in answer.headers) == (hits > 0)


def test_granules_are_found_by_name(shared):
    ur = post(shared, ("sort_key[]", "-end_date")).json()["items"][4]["umm"]["GranuleUR"]
    for field, name in (
        ("granule_ur[]", ur),
        ("readable_granule_name[]", ur.removesuffix("-SLC")),
        ("readable_granule_name[]", ur),
    ):
        found = post(shared, (field, name)).json()["items"]
        assert [item["umm"]["GranuleUR"] for item in found] == [ur]
    pattern = ("options[readable_granule_name][pattern]", "true")
    found = post(shared, ("readable_granule_name[]", "S1?_IW*_20040113T*"), pattern).json()
    assert found["hits"] == 1


@pytest.mark.parametrize(
    "field",
    [
        ("page_size", "2001"),
        ("page_size", "-1"),
        ("page_size", "ten"),
        ("sort_key[]", "colour"),
        ("attribute[]", "int,PATH_NUMBER,eighty"),
        ("attribute[]", "PATH_NUMBER"),
        ("attribute[]", "int,PATH_NUMBER,1,2,3"),
        ("attribute[]", ""),
        ("temporal", "yesterday,"),
        ("temporal", "2005-01-01T00:00:00Z,2004-01-01T00:00:00Z"),
        ("temporal", "2005-01-01T00:00:00Z,,1,90"),
        ("orbit_number", "1,2,3"),
        ("point", "110.5"),
        ("point", "nan,inf"),
        ("bounding_box", "1,2,3"),
        ("polygon", "110,30,111,32,111,30,110,30"),
        ("polygon", "110,30,111,30"),
        ("moon", "full"),
    ],
)
def test_a_bad_parameter_is_refused_as_the_catalogue_does(shared, field):
    answer = post(shared, field)
    assert answer.status_code == 400
    assert [type(message) for message in answer.json()["errors"]] == [str]


@pytest.mark.parametrize("token", ["x", "[1]", '["a", "b"]', "[1, 2]", "{}", "null"])
def test_a_foreign_paging_token_is_refused(shared, token):
    assert post(shared, CMR_Search_After=token).status_code == 400


def test_a_pass_is_known_six_hours_after_it(clock):
    clock = ReplayClock(datetime(2004, 1, 25, 16, 38, 38, tzinfo=UTC))
    with StandIn([make_site()], clock) as outside:
        assert post(outside).json()["hits"] == 2
        clock.sleep(1)
        answer = post(outside)
        assert answer.json()["hits"] == 3
        assert answer.headers["Date"] == "Sun, 25 Jan 2004 16:38:39 GMT"


def test_nothing_after_the_clock_is_ever_told():
    clock = ReplayClock(midnight(FIRST) - timedelta(days=3))
    with StandIn([make_site()], clock) as outside:
        for step in range(60):
            clock.set(midnight(FIRST) + timedelta(days=7 * step, hours=step % 24))
            now, today = clock.now(), clock.now().date()
            for kind in ("asf", "usgs", "table", "gsod"):
                if kind == "table" and today < FIRST + timedelta(days=2):
                    continue
                found = poll(outside, kind, FIRST, min(today, LAST))
                told = [i.valid_time for i in found if isinstance(i, Observation)]
                assert max(told, default=now) <= now
                if kind in ("usgs", "gsod"):
                    assert len(told) == (today - FIRST).days
            content = get(outside, "/products/bank/displacement.csv").text
            rows = list(csv.DictReader(io.StringIO(content)))
            site = make_site()
            known = [
                epoch.isoformat()
                for epoch, arrival in zip(site.epoch_dates, site.arrival_dates, strict=True)
                if arrival <= today
            ]
            assert [row["date"] for row in rows] == known


def test_rain_is_read_as_it_fell_to_a_hundredth_of_an_inch(outside):
    found = poll(outside, "gsod", FIRST, date(2005, 3, 1))
    rain = make_site().rain_mm
    assert found[5].data.rain_mm is None
    for index, item in enumerate(found):
        if index != 5:
            assert item.data.rain_mm == pytest.approx(rain[index], abs=0.128)
    first = get(outside, "/gsod/2004/99000199999.csv").text.splitlines()
    assert first[0].startswith('"STATION","DATE","LATITUDE"')
    assert first[6].split(",")[-4:-2] == ['"99.99"', '" "']
    assert {len(line.split('","')) for line in first} == {28}


def test_the_level_is_read_in_metres(outside):
    found = poll(outside, "usgs", FIRST, date(2005, 3, 1))
    level = make_site().level_m
    assert found[9].data.level_m is None
    for index, item in enumerate(found):
        if index != 9:
            assert item.data.level_m == pytest.approx(level[index], abs=0.002)


def test_usgs_says_what_it_says(shared):
    where = "/usgs/?format=json&sites=99000001,99999999&startDT=2004-01-09&endDT=2004-01-10"
    value = get(shared, where).json()["value"]
    (series,) = value["timeSeries"]
    missing = {"value": "-999999", "qualifiers": ["A"], "dateTime": "2004-01-10T00:00:00.000"}
    assert series["values"][0]["value"][1] == missing
    assert series["variable"]["unit"]["unitCode"] == "ft"
    for more, count in (("&parameterCd=00060", 0), ("&parameterCd=00060,62614&statCd=00003", 1)):
        assert len(get(shared, where + more).json()["value"]["timeSeries"]) == count
    newest = get(shared, "/usgs?format=json&sites=99000001").json()["value"]["timeSeries"]
    assert newest[0]["values"][0]["value"] == []  # the record ended weeks ago


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/gsod/2004/99000299999.csv", 404),
        ("/gsod/2003/99000199999.csv", 404),
        ("/gsod/2040/99000199999.csv", 404),
        ("/gsod/0000/99000199999.csv", 404),
        ("/gsod/9999/99000199999.csv", 404),
        ("/gsod/../../etc/passwd", 404),
        ("/products/elsewhere/points.csv", 404),
        ("/products/bank/points.csv/", 404),
        ("/usgs/?sites=99000001", 400),
        ("/usgs/?format=json", 400),
        ("/usgs/?format=json&sites=99000001&startDT=never", 400),
        ("/usgs/?format=json&sites=99000001&startDT=2005-01-01&endDT=2004-01-01", 400),
        ("/usgs/?format=json&sites=99000001&parameterCd=all", 400),
        ("/usgs/?format=json&sites=99000001&sites=99000001", 400),
        ("/usgs/?format=json&sites=99000001&colour=red", 400),
    ],
)
def test_what_is_not_there_is_refused_as_json(shared, path, status):
    answer = get(shared, path)
    assert answer.status_code == status
    assert answer.json()["errors"]


def test_the_table_source_reads_points_and_epochs(outside):
    site, artifacts = make_site(), MemoryArtifacts()
    tree = site_tree(site, outside.base_url)
    module = plugins.load(SOURCES, "table")
    source = module.open(plugins.settings(SOURCES, tree["sources"][0]), Service())
    found = list(source.poll(parse_site(tree), FIRST, LAST, artifacts))
    assert [item.data.epoch for item in found] == list(site.epoch_dates)
    assert found[3].data.measured == 1
    values = [unpack(artifacts.get(item.data.values))["los_displacement_mm"] for item in found]
    np.testing.assert_allclose(np.array(values), site.los_mm, atol=5.1e-4)
    points = unpack(artifacts.get(found[0].data.points))
    assert points["id"].tolist() == ["P1", "P2"]
    assert points["los_up"].tolist() == [0.78, 0.78]


def test_an_unchanged_table_need_not_be_sent_again(outside):
    for path in ("/products/bank/displacement.csv", "/products/bank/points.csv"):
        first = get(outside, path)
        assert first.headers["Last-Modified"].endswith("GMT")
        again = get(outside, path, If_None_Match=f'"other", W/{first.headers["ETag"]}')
        assert (again.status_code, again.content) == (304, b"")
        assert get(outside, path, If_None_Match='"other"').content == first.content


def test_ordered_failures_reach_the_clients_as_theirs(outside, monkeypatch):
    outside.fail_next(1, 400, "cmr")
    with pytest.raises(SettingsError, match="refuses the search"):
        poll(outside, "asf", FIRST, LAST)
    outside.fail_next(3, 503)
    with pytest.raises(UnavailableError, match="503"):
        poll(outside, "usgs", FIRST, LAST)
    outside.fail_next(2, 500, "gsod")
    assert len(poll(outside, "gsod", FIRST, FIRST)) == 1
    outside.fail_next(1, 404, "points")
    with pytest.raises(BadInputError, match="404"):
        poll(outside, "table", FIRST, LAST)
    assert len(poll(outside, "asf", FIRST, LAST)) == 600
    with pytest.raises(ValueError, match="cannot fail"):
        outside.fail_next(1, 200)


def test_a_fault_of_its_own_is_told_in_one_sentence(outside, monkeypatch, caplog):
    def broken(*args: Any) -> None:
        raise ZeroDivisionError("here")

    monkeypatch.setattr("services.demo.standin.products.displacement", broken)
    answer = get(outside, "/products/bank/displacement.csv")
    assert answer.status_code == 500
    assert answer.json() == {"errors": ["An Internal Error has occurred."]}
    assert [
        record.levelname for record in caplog.records if record.name.startswith("services")
    ] == ["ERROR"]


def test_many_clients_at_once_and_kept_connections(outside):
    def ask(number: int) -> int:
        with requests.Session() as session:
            answers = [
                session.get(f"{outside.base_url}/gsod/2004/99000199999.csv", timeout=30),
                session.post(outside.base_url + SEARCH, data={"page_size": 250}, timeout=30),
                session.get(f"{outside.base_url}/products/bank/points.csv", timeout=30),
            ]
            return sum(answer.status_code == 200 for answer in answers)

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(48))) == [3] * 48
    assert outside.counts() == {
        "cmr": 48, "gsod": 48, "usgs": 0, "displacement": 0, "points": 48, "other": 0
    }  # fmt: skip


def send(outside: StandIn, request: bytes) -> bytes:
    host, port = outside.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as wire:
        wire.sendall(request)
        wire.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: wire.recv(65536), b""))


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /search/granules.umm_json HTTP/1.1\r\nContent-Length: 1000001\r\n\r\n", 413),
        (b"POST /search/granules.umm_json HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /search/granules.umm_json HTTP/1.1\r\nContent-Length: 5\r\n\r\nab", 400),
        (b"POST /usgs/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /usgs/ HTTP/1.1\r\nConnection: close\r\n\r\n", 405),
        (b"BREW /usgs/ HTTP/1.1\r\n\r\n", 501),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"nonsense and more of it\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET http://[ HTTP/1.1\r\n\r\n", 400),
        (b"GET /usgs/?" + b"a&b=" * 6000 + b" HTTP/1.1\r\n\r\n", 400),
    ],
)
def test_bad_requests_get_a_short_answer(shared, capfd, request_bytes, status):
    head, _, body = send(shared, request_bytes).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status}".encode())
    assert msgspec.json.decode(body)["errors"]
    assert capfd.readouterr().err == ""


def test_head_has_no_body(shared):
    answer = requests.head(f"{shared.base_url}/products/bank/points.csv", timeout=5)
    assert (answer.status_code, answer.content) == (200, b"")


def test_it_ends_with_connections_still_open(clock):
    running = StandIn([make_site()], clock)
    with pytest.raises(RuntimeError, match="does not run"):
        _ = running.base_url
    running.start()
    with requests.Session() as session:
        session.get(f"{running.base_url}/products/bank/points.csv", timeout=5)
        started = datetime.now(UTC)
        running.close()
        assert datetime.now(UTC) - started < timedelta(seconds=2)
    running.close()


def test_sites_that_cannot_be_are_refused(clock):
    with pytest.raises(ValueError, match="arrival_dates"):
        make_site(arrival_dates=make_site().epoch_dates)
    with pytest.raises(ValueError, match="station_rain"):
        make_site(station_rain="x")
    with pytest.raises(ValueError, match="share"):
        StandIn([make_site(), make_site(name="other")], clock)
