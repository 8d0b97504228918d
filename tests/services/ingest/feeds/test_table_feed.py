"""Any authority's table: units, columns and dates as the settings say; bad rows by number."""

import io
from datetime import date, datetime

import openpyxl
import pytest

from core.errors import BadInputError, SettingsError, UnavailableError
from core.settings import Service
from services.ingest.feed import REJECTION_CODES
from services.ingest.feeds import table

JANUARY = date(2024, 1, 1), date(2024, 1, 31)
RAIN = {
    "quantity": "rain",
    "station": "gauge",
    "date_column": "day",
    "value_column": "rain",
    "unit": "mm",
}
LEVEL = {**RAIN, "quantity": "level", "value_column": "level", "unit": "m"}


def feed(at, given=RAIN, **settings):
    return table.open(
        table.Settings.model_validate({**given, "at": str(at), **settings}), Service()
    )


@pytest.fixture
def file(tmp_path):
    def write(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def workbook(rows):
    book, content = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(content)
    return content.getvalue()


def rain(observed):
    return {o.data.day.day: o.data.rain_mm for o in observed}


def test_a_plain_csv(file, poll):
    at = file("day,rain\n2024-01-02,3.5\n2024-01-01,0\n2024-01-03,\n2024-02-01,9\n")
    observed, rejected = poll(feed(at), *JANUARY)
    assert not rejected
    assert rain(observed) == {1: 0.0, 2: 3.5, 3: None}
    assert observed[0].natural_key == "table/gauge/2024-01-01"


def test_decimal_commas_and_foreign_dates(file, poll):
    at = file("Bericht\nTag;Menge\n01.01.2024;1.234,5\n02.01.2024;-\n")
    form = {
        "separator": ";",
        "decimal": ",",
        "header_row": 2,
        "date_format": "%d.%m.%Y",
        "missing": ["-"],
    }
    given = feed(at, date_column="Tag", value_column="Menge", table=form)
    observed, rejected = poll(given, *JANUARY)
    assert not rejected
    assert rain(observed) == {1: 1234.5, 2: None}


@pytest.mark.parametrize(
    ("unit", "rain_mm"), [("mm", 2.0), ("cm", 20.0), ("m", 2000.0), ("inch", 50.8), ("ft", 609.6)]
)
def test_units_of_rain(file, poll, unit, rain_mm):
    observed, _ = poll(feed(file("day,rain\n2024-01-01,2\n"), unit=unit), *JANUARY)
    assert rain(observed) == {1: rain_mm}


def test_levels(file, poll):
    at = file("day,level\n2024-01-01,100\n2024-01-02,99999\n")
    observed, (rejection,) = poll(feed(at, LEVEL, unit="ft", highest=50), *JANUARY)
    assert [o.data.level_m for o in observed] == [30.48]
    assert rejection.code == "R04"


@pytest.mark.parametrize(
    ("zone", "days"), [("UTC", [10, 11]), ("Asia/Shanghai", [9, 11]), ("America/Lima", [10, 12])]
)
def test_zones_move_times_but_not_bare_days(file, poll, zone, days):
    at = file("day,rain\n2024-01-10 03:00,1\n2024-01-11T23:00,2\n")
    observed, _ = poll(feed(at, table={"timezone": zone}), *JANUARY)
    assert list(rain(observed)) == days
    bare, _ = poll(feed(file("day,rain\n2024-01-10,1\n"), table={"timezone": zone}), *JANUARY)
    assert list(rain(bare)) == [10]


def test_json_objects_and_parallel_arrays(file, poll):
    nested = '{"a": {"rows": [{"p": {"day": "2024-01-01", "rain": 1}}, {"p": {"day": 3}}, 7]}}'
    given = feed(
        file(nested),
        date_column="p.day",
        value_column="p.rain",
        table={"format": "json", "rows": "a.rows"},
    )
    observed, rejected = poll(given, *JANUARY)
    assert rain(observed) == {1: 1.0}
    assert sorted(r.code for r in rejected) == ["R01", "R02"]
    arrays = '{"daily": {"day": ["2024-01-01", "2024-01-02"], "rain": [1.5, null]}}'
    observed, _ = poll(feed(file(arrays), table={"format": "json", "rows": "daily"}), *JANUARY)
    assert rain(observed) == {1: 1.5, 2: None}


def test_excel(file, poll):
    rows = [["day", "rain"], [datetime(2024, 1, 1), 1.5], ["2024-01-02", "#N/A"], [None, None]]
    rows += [[datetime(2024, 1, 3), None], [datetime(2024, 1, 4), "wet"]]
    at = file(workbook(rows), "table.xlsx")
    form = {"format": "xlsx", "missing": ["#N/A"], "decimal": ","}
    observed, (rejection,) = poll(feed(at, table=form), *JANUARY)
    assert rain(observed) == {1: 1.5, 2: None, 3: None}
    assert rejection.code == "R03"
    assert "row 6" in rejection.reason


def test_bad_rows_are_rejected_one_by_one(file, poll):
    at = file(
        "day,rain,unit\n2024-01-01,1,mm\n2024-01-02,NaN,mm\n2024-01-03,-1,mm\n2024-01-04,2001,mm\n"
        "tomorrow,1,mm\n2024-01-05,1,inch\n2024-01-01,2,mm\n2024-01-01,1,mm\n2999-01-01,1,mm\n"
        '2024-01-06,1\n2024-01-07,"1,mm\n2024-01-08,inf,mm\n2024-01-09,1_0,mm\n2024-01-10,4,mm\n'
    )
    observed, rejected = poll(feed(at, unit_column="unit"), *JANUARY)
    assert rain(observed) == {1: 1.0, 10: 4.0}
    by_row = {r.reason.partition(":")[0]: r.code for r in rejected}
    assert by_row == {
        "row 3": "R03",
        "row 4": "R04",
        "row 5": "R04",
        "row 6": "R05",
        "row 7": "R07",
        "row 8": "R06",
        "row 10": "R10",
        "row 11": "R01",
        "row 12": "R01",
        "row 13": "R03",
        "row 14": "R03",
    }
    assert {r.code for r in rejected} <= set(REJECTION_CODES)
    assert all(r.row for r in rejected)


def test_later_rows_are_no_future_in_a_backfill(file, poll):
    at = file("day,rain\n2020-01-01,1\n2024-01-01,2\n")
    observed, rejected = poll(feed(at), date(2020, 1, 1), date(2020, 1, 31))
    assert len(observed) == 1
    assert not rejected


def test_a_row_of_ten_megabytes(file, poll):
    at = file("day,rain\n2024-01-01,1\n2024-01-02," + "7" * 10_000_000 + "\n2024-01-03,3\n")
    observed, (rejection,) = poll(feed(at), *JANUARY)
    assert rain(observed) == {1: 1.0, 3: 3.0}
    assert rejection.code == "R01"
    assert len(rejection.row.encode()) <= 2048


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ("", {}),
        ("<!doctype html><p>Please log in", {}),
        ("when,how much\n2024-01-01,1\n", {}),
        ('{"rows": [{"day": "2024-01-01", ', {"format": "json"}),
        ('{"rows": []}', {"format": "json", "rows": "data"}),
        ("[" * 200_000, {"format": "json"}),
        ('{"day": ["2024-01-01"], "rain": [1, 2]}', {"format": "json"}),
        ("day,rain\n", {"format": "xlsx"}),
        # Named, for a workbook's bytes hold the time at which it was made.
        pytest.param(workbook([["day", "rain"]])[:-40], {"format": "xlsx"}, id="cut workbook"),
        pytest.param(
            workbook([["day", "rain"]]), {"format": "xlsx", "sheet": "missing"}, id="no such sheet"
        ),
    ],
)
def test_what_is_no_such_table(file, poll, content, form):
    with pytest.raises(BadInputError, match="table"):
        poll(feed(file(content), table=form), *JANUARY)


def test_a_file_cut_off_in_a_row(file, poll):
    observed, (rejection,) = poll(feed(file("day,rain\n2024-01-01,1\n2024-0")), *JANUARY)
    assert rain(observed) == {1: 1.0}
    assert rejection.code == "R01"


def test_addresses_with_dates(server, poll):
    server.files(
        {"/2023.csv": b"day,rain\n2023-12-31,1\n", "/2024.csv": b"day,rain\n2024-01-01,2\n"}
    )
    observed, _ = poll(feed(server.url + "/{year}.csv"), date(2023, 12, 31), date(2024, 1, 2))
    assert [o.data.rain_mm for o in observed] == [1.0, 2.0]
    server.files({"/q": b"day,rain\n2024-01-01,2\n"})
    poll(feed(server.url + "/q?from={since}&to={until}"), *JANUARY)
    assert server.requests[-1].fields == [("from", "2024-01-01"), ("to", "2024-01-31")]


def test_where_there_is_nothing_to_read(tmp_path, server, poll):
    with pytest.raises(UnavailableError, match="cannot read"):
        poll(feed(tmp_path / "none.csv"), *JANUARY)
    with pytest.raises(SettingsError, match="not a file"):
        poll(feed(tmp_path), *JANUARY)
    with pytest.raises(BadInputError, match="404"):
        poll(feed(server.url + "/none.csv?key=secret"), *JANUARY)


def cdec(at, sensor, **settings):
    return feed(
        at,
        LEVEL,
        unit="ft",
        date_column="DATE TIME",
        value_column="VALUE",
        unit_column="UNITS",
        only={"SENSOR_NUMBER": sensor},
        table={"date_format": "%Y%m%d %H%M"},
        **settings,
    )


def test_recorded_cdec_stage_with_a_missing_value(recorded, poll):
    at = recorded / "cdec_csvservlet" / "LIS_1_E_with_missing.csv"
    observed, (rejection,) = poll(cdec(at, "1"), date(2026, 1, 1), date(2026, 1, 31))
    assert [(o.data.day.day, o.data.level_m) for o in observed] == [(14, 4.056888), (15, 4.044696)]
    assert rejection.code == "R06"


def test_recorded_cdec_storage_is_no_level(recorded, poll):
    at = recorded / "cdec_csvservlet" / "VIL_15_D_20220215_20220228.csv"
    window = date(2022, 2, 1), date(2022, 2, 28)
    observed, rejected = poll(cdec(at, "15"), *window)
    assert not observed
    assert [r.code for r in rejected] == ["R07"] * 14
    assert poll(cdec(at, "6"), *window) == ([], [])
    given = feed(
        at,
        LEVEL,
        date_column="OBS DATE",
        value_column="VALUE",
        highest=1e5,
        table={"date_format": "%Y%m%d %H%M"},
    )
    observed, rejected = poll(given, *window)
    assert (len(observed), len(rejected)) == (14, 0)
    assert observed[-1].data.level_m == 9597.0


def test_recorded_old_cdec_page(recorded, poll):
    at = recorded / "cdec" / "PRA.csv"
    form = {"header_row": 2, "names": ["day", "time", "level"], "date_format": "%Y%m%d"}
    given = feed(at, LEVEL, unit="ft", table={**form, "missing": ["m"]})
    observed, rejected = poll(given, date(2000, 1, 1), date(2000, 1, 31))
    assert [o.data.level_m for o in observed] == [None, None]
    assert not rejected


def test_recorded_open_meteo_rain(recorded, poll):
    (at,) = (recorded / "open_meteo_archive").glob("*.json")
    given = feed(
        at,
        date_column="time",
        value_column="precipitation_sum",
        table={"format": "json", "rows": "daily"},
    )
    observed, rejected = poll(given, date(1991, 1, 1), date(1991, 1, 31))
    assert [o.data.rain_mm for o in observed] == [
        3.5,
        40.7,
        4.8,
        20.1,
        19.6,
        8.1,
        7.8,
        8.6,
        9.6,
        10.3,
    ]
    assert not rejected
