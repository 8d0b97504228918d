"""Panels with everything a reader needs: title, what it says, unit, limits, runbook.

A dashboard is rows of panels. Widths are of 24 columns, heights of Grafana's rows of 30 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders.barchart import Panel as BarChart
from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, FieldColor, Row
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.statetimeline import Panel as Timeline
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as Graph
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)

from tools.dashboards import looks
from tools.dashboards.queries import METRICS, MIXED, PROJECTION, SqlQuery

RUNBOOKS = "docs/runbooks"
"""Where runbooks lie in this repository; where they are published, that takes its place."""
TAG = "slopewatch"


def stat(title: str, says: str, unit: str, *queries: Any, **more: Any) -> Stat:
    """Big figures, coloured by limits; `calc` of a series, or all its rows with `all_rows`."""
    panel: Stat = _dressed(Stat(), title, says, queries, more, width=4, height=4)
    reduced = ReduceDataOptions().calcs([more.get("calc", "lastNotNull")])
    if "fields" in more:
        reduced = reduced.fields(more["fields"])
    if more.get("all_rows"):
        reduced = reduced.values(True)
    panel.reduce_options(reduced).unit(unit).graph_mode(BigValueGraphMode.NONE)
    panel.color_mode(BigValueColorMode.BACKGROUND_SOLID)
    for name, colour in more.get("colours", {}).items():
        panel.override_by_name(name, [looks.fixed(colour)])
    if "mapped" in more:
        panel.mappings(looks.numbered(more["mapped"]))
    if "marked" in more:
        panel.mappings(looks.containing(more["marked"]))
    return panel.text_mode(more.get("text", BigValueTextMode.AUTO))


def graph(title: str, says: str, unit: str, *queries: Any, **more: Any) -> Graph:
    """Lines over time; `stacked` areas where the sum means something."""
    panel: Graph = _dressed(Graph(), title, says, queries, more, width=12, height=8).unit(unit)
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(True)
    panel.legend(legend.placement(LegendPlacement.BOTTOM).calcs([]))
    tooltip = VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    panel.tooltip(tooltip).line_width(2).show_points(VisibilityMode.NEVER)
    panel.color_scheme(FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    if more.get("stacked"):
        panel.stacking(StackingConfig().mode(StackingMode.NORMAL).group("A")).fill_opacity(60)
        panel.line_width(1)
    for name, colour in more.get("colours", {}).items():
        panel.override_by_name(name, [looks.fixed(colour)])
    if more.get("points"):
        panel.draw_style(GraphDrawStyle.POINTS).point_size(5)
    if more.get("bars"):
        panel.draw_style(GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
    return panel


def table(title: str, says: str, *queries: Any, **more: Any) -> Table:
    """Rows; `columns` says how each is shown, by its name."""
    panel: Table = _dressed(Table(), title, says, queries, more, width=24, height=8)
    panel.show_header(True).unit("none")
    for name, how in more.get("columns", {}).items():
        panel.override_by_name(name, how)
    return panel


def timeline(title: str, says: str, *queries: Any, **more: Any) -> Timeline:
    """What state held when: numbers from 0 on, as words in their colours."""
    panel: Timeline = _dressed(Timeline(), title, says, queries, more, width=24, height=5).unit(
        "none"
    )
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(True)
    panel.legend(legend.placement(LegendPlacement.BOTTOM).calcs([])).merge_values(True)
    tooltip = VizTooltipOptions().mode(TooltipDisplayMode.SINGLE).sort(SortOrder.NONE)
    panel.tooltip(tooltip)
    panel.show_value(VisibilityMode.AUTO).fill_opacity(85).line_width(0).row_height(0.9)
    panel.color_scheme(FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    for ref, colours in more.get("others", {}).items():
        mappings = model.DynamicConfigValue("mappings", looks.numbered(colours))
        panel.override_by_query(ref, [mappings])
    return panel.mappings(looks.numbered(more["colours"]))


def bar_chart(title: str, says: str, unit: str, *queries: Any, **more: Any) -> BarChart:
    """Bars for named things; the first column names them."""
    panel: BarChart = _dressed(BarChart(), title, says, queries, more, width=12, height=8).unit(
        unit
    )
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(True)
    panel.legend(legend.placement(LegendPlacement.BOTTOM).calcs([])).fill_opacity(85)
    for name, colour in more.get("colours", {}).items():
        panel.override_by_name(name, [looks.fixed(colour)])
    tooltip = VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.NONE)
    return panel.tooltip(tooltip).color_scheme(
        FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC)
    )


def _dressed(
    panel: Any,
    title: str,
    says: str,
    queries: Sequence[Any],
    more: dict[str, Any],
    *,
    width: int,
    height: int,
) -> Any:
    """What all panels have; data sources are those of the queries."""
    targets = [query.build() for query in queries]
    sql = [isinstance(target, SqlQuery) for target in targets]
    source = PROJECTION if all(sql) else MIXED if any(sql) else METRICS
    panel.title(title).description(says).datasource(source)
    panel.span(more.get("width", width)).height(more.get("height", height))
    for query in queries:
        panel.with_target(query)
    panel.thresholds(looks.limits(*more.get("limits", ()), first=more.get("first", looks.FINE)))
    for change in more.get("changes", ()):
        panel.with_transformation(change)
    if "decimals" in more:
        panel.decimals(more["decimals"])
    if "lowest" in more:
        panel.min(more["lowest"])
    if "highest" in more:
        panel.max(more["highest"])
    if "time_from" in more:
        panel.time_from(more["time_from"])
    if "empty" in more:
        panel.no_value(more["empty"])
    links = [
        DashboardLink(f"Runbook: {name}")
        .type(model.DashboardLinkType.LINK)
        .url(f"{RUNBOOKS}/{name}.md")
        .target_blank(True)
        for name in more.get("runbooks", ())
    ]
    return panel.links(links) if links else panel


def columns(names: dict[str, str], *, by: str = "", merged: bool = False) -> list[Any]:
    """The columns of a table, renamed and in this order; all others are left out.

    Several queries stand side by side: joined by one column, or `merged` by all they share. The
    figure of a query to Prometheus is then called `Value #A` by its letter, else `Value`.
    """
    steps: list[tuple[str, dict[str, Any]]] = []
    if by:
        steps.append(("joinByField", {"byField": by, "mode": "outer"}))
    if merged:
        steps.append(("merge", {}))
    steps.append(("filterFieldsByName", {"include": {"names": list(names)}}))
    order = {name: place for place, name in enumerate(names)}
    organised = {"excludeByName": {}, "indexByName": order, "renameByName": names}
    steps.append(("organize", organised))
    return [model.DataTransformerConfig(name, options=options) for name, options in steps]


def board(
    name: str,
    title: str,
    says: str,
    variables: Sequence[Any],
    rows: Sequence[tuple[str, Sequence[Any]]],
    **more: Any,
) -> model.Dashboard:
    """A dashboard of titled rows; `since` and `until` are the time shown at first."""
    made = Dashboard(title).uid(f"slopewatch-{name}").description(says).tags([TAG])
    made.timezone("utc").refresh(more.get("refresh", "1m")).readonly().version(1)
    made.time(more.get("since", "now-24h"), more.get("until", "now"))
    made.tooltip(model.DashboardCursorSync.CROSSHAIR)
    for variable in variables:
        made.with_variable(variable)
    for marks in more.get("marks", ()):
        made.annotation(marks)
    others = DashboardLink("slopewatch").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    made.link(others.as_dropdown(True).include_vars(True).keep_time(False))
    for heading, panels in rows:
        made.with_row(Row(heading))
        for panel in panels:
            made.with_panel(panel)
    built = made.build()
    for place, panel in enumerate(built.panels or [], start=1):
        panel.id_val = place
    return built
