"""Passes come out of the catalogue each once; one bad item costs only itself."""

import importlib
import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pytest

from core.errors import BadInputError, SettingsError, UnavailableError
from core.settings import Endpoints, Service
from services.ingest.feeds import asf

EVER = date(2014, 1, 1), date(2026, 1, 1)


def feed(server, **settings):
    return asf.open(asf.Settings(**settings), Service(endpoints=Endpoints(cmr=server.url)))


def attribute(name, value):
    return {"Name": name, "Values": [value]}


def slc(scene, stop="2024-03-05T05:12:44.000Z", revision=1, revised="2024-03-05T11:00:00Z"):
    return {
        "meta": {"revision-id": revision, "revision-date": revised, "native-id": scene + "-SLC"},
        "umm": {
            "GranuleUR": scene + "-SLC",
            "CollectionReference": {"ShortName": "SENTINEL-1A_SLC"},
            "TemporalExtent": {
                "RangeDateTime": {"BeginningDateTime": stop, "EndingDateTime": stop}
            },
            "DataGranule": {
                "Identifiers": [{"IdentifierType": "ProducerGranuleId", "Identifier": scene}]
            },
            "OrbitCalculatedSpatialDomains": [{"OrbitNumber": 52850}],
            "RelatedUrls": [{"Type": "GET DATA", "URL": f"https://example.org/{scene}.zip"}],
            "Platforms": [{"ShortName": "SENTINEL-1A", "Instruments": [{"ShortName": "C-SAR"}]}],
            "SpatialExtent": {
                "HorizontalSpatialDomain": {
                    "Geometry": {
                        "GPolygons": [
                            {"Boundary": {"Points": [{"Longitude": 10.0, "Latitude": 45.0}] * 4}}
                        ]
                    }
                }
            },
            "AdditionalAttributes": [
                attribute("ASCENDING_DESCENDING", "ASCENDING"),
                attribute("PATH_NUMBER", "117"),
                attribute("FRAME_NUMBER", "150"),
                attribute("POLARIZATION", "VV+VH"),
                attribute("PROCESSING_TYPE", "SLC"),
                attribute("ASF_PLATFORM", "Sentinel-1A"),
                attribute("BYTES", "4300000000"),
                attribute("SV_POSITION_PRE", "1.0,2.0,3.0,2024-03-05T05:12:10.000000"),
                attribute("SV_POSITION_POST", "1.0,2.0,3.0,2024-03-05T05:12:50.000000"),
                attribute("SV_VELOCITY_PRE", "1.0,2.0,3.0,2024-03-05T05:12:10.000000"),
                attribute("SV_VELOCITY_POST", "1.0,2.0,3.0,2024-03-05T05:12:50.000000"),
                attribute("ASC_NODE_TIME", "2024-03-05T05:00:00.000000"),
            ],
        },
    }


def recorded_items(recorded, name):
    return json.loads((recorded / "derived_cmr_envelopes" / name).read_bytes())["items"]


def test_one_pass_in_full(server, poll):
    server.catalogue([slc("S1A_X")])
    (found,), rejected = poll(feed(server), *EVER)
    assert not rejected
    assert found.natural_key == "S1A_X"
    assert found.valid_time == datetime(2024, 3, 5, 5, 12, 44, tzinfo=UTC)
    assert found.published_at == datetime(2024, 3, 5, 11, tzinfo=UTC)
    data = found.data
    assert (data.scene, data.platform, data.path, data.frame) == ("S1A_X", "SENTINEL-1A", 117, 150)
    assert (data.direction, data.polarization, data.product) == ("ASCENDING", "VV+VH", "SLC")
    assert (data.burst, data.bytes) == (None, 4_300_000_000)
    assert data.url == "https://example.org/S1A_X.zip"


def test_what_is_asked(server, poll):
    server.catalogue([])
    wanted = feed(server, product="BURST", bursts=["174_372326_IW3", "174_372327_IW3"], paths=[174])
    assert poll(wanted, date(2024, 3, 1), date(2024, 3, 31)) == ([], [])
    first, second = (dict(r.fields) for r in server.requests)
    assert server.requests[0].path == "/search/granules.umm_json"
    assert first["shortName"] == "SENTINEL-1_BURSTS"
    assert first["bounding_box"] == "-150.5,63.5,-144.0,66.0"
    assert first["temporal"].startswith("2024-03-01T00:00:00Z,2024-04-01T00:00:00Z")
    sent = server.requests[0].fields + server.requests[1].fields
    for value in ("string,BURST_ID_FULL,174_372326_IW3", "int,PATH_NUMBER,174"):
        assert ("attribute[]", value) in sent
    assert first != second


def test_opera_frames_are_asked_by_their_number(server, poll):
    server.catalogue([])
    poll(feed(server, product="DISP-S1", frames=[11115]), *EVER)
    assert ("attribute[]", "int,FRAME_NUMBER,11115") in server.requests[0].fields
    assert ("shortName", "OPERA_L3_DISP-S1_V1") in server.requests[0].fields


@pytest.mark.parametrize("settings", [{"bursts": ["1_2_IW3"]}, {"product": "CSLC", "frames": [1]}])
def test_settings_that_do_not_fit_the_product(server, settings):
    with pytest.raises(SettingsError, match="has no"):
        feed(server, **settings)


def test_pages_are_followed_and_repeats_dropped(server, poll):
    start = datetime(2024, 3, 5, tzinfo=UTC)
    items = [slc(f"S{n}", (start - timedelta(days=n)).isoformat()) for n in range(7)]
    server.catalogue([*items, items[2], items[0]], page=2)
    observed, rejected = poll(feed(server), *EVER)
    assert [o.data.scene for o in observed] == [f"S{n}" for n in reversed(range(7))]
    assert not rejected
    after = [r.headers.get("CMR-Search-After") for r in server.requests]
    assert after == [None, "2", "4", "6", "8"]


def test_only_the_days_asked(server, poll):
    server.catalogue([slc("in"), slc("out", "2024-03-06T00:00:00Z")])
    observed, _ = poll(feed(server), date(2024, 3, 5), date(2024, 3, 5))
    assert [o.data.scene for o in observed] == ["in"]


def test_a_later_revision_is_no_publication(server, poll):
    revisions = slc("rev", revision=13), slc("early", revised="2024-03-01T00:00:00Z")
    server.catalogue(list(revisions))
    observed, _ = poll(feed(server), *EVER)
    assert [o.published_at for o in observed] == [None, None]


def test_bad_items_do_not_lose_the_page(server, poll):
    nameless, endless, timeless = slc("a"), slc("b"), slc("c")
    nameless["umm"]["DataGranule"]["Identifiers"] = []
    endless["umm"]["TemporalExtent"] = {"SingleDateTime": "2024-03-05T00:00:00Z"}
    timeless["umm"]["TemporalExtent"]["RangeDateTime"]["EndingDateTime"] = "some day"
    unnamed, astray = slc("\ud800"), slc("d")
    astray["umm"]["RelatedUrls"][0]["URL"] = "x/" + "\udfff"
    bad = [nameless, endless, timeless, unnamed, astray, {"umm": None}, "no item", None]
    server.catalogue([slc("x"), *bad, slc("y")])
    observed, rejected = poll(feed(server), *EVER)
    assert [o.data.scene for o in observed] == ["x", "y"]
    assert len(rejected) == len(bad)
    assert {r.code for r in rejected} == {"R01", "R11"}
    assert all(r.reason and len(r.row.encode()) <= 2048 for r in rejected)


def test_a_disp_item_without_its_zarr_addresses_is_rejected(server, poll):
    disp = slc("d")
    disp["umm"]["CollectionReference"]["ShortName"] = "OPERA_L3_DISP-S1_V1"
    attributes = disp["umm"]["AdditionalAttributes"]
    attributes[:] = [a for a in attributes if a["Name"] != "PROCESSING_TYPE"]
    attributes.append(attribute("PRODUCT_TYPE", "DISP-S1"))
    disp["umm"]["DataGranule"]["ArchiveAndDistributionInformation"] = [
        {"Name": "d.nc", "SizeInBytes": 7, "Format": "netCDF-4"}
    ]
    server.catalogue([disp, slc("x")])
    observed, (rejection,) = poll(feed(server, product="DISP-S1"), *EVER)
    assert [o.data.scene for o in observed] == ["x"]
    assert "IndexError" in rejection.reason


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (400, b'{"errors":["point is wrong"]}', SettingsError, "point is wrong"),
        (401, b'{"errors":["no"]}', SettingsError, "token"),
        (429, b'{"errors":["slow down"]}', UnavailableError, "429"),
        (503, b'{"errors":["maintenance"]}', UnavailableError, "maintenance"),
        (502, b"<html>Bad gateway</html>", UnavailableError, "502"),
        (404, b"<html>Not here</html>", SettingsError, "404"),
        (500, b"[]", UnavailableError, "500"),
        (200, b"<html>login</html>", BadInputError, "no whole search result"),
        (200, b'{"hits": 3, "items": [{"meta"', BadInputError, "no whole search result"),
        (200, b'{"hits": 3, "items": {}}', BadInputError, "no list"),
        (200, b"[" * 100_000, BadInputError, "no whole search result"),
    ],
)
def test_errors_of_the_catalogue(server, reply, poll, monkeypatch, status, body, error, said):
    generator = importlib.import_module("asf_search.search.search_generator")
    monkeypatch.setattr(generator.get_page.retry, "sleep", lambda _: None)
    server.answer = lambda _: reply(status, body, {"Retry-After": "120"})
    with pytest.raises(error, match=said) as raised:
        poll(feed(server), *EVER)
    if error is UnavailableError:
        assert raised.value.retryable
        assert raised.value.retry_after == timedelta(seconds=120)


def test_a_broken_connection_and_a_dead_service_are_unavailable(server, reply, poll):
    server.answer = lambda _: reply(200, b'{"hits"', announce=1000)
    with pytest.raises(UnavailableError, match="does not answer"):
        poll(feed(server), *EVER)

    class Gone:
        url = "http://127.0.0.1:9"

    with pytest.raises(UnavailableError, match="does not answer"):
        poll(feed(Gone), *EVER)


def test_an_endless_catalogue_ends(server, reply, poll):
    body = json.dumps({"hits": 10**9, "items": [slc("same")]}).encode()
    server.answer = lambda _: reply(200, body, {"CMR-Search-After": "again"})
    with pytest.raises(BadInputError, match="pages"):
        poll(feed(server), *EVER)


def test_a_token_never_leaves_over_plain_http(server, poll, monkeypatch):
    monkeypatch.setenv("EDL", "sesame")
    server.catalogue([])
    poll(feed(server, token_env="EDL"), *EVER)
    assert all("sesame" not in str(r) for r in server.requests)
    session = asf._session(asf.Settings(token_env="EDL"), asf.CMR)
    assert session.headers["Authorization"] == "Bearer sesame"


def test_importing_the_feed_does_not_load_asf_search():
    code = "import sys, services.ingest.feeds.asf; sys.exit('asf_search' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "product", "count"),
    [
        (
            "S1A_IW_SLC__1SSV_20160528T141908_20160528T141938_011460_011746_335C_stack.json",
            "SLC",
            176,
        ),
        ("Fairbanks_S1_stack.json", "SLC", 3),
        ("SLC_BURST_stack.json", "BURST", 166),
        ("SLC_BURST.json", "BURST", 1),
    ],
)
def test_recorded_passes_come_through_each_once(recorded, server, poll, name, product, count):
    items = recorded_items(recorded, name)
    server.catalogue([*items, *items[:5]], page=50)
    observed, rejected = poll(feed(server, product=product), *EVER)
    assert not rejected
    assert len(observed) == len({o.natural_key for o in observed}) == count
    assert len(server.requests) == (len(items) + len(items[:5]) - 1) // 50 + 1
    assert {o.data.product for o in observed} == {product}
    assert all(o.data.stop_time == o.valid_time and o.data.bytes > 1 << 20 for o in observed)
    if product == "BURST":
        assert {o.data.burst for o in observed} == {"174_372326_IW3"}
    else:
        assert all(o.data.path and o.data.frame for o in observed)


def test_recorded_opera_products(recorded, server, poll):
    server.catalogue(recorded_items(recorded, "OPERA_Products.json"))
    observed, rejected = poll(feed(server, product="RTC"), *EVER)
    assert sorted(o.data.product for o in observed) == ["CSLC", "RTC"]
    rtc = next(o for o in observed if o.data.product == "RTC")
    assert rtc.data.burst == "T131_279916_IW1"
    assert rtc.published_at - rtc.valid_time < timedelta(hours=8)
    assert [r.code for r in rejected] == ["R11", "R11"]
    assert all("STATIC" in r.natural_key for r in rejected)


def test_recorded_items_that_break_asf_search_lose_no_page(recorded, server, poll):
    broken = recorded_items(recorded, "S1_Interferogram_beta_cmr_ummjson.json")
    good = recorded_items(recorded, "Fairbanks_S1_stack.json")
    server.catalogue([good[0], *broken, *good[1:]], page=6)
    observed, rejected = poll(feed(server), *EVER)
    assert len(observed) == 3
    assert [r.code for r in rejected] == ["R01"] * 10
    assert all("TypeError" in r.reason for r in rejected)
