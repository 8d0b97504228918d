"""Rows out of CSV, JSON and Excel bytes: one reader for every table somebody else made.

A bad row costs only itself: it comes as a `Rejection` in its place. A file that is no such table
at all raises `BadInputError`. Sizes are bounded before anything is unpacked.
"""

from __future__ import annotations

import csv
import io
import json
import math
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from core.errors import BadInputError
from core.settings import Tree
from services.ingest.feed import Rejection

MAX_BYTES = 64 << 20
MAX_UNPACKED_BYTES = 128 << 20
MAX_ROW_BYTES = 2048
MAX_PARTS = 2000
MAX_SHEET_ROWS = 1 << 20
MAX_SHEET_CELLS = 10_000_000

Cell = str | float | datetime | None
Row = dict[str, Cell]


class TableFormat(Tree):
    """How a table is written."""

    format: Literal["csv", "json", "xlsx"] = Field("csv", description="csv, json or xlsx")
    separator: str = Field(",", min_length=1, max_length=1, description="between cells of a CSV")
    encoding: str = Field("utf-8-sig", description="of a CSV; JSON is always UTF-8")
    decimal: Literal[".", ","] = Field(".", description="decimal mark in text cells")
    header_row: int = Field(
        1, ge=0, description="line of the column names, lines before are skipped; 0: has none"
    )
    names: tuple[str, ...] = Field((), description="column names where the table has none")
    rows: str = Field(
        "", description="dotted path to the rows in a JSON, e.g. daily or value.timeSeries.0.values"
    )
    sheet: str | None = Field(None, description="sheet of an Excel file; none: the first")
    missing: tuple[str, ...] = Field(
        ("", "NA", "N/A", "null", "---"), description="cells that say: no value"
    )
    date_format: str | None = Field(
        None, description="strptime pattern, e.g. %d.%m.%Y; none: ISO 8601"
    )
    timezone: str = Field(
        "UTC", description="zone of dates that carry a time but no offset; bare days are kept"
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("write an IANA zone such as Europe/Rome or UTC") from None
        return name

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        try:
            "".encode(name)
        except LookupError:
            raise ValueError("write an encoding such as utf-8, latin-1 or gb18030") from None
        return name


def read_rows(
    content: bytes, form: TableFormat, where: str = "table"
) -> Iterator[tuple[int, Row | Rejection]]:
    """(row number, cells by column name) of every row; a row that is none is a `Rejection`.

    Numbers are those an editor shows: lines of a CSV, rows of a sheet, 1-based items of a JSON.
    Nested JSON objects become dotted names (`properties.value`); one CSV row is one line.
    `BadInputError`, naming `where`, for content that is not such a table or over its bounds.
    """
    if len(content) > MAX_BYTES:
        raise BadInputError(f"{where} is over {MAX_BYTES >> 20} MiB: that is no table")
    reader = {"csv": _csv_rows, "json": _json_rows, "xlsx": _xlsx_rows}[form.format]
    yield from reader(content, form, where)


def number(cell: Cell, form: TableFormat) -> float | None:
    """A cell's finite number, None where it holds a missing code; else `ValueError`.

    With a decimal comma dots and spaces are thousands marks, but only in text cells.
    """
    if cell is None or str(cell).strip() in form.missing:
        return None
    if isinstance(cell, datetime | bool):
        raise ValueError(f"{cell!r} is not a number")
    if isinstance(cell, str):
        text = cell.strip()
        if form.decimal == ",":
            text = text.replace(".", "").replace(" ", "").replace("\u00a0", "").replace(",", ".")
        if "_" in text:
            raise ValueError(f"{cell!r} is not a number")
        cell = float(text)
    if not math.isfinite(cell):
        raise ValueError(f"{cell!r} is not a finite number")
    return float(cell)


def moment(cell: Cell, form: TableFormat) -> datetime:
    """A cell's date as the aware UTC moment it names; `ValueError` when there is none.

    A bare day is its UTC midnight, whatever the zone; a date with a time is taken in
    `form.timezone` unless it carries an offset.
    """
    if isinstance(cell, datetime):
        found, bare = cell, cell.time() == datetime.min.time() and cell.tzinfo is None
    else:
        text, given = _text(cell).strip(), form.date_format
        found = datetime.strptime(text, given) if given else datetime.fromisoformat(text)
        bare = found.tzinfo is None and not _has_time(text, given)
    if bare:
        return found.replace(tzinfo=UTC)
    if found.tzinfo is None:
        found = found.replace(tzinfo=ZoneInfo(form.timezone))
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{found} is outside the calendar") from error


def bounded(text: str) -> str:
    """`text` cut to `MAX_ROW_BYTES` of UTF-8, as it is kept with a rejection."""
    content = text.encode("utf-8", errors="replace")
    if len(content) <= MAX_ROW_BYTES:
        return content.decode()
    return content[: MAX_ROW_BYTES - 3].decode(errors="ignore") + "..."


def row_text(row: Mapping[str, Any]) -> str:
    """A row as bounded JSON, to be kept with its rejection."""
    return bounded(json.dumps(row, ensure_ascii=False, default=str))


def _has_time(text: str, date_format: str | None) -> bool:
    if date_format is None:
        return len(text) > len("2024-01-01")
    return any(directive in date_format for directive in ("%H", "%I", "%X", "%c"))


def _text(cell: Cell) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell)


def _rejected(number: int, reason: str, text: str) -> tuple[int, Rejection]:
    return number, Rejection("R01", f"row {number}: {reason}", f"row {number}", bounded(text))


def _csv_rows(
    content: bytes, form: TableFormat, where: str
) -> Iterator[tuple[int, Row | Rejection]]:
    if content.lstrip()[:1] == b"<":
        raise BadInputError(f"{where} is a web page or XML, not CSV")
    names: Sequence[str] = form.names
    # A stray bad byte must not lose the file: it shows up in its own cell only.
    lines = io.StringIO(content.decode(form.encoding, errors="replace"), newline=None)
    for line_number, line in enumerate(lines, start=1):
        if line_number < form.header_row or not line.strip():
            continue
        try:
            # One reader a line: an unclosed quote spoils its own row, not the rest of the file.
            cells = next(csv.reader([line], delimiter=form.separator, strict=True))
        except csv.Error as error:
            yield _rejected(line_number, str(error), line)
            continue
        if line_number == form.header_row:
            names = form.names or [cell.strip() for cell in cells]
        elif len(cells) != len(names):
            yield _rejected(line_number, f"{len(cells)} cells for {len(names)} columns", line)
        else:
            yield line_number, dict(zip(names, cells, strict=True))
    if not names:
        raise BadInputError(f"{where} has no line of column names")


def _json_rows(
    content: bytes, form: TableFormat, where: str
) -> Iterator[tuple[int, Row | Rejection]]:
    try:
        found: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{where} is not whole JSON: {error}") from error
    for key in filter(None, form.rows.split(".")):
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise BadInputError(f"{where} has no {form.rows!r} ({key!r} is not there)") from error
    if isinstance(found, dict):
        found = _from_columns(found, where)
    if not isinstance(found, list):
        raise BadInputError(f"{where}: {form.rows or 'the whole'!r} is not a list of rows")
    for item_number, item in enumerate(found, start=1):
        if isinstance(item, dict):
            yield item_number, _flat(item)
        elif isinstance(item, list) and len(item) == len(form.names):
            yield item_number, dict(zip(form.names, map(_cell, item), strict=True))
        else:
            yield _rejected(item_number, "not an object with named values", json.dumps(item))


def _from_columns(columns: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """Rows of parallel arrays; an array of another length is no column."""
    arrays = {name: array for name, array in columns.items() if isinstance(array, list)}
    if not arrays:
        raise BadInputError(f"{where} holds no rows")
    if len({len(array) for array in arrays.values()}) > 1:
        raise BadInputError(f"{where}: its columns differ in length")
    return [dict(zip(arrays, values, strict=True)) for values in zip(*arrays.values(), strict=True)]


def _flat(item: Mapping[str, Any], prefix: str = "") -> Row:
    row: Row = {}
    for name, value in item.items():
        if isinstance(value, dict):
            row.update(_flat(value, f"{prefix}{name}."))
        else:
            row[prefix + name] = _cell(value)
    return row


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, str | float | datetime):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53:
        return float(value)
    return str(value)


def _xlsx_rows(
    content: bytes, form: TableFormat, where: str
) -> Iterator[tuple[int, Row | Rejection]]:
    _check_parts(content, where)
    names: Sequence[str] = form.names
    for row_number, values in enumerate(_sheet(content, form, where), start=1):
        if row_number < form.header_row or all(value is None for value in values):
            continue
        if row_number == form.header_row:
            names = form.names or ["" if v is None else str(v).strip() for v in values]
        elif any(value is not None for value in values[len(names) :]):
            yield _rejected(row_number, f"more cells than its {len(names)} columns", str(values))
        else:
            cells = [*map(_cell, values), *([None] * len(names))]
            yield row_number, dict(zip(names, cells[: len(names)], strict=True))


def _check_parts(content: bytes, where: str) -> None:
    """Refuse zip bombs and XML with declarations (entities) before Excel parsing begins."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
            # zipfile never unpacks more of a part than its header says, so the sum is a bound.
            unpacked = sum(part.file_size for part in parts)
            if unpacked > MAX_UNPACKED_BYTES or len(parts) > MAX_PARTS:
                raise BadInputError(f"{where} unpacks to {unpacked} bytes: that is no table")
            for part in parts:
                if part.filename.endswith((".xml", ".rels", ".vml")):
                    text = archive.read(part)
                    if b"<!DOCTYPE" in text or b"<!ENTITY" in text or b"\0" in text[:8]:
                        raise BadInputError(f"{where}: {part.filename} declares entities")
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, zlib.error) as error:
        raise BadInputError(f"{where} is not a whole Excel file: {error}") from error


def _sheet(content: bytes, form: TableFormat, where: str) -> Iterator[tuple[Any, ...]]:
    """Rows of the sheet, one at a time: a small file may name a cell in a row or column far out."""
    from openpyxl import load_workbook

    cells = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns about styling it cannot keep
            book = load_workbook(
                io.BytesIO(content), read_only=True, data_only=True, keep_links=False
            )
        try:
            sheet = book[form.sheet] if form.sheet else book.worksheets[0]
            sheet.reset_dimensions()
            for count, values in enumerate(sheet.iter_rows(values_only=True), start=1):
                cells += len(values)
                if count > MAX_SHEET_ROWS or cells > MAX_SHEET_CELLS:
                    raise BadInputError(
                        f"{where} has over {MAX_SHEET_ROWS} rows or {MAX_SHEET_CELLS} cells: "
                        "that is no table"
                    )
                yield values
        finally:
            book.close()
    except BadInputError:
        raise
    except Exception as error:  # openpyxl raises whatever its parsers raise
        raise BadInputError(f"{where} is not a readable Excel sheet: {error}") from error
