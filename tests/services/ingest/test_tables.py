"""The table reader stays within its bounds whatever it is given."""

import io
import tracemalloc
import zipfile
from datetime import UTC, datetime

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import BadInputError
from services.ingest import tables
from services.ingest.feed import Rejection
from services.ingest.tables import TableFormat


def read(content, **form):
    return list(tables.read_rows(content, TableFormat.model_validate(form)))


def workbook(parts=None):
    content = io.BytesIO()
    book = openpyxl.Workbook()
    book.active.append(["a", "b"])
    book.active.append([1, 2.5])
    book.save(content)
    if parts:
        with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
    return content.getvalue()


def workbook_of(rows):
    """A workbook whose only sheet holds these rows."""
    named = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    sheet = b'<worksheet xmlns="%s"><sheetData>%s</sheetData></worksheet>' % (named.encode(), rows)
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook())) as old, zipfile.ZipFile(content, "w") as new:
        for name in old.namelist():
            new.writestr(name, sheet if name.endswith("sheet1.xml") else old.read(name))
    return content.getvalue()


def test_rows_carry_the_line_an_editor_shows():
    rows = read(b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n3,4")
    assert rows == [(2, {"a": "1", "b": "2"}), (4, {"a": "3", "b": "4"})]


def test_a_table_without_a_line_of_names():
    rows = read(b"1;2\n", header_row=0, names=["a", "b"], separator=";")
    assert rows == [(1, {"a": "1", "b": "2"})]


def test_one_bad_byte_stays_in_its_cell():
    (_, row), (_, other) = read(b"a,b\nM\xfcnchen,1\nB,2\n")
    assert row["b"] == "1"
    assert other == {"a": "B", "b": "2"}
    assert read("a\nMünchen\n".encode("latin-1"), encoding="latin-1")[0][1] == {"a": "München"}


def test_excel_rows():
    assert read(workbook(), format="xlsx") == [(2, {"a": 1.0, "b": 2.5})]


def test_a_zip_bomb_is_refused_before_it_unpacks():
    bomb = workbook({"xl/bomb.xml": b"0" * (tables.MAX_UNPACKED_BYTES + 1)})
    assert len(bomb) < 1 << 20
    tracemalloc.start()
    with pytest.raises(BadInputError, match="unpacks to"):
        read(bomb, format="xlsx")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize(
    "rows",
    [
        b'<row r="1"/><row r="99999999"><c r="A99999999"><v>1</v></c></row>',
        b"".join(b'<row r="%d"><c r="XFD%d"><v>1</v></c></row>' % (n, n) for n in range(1, 100)),
    ],
)
def test_a_cell_far_out_costs_no_more_than_a_table_may(rows, monkeypatch):
    monkeypatch.setattr(tables, "MAX_SHEET_ROWS", 1000)
    monkeypatch.setattr(tables, "MAX_SHEET_CELLS", 100_000)
    with pytest.raises(BadInputError, match="over 1000 rows or 100000 cells"):
        read(workbook_of(rows), format="xlsx")


@pytest.mark.parametrize(
    "part",
    [
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        '<?xml version="1.0"?><!DOCTYPE a []><a/>'.encode("utf-16"),
    ],
)
def test_declared_entities_are_refused(part):
    with pytest.raises(BadInputError, match="entities"):
        read(workbook({"xl/extra.xml": part}), format="xlsx")


def test_too_large_a_file_is_refused():
    with pytest.raises(BadInputError, match="over 64 MiB"):
        read(bytes(tables.MAX_BYTES + 1))


@given(st.binary(max_size=400), st.sampled_from(["csv", "json", "xlsx"]))
def test_noise_gives_rows_rejections_or_one_error(content, name):
    try:
        rows = read(content, format=name)
    except BadInputError:
        return
    assert all(isinstance(row, dict | Rejection) for _, row in rows)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "1_000", "1,5", "0x1", "٣ٔ", True])
def test_what_is_no_number(text):
    with pytest.raises(ValueError):  # noqa: PT011
        tables.number(text, TableFormat())


def test_numbers():
    comma = TableFormat(decimal=",")
    assert tables.number(" 1 234,5 ", comma) == 1234.5
    assert tables.number(12.5, comma) == 12.5
    assert tables.number(" --- ", comma) is None
    assert tables.number(None, comma) is None


def test_moments():
    rome = TableFormat(timezone="Europe/Rome")
    assert tables.moment("2024-07-01 00:30", rome) == datetime(2024, 6, 30, 22, 30, tzinfo=UTC)
    assert tables.moment("2024-07-01T00:30+00:00", rome) == datetime(2024, 7, 1, 0, 30, tzinfo=UTC)
    assert tables.moment("2024-07-01", rome) == datetime(2024, 7, 1, tzinfo=UTC)
    assert tables.moment(20240701.0, TableFormat(date_format="%Y%m%d")).day == 1
    with pytest.raises(ValueError, match="Invalid isoformat"):
        tables.moment(None, rome)
    with pytest.raises(ValueError, match="calendar"):
        tables.moment("0001-01-01T00:30", TableFormat(timezone="Asia/Tokyo"))


@pytest.mark.parametrize("bad", [{"timezone": "Moon/Base"}, {"encoding": "x"}, {"separator": ""}])
def test_settings_are_checked(bad):
    with pytest.raises(ValidationError):
        TableFormat.model_validate(bad)


def test_bounded_cuts_between_characters():
    text = tables.bounded("ü" * 5000)
    assert len(text.encode()) <= tables.MAX_ROW_BYTES
    assert text.endswith("ü...")
