"""The dashboards that Grafana is given: as made, well formed, and asking for what there is."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pg8000.native
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from sqlalchemy import create_engine
from sqlalchemy.schema import CreateTable

from core.telemetry import METRICS
from services.projector.schema import METADATA, TABLES
from tools.dashboards import looks
from tools.dashboards.filled import Span, panels, queries, span, sql, variables
from tools.dashboards.panels import RUNBOOKS
from tools.dashboards.written import FOLDER, MADE, texts
from tools.engine.postgres import Postgres

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "grafana"
FILES = sorted(f"{name}.json" for name in MADE)
NOW = datetime(2026, 3, 14, 9, 26, 53, 589793, tzinfo=UTC)
SOURCES = {"${metrics}", "${projection}", "-- Mixed --"}
KEPT_BY_PROMETHEUS = {"up", "ALERTS"}
OF_PROMQL = (
    {"by", "on", "or", "and", "unless", "bool"}
    | {"sum", "max", "min", "avg", "count", "sort", "sort_desc", "vector", "time"}
    | {"rate", "increase", "histogram_quantile", "label_replace"}
)


def board(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return read


@cache
def rules() -> list[dict[str, Any]]:
    files = sorted((FOLDER.parent / "rules").glob("*.yaml"))
    groups = [g for f in files for g in yaml.safe_load(f.read_text(encoding="utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(params=FILES)
def read(request: pytest.FixtureRequest) -> dict[str, Any]:
    return board(request.param)


def test_the_files_are_what_the_code_makes() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == FILES
    for name, text in texts().items():
        known = (FOLDER / name).read_text(encoding="utf-8")
        assert known == text, f"{name} is old: run `python -m tools.dashboards`"


def test_the_files_are_made_with_runbooks_where_they_are_published() -> None:
    made = texts("https://docs.example.org/runbooks/")
    assert not any(f'"{RUNBOOKS}/' in text for text in made.values())
    assert any('"https://docs.example.org/runbooks/SiteBlind.md"' in text for text in made.values())


def test_nothing_is_unknown_to_the_sdk(read: dict[str, Any]) -> None:
    """Read into the SDK's classes and written again nothing is lost."""
    register_default_plugins()
    for marks in read.get("annotations", {}).get("list", []):
        del marks["target"]  # the SDK knows those of Grafana's own annotations alone
    for panel in panels(read):
        if panel["datasource"]["uid"] == "-- Mixed --":
            del panel["datasource"]  # the SDK would take it for that of each query
    known = Dashboard.from_json(read)
    again = json.loads(JSONEncoder(sort_keys=True).encode(known))
    for marks in again.get("annotations", {}).get("list", []):
        marks.pop("target", None)
    assert again == read


def test_names_are_told_once(read: dict[str, Any]) -> None:
    assert read["uid"].startswith("slopewatch-")
    assert len(read["uid"]) <= 40
    ids = Counter(panel["id"] for panel in read["panels"])
    assert [number for number, count in ids.items() if count > 1] == []
    for panel in panels(read):
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0, panel["title"]


def test_no_two_dashboards_have_one_uid_or_title() -> None:
    boards = [board(name) for name in FILES]
    assert len({b["uid"] for b in boards}) == len({b["title"] for b in boards}) == len(FILES)


def test_every_panel_says_what_it_shows(read: dict[str, Any]) -> None:
    assert read["timezone"] == "utc"
    assert read["description"].endswith(".")
    for panel in panels(read):
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["type"] != "text"


def test_panels_do_not_overlap(read: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in read["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_no_data_source_is_named(read: dict[str, Any]) -> None:
    found = set(re.findall(r'"uid": "([^"]*)"', json.dumps(read))) - {read["uid"]}
    assert found <= SOURCES
    chosen = {v["name"] for v in read["templating"]["list"] if v["type"] == "datasource"}
    assert {f"${{{name}}}" for name in chosen} == found & {"${metrics}", "${projection}"}


def test_variables_are_known_before_they_are_used(read: dict[str, Any]) -> None:
    known = {"__range", "__rate_interval", "__interval"}
    for query in queries(read):
        used = set(re.findall(r"\$\{?([A-Za-z_]\w*)", query.text)) - {
            "__timeFilter",
            "__timeFrom",
            "__timeTo",
        }
        assert used <= known, query.name
        if query.owner.startswith("variable "):
            known.add(query.owner.removeprefix("variable "))


def test_every_metric_is_served_or_recorded(read: dict[str, Any]) -> None:
    histograms = {m.name for m in METRICS if m.kind == "histogram"}
    served = {m.name for m in METRICS} - histograms
    served |= {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    served |= {rule["record"] for rule in rules() if "record" in rule} | KEPT_BY_PROMETHEUS
    for query in queries(read):
        if query.language == "promql":
            assert names_in(query.text) - served == set(), query.name


def names_in(expr: str) -> set[str]:
    """Names of metrics in PromQL: what is no function, keyword, label, string or number."""
    if label_of := re.fullmatch(r"label_values\((.+), \w+\)", expr):
        return names_in(label_of[1])
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"|\b(by|on)\s*\([^)]*\)", " ", expr)
    return set(re.findall(r"[A-Za-z_:][\w:]*", bare)) - OF_PROMQL


def test_names_are_found_in_promql() -> None:
    expr = 'sum by (a, b) (rate(x_total{s=~"$s"}[5m])) / on (a) (y:z > bool 1) or vector(0)'
    assert names_in(expr) == {"x_total", "y:z"}
    assert names_in("label_values(x_total, site)") == {"x_total"}


def test_links_lead_to_what_there_is(read: dict[str, Any]) -> None:
    boards = {board(name)["uid"]: board(name) for name in FILES}
    text = json.dumps(read)
    for uid, fields in re.findall(r'"/d/([\w-]+)\?([^"]*)"', text):
        named = set(re.findall(r"var-(\w+)=", fields))
        assert named <= {v["name"] for v in variables(boards[uid])}
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    linked = set(re.findall(rf'"{RUNBOOKS}/(\w+)\.md"', text))
    assert linked <= alerts
    missing = [name for name in linked if not (ROOT / RUNBOOKS / f"{name}.md").exists()]
    assert missing == []


def test_columns_that_are_dressed_are_shown(read: dict[str, Any]) -> None:
    """An override by name does something only where a column has that name."""
    for panel in panels(read):
        if panel["type"] != "table":
            continue
        renamed = panel["transformations"][-1]["options"]["renameByName"]
        dressed = {o["matcher"]["options"] for o in panel["fieldConfig"]["overrides"]}
        assert dressed <= set(renamed.values()), panel["title"]


@pytest.fixture(scope="module")
def projection(postgres: Postgres) -> Iterator[pg8000.native.Connection]:
    """An empty projection."""
    postgres.create_database("dashboards")
    at = pg8000.native.Connection("slopewatch", "127.0.0.1", "dashboards", postgres.port)
    dialect = create_engine("postgresql+pg8000://").dialect
    for table in METADATA.sorted_tables:
        at.run(str(CreateTable(table).compile(dialect=dialect)))
    yield at
    at.close()


def test_sql_asks_for_tables_and_columns_that_there_are(
    projection: pg8000.native.Connection, read: dict[str, Any]
) -> None:
    """PostgreSQL itself reads every query; columns that a panel picks are among its answer's."""
    values = {v["name"]: ["o'clock", "b"][: 1 + v["multi"]] for v in variables(read)}
    for query in queries(read):
        if query.language != "sql":
            continue
        text = sql(query.text, values, span(read, query.panel, NOW))
        try:
            projection.run(text)
        except pg8000.native.DatabaseError as error:
            pytest.fail(f"{query.name}: {error}")
        answered = [column["name"] for column in projection.columns]
        assert len(set(answered)) == len(answered), query.name
        kind = query.panel.get("type")
        if kind == "table":
            assert set(answered) == {n for n in kept(query.panel) if not n.startswith("Value")}
        elif kind in {"timeseries", "state-timeline"}:
            assert "time" in answered, query.name


def kept(panel: Mapping[str, Any]) -> list[str]:
    """Names of the columns that a table keeps of what it was answered."""
    names: list[str] = panel["transformations"][-2]["options"]["include"]["names"]
    return names


def test_tables_keep_columns_that_prometheus_answers(read: dict[str, Any]) -> None:
    for panel in panels(read):
        asked = [t for t in panel["targets"] if "expr" in t]
        if panel["type"] != "table" or not asked:
            continue
        assert all(target["format"] == "table" for target in asked), panel["title"]
        labels = {
            name
            for target in asked
            for found in re.findall(r"\bby \(([^)]*)\)", target["expr"])
            for name in found.split(", ")
        }
        values = {f"Value #{t['refId']}" for t in asked} if len(asked) > 1 else {"Value"}
        shown = set(kept(panel))
        assert {name for name in shown if name.startswith("Value")} <= values, panel["title"]
        if len(asked) == len(panel["targets"]):
            assert shown - values <= labels, panel["title"]


def test_the_reader_of_the_example_reads_and_writes_nothing(
    projection: pg8000.native.Connection, postgres: Postgres
) -> None:
    text = (EXAMPLES / "reader.sql").read_text(encoding="utf-8").replace(':"reader"', "grafana")
    for command in re.sub(r"--.*", "", text).split(";"):
        if command.strip():
            projection.run(command)
    reader = pg8000.native.Connection("grafana", "127.0.0.1", "dashboards", postgres.port)
    with closing(reader):
        assert reader.run("SELECT count(*) FROM sites") == [[0]]
        with pytest.raises(pg8000.native.DatabaseError, match="permission denied"):
            reader.run("DELETE FROM sites")


def test_the_provisioning_of_the_example_names_what_the_dashboards_ask() -> None:
    sources = yaml.safe_load((EXAMPLES / "datasources.yaml").read_text(encoding="utf-8"))
    kinds = [source["type"] for source in sources["datasources"]]
    asked = [v["query"] for v in board("overview.json")["templating"]["list"] if "query" in v]
    assert kinds == [query for query in asked if isinstance(query, str)]
    for source in sources["datasources"]:
        told = [source["url"], *source.get("secureJsonData", {}).values()]
        assert all(re.fullmatch(r"\$\{SLOPEWATCH_\w+\}", value) for value in told)
    folder = yaml.safe_load((EXAMPLES / "dashboards.yaml").read_text(encoding="utf-8"))
    assert folder["providers"][0]["options"]["path"] == "${SLOPEWATCH_DASHBOARDS}"


def test_every_table_of_the_projection_is_shown_somewhere() -> None:
    asked = " ".join(q.text for name in FILES for q in queries(board(name)) if q.language == "sql")
    assert [t.name for t in TABLES if not re.search(rf"\b{t.name}\b", asked)] == []


def test_coverage_is_told_apart_without_colour() -> None:
    lightness = [luminance(colour) for colour in looks.COVERAGE.values()]
    steps = [a - b for a, b in pairwise(lightness)]
    assert min(steps) > 10, lightness


def luminance(colour: str) -> float:
    """CIE L* of an sRGB colour: 0 black, 100 white."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    y = sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


def test_a_span_is_the_dashboards_or_the_panels_own() -> None:
    shown = span({"time": {"from": "now-1d", "to": "now+2h"}}, {}, NOW)
    assert shown.seconds == 26 * 3600
    assert span({}, {"timeFrom": "24h"}, NOW) == Span(NOW.replace(day=13), NOW)
