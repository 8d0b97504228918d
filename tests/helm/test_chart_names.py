"""Every setting, variable, port, path and command that the chart names is one that the code has."""

import json
import re
from functools import cache

import pytest
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from core.eventlog import _kafka_settings
from core.ledger.database import LEDGER
from core.settings import SAFE_LOADER, Service, parse_site
from core.telemetry import Telemetry
from services import cli
from services.commands.running import ROLES
from services.projector.schema_version import PROJECTION
from services.status import StatusServer
from tests.helm.charts import CHART, VALUES, containers, names, pods, rendered, settings

pytestmark = [pytest.mark.usefixtures("with_helm"), pytest.mark.xdist_group("helm")]
every = pytest.mark.parametrize("name", list(VALUES))
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
OURS = {"data", "sites", "thresholds", "metrics_host", "metrics_port"}
"""Settings that follow from how pods are made."""
NOT_OURS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"}
"""Variables that the clients of S3 read by themselves."""
BY_SITES = {"DUTY_WEBHOOK", "EARTHDATA_TOKEN"}
"""Variables of the values' own choice, as a site file names them."""


def variables(pod):
    return {one["name"]: one for c in containers(pod) for one in c["env"]}


@every
def test_settings_are_settings(name):
    service = Service.model_validate(settings(rendered(name)))
    assert service.metrics_host == "0.0.0.0"
    assert str(service.data) == "/data"


def test_the_schema_knows_all_settings_and_no_others():
    def compare(schema, model):
        for field, info in model.model_fields.items():
            if model is Service and field in OURS:
                continue
            given = schema["properties"].pop(field)
            if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
                compare(given, info.annotation)
        assert schema["properties"] == {}, model

    compare(json.loads(json.dumps(SCHEMA["properties"]["settings"])), Service)


@every
def test_variables_are_read_by_the_code(name):
    known = {
        "SLOPEWATCH_CONFIG",
        _kafka_settings.PASSWORD,
        _kafka_settings.KEY_PASSWORD,
        LEDGER.password,
        PROJECTION.password,
        Service().smtp.password_env,
    }
    for _, _, pod in pods(rendered(name)):
        for variable in variables(pod):
            if variable != "POD_NAME":
                plain = variable.removesuffix("_FILE")
                assert plain in known | NOT_OURS | BY_SITES, variable


def test_the_schema_lets_secrets_be_named_that_the_code_reads():
    given = SCHEMA["properties"]["secrets"]["properties"]
    assert set(given["log"]["properties"]) == {
        _kafka_settings.PASSWORD,
        _kafka_settings.KEY_PASSWORD,
    }
    assert set(given["ledger"]["properties"]) == {LEDGER.password}
    assert set(given["projection"]["properties"]) == {PROJECTION.password}


@cache
def is_command(*words):
    return CliRunner().invoke(cli.app, [*words, "--help"]).exit_code == 0


@every
def test_commands_exist(name):
    for one, labels, pod in pods(rendered(name)):
        for container in containers(pod):
            words = container["args"]
            assert is_command(*words), words
            if words[0] == "run":
                assert words[1] in ROLES
                assert words[1] == labels["app.kubernetes.io/component"]
                assert (words[2:] == ["--member", "$(POD_NAME)"]) == (one["kind"] == "StatefulSet")
            assert ("$(POD_NAME)" in words) == (
                "POD_NAME" in variables({"containers": [container]})
            )


def test_every_service_that_can_run_is_in_the_chart():
    run = {
        container["args"][1]
        for _, _, pod in pods(rendered("everything"))
        for container in containers(pod)
        if container["args"][0] == "run"
    }
    assert run == set(ROLES)


@every
def test_ports_and_probes_are_answered(name):
    port = settings(rendered(name))["metrics_port"]
    paths = set()
    for one, _, pod in pods(rendered(name)):
        for container in containers(pod):
            serves = container["args"][0] == "run"
            assert [p["containerPort"] for p in container.get("ports", [])] == [port] * serves
            probes = [
                container[f"{k}Probe"] for k in ("startup", "liveness", "readiness") if serves
            ]
            assert all(probe["httpGet"]["port"] == "http" for probe in probes), one
            paths |= {probe["httpGet"]["path"] for probe in probes}
    assert paths == {"/healthz", "/readyz"}
    with StatusServer("127.0.0.1", 0, Telemetry(), list) as status:
        for path in (*paths, "/metrics"):
            assert status._answer(path, None).code == 200


@every
def test_paths_that_settings_name_are_mounted(name):
    """`data` apart: the files that pods find are those that the settings say."""
    objects = rendered(name)
    chosen = settings(objects)
    named = {
        "log": re.findall(r"[?&](?:ca|cert|key)=([^&]+)", chosen["log"]),
        "ledger": re.findall(r"[?&]ca=([^&]+)", chosen["ledger"]),
        "projection": re.findall(r"[?&]ca=([^&]+)", chosen.get("projection", "")),
    }
    for _, labels, pod in pods(objects):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in containers(pod):
            mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
            given = variables({"containers": [container]})
            assert given["SLOPEWATCH_CONFIG"]["value"] in mounts
            if labels["app.kubernetes.io/component"] != "migration":
                assert chosen["sites"] in mounts
            if "thresholds" in chosen:
                assert chosen["thresholds"].rpartition("/")[0] in mounts
            for variable, one in given.items():
                if variable.endswith("_FILE"):
                    folder, _, file = one["value"].rpartition("/")
                    assert file in files(volumes[mounts[folder]])
            for group, wanted in named.items():
                folder = f"/etc/slopewatch/certificates/{group}"
                if folder in mounts:
                    there = files(volumes[mounts[folder]])
                    assert {f"{folder}/{file}" for file in there} >= set(wanted)


def files(volume):
    return {
        item["path"]
        for source in volume["projected"]["sources"]
        for item in next(iter(source.values()))["items"]
    }


@every
def test_site_files_can_be_read(name):
    maps = {one["metadata"]["name"]: one for one in rendered(name) if one["kind"] == "ConfigMap"}
    if "slopewatch-sites" in maps:
        content = maps["slopewatch-sites"]["data"]["ridge.yaml"]
        assert parse_site(yaml.load(content, Loader=SAFE_LOADER)).name == "ridge"
    else:
        (used,) = {
            volume["configMap"]["name"]
            for _, _, pod in pods(rendered(name))
            for volume in pod["volumes"]
            if volume["name"] == "sites"
        }
        assert used == {"everything": "our-sites", "slopewatch": "slopewatch-sites"}[name]


def test_secrets_go_only_to_those_who_need_them():
    held = {
        labels["app.kubernetes.io/component"]: {v.removesuffix("_FILE") for v in variables(pod)}
        for _, labels, pod in pods(rendered("tls_and_logins"))
    }
    assert LEDGER.password not in held["inference"] | held["watchdog"]
    assert _kafka_settings.PASSWORD not in held["watchdog"]
    assert "SLOPEWATCH_SMTP_PASSWORD" in held["watchdog"] & held["alerting"]
    assert "SLOPEWATCH_SMTP_PASSWORD" not in held["inference"] | held["migration"]
    assert "AWS_SECRET_ACCESS_KEY" not in held["migration"]
    assert held["projector"] >= {LEDGER.password, PROJECTION.password}


def rules_of(objects, part):
    return next(
        one["spec"]
        for one in objects
        if one["kind"] == "NetworkPolicy" and one["metadata"]["name"].endswith(part)
    )


def ports(rule):
    return [one["port"] for one in rule["ports"]]


def test_the_network_lets_through_what_the_addresses_say():
    objects = rendered("tls_and_logins")
    assert list(map(ports, rules_of(objects, "inference")["egress"])) == [
        [53, 53],
        [9093, 9094],
        [8443],
    ]
    assert list(map(ports, rules_of(objects, "watchdog")["egress"])) == [
        [53, 53],
        [8443],
        [587],
        [443],
    ]
    disk = rendered("state_on_disk")
    assert [5433] in map(ports, rules_of(disk, "inference")["egress"]), "no backup can be made"
    assert list(map(ports, rules_of(disk, "alerting")["egress"])) == [
        [53, 53],
        [9092],
        [5433],
        [9000],
        [443],
    ]
    closed = rules_of(disk, "default-deny")
    assert closed["policyTypes"] == ["Ingress", "Egress"]
    assert {"ingress", "egress"}.isdisjoint(closed)
    everything = rules_of(rendered("everything"), "inference")
    assert everything["egress"][1]["to"] == [
        {"podSelector": {"matchLabels": {"strimzi.io/cluster": "kafka"}}}
    ]
    assert everything["egress"][-1]["ports"][0]["port"] == 3128
    assert everything["ingress"][0]["ports"] == [{"port": 9500, "protocol": "TCP"}]


@every
def test_every_pod_has_a_policy_of_its_own(name):
    objects = rendered(name)
    policies = names(objects, "NetworkPolicy")
    if name == "nothing_optional":
        assert policies == set()
        return
    for _, labels, _ in pods(objects):
        part = labels["app.kubernetes.io/component"]
        chosen = rules_of(objects, part)["podSelector"]["matchLabels"]
        assert chosen["app.kubernetes.io/component"] == part
        assert chosen.items() <= labels.items()
