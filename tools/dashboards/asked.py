"""Put a dashboard's queries to a real Prometheus and a real projection, and see what comes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pg8000.native

from tools.dashboards import filled
from tools.dashboards.filled import Pace, Query, Span
from tools.engine.prometheus import Prometheus

Row = tuple[Any, ...]


class Answer(NamedTuple):
    """What a query brought: rows of SQL, or one row a value of PromQL.

    PromQL has the columns `labels` (a mapping), `time` (seconds since 1970) and `value`.
    """

    columns: tuple[str, ...]
    rows: list[Row]

    @property
    def empty(self) -> bool:
        """Whether nothing came that could be drawn: no row, or none with a value."""
        return not any(_says(cell) for row in self.rows for cell in _values(self.columns, row))

    def column(self, name: str) -> list[Any]:
        """All of one column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def dicts(self) -> list[dict[str, Any]]:
        """Rows by the names of their columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Reader:
    """One dashboard as a reader sees it at `now`: with the values that its variables have.

    Every value is chosen where several can be, else the first; `chosen` overrules that.
    """

    def __init__(
        self,
        board: Mapping[str, Any],
        prometheus: Prometheus,
        projection: pg8000.native.Connection,
        *,
        pace: Pace,
        chosen: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.board = board
        self.now = datetime.now(UTC)
        self._prometheus = prometheus
        self._projection = projection
        self._pace = pace
        self.values: dict[str, Sequence[str]] = {}
        for variable in filled.variables(board):
            name = variable["name"]
            found = (chosen or {}).get(name) or self.choices(variable)
            self.values[name] = found if variable["multi"] else found[:1]

    def choices(self, variable: Mapping[str, Any]) -> list[str]:
        """What a variable can be, in order; of two columns the one called `__value`."""
        query = variable["query"]
        if isinstance(query, dict):
            metric, label = query["query"].removeprefix("label_values(").rstrip(")").split(", ")
            return self._prometheus.label_values(metric, label)
        answer = self._sql(filled.sql(query, self.values, filled.span(self.board, {}, self.now)))
        name = "__value" if "__value" in answer.columns else answer.columns[0]
        return [str(value) for value in answer.column(name)]

    def span(self, panel: Mapping[str, Any]) -> Span:
        """The time that a panel shows."""
        return filled.span(self.board, panel, self.now)

    def answer(self, query: Query) -> Answer:
        """What one query brings."""
        shown = self.span(query.panel)
        if query.owner.startswith("variable "):
            return Answer(("value",), [(one,) for one in self.choices(query.panel)])
        if query.language == "sql":
            return self._sql(filled.sql(query.text, self.values, shown))
        expr = filled.promql(query.text, self.values, shown, self._pace)
        until = shown.until.timestamp()
        if query.instant:
            found = self._prometheus.instant(expr, until)
            return _answer((one["metric"], [one["value"]]) for one in found)
        step = self._pace.step_s(shown)
        found = self._prometheus.graph(expr, shown.since.timestamp(), until, step)
        return _answer((one["metric"], one["values"]) for one in found)

    def _sql(self, text: str) -> Answer:
        rows = self._projection.run(text) or []
        columns = self._projection.columns or []
        return Answer(tuple(column["name"] for column in columns), [tuple(row) for row in rows])


def _answer(series: Any) -> Answer:
    rows = [(labels, at, float(value)) for labels, values in series for at, value in values]
    return Answer(("labels", "time", "value"), rows)


def _values(columns: Sequence[str], row: Row) -> list[Any]:
    named = zip(columns, row, strict=True)
    return [cell for name, cell in named if name not in {"time", "labels"}]


def _says(cell: object) -> bool:
    return not (cell is None or (isinstance(cell, float) and math.isnan(cell)))
