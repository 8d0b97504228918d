"""The image's recipe: clean, in step with the code, and able to start without what it lacks."""

import fnmatch
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from core.settings import Service
from core.telemetry import Telemetry
from services.status import StatusServer

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = {
    canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
    for pin in [Requirement(line)]
    if pin.marker is None or pin.marker.evaluate()
}


def instructions() -> list[tuple[str, str, str]]:
    """(stage, instruction, words) in order; lines that go on are joined."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", TEXT, flags=re.M))
    stage, found = "", []
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = rest.rpartition(" AS ")[2]
        found.append((stage, word, rest))
    return found


LINES = instructions()
BASES = {stage: rest.split()[0] for stage, word, rest in LINES if word == "FROM"}


def of(word: str, stage: str | None = None) -> list[str]:
    """The words of an instruction, of one stage and those it stands on."""
    stages = {stage}
    while stage in BASES:
        stage = BASES[stage]
        stages.add(stage)
    return [rest for at, name, rest in LINES if name == word and (stages == {None} or at in stages)]


def argument(name: str) -> str:
    return next(rest.partition("=")[2] for rest in of("ARG") if rest.startswith(f"{name}="))


def test_hadolint_finds_nothing():
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [program, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_targets_are_there_and_slim_is_the_default():
    assert list(BASES)[-1] == "slim"
    assert {"slim", "inference", "airflow"} <= set(BASES)


def carried(path: str) -> bool:
    """Whether .dockerignore lets a path through: the last line that fits decides."""
    fits = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        folders = [path, *map(str, Path(path).parents)]
        if line and not line.startswith("#") and any(fnmatch.fnmatch(f, pattern) for f in folders):
            fits = line.startswith("!")
    return fits


def test_everything_that_is_copied_exists_and_is_sent_to_the_builder():
    sources = [
        source
        for words in of("COPY")
        if "--from=" not in words
        for source in [w for w in words.split() if not w.startswith("--")][:-1]
    ]
    assert {"constraints.txt", "core", "services", "dags/*.py"} <= set(sources)
    for source in sources:
        found = list(ROOT.glob(source))
        assert found, source
        assert all(carried(str(path.relative_to(ROOT))) for path in found), source
    for kept_out in (".venv", "tests", "demo", ".git", "core/__pycache__"):
        assert not carried(kept_out), kept_out


@pytest.mark.parametrize("target", ["slim", "inference", "airflow"])
def test_nothing_runs_as_root(target):
    user = of("USER", target)[-1].partition(":")[0]
    assert int(user) >= 1000


@pytest.mark.parametrize("target", ["slim", "inference"])
def test_an_image_runs_the_command_of_the_project(target):
    assert json.loads(of("ENTRYPOINT", target)[-1]) == ["slopewatch"]
    assert "slopewatch" in PROJECT["project"]["scripts"]
    assert "HOME=/tmp MPLBACKEND" in " ".join(of("ENV", target)[-1].split())
    assert of("EXPOSE", target) == [str(Service().metrics_port)]


def test_versions_are_those_of_the_project():
    assert argument("AIRFLOW_VERSION") == PINS["apache-airflow"]
    assert {rest for rest in of("ARG") if rest.startswith("VERSION=")} == {
        f"VERSION={PROJECT['project']['version']}"
    }
    pinned = re.search(r"uv==[\d.]+", TEXT)
    assert pinned
    assert pinned[0] in (ROOT / "tools" / "setup.sh").read_text()
    python = tuple(map(int, argument("PYTHON_VERSION").split(".")))
    assert (3, 11) <= python < (3, 14)


def test_every_installation_is_held_to_the_constraints_and_extras_exist():
    runs = [line for line in of("RUN") if re.search(r"pip install", line)]
    for line in runs:
        for command in line.split("&&"):
            if "pip install" in command and "uv==" not in command and "--no-deps" not in command:
                assert re.search(r"--constraints? \S*constraints\.txt", command), command
    extras = set(re.findall(r"--extra (\w+)", TEXT)) | set(re.findall(r"/src\[(\w+)\]", TEXT))
    assert extras == {"apprise", "torch"}
    assert extras <= set(PROJECT["project"]["optional-dependencies"])
    slim = " ".join([*of("RUN", "slim"), *of("RUN", "build")])
    assert "torch" not in slim
    assert "airflow" not in slim


def health(port: int) -> int:
    command = json.loads(of("HEALTHCHECK", "slim")[-1].partition("CMD ")[2])
    assert command[0] == "python"
    environment = {**os.environ, "SLOPEWATCH_METRICS_PORT": str(port)}
    done = subprocess.run(
        [sys.executable, *command[1:]], env=environment, capture_output=True, check=False
    )
    return done.returncode


def test_the_health_check_tells_a_service_that_answers_from_one_that_does_not():
    with StatusServer("127.0.0.1", 0, Telemetry(), list) as status:
        port = int(status.url.rpartition(":")[2])
        assert health(port) == 0
    assert health(port) != 0


WITHOUT = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, *rest):
        missing = name.partition(".")[0] in {"torch", "safetensors", "airflow"}
        return None if missing else self.finder.find_spec(name, *rest)

sys.meta_path[:] = map(Without, sys.meta_path)
import services.commands.running, services.compose, services.schedule, services.guard
from services import cli
from services.inference.version import model_version
print(model_version())
sys.argv = ["slopewatch", "config", "show"]
cli.main()
"""


def test_slim_does_without_torch_and_airflow(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env={**os.environ, "SLOPEWATCH_DATA": str(tmp_path), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    version, shown = done.stdout.split("\n", 1)
    assert re.fullmatch(r"ladder-[0-9a-f]{8}", version)
    assert f"data: {tmp_path}" in shown


def test_the_bill_of_materials_covers_what_the_project_needs(tmp_path):
    made = [
        line.partition("cyclonedx-py ")[2].split() for line in of("RUN") if "cyclonedx-py" in line
    ]
    assert len(made) == 2
    assert made[0] == made[1]
    words = [w.replace("/opt/slopewatch/bin/python", sys.executable) for w in made[0]]
    words = [w.replace("/opt/slopewatch", str(tmp_path)) for w in words]
    command = [sys.executable, "-m", "cyclonedx_py", *words, "--no-validate"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found = json.loads((tmp_path / "sbom.cdx.json").read_text(encoding="utf-8"))
    there = {canonicalize_name(one["name"]): one["version"] for one in found["components"]}
    wanted = {
        canonicalize_name(Requirement(text).name) for text in PROJECT["project"]["dependencies"]
    }
    assert len(wanted) > 30
    assert {name: there.get(name) for name in wanted} == {name: PINS[name] for name in wanted}
    assert "mako" in there  # what is needed by what is needed
    assert found["metadata"]["component"]["version"] == PROJECT["project"]["version"]
    assert all(one.get("purl", "").startswith("pkg:pypi/") for one in found["components"])
