"""A dashboard's file as Grafana reads it: its queries with variables, macros and times filled in.

What stands here is what Grafana's templating and its PostgreSQL and Prometheus data sources do with
the few variables and macros that our dashboards use; any other is an error, so that nothing is
asked half filled. Tests and pictures put the panels' own queries to real servers with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

Language = Literal["promql", "sql"]
Values = Mapping[str, Sequence[str]]
"""Chosen values of each variable; one, where only one can be chosen."""

UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "M": 30 * 86400, "y": 365 * 86400}


class Query(NamedTuple):
    """One query of a dashboard: of a panel, of annotations or of a variable."""

    board: str
    owner: str
    ref: str
    language: Language
    text: str
    instant: bool
    panel: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.board}: {self.owner} {self.ref}"


class Span(NamedTuple):
    """The time that is shown."""

    since: datetime
    until: datetime

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.until - self.since).total_seconds()


class Pace(NamedTuple):
    """How often Prometheus scrapes, and how many points a graph has room for."""

    scrape_s: float = 15.0
    points: int = 500

    def step_s(self, span: Span) -> float:
        """`$__interval`: distance of the points of a graph."""
        return max(self.scrape_s, span.seconds / self.points)

    def rate_s(self, span: Span) -> float:
        """`$__rate_interval`: long enough for four scrapes."""
        return max(self.step_s(span) + self.scrape_s, 4 * self.scrape_s)


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels but the headings of rows."""
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", [])


def queries(board: Mapping[str, Any]) -> Iterator[Query]:
    """Every query: of variables in their order, of annotations, of panels."""
    name = board["uid"]
    for variable in variables(board):
        text = variable["query"]
        asked = text["query"] if isinstance(text, dict) else text
        yield Query(
            name, f"variable {variable['name']}", "", _language(variable), asked, True, variable
        )
    for marks in board.get("annotations", {}).get("list", []):
        target = marks["target"]
        owner = f"annotations {marks['name']!r}"
        yield Query(name, owner, target["refId"], "sql", target["rawSql"], True, marks)
    for panel in panels(board):
        for target in panel["targets"]:
            text = target["rawSql"] if "rawSql" in target else target["expr"]
            instant = bool(target.get("instant"))
            yield Query(
                name, panel["title"], target["refId"], _language(target), text, instant, panel
            )


def variables(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Variables that are asked for, in their order; not those that hold data sources."""
    return [v for v in board["templating"]["list"] if v["type"] == "query"]


def _language(asks: Mapping[str, Any]) -> Language:
    return "promql" if asks["datasource"]["type"] == "prometheus" else "sql"


def span(board: Mapping[str, Any], panel: Mapping[str, Any], now: datetime) -> Span:
    """The time that a panel shows: the dashboard's, or its own."""
    if own := panel.get("timeFrom"):
        return Span(_moment(f"now-{own}", now), now)
    return Span(_moment(board["time"]["from"], now), _moment(board["time"]["to"], now))


def _moment(text: str, now: datetime) -> datetime:
    found = re.fullmatch(r"now(?:([+-])(\d+)([mhdwMy]))?", text)
    if found is None:
        raise ValueError(f"{text} is no time that dashboards use")
    sign, count, unit = found.groups()
    seconds = UNITS[unit] * int(count) if sign else 0
    return now + timedelta(seconds=-seconds if sign == "-" else seconds)


def promql(text: str, values: Values, shown: Span, pace: Pace) -> str:
    """PromQL with everything filled in; of several values any may match."""
    times = {
        "__range": f"{shown.seconds:.0f}s",
        "__rate_interval": f"{pace.rate_s(shown):.0f}s",
        "__interval": f"{pace.step_s(shown):.0f}s",
    }

    def filled(found: re.Match[str]) -> str:
        name = found[1]
        if name in times:
            return times[name]
        chosen = [re.sub(r"([\\^$.*+?()\[\]{}|])", r"\\\\\1", one) for one in values[name]]
        return chosen[0] if len(chosen) == 1 else f"({'|'.join(chosen)})"

    return re.sub(r"\$([A-Za-z_]\w*)", filled, text)


def sql(text: str, values: Values, shown: Span) -> str:
    """SQL with everything filled in; texts as quoted literals with commas between."""
    since, until = (_literal(f"{m.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z") for m in shown)

    def macro(found: re.Match[str]) -> str:
        match found.groups():
            case ("__timeFilter", column):
                return f"{column} BETWEEN {since} AND {until}"
            case ("__timeFrom", ""):
                return since
            case ("__timeTo", ""):
                return until
        raise ValueError(f"{found[0]} is no macro that dashboards use")

    def chosen(found: re.Match[str]) -> str:
        return ",".join(_literal(one) for one in values[found[1]])

    made = re.sub(r"\$(__\w+)\(([^)]*)\)", macro, text)
    made = re.sub(r"\$\{(\w+):sqlstring\}", chosen, made)
    if "$" in made:
        raise ValueError(f"a variable is left that cannot be filled in safely: {made}")
    return made


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
