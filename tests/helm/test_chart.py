"""The chart renders for every set of values, is valid for Kubernetes, and runs nothing as root."""

import json
import re
import shutil
import tomllib
from functools import cache

import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils

from core.settings import SAFE_LOADER
from tests.conftest import ROOT
from tests.helm.charts import (
    CHART,
    KUBERNETES,
    VALUES,
    call,
    containers,
    find,
    names,
    pods,
    rendered,
    template,
)

pytestmark = [pytest.mark.usefixtures("with_helm"), pytest.mark.xdist_group("helm")]
EVERY = list(VALUES)
every = pytest.mark.parametrize("name", EVERY)


def test_there_are_sets_of_values():
    assert len(EVERY) >= 8


@pytest.mark.parametrize("name", ["minimal", "everything"])
def test_helm_finds_nothing_to_complain_of(name):
    done = call(
        "lint", "--strict", CHART, "--values", VALUES[name], "--kube-version", KUBERNETES[1]
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_valid(version, monkeypatch):
    monkeypatch.setattr(utils, "schema_contents", cache(utils.schema_contents))
    seen, faults = set(), []
    for name in EVERY:
        for one in rendered(name):
            text = json.dumps(one, sort_keys=True)
            if text in seen or one["apiVersion"].startswith("monitoring.coreos.com/"):
                continue
            seen.add(text)
            try:
                assert kubernetes_validate.validate(one, version, strict=True) == version
            except jsonschema.ValidationError as error:
                where = "/".join(map(str, error.absolute_path))
                faults.append(f"{name}: {one['kind']} {one['metadata']['name']} {where}: {error}")
    assert faults == []
    assert len(seen) > 80


@every
def test_no_two_objects_share_a_name_and_all_say_whose_they_are(name):
    ids = [
        (one["kind"], one["metadata"]["namespace"], one["metadata"]["name"])
        for one in rendered(name)
    ]
    assert len(ids) == len(set(ids))
    for one in rendered(name):
        assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == "slopewatch"


@every
def test_no_container_runs_as_root_or_may_become_it(name):
    found = list(pods(rendered(name)))
    assert found
    for one, _, pod in found:
        where = one["metadata"]["name"]
        assert pod["automountServiceAccountToken"] is False, where
        assert pod["enableServiceLinks"] is False, "SLOPEWATCH_..._PORT would be read as a setting"
        assert pod["securityContext"]["runAsNonRoot"] is True, where
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where
        if name == "nothing_optional":
            assert "runAsUser" not in pod["securityContext"]
        else:
            assert pod["securityContext"]["runAsUser"] >= 1000, where
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            }, where
            assert container["resources"]["limits"]["memory"], where


@every
def test_accounts_have_no_rights(name):
    objects = rendered(name)
    assert not {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"} & {
        one["kind"] for one in objects
    }
    for one in objects:
        assert one["kind"] != "ServiceAccount" or one["automountServiceAccountToken"] is False
    for _, _, pod in pods(objects):
        assert pod["serviceAccountName"] in names(objects, "ServiceAccount")


@every
def test_what_is_mounted_is_there_and_only_data_and_tmp_can_be_written(name):
    for one, _, pod in pods(rendered(name)):
        claims = one["spec"].get("volumeClaimTemplates", [])
        volumes = {v["name"] for v in pod["volumes"]} | {c["metadata"]["name"] for c in claims}
        for container in containers(pod):
            mounts = container["volumeMounts"]
            assert {mount["name"] for mount in mounts} == volumes
            writable = {mount["mountPath"] for mount in mounts if not mount.get("readOnly")}
            assert writable - {"/srv/cap"} == {"/data", "/tmp"}


@every
def test_each_kind_of_pod_is_selected_by_its_own(name):
    for one, labels, _ in pods(rendered(name)):
        if "selector" in one["spec"]:
            assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
            assert labels["app.kubernetes.io/component"] in one["metadata"]["name"]


@every
def test_the_migration_needs_nothing_that_comes_after_it(name):
    objects = rendered(name)
    if "slopewatch-migration" not in names(objects, "Job"):
        assert name in {"nothing_optional", "everything"}
        return
    job = find(objects, "Job")
    early = {
        (one["kind"], one["metadata"]["name"])
        for one in objects
        if one["metadata"].get("annotations", {}).get("helm.sh/hook-weight") == "-10"
    }
    pod = job["spec"]["template"]["spec"]
    assert ("ServiceAccount", pod["serviceAccountName"]) in early
    settings = next(v for v in pod["volumes"] if v["name"] == "settings")
    assert ("ConfigMap", settings["configMap"]["name"]) in early
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    steps = [container["args"] for container in containers(pod)]
    assert steps[:2] == [["topics", "create"], ["ledger", "upgrade"]]
    assert (["projection", "upgrade"] in steps) == (
        "slopewatch-projector" in names(objects, "StatefulSet")
    )


def test_a_gpu_comes_with_its_image_its_taint_and_its_limit():
    objects = rendered("gpu")
    pod = find(objects, "StatefulSet", "slopewatch-inference")["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod[
        "tolerations"
    ]
    assert {"key": "batch", "operator": "Exists"} in pod["tolerations"]
    image = pod["containers"][0]["image"]
    assert image.endswith("-inference")
    ingest = find(objects, "Deployment", "slopewatch-ingest")["spec"]["template"]["spec"]
    assert ingest["containers"][0]["image"] == image, "ingest says which models are in force"
    alerting = find(objects, "StatefulSet", "slopewatch-alerting")["spec"]["template"]["spec"]
    assert alerting["containers"][0]["image"] == image.removesuffix("-inference")
    assert "nvidia" not in json.dumps(rendered("minimal"))


def test_images_by_digest():
    images = {
        one["metadata"]["name"]: pod["containers"][0]["image"]
        for one, _, pod in pods(rendered("network_on_cpu"))
    }
    assert images["slopewatch-inference"].endswith("@sha256:" + "b" * 64)
    assert images["slopewatch-alerting"].endswith("@sha256:" + "a" * 64)


def test_several_workers_are_spread_and_are_not_drained_at_once():
    objects = rendered("several_workers")
    assert names(objects, "PodDisruptionBudget") == {"slopewatch-inference", "slopewatch-alerting"}
    for part, replicas in (("inference", 12), ("alerting", 4)):
        stage = find(objects, "StatefulSet", f"slopewatch-{part}")
        assert stage["spec"]["replicas"] == replicas
        spread = stage["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [one["topologyKey"] for one in spread] == [
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        ]
    assert names(rendered("minimal"), "PodDisruptionBudget") == set()


def test_models_are_fitted_where_ingest_asks():
    job = find(rendered("ingest"), "CronJob", "slopewatch-training")["spec"]
    assert (job["schedule"], job["timeZone"]) == ("0 2 1 * *", "Etc/UTC")
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["train"]
    assert pod["restartPolicy"] == "Never"
    changed = find(rendered("everything"), "CronJob")["spec"]
    assert changed["schedule"] == "30 1 * * 0"
    fits = changed["jobTemplate"]["spec"]["template"]["spec"]
    assert fits["nodeSelector"] == {"pool": "batch"}
    assert fits["containers"][0]["image"].endswith("-inference"), "torch: the network is tried too"
    done = template("--values", VALUES["ingest"], "--set", "training.enabled=false")
    assert done.returncode == 0
    for text in (done.stdout, json.dumps(rendered("minimal"))):
        assert "-training" not in text, "Airflow's DAG retrain does it"


def test_what_is_off_is_not_there():
    kinds = {one["kind"] for one in rendered("nothing_optional")}
    assert kinds == {"ConfigMap", "Service", "ServiceAccount", "StatefulSet", "Pod"}
    assert names(rendered("nothing_optional"), "StatefulSet") == {
        "slopewatch-inference",
        "slopewatch-alerting",
    }


def test_other_settings_are_other_pods_and_other_sites_are_not(tmp_path):
    def checksum(*words):
        done = template("--values", VALUES["minimal"], *words)
        return {
            labels["app.kubernetes.io/component"]: one["spec"]["template"]["metadata"][
                "annotations"
            ]
            for one, labels, _ in pods(
                tuple(filter(None, yaml.load_all(done.stdout, Loader=SAFE_LOADER)))
            )
            if "template" in one["spec"]
        }

    before = checksum()
    assert before["inference"]["checksum/settings"]
    assert checksum("--set", "settings.backoff_s=7") != before
    assert checksum("--set", "sites.ridge\\.yaml.title=Ridge") == before


def test_the_rules_and_dashboards_are_those_of_the_chart():
    objects = rendered("everything")
    rules = {
        one["metadata"]["name"].removeprefix("watch-"): one["spec"]
        for one in objects
        if one["kind"] == "PrometheusRule"
    }
    files = {path.stem: path for path in (CHART / "rules").glob("*.yaml")}
    assert set(rules) == set(files)
    for name, spec in rules.items():
        text = files[name].read_text(encoding="utf-8")
        assert [g["name"] for g in spec["groups"]] == [
            g["name"] for g in yaml.load(text, Loader=SAFE_LOADER)["groups"]
        ]
        for rule in (rule for group in spec["groups"] for rule in group["rules"]):
            assert set(rule) >= {"expr", "alert"} or set(rule) >= {"expr", "record"}
            url = rule.get("annotations", {}).get("runbook_url", "")
            page = f"https://docs.example.org/slopewatch/runbooks/{rule.get('alert')}.html"
            assert "alert" not in rule or url == page
    shown = {
        file: json.loads(text)
        for one in objects
        if one["kind"] == "ConfigMap" and "dashboard" in one["metadata"]["name"]
        for file, text in one["data"].items()
    }
    pages = r"https://docs.example.org/slopewatch/runbooks/\1.html"
    assert shown == {
        path.name: json.loads(re.sub(r"docs/runbooks/([^\"]+)\.md", pages, path.read_text("utf-8")))
        for path in (CHART / "dashboards").glob("*.json")
    }
    assert len(shown) >= 5


def test_every_service_is_scraped_under_the_names_that_rules_and_dashboards_know():
    objects = rendered("everything")
    monitor = find(objects, "PodMonitor")["spec"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    served = 0
    for _, labels, pod in pods(objects):
        assert monitor["selector"]["matchLabels"].items() <= labels.items()
        ports = [port["name"] for c in containers(pod) for port in c.get("ports", [])]
        served += endpoint["port"] in ports
    assert served == 5
    made = {one["targetLabel"]: one for one in endpoint["relabelings"]}
    assert made["job"]["replacement"] == "slopewatch"
    assert made["service"]["sourceLabels"] == [
        "__meta_kubernetes_pod_label_app_kubernetes_io_component"
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "minimal",
            ["Nobody asks the feeds yet", "No PodMonitor", "helm test slopewatch -n slopes"],
        ),
        (
            "everything",
            ["Ingest asks the feeds", "exec watch-alerting-0 -- slopewatch alerts list"],
        ),
        ("nothing_optional", ["The watchdog is off"]),
    ],
)
def test_notes_say_what_to_do_next(name, said, tmp_path):
    chart = shutil.copytree(CHART, tmp_path / "slopewatch")
    notes = (chart / "templates" / "NOTES.txt").read_text(encoding="utf-8")
    for path in (chart / "templates").glob("*.yaml"):
        path.unlink()
    shown = (
        f'{{{{ define "notes" }}}}{notes}{{{{ end }}}}notes: {{{{ include "notes" . | toJson }}}}\n'
    )
    (chart / "templates" / "shown.yaml").write_text(shown, encoding="utf-8")
    done = template("--values", VALUES[name], "--show-only", "templates/shown.yaml", chart=chart)
    text = yaml.load(done.stdout, Loader=SAFE_LOADER)["notes"]
    for words in said:
        assert words in text
    assert "<no value>" not in text


def test_chart_and_project_have_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chart = yaml.load((CHART / "Chart.yaml").read_text(encoding="utf-8"), Loader=SAFE_LOADER)
    assert chart["appVersion"] == project["version"]
    assert chart["description"] == project["description"]
    assert chart["kubeVersion"] == f">={KUBERNETES[0]}.0-0"
