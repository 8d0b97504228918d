"""NOAA's daily rain: inches become mm, and what is unknown is never called dry."""

import csv
import math
from datetime import UTC, date, datetime

import pytest

from core.errors import BadInputError, UnavailableError
from core.settings import Endpoints, Service
from services.ingest.feeds import gsod

STATION = "01001099999"
HEAD = '"STATION","DATE","PRCP","PRCP_ATTRIBUTES"\n'


def feed(server):
    service = Service(endpoints=Endpoints(gsod=server.url + "/access"))
    return gsod.open(gsod.Settings(station=STATION), service)


def serve(server, years):
    server.files({f"/access/{y}/{STATION}.csv": body for y, body in years.items()})


def row(day, inches, attribute=" "):
    return f'"{STATION}","{day}","{inches}","{attribute}"\n'


def test_rain_missing_and_not_reported(server, poll):
    text = HEAD + row("2024-01-01", " 0.01", "G") + row("2024-01-02", "99.99")
    text += row("2024-01-04", " 0.00", "I") + row("2024-01-03", " 0.00", "G")
    serve(server, {2024: text.encode()})
    observed, rejected = poll(feed(server), date(2024, 1, 1), date(2024, 1, 31))
    assert not rejected
    rain = {o.data.day.day: o.data.rain_mm for o in observed}
    assert rain == {1: 0.254, 2: None, 3: 0.0, 4: None}
    assert observed[0].valid_time == datetime(2024, 1, 1, tzinfo=UTC)
    assert observed[0].natural_key == f"gsod/{STATION}/2024-01-01"
    assert observed[0].data.station == STATION


def test_only_the_days_asked_over_a_turn_of_the_year(server, poll):
    serve(
        server,
        {
            2023: (HEAD + row("2023-12-30", "1.00") + row("2023-12-31", "2.00")).encode(),
            2024: (HEAD + row("2024-01-01", "3.00") + row("2024-01-02", "4.00")).encode(),
        },
    )
    observed, _ = poll(feed(server), date(2023, 12, 31), date(2024, 1, 1))
    assert [o.data.rain_mm for o in observed] == [50.8, 76.2]


def test_no_file_yet_right_after_new_year(server, poll):
    serve(server, {2023: (HEAD + row("2023-12-31", "2.00")).encode()})
    observed, _ = poll(feed(server), date(2023, 12, 31), date(2024, 1, 5))
    assert len(observed) == 1
    assert poll(feed(server), date(2024, 1, 1), date(2024, 1, 5)) == ([], [])
    with pytest.raises(BadInputError, match="no file of station 01001099999 for 2024"):
        poll(feed(server), date(2024, 1, 1), date(2024, 3, 1))


def test_years_without_a_file_are_years_without_data(server, poll):
    serve(server, {2023: (HEAD + row("2023-12-31", "2.00")).encode()})
    observed, rejected = poll(feed(server), date(2021, 1, 1), date(2024, 6, 1))
    assert len(observed) == 1
    assert not rejected


def test_bad_rows_cost_only_themselves(server, poll):
    text = HEAD + row("2024-01-01", "0.10") + row("2024-01-02", "wet") + row("someday", "1")
    text += row("2024-01-03", "-1.00") + row("2024-01-04", "nan") + row("2024-01-05", "90.00")
    text += row("2024-01-01", "0.20") + row("2024-01-01", "0.10") + row("2999-01-01", "0.10")
    text += f'"{STATION}","2024-01-06",'
    serve(server, {2024: text.encode()})
    observed, rejected = poll(feed(server), date(2024, 1, 1), date(2024, 1, 31))
    assert [o.data.rain_mm for o in observed] == [2.54]
    codes = [r.code for r in rejected]
    assert sorted(codes) == ["R01", "R03", "R03", "R04", "R04", "R05", "R06", "R10"]
    assert len({r.natural_key for r in rejected}) == len(rejected)


@pytest.mark.parametrize("body", [b"", b"<html>login</html>", b'"A","B"\n"1","2"\n'])
def test_what_is_no_gsod_file(server, poll, body):
    serve(server, {2024: body})
    with pytest.raises(BadInputError):
        poll(feed(server), date(2024, 1, 1), date(2024, 1, 31))


def test_a_service_out_of_order(server, reply, poll):
    server.answer = lambda _: reply(503, b"", {"Retry-After": "60"})
    with pytest.raises(UnavailableError) as raised:
        poll(feed(server), date(2024, 1, 1), date(2024, 1, 31))
    assert raised.value.retry_after.total_seconds() == 60


@pytest.mark.parametrize("name", ["01001099999", "01002099999"])
def test_recorded_stations(recorded, server, poll, name):
    content = (recorded / "gsod" / f"{name}.csv").read_bytes()
    server.files({f"/2024/{name}.csv": content})
    service = Service(endpoints=Endpoints(gsod=server.url))
    wanted = gsod.open(gsod.Settings(station=name), service)
    observed, rejected = poll(wanted, date(2024, 1, 1), date(2024, 12, 31))
    rows = list(csv.DictReader(content.decode().splitlines()))
    assert not rejected
    assert len(observed) == len(rows)
    for observation, given in zip(observed, rows, strict=True):
        inches, attribute = float(given["PRCP"]), given["PRCP_ATTRIBUTES"].strip()
        rain_mm = observation.data.rain_mm
        assert observation.data.day.isoformat() == given["DATE"]
        if inches == 99.99 or (attribute == "I" and inches == 0):
            assert rain_mm is None
        else:
            assert math.isclose(rain_mm, inches * 25.4, abs_tol=1e-3)
