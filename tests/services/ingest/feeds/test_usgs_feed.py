"""USGS daily levels: units as the answer says them, and never two series mixed."""

import json
from datetime import date

import pytest

from core.errors import BadInputError, UnavailableError
from core.settings import Endpoints, Service
from services.ingest.feeds import usgs

MARCH = date(2024, 3, 1), date(2024, 3, 31)


def feed(server, **settings):
    service = Service(endpoints=Endpoints(usgs=server.url + "/nwis/dv/"))
    return usgs.open(usgs.Settings(**{"site": "09379900", **settings}), service)


def block(values, method=1, description=""):
    return {
        "value": [
            {"value": v, "qualifiers": q, "dateTime": f"{day}T00:00:00.000"} for day, v, q in values
        ],
        "method": [{"methodDescription": description, "methodID": method}],
    }


def series(*blocks, parameter="62614", unit="ft", site="09379900", statistic="00003"):
    return {
        "sourceInfo": {"siteCode": [{"value": site}]},
        "variable": {
            "variableCode": [{"value": parameter}],
            "unit": {"unitCode": unit},
            "options": {"option": [{"name": "Statistic", "optionCode": statistic}]},
            "noDataValue": -999999.0,
        },
        "values": list(blocks),
    }


def serve(server, reply, *all_series):
    body = json.dumps({"name": "ns1", "value": {"timeSeries": list(all_series)}}).encode()
    server.answer = lambda _: reply(200, body)


DAYS = [("2024-03-02", "3600.10", ["P"]), ("2024-03-01", "3600.00", ["A"])]


def test_feet_become_metres(server, reply, poll):
    serve(server, reply, series(block([*DAYS, ("2024-03-03", "-999999", ["P"])])))
    observed, rejected = poll(feed(server), *MARCH)
    assert not rejected
    assert [o.data.level_m for o in observed] == [1097.28, 1097.31048, None]
    assert observed[0].natural_key == "usgs/09379900/2024-03-01"
    asked = dict(server.requests[0].fields)
    assert asked == {
        "format": "json",
        "sites": "09379900",
        "parameterCd": "62614,62615,00065",
        "startDT": "2024-03-01",
        "endDT": "2024-03-31",
    }


def test_metres_stay_and_provisional_values_can_wait(server, reply, poll):
    serve(server, reply, series(block(DAYS), unit="m"))
    observed, _ = poll(feed(server, provisional=False), *MARCH)
    assert [o.data.level_m for o in observed] == [3600.0]


@pytest.mark.parametrize("all_series", [[], [series(block([]))], [series(block(DAYS), site="1")]])
def test_an_empty_series_is_no_data(server, reply, poll, all_series):
    serve(server, reply, *all_series)
    assert poll(feed(server), *MARCH) == ([], [])


def test_two_series_must_be_chosen_from(server, reply, poll):
    low = [("2024-03-01", "10.0", ["A"])]
    both = series(block(DAYS, 7, "upper gate"), block(low, 8, "tail water"))
    serve(server, reply, both, series(block(low, 9), statistic="00001"))
    with pytest.raises(BadInputError, match="upper gate") as raised:
        poll(feed(server), *MARCH)
    assert "method 8" in str(raised.value)
    assert "statistic 00001" in str(raised.value)
    observed, _ = poll(feed(server, method=8), *MARCH)
    assert [o.data.level_m for o in observed] == [3.048]
    observed, _ = poll(feed(server, statistic="00001"), *MARCH)
    assert len(observed) == 1
    assert dict(server.requests[-1].fields)["statCd"] == "00001"


def test_an_elevation_and_a_gage_height_are_not_mixed(server, reply, poll):
    serve(server, reply, series(block(DAYS)), series(block(DAYS), parameter="00065"))
    with pytest.raises(BadInputError, match="2 series"):
        poll(feed(server), *MARCH)
    assert len(poll(feed(server, parameter="00065"), *MARCH)[0]) == 2


def test_a_unit_that_is_no_length(server, reply, poll):
    serve(server, reply, series(block(DAYS), unit="ft3/s"))
    with pytest.raises(BadInputError, match="ft3/s"):
        poll(feed(server), *MARCH)


def test_bad_values_cost_only_themselves(server, reply, poll):
    values = [("2024-03-01", "Ice", ["P"]), ("2024-03-32", "1", []), ("2024-03-02", "NaN", [])]
    values += [("2024-03-03", "1e9", []), ("2024-03-04", "10", []), ("2024-03-04", "11", [])]
    serve(server, reply, series(block(values)))
    observed, rejected = poll(feed(server), *MARCH)
    assert [o.data.level_m for o in observed] == [3.048]
    assert sorted(r.code for r in rejected) == ["R03", "R03", "R04", "R05", "R06"]


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"value": {"timeSeries": [{', b'{"value": {}}', b"[" * 100_000]
)
def test_what_is_no_answer_of_usgs(server, reply, poll, body):
    server.answer = lambda _: reply(200, body)
    with pytest.raises(BadInputError, match="no USGS daily values"):
        poll(feed(server), *MARCH)


def test_a_service_out_of_order(server, reply, poll):
    server.answer = lambda _: reply(500)
    with pytest.raises(UnavailableError):
        poll(feed(server), *MARCH)
    assert len(server.requests) == 3


def test_recorded_daily_values(recorded, server, reply, poll):
    body = (recorded / "usgs" / "waterservices_dv.txt").read_bytes()
    server.answer = lambda _: reply(200, body)
    window = date(2020, 2, 14), date(2020, 2, 15)
    assert poll(feed(server, site="01491000"), *window) == ([], [])
    with pytest.raises(BadInputError, match="ft3/s"):
        poll(feed(server, site="01491000", parameter="00060"), *window)
    with pytest.raises(BadInputError, match="3 series"):
        poll(feed(server, site="01491000", parameter="00010"), *window)
    # The recorded discharge, taken for a gage height: the same answer with a unit of length.
    server.answer = lambda _: reply(200, body.replace(b'"ft3/s"', b'"ft"'))
    observed, rejected = poll(feed(server, site="01491000", parameter="00060"), *window)
    assert not rejected
    assert [o.data.level_m for o in observed] == [round(466 * 0.3048, 6), round(362 * 0.3048, 6)]


def test_recorded_empty_answer(recorded, server, reply, poll):
    body = (recorded / "usgs" / "nwis_iv_empty_mock.json").read_bytes()
    server.answer = lambda _: reply(200, body)
    assert poll(feed(server), *MARCH) == ([], [])
