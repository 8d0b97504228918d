"""The units for one machine: systemd takes them, they are narrow, and what they name exists."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
import yaml

from core.settings import Service, load_service
from services.cli import app
from services.commands.running import ROLES
from tests.conftest import go_without

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(path for path in FOLDER.glob("slopewatch*") if path.is_file())
SERVICES = [path for path in UNITS if path.suffix == ".service"]
TARGETS = Path("/lib/systemd/system")
MOST_EXPOSURE = 1.5
SETTING = re.compile(r"^(#?)(\w+)=(.*)$", re.M)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder with the units as the page tells to install them."""
    if shutil.which("systemd-analyze") is None:
        go_without("systemd-analyze is missing: apt-get install systemd")
    root = tmp_path_factory.mktemp("machine")
    units = root / "etc/systemd/system"
    (root / "lib/systemd/system").mkdir(parents=True)
    for target in TARGETS.glob("*.target"):
        shutil.copyfile(target, root / "lib/systemd/system" / target.name)
    shutil.copytree(FOLDER, units)
    for place in secrets_places():
        (root / place).parent.mkdir()
        shutil.copyfile(FOLDER / "secrets.conf", root / place)
    program = root / "opt/slopewatch/venv/bin/slopewatch"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return root


def secrets_places() -> list[str]:
    """Where the page tells to install the secrets, below the root."""
    page = (ROOT / "docs" / "one-machine.md").read_text(encoding="utf-8")
    return re.findall(r"secrets\.conf /(etc/\S+/secrets\.conf)$", page, re.M)


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *words], capture_output=True, text=True, check=False
    )


def installed() -> list[str]:
    names = [path.name for path in UNITS]
    services = [name.replace("@.", f"@{role}.") for role in ROLES for name in names if "@." in name]
    return sorted({*services, *(name for name in names if "@." not in name)})


def settings(path: Path, *, comments: bool = False) -> Iterator[tuple[str, str]]:
    for off, name, value in SETTING.findall(path.read_text(encoding="utf-8")):
        if comments or not off:
            yield name, value


def commands() -> Iterator[str]:
    for path in SERVICES:
        for name, value in settings(path):
            if name == "ExecStart":
                roles = ROLES if "%i" in value else ("",)
                yield from (value.replace("%i", role) for role in roles)


def test_systemd_has_nothing_to_say(machine: Path) -> None:
    names = installed()
    assert len(names) == len(ROLES) + 5
    found = analyze("verify", "--man=no", f"--root={machine}", *names)
    assert (found.returncode, found.stderr, found.stdout) == (0, "", "")


def test_systemd_would_say_something_of_a_unit_with_a_mistake(machine: Path) -> None:
    unit = machine / "etc/systemd/system/mistaken.service"
    text = (FOLDER / "slopewatch-backup.service").read_text(encoding="utf-8")
    unit.write_text(text.replace("PrivateTmp", "PrivateTemp"), encoding="utf-8")
    assert "PrivateTemp" in analyze("verify", "--man=no", f"--root={machine}", unit.name).stderr


@pytest.mark.parametrize("unit", [name for name in installed() if name.endswith(".service")])
def test_a_service_may_do_little(machine: Path, unit: str) -> None:
    most = f"--threshold={MOST_EXPOSURE * 10:.0f}"
    found = analyze("security", "--offline=true", most, f"--root={machine}", unit)
    (score,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", found.stdout)
    assert found.returncode == 0, found.stdout
    assert 0 < float(score) <= MOST_EXPOSURE


def test_every_service_is_started_with_the_target() -> None:
    wanted = dict(settings(FOLDER / "slopewatch.target"))
    assert wanted["WantedBy"] == "multi-user.target"
    text = (FOLDER / "slopewatch.target").read_text(encoding="utf-8")
    assert set(re.findall(r"slopewatch@(\w+)\.service", text)) == set(ROLES)
    for timer in FOLDER.glob("*.timer"):
        assert timer.name in text


def test_each_service_has_a_port_of_its_own() -> None:
    ports = {
        path.parent.name: dict(settings(path))["Environment"].partition("=")[2]
        for path in FOLDER.rglob("port.conf")
    }
    assert ports.keys() == {f"slopewatch@{role}.service.d" for role in ROLES}
    assert len(set(ports.values())) == len(ROLES)
    assert str(Service().metrics_port) in ports.values()


def test_every_command_exists() -> None:
    lines = list(commands())
    assert len(lines) == len(ROLES) + 3
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "/opt/slopewatch/venv/bin/slopewatch"
        here: click.Command = typer.main.get_command(app)
        while isinstance(here, click.Group) and words and words[0] in here.commands:
            here = here.commands[words.pop(0)]
        here.make_context("slopewatch", words)


def test_every_variable_is_read_by_the_code() -> None:
    source = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("core", "services")
        for path in (ROOT / folder).rglob("*.py")
    )
    named = [
        value.partition("=")[0]
        for path in [*FOLDER.rglob("*.conf"), *SERVICES]
        for name, value in settings(path, comments=True)
        if name == "Environment"
    ]
    ours = {name for name in named if name.startswith("SLOPEWATCH_")}
    assert len(ours) >= 5
    for name in ours:
        field = name.removeprefix("SLOPEWATCH_").lower()
        assert field in Service.model_fields or f'"{name.removesuffix("_FILE")}"' in source, name
    assert set(named) - ours == {"BACKUP_TO", "MPLCONFIGDIR", "TMPDIR"}


def test_every_credential_is_loaded_where_it_is_named() -> None:
    given = list(settings(FOLDER / "secrets.conf", comments=True))
    loaded = {value.partition(":")[0] for name, value in given if name == "LoadCredential"}
    used = {value.partition("=%d/")[2] for name, value in given if name == "Environment"}
    assert loaded == used
    for name, value in given:
        if name == "LoadCredential":
            assert value.partition(":")[2].startswith("/etc/slopewatch/secrets/")


def test_the_secrets_reach_every_unit_and_command(machine: Path, tmp_path: Path) -> None:
    """Each takes one of the two drop-ins: a mistake in it is told of each."""
    root = Path(shutil.copytree(machine, tmp_path / "machine", symlinks=True))
    units = root / "etc/systemd/system"
    (units / "slopewatch.target").unlink()  # it would load all of them with each
    shutil.copyfile(units / "slopewatch-backup.service", units / "slopewatch-command-7.service")
    for place in secrets_places():
        (root / place).write_text("[Service]\nMistaken=yes\n", encoding="utf-8")
    for unit in [*installed(), "slopewatch-command-7.service"]:
        if unit.endswith(".service"):
            said = analyze("verify", "--man=no", f"--root={root}", unit).stderr
            assert said.count("Mistaken") == 1, unit


def test_a_command_is_run_as_the_services_are(tmp_path: Path) -> None:
    """By a unit that takes the secrets; its words stay as they are."""
    (tmp_path / "systemd-run").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 3\n")
    (tmp_path / "systemd-run").chmod(0o755)
    ran = subprocess.run(
        ["sh", str(FOLDER / "command.sh"), "alerts", "silence", "a reason, with $words"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 3
    given, words = ran.stdout.split("\n--\n")
    program = "/opt/slopewatch/venv/bin/slopewatch"
    assert words.splitlines() == [program, "alerts", "silence", "a reason, with $words"]
    service = dict(settings(FOLDER / "slopewatch-backup.service"))
    assert f"--uid={service['User']}" in given.splitlines()
    (config,) = re.findall(r"^--setenv=(SLOPEWATCH_CONFIG=.*)$", given, re.M)
    assert ("Environment", config) in list(settings(FOLDER / "slopewatch@.service"))
    assert re.search(r"^--unit=slopewatch-command-\d+$", given, re.M)


def test_the_settings_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SLOPEWATCH_")]:
        monkeypatch.delenv(name)
    service = load_service(FOLDER / "settings.yaml")
    assert str(service.data) == "/var/lib/slopewatch"
    given = yaml.safe_load((FOLDER / "settings.yaml").read_text(encoding="utf-8"))
    assert given.keys() <= Service.model_fields.keys()
    for url in (service.log, service.ledger, service.state, service.artifacts, service.memory):
        assert "///var/lib/slopewatch/" in str(url)


def test_every_folder_is_made(machine: Path) -> None:
    """By the files for sysusers and tmpfiles, or by the units themselves."""
    made = set(re.findall(r"^d (\S+)", (FOLDER / "tmpfiles.conf").read_text("utf-8"), re.M))
    made |= {"/var/cache/slopewatch"}
    named = set()
    for path in [*SERVICES, *FOLDER.rglob("*.conf"), FOLDER / "settings.yaml"]:
        for line in path.read_text(encoding="utf-8").splitlines():
            named |= set(re.findall(r"/(?:etc|var)/[\w/-]*slopewatch[\w/.-]*", line))
    for place in named:
        folder = place if "." not in place.rpartition("/")[2] else place.rpartition("/")[0]
        known = {folder, folder.rpartition("/")[0]} & made
        assert known or folder.startswith("/etc/systemd/"), place
    if os.geteuid() == 0:
        for words in (
            ["systemd-sysusers", f"--root={machine}", str(FOLDER / "sysusers.conf")],
            ["systemd-tmpfiles", f"--root={machine}", "--create", str(FOLDER / "tmpfiles.conf")],
        ):
            subprocess.run(words, check=True, capture_output=True)
        for folder in made - {"/var/cache/slopewatch"}:
            assert (machine / folder.strip("/")).is_dir()
        assert (machine / "etc/slopewatch/secrets").stat().st_mode & 0o077 == 0
        assert (machine / "var/backups/slopewatch").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("name", "when"), [("backup", "*-*-* 03:15:00 UTC"), ("train", "*-*-01 02:00:00 UTC")]
)
def test_timers_come_each_night_and_each_month(machine: Path, name: str, when: str) -> None:
    given = dict(settings(FOLDER / f"slopewatch-{name}.timer"))
    found = analyze("calendar", "--iterations=2", given["OnCalendar"])
    assert found.returncode == 0
    assert when in found.stdout
