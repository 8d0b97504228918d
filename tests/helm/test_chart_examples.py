"""The example files for what is the operator's own fit the chart, the code and each other."""

import json
import re

import pytest
import yaml

from core.eventlog._kafka_settings import KafkaSettings
from core.settings import SAFE_LOADER, Service
from tests.conftest import ROOT
from tests.helm.charts import CHART, VALUES, find, names, rendered

pytestmark = [pytest.mark.usefixtures("with_helm"), pytest.mark.xdist_group("helm")]
EXAMPLES = CHART / "examples"


def example(name):
    text = (EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")
    return [one for one in yaml.load_all(text, Loader=SAFE_LOADER) if one]


(OURS,) = example("slopewatch")
LOG = OURS["settings"]["log"]


def test_kafka_is_the_one_that_the_log_names(monkeypatch):
    objects = {one["kind"]: one for one in example("strimzi")}
    cluster = objects["Kafka"]["metadata"]["name"]
    (listener,) = objects["Kafka"]["spec"]["kafka"]["listeners"]
    monkeypatch.setenv("SLOPEWATCH_KAFKA_PASSWORD", "x")
    log = KafkaSettings.from_url(re.sub(r"&ca=[^&]+", "", LOG))
    assert log.client["bootstrap_servers"] == [f"{cluster}-kafka-bootstrap:{listener['port']}"]
    user = objects["KafkaUser"]
    assert log.client["sasl_plain_username"] == user["metadata"]["name"]
    assert log.client["sasl_mechanism"].lower() == user["spec"]["authentication"]["type"]
    assert log.client["security_protocol"] == "SASL_SSL"
    password = OURS["secrets"]["log"]["SLOPEWATCH_KAFKA_PASSWORD"]
    assert password == {"secret": user["metadata"]["name"], "key": "password"}
    assert OURS["certificates"]["log"][0]["secret"] == f"{cluster}-cluster-ca-cert"
    for rule in user["spec"]["authorization"]["acls"]:
        assert rule["resource"]["name"] == log.topic("")
    labels = {
        one["metadata"]["labels"]["strimzi.io/cluster"] for one in (user, objects["KafkaNodePool"])
    }
    assert labels == {cluster}
    replication = OURS["settings"]["topics"]["replication"]
    assert objects["KafkaNodePool"]["spec"]["replicas"] >= replication


def test_postgresql_is_the_one_that_ledger_and_projection_name():
    objects = {one["kind"]: one for one in example("cloudnativepg")}
    cluster, made = objects["Cluster"]["metadata"]["name"], objects["Cluster"]["spec"]["bootstrap"]
    for what, database in (
        ("ledger", made["initdb"]["database"]),
        ("projection", objects["Database"]["spec"]["name"]),
    ):
        address = OURS["settings"][what].partition("?")[0]
        assert address == f"postgresql://{made['initdb']['owner']}@{cluster}-rw/{database}"
        assert {one["secret"] for one in OURS["secrets"][what].values()} == {f"{cluster}-app"}
        assert OURS["certificates"][what][0]["secret"] == f"{cluster}-ca"
    assert objects["Database"]["spec"]["owner"] == made["initdb"]["owner"]
    assert objects["Database"]["spec"]["cluster"]["name"] == cluster


def test_airflow_finds_our_settings_our_sites_and_our_command():
    (given,) = example("airflow")
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"apache-airflow=={given['airflowVersion']}\n" in pins
    calls = (ROOT / "dags" / "slopewatch_calls.py").read_text(encoding="utf-8")
    known = set(re.findall(r'setting\("(\w+)"', calls))
    variables = {one["name"]: one["value"] for one in given["env"]}
    for name in variables:
        if name.startswith("AIRFLOW__SLOPEWATCH__"):
            assert name.removeprefix("AIRFLOW__SLOPEWATCH__").lower() in known
        elif name.startswith("SLOPEWATCH_") and name != "SLOPEWATCH_CONFIG":
            assert name.removeprefix("SLOPEWATCH_").lower() in Service.model_fields
    objects = rendered("slopewatch")
    volumes = {one["name"]: one for one in given["volumes"]}
    mounts = {one["mountPath"]: volumes[one["name"]] for one in given["volumeMounts"]}
    file = mounts[variables["SLOPEWATCH_CONFIG"]]["configMap"]["name"]
    settings = yaml.load(
        find(objects, "ConfigMap", file)["data"]["slopewatch.yaml"], Loader=SAFE_LOADER
    )
    assert mounts[settings["sites"]]["configMap"]["name"] == OURS["existingSitesConfigMap"]
    for what in ("log", "ledger"):
        folder, _, key = re.search(r"ca=([^&]+)", settings[what])[1].rpartition("/")
        secret = mounts[folder]["secret"]
        assert {"secret": secret["secretName"], "keys": [key]} == OURS["certificates"][what][0]
    given_secrets = {one["envName"]: one for one in given["secret"]}
    for group in ("log", "ledger", "store"):
        for name, one in OURS["secrets"][group].items():
            assert given_secrets[name]["secretName"] == one["secret"]
            assert given_secrets[name]["secretKey"] == one["key"]


def test_prometheus_and_grafana_look_where_the_chart_puts_things():
    (given,) = example("kube-prometheus-stack")
    sidecar = given["grafana"]["sidecar"]["dashboards"]
    objects = rendered("slopewatch")
    boards = [one for one in objects if "dashboard" in one["metadata"]["name"]]
    assert boards
    for one in boards:
        assert one["metadata"]["labels"][sidecar["label"]] == sidecar["labelValue"]
        assert sidecar["folderAnnotation"] in one["metadata"]["annotations"]
    (source,) = given["grafana"]["additionalDataSources"]
    assert source["jsonData"]["database"] in OURS["settings"]["projection"]
    kinds = set()
    for path in (CHART / "dashboards").glob("*.json"):
        variables = json.loads(path.read_text(encoding="utf-8"))["templating"]["list"]
        kinds |= {one["query"] for one in variables if one["type"] == "datasource"}
    assert kinds == {"prometheus", source["type"]}
    assert names(objects, "PodMonitor") == {"slopewatch"}


def test_every_example_is_told_of():
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.yaml"):
        assert f"helm/slopewatch/examples/{path.name}" in page
    assert VALUES["slopewatch"].is_file()
