"""What panels ask: PromQL of Prometheus, SQL of the projection; and the variables both use.

No dashboard names a data source: the variables `metrics` and `projection` hold the one chosen.
Texts in SQL are filled in by Grafana as quoted literals (`${site:sqlstring}`), so a name with a
quote in it is no more than a name.
"""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    DatasourceVariable,
    QueryVariable,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery as PrometheusQuery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import (
    AnnotationTarget,
    DataSourceRef,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

METRICS = DataSourceRef(type_val="prometheus", uid="${metrics}")
PROJECTION = DataSourceRef(type_val="grafana-postgresql-datasource", uid="${projection}")
MIXED = DataSourceRef(type_val="datasource", uid="-- Mixed --")
"""Grafana's own name for a panel whose queries go to several data sources."""


class SqlQuery(Dataquery):
    """A query to PostgreSQL as Grafana stores it; the SDK has no class for it."""

    def __init__(self, text: str, format_name: str, ref: str) -> None:
        self.text = text
        self.format_name = format_name
        self.ref = ref

    def to_json(self) -> dict[str, object]:
        """Its fields."""
        return {
            "datasource": PROJECTION,
            "editorMode": "code",
            "format": self.format_name,
            "rawQuery": True,
            "rawSql": self.text,
            "refId": self.ref,
        }


class Sql(Builder[SqlQuery]):
    """SQL for a table, or with `series` for a graph: a column `time`, and one a line."""

    def __init__(self, text: str, *, series: bool = False, ref: str = "A") -> None:
        self.query = SqlQuery(_plain(text), "time_series" if series else "table", ref)

    def build(self) -> SqlQuery:
        """The query."""
        return self.query


def line(expr: str, legend: str = "", *, ref: str = "A") -> PrometheusQuery:
    """PromQL over the time that is shown; `legend` names the lines by their labels."""
    return _prometheus(expr, ref).range().legend_format(legend or "__auto")


def now(expr: str, legend: str = "", *, ref: str = "A") -> PrometheusQuery:
    """PromQL at the end of the time that is shown."""
    return _prometheus(expr, ref).instant().legend_format(legend or "__auto")


def cells(expr: str, *, ref: str = "A") -> PrometheusQuery:
    """PromQL at the end of the time shown, as rows: a column a label, and `Value`."""
    return _prometheus(expr, ref).instant().format(PromQueryFormat.TABLE)


def _prometheus(expr: str, ref: str) -> PrometheusQuery:
    query = PrometheusQuery().expr(_plain(expr)).ref_id(ref)
    return query.editor_mode(QueryEditorMode.CODE).datasource(METRICS)


def _plain(text: str) -> str:
    """Without the indentation of the code round it."""
    return "\n".join(stripped for row in text.splitlines() if (stripped := row.strip()))


class SqlMark(AnnotationTarget):
    """The query of annotations; the SDK knows only Grafana's own annotations."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.query = SqlQuery(_plain(text), "table", "Anno")

    def to_json(self) -> dict[str, object]:
        """Its fields."""
        return self.query.to_json()


class Marks(Builder[Any]):
    """Annotations from SQL with the columns `time`, `text` and `tags` (and `timeend`)."""

    def __init__(self, name: str, colour: str, text: str) -> None:
        made = AnnotationQuery().name(name).datasource(PROJECTION).icon_color(colour)
        self.query = made.enable(True).build()
        self.query.target = SqlMark(text)

    def build(self) -> Any:
        """The annotations."""
        return self.query


def metrics_source() -> DatasourceVariable:
    """The variable that holds the Prometheus chosen."""
    chosen = DatasourceVariable("metrics").type("prometheus").label("Metrics")
    return chosen.description("Prometheus that scrapes slopewatch")


def projection_source() -> DatasourceVariable:
    """The variable that holds the PostgreSQL chosen."""
    chosen = DatasourceVariable("projection").type(str(PROJECTION.type_val)).label("Projection")
    return chosen.description("PostgreSQL that slopewatch's projector writes to")


def labels(name: str, label: str, metric: str, meaning: str) -> QueryVariable:
    """The values of a label of a metric; several can be chosen, and all are."""
    query = {
        "qryType": 1,
        "query": f"label_values({metric}, {name})",
        "refId": "PrometheusVariableQueryEditor-VariableQuery",
    }
    return (
        _asked(QueryVariable(name).query(query).datasource(METRICS), label, meaning)
        .multi(True)
        .include_all(True)
    )


def rows(name: str, label: str, text: str, meaning: str) -> QueryVariable:
    """The first column of a query (or `__value`, shown as `__text`); one can be chosen."""
    return _asked(QueryVariable(name).query(_plain(text)).datasource(PROJECTION), label, meaning)


def _asked(variable: QueryVariable, label: str, meaning: str) -> QueryVariable:
    asked = variable.label(label).description(meaning)
    return asked.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.DISABLED)
