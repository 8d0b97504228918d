"""The chart as tests see it: rendered by Helm, each set of values once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from core.settings import SAFE_LOADER
from tests.conftest import ROOT
from tools import helm

CHART = ROOT / "helm" / "slopewatch"
VALUES = {
    path.stem: path
    for path in [
        *sorted((Path(__file__).parent / "values").glob("*.yaml")),
        CHART / "examples" / "slopewatch.yaml",
    ]
}
"""Files with values by name: the tests' own, and the example that goes with the other examples."""
KUBERNETES = ("1.30", "1.34", "1.37")
"""Versions that the chart is held to: the oldest it allows, the middle, the newest known here."""

Object = dict[str, Any]


def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """`helm WORDS`."""
    return subprocess.run([helm.path(), *words], capture_output=True, text=True, check=False)


def template(*words: str | Path, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
    """`helm template` of a release `slopewatch` in a namespace `slopes`."""
    known = ("slopewatch", chart, "--namespace", "slopes", "--kube-version", KUBERNETES[1])
    return call("template", *known, *words)


@cache
def rendered(name: str) -> tuple[Object, ...]:
    """Every object of the values file of that name."""
    done = template("--values", VALUES[name])
    assert done.returncode == 0, done.stderr
    return tuple(one for one in yaml.load_all(done.stdout, Loader=SAFE_LOADER) if one)


def find(objects: tuple[Object, ...], kind: str, name: str | None = None) -> Object:
    """The one object of a kind, or that of a name."""
    found = [
        one for one in objects if one["kind"] == kind and name in {None, one["metadata"]["name"]}
    ]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def names(objects: tuple[Object, ...], kind: str) -> set[str]:
    """Names of all objects of a kind."""
    return {one["metadata"]["name"] for one in objects if one["kind"] == kind}


def pods(objects: tuple[Object, ...]) -> Iterator[tuple[Object, Object, Object]]:
    """(object, labels, pod) of everything that runs containers."""
    for one in objects:
        if one["kind"] == "Pod":
            yield one, one["metadata"]["labels"], one["spec"]
            continue
        spec = one.get("spec", {})
        spec = spec["jobTemplate"]["spec"] if one["kind"] == "CronJob" else spec
        if "template" in spec:
            made = spec["template"]
            yield one, made["metadata"]["labels"], made["spec"]


def containers(pod: Object) -> list[Object]:
    """All containers of a pod, the first ones first."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def settings(objects: tuple[Object, ...]) -> dict[str, Any]:
    """slopewatch.yaml of the services."""
    maps = [one for one in objects if "slopewatch.yaml" in one.get("data", {})]
    texts = {one["data"]["slopewatch.yaml"] for one in maps}
    assert len(texts) == 1, "the migration reads other settings than the services"
    found: dict[str, Any] = yaml.load(texts.pop(), Loader=SAFE_LOADER)
    return found
