"""Every alert fires in its case and nowhere else, and leads to a page that helps."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.telemetry import METRICS
from tests.conftest import go_without
from tests.docs import test_docs_text
from tests.helm import rule_cases as cases
from tests.helm.rule_cases import Moment

# Names in PromQL that are no series: what is left of an expression without calls, texts and labels.
WORDS = {"and", "or", "unless", "on", "ignoring", "by", "without", "offset", "bool"}
LISTS = re.compile(r"\b(?:\w+\s+)?(?:by|on|without|ignoring)\s*\([^)]*\)")
CALLS = re.compile(r"\b\w+(?=\s*\()|\[[^\]]*\]|\b\d+(?:\.\d+)?[smhdw]?\b")
SERIES = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})?")
SECTIONS = ("## What it means", "## How urgent", "## Look", "## Do", "## Over")

# Recorded only while there is trouble.
QUIET = {
    "slopewatch:site_parked",
    "slopewatch:outbox_age_seconds",
    "slopewatch:dead_letters:increase6h",
    "slopewatch:feed_rejections:increase6h",
}


@pytest.fixture(scope="module")
def promtool() -> str:
    """Prometheus's own tool."""
    found = shutil.which("promtool")
    go_without(None if found else "no promtool on this machine (Debian: prometheus)")
    return str(found)


def passes(promtool: str, tmp_path: Path, tests: list[cases.Json], step_s: int = cases.STEP_S):
    path = tmp_path / "test.yaml"
    path.write_text(cases.promtool_file(tests, step_s), encoding="utf-8")
    ran = subprocess.run(
        [promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def expectation(expr: str, at: str, samples: list[cases.Json]) -> cases.Json:
    return {"expr": expr, "eval_time": at, "exp_samples": samples}


def test_promtool_finds_nothing_wrong(promtool):
    command = [promtool, "check", "rules", *map(str, cases.RULES)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(cases.RULES) == ran.stdout.count("SUCCESS")


def test_each_alert_fires_in_its_case_and_stays_silent_in_every_other(promtool, tmp_path):
    base = cases.healthy()
    tests = [cases.promtool_test(base, pack) for pack in cases.packed(cases.moments())]
    passes(promtool, tmp_path, tests)


def test_each_alert_has_a_case():
    told = {cases.key(rule) for rule in cases.alerts()}
    shown = {cases.key(case) for case in cases.cases()}
    assert shown == told
    assert all(case["silent"]["at"] for case in cases.cases())


@pytest.mark.parametrize(
    "long", [pytest.param("4h", id="4h"), pytest.param("3d", id="3d", marks=pytest.mark.slow)]
)
def test_nothing_fires_in_health_and_every_figure_is_recorded(promtool, tmp_path, long):
    test = cases.promtool_test(cases.healthy(), Moment("health", long, {}))
    recorded = {rule["record"] for rule in cases.rules() if "record" in rule} - QUIET
    test["promql_expr_test"] = [
        expectation(f'max_over_time(ALERTS{{alertstate="firing"}}[{long}])', long, []),
        expectation(
            'group by (__name__) ({__name__=~"slopewatch:.+"})',
            long,
            [{"labels": name, "value": 1} for name in sorted(recorded)],
        ),
    ]
    passes(promtool, tmp_path, [test])


def test_a_restart_of_everything_neither_raises_an_alert_nor_ends_one(promtool, tmp_path):
    """Nothing answers for two minutes, then new pods do; a site is blind before and after."""
    at, gone = "70m", slice(40, 42)
    blind = {
        'slopewatch_coverage_units{site="dam",coverage="watched"}': 0,
        'slopewatch_coverage_units{site="dam",coverage="blind"}': 1,
    }
    standing = Moment("a restart", at, {"alerting": blind}, firing={"SiteBlind critical": 1})
    test = cases.promtool_test(cases.healthy(), standing, step_s=60)
    later = []
    for series in test["input_series"]:
        values = series["values"].split()
        values[gone] = ["0" if series["series"].startswith("up{") else "_"] * 2
        old = [*values[: gone.stop], "stale"]
        new = ["_"] * gone.stop + values[gone.stop :]
        series["values"] = " ".join(old)
        name = series["series"].replace('-0:9464"', '-1:9464"')
        later.append({"series": name, "values": " ".join(new)})
    test["input_series"] += later
    ever = 'count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[1h]))'
    always = 'count_over_time(ALERTS{alertname="SiteBlind",alertstate="firing"}[38m]) >= bool 38'
    test["promql_expr_test"] += [
        expectation(ever, at, [{"labels": '{alertname="SiteBlind"}', "value": 1}]),
        expectation(f"min({always})", at, [{"labels": "{}", "value": 1}]),
    ]
    passes(promtool, tmp_path, [test], step_s=60)


def test_an_alert_on_a_served_figure_outlives_a_restart_of_whoever_serves_it():
    lasting = re.compile(r"absent\(|\bup\{|_over_time\(|:increase")
    short = [rule for rule in cases.alerts() if "keep_firing_for" not in rule]
    assert [cases.key(rule) for rule in short if not lasting.search(rule["expr"])] == []


def test_two_installations_in_one_prometheus_hide_nothing_from_each_other(promtool, tmp_path):
    feed = 'slopewatch_feed_last_success_timestamp_seconds{site="ridge",feed="asf"}'
    stale = {"ingest": {feed: "-30000+0x864"}, "projector": {feed: "-30000+0x864"}}
    trouble, base = Moment("production", "30m", stale), cases.healthy()
    test = cases.promtool_test(base, Moment("both", "30m", {}))
    test["input_series"] = [
        *cases.scraped(base, trouble, more={"namespace": "production"}),
        *cases.scraped(base, trouble._replace(series={}), more={"namespace": "staging"}),
    ]
    firing = 'count by (alertname, namespace) (ALERTS{alertstate="firing"})'
    labels = '{alertname="FeedStale", namespace="production"}'
    test["promql_expr_test"] = [expectation(firing, "30m", [{"labels": labels, "value": 1}])]
    passes(promtool, tmp_path, [test])


@pytest.mark.parametrize("lost", ["some of it", "all of it"])
def test_what_is_gone_is_told_though_another_installation_has_it(promtool, tmp_path, lost):
    base, at = cases.healthy(), "70m"
    gone = ("inference", "projector", "watchdog")
    production = Moment("production", at, {}, gone=gone if lost == "some of it" else ())
    test = cases.promtool_test(base, Moment(lost, at, {}))
    there = cases.scraped(base, production, more={"namespace": "production"})
    if lost == "all of it":
        for series in there:
            series["values"] = " ".join([*series["values"].split()[:4], "stale"])
    beside = cases.scraped(base, Moment("staging", at, {}), more={"namespace": "staging"})
    test["input_series"] = [*there, *beside]
    told = {
        "some of it": ("StageNotReading", "VitalsAbsent", "WatchdogAbsent"),
        "all of it": ("SlopewatchAbsent",),
    }
    firing = 'count by (alertname, namespace) (ALERTS{alertstate="firing"})'
    labels = [f'{{alertname="{name}", namespace="production"}}' for name in told[lost]]
    samples = [{"labels": one, "value": 1} for one in labels]
    test["promql_expr_test"] = [expectation(firing, at, samples)]
    passes(promtool, tmp_path, [test])


def test_no_label_of_ours_is_one_that_the_prometheus_operator_sets():
    """Prometheus would rename ours to `exported_...`, and rules and dashboards find the pod's."""
    theirs = {"namespace", "pod", "container", "endpoint", "job", "instance", "service"}
    assert {m.name: found for m in METRICS if (found := theirs & set(m.labels))} == {}


def series_in(expr: str) -> list[tuple[str, set[str]]]:
    """Series that an expression names, each with the labels that it asks for."""
    texts = re.sub(r'"[^"]*"', '""', expr)
    bare = CALLS.sub(" ", LISTS.sub(" ", texts))
    return [
        (name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)))
        for name, matchers in SERIES.findall(bare)
        if name not in WORDS
    ]


def grouped_by(expr: str) -> set[str]:
    """Labels that an expression groups by or matches on."""
    lists = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expr)
    return {label.strip() for one in lists for label in one.split(",") if label.strip()}


def test_every_series_and_label_in_the_rules_exists():
    known = cases.known_labels()
    recorded = {rule["record"]: rule["expr"] for rule in cases.rules() if "record" in rule}
    for name, expr in recorded.items():
        known[name] = grouped_by(expr) - cases.TARGET_LABELS | {"service"} & grouped_by(expr)
    for rule in cases.rules():
        series = series_in(rule["expr"])
        assert series, rule
        for name, asked in series:
            assert name in known, f"{rule.get('alert', rule.get('record'))}: no metric {name}"
            assert asked <= known[name] | cases.TARGET_LABELS, (rule["expr"], name)
        labels = set().union(*(known[name] for name, _ in series)) | cases.TARGET_LABELS
        assert grouped_by(rule["expr"]) <= labels, rule["expr"]


def test_the_reading_of_rules_sees_what_is_wrong():
    assert series_in('max by (site) (node_load1{x="up"}) > 3 * 86400 or up offset 5m') == [
        ("node_load1", {"x"}),
        ("up", set()),
    ]


def test_every_recorded_figure_is_asked_for_by_an_alert_or_a_dashboard():
    dashboards = (cases.ROOT / "helm" / "slopewatch" / "dashboards").glob("*.json")
    asked = "\n".join(
        [*(rule["expr"] for rule in cases.alerts()), *(p.read_text("utf-8") for p in dashboards)]
    )
    for rule in cases.rules():
        if "record" in rule:
            assert re.search(rf"{rule['record']}\b", asked), f"{rule['record']} serves nobody"


def test_recorded_names_are_given_once():
    names = Counter(rule["record"] for rule in cases.rules() if "record" in rule)
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("rule", cases.alerts(), ids=cases.key)
def test_an_alert_says_what_it_is_and_where_to_read_on(rule: dict[str, Any]):
    notes = rule["annotations"]
    assert rule["labels"]["severity"] in cases.SEVERITIES
    assert rule["labels"]["app"] == "slopewatch"
    assert notes["runbook"] == rule["alert"]
    assert notes["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
    assert len(notes["summary"]) <= 120
    assert notes["description"].endswith(".")
    page = (cases.ROOT / notes["runbook_url"]).read_text(encoding="utf-8")
    assert page.startswith(f"# {rule['alert']}\n")
    urgency = page.partition("## How urgent")[2].partition("\n## ")[0]
    assert rule["labels"]["severity"] in urgency.lower()


@pytest.mark.parametrize(
    "page", sorted({rule["alert"] for rule in cases.alerts()}), ids=lambda name: name
)
def test_a_runbook_is_short_and_names_commands_that_are_looked_up(page: str):
    path = cases.RUNBOOKS / f"{page}.md"
    assert path in test_docs_text.PAGES, "its commands and links are not tested"
    text = path.read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("## ")] == list(SECTIONS)
    assert text.count("\n") <= 60
    lines = list(test_docs_text.shell_lines(path))
    assert any(line.startswith("slopewatch ") for line in lines), "names no command of slopewatch"


def test_there_is_a_runbook_for_each_alert_and_a_row_for_each_runbook():
    told = {rule["alert"] for rule in cases.alerts()}
    assert {path.stem for path in cases.RUNBOOKS.glob("*.md")} == {*told, "index"}
    index = (cases.RUNBOOKS / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| ([a-z, ]+) \|", index, re.M)
    severities: dict[str, list[str]] = {}
    for rule in cases.alerts():
        severities.setdefault(rule["alert"], []).append(rule["labels"]["severity"])
    order = cases.SEVERITIES.index
    assert dict(rows) == {
        name: ", ".join(sorted(set(found), key=order)) for name, found in severities.items()
    }


def test_the_example_scrapes_each_service_by_its_name(promtool):
    path = cases.ROOT / "examples" / "prometheus" / "prometheus.yml"
    command = [promtool, "check", "config", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(cases.RULES)} rule files found" in ran.stdout
    (job,) = yaml.safe_load(path.read_text(encoding="utf-8"))["scrape_configs"]
    ports = {
        rule["replacement"]: rule["regex"].removeprefix(".*:") for rule in job["relabel_configs"]
    }
    assert set(ports) == set(cases.healthy()) - {"all"}
    assert job["job_name"] == "slopewatch"
    for service, port in ports.items():
        unit = cases.ROOT / "deploy" / "systemd" / f"slopewatch@{service}.service.d" / "port.conf"
        assert f"SLOPEWATCH_METRICS_PORT={port}\n" in unit.read_text(encoding="utf-8")
