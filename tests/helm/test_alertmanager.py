"""The example configuration of Alertmanager: a real one routes and inhibits by it."""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import go_without
from tests.helm import rule_cases as cases
from tools.engine.process import HOST, Server, listens

CONFIG = cases.ROOT / "examples" / "alertmanager" / "alertmanager.yaml"
MISSING = "no Alertmanager on this machine (Debian: prometheus-alertmanager)"
RECEIVERS = {"critical": "pager", "warning": "operators", "info": "record"}
DEADLINE_S = 10.0
PRODUCTION = {"namespace": "production"}


class Alertmanager(Server):
    """A real one with the example's configuration; it sends nothing within a test's time."""

    name = "alertmanager"

    def prepare(self) -> None:
        """Nothing is kept."""

    def command(self) -> Sequence[str]:
        """The server, alone and for this machine."""
        return [
            str(program()),
            f"--config.file={CONFIG}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
        ]

    def answers(self) -> bool:
        """Whether it accepts connections."""
        return listens(self.port)

    def ask(self, method: str, body: object = None) -> list[cases.Json]:
        """The alerts that it has, or give it some."""
        request = urllib.request.Request(
            f"http://{HOST}:{self.port}/api/v2/alerts",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            content = answer.read()
        return json.loads(content) if content else []  # type: ignore[no-any-return]


def program() -> str | None:
    """Its name is Debian's or its own."""
    return shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    """One for several tests: each has its namespace, which their inhibitions do not cross."""
    go_without(None if program() else MISSING)
    with Alertmanager(tmp_path_factory.mktemp("alertmanager")) as server:
        yield server


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Alertmanager]:
    """One that knows of no other test's alerts."""
    go_without(None if program() else MISSING)
    with Alertmanager(tmp_path) as server:
        yield server


def test_amtool_finds_nothing_wrong():
    amtool = shutil.which("amtool")
    go_without(None if amtool else MISSING)
    command = [str(amtool), "check-config", str(CONFIG)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def alert(key: str, labels: dict[str, str]) -> dict[str, str]:
    name, severity = key.split()
    return {"app": "slopewatch", "alertname": name, "severity": severity, **labels}


def told(server: Alertmanager, alerts: Sequence[dict[str, str]]) -> set[str]:
    """Of these alerts those that are not inhibited; waits until that has come to rest."""
    namespaces = {labels.get("namespace") for labels in alerts}
    server.ask("POST", [{"labels": labels} for labels in alerts])
    deadline, last = time.monotonic() + DEADLINE_S, None
    while time.monotonic() < deadline:
        found = [a for a in server.ask("GET") if a["labels"].get("namespace") in namespaces]
        now = sorted((a["labels"]["alertname"], a["status"]["state"]) for a in found)
        settled = all(state != "unprocessed" for _, state in now) and len(now) == len(alerts)
        if settled and now == last:
            break
        last = now
        time.sleep(0.2)
    return {
        f"{a['labels']['alertname']} {a['labels']['severity']}"
        for a in found
        if not a["status"]["inhibitedBy"]
    }


def test_each_alert_goes_where_its_severity_says(lonely):
    ours = [alert(cases.key(rule), PRODUCTION) for rule in cases.alerts()]
    stranger = {"alertname": "Watchdog", "severity": "critical"}
    told(lonely, [*ours, stranger])
    found = {
        (a["labels"]["alertname"], a["labels"]["severity"]): [r["name"] for r in a["receivers"]]
        for a in lonely.ask("GET")
    }
    wanted = {(a["alertname"], a["severity"]): [RECEIVERS[a["severity"]]] for a in ours}
    assert found == {**wanted, ("Watchdog", "critical"): ["operators"]}, "not ours: not paged"


@pytest.mark.parametrize(
    ("stands", "is_told"),
    [
        pytest.param(
            [
                ("ServiceDown critical", {"service": "inference"}),
                ("StageNotReading critical", {"stage": "inference"}),
                ("LogLagGrowing critical", {"stage": "inference"}),
                ("StageNotReading critical", {"stage": "alerting"}),
                ("DayNotClosed critical", {"site": "ridge"}),
                ("SiteStale warning", {"site": "ridge"}),
                ("ModelFallback info", {"site": "ridge"}),
                ("RecipientsUnreachable critical", {"site": "ridge"}),
                ("DiskFilling critical", {"folder": "/data"}),
            ],
            {
                "ServiceDown critical",
                "StageNotReading critical",  # of alerting
                "DayNotClosed critical",
                "SiteStale warning",
                "ModelFallback info",
                "RecipientsUnreachable critical",
                "DiskFilling critical",
            },
            id="a service is down",
        ),
        *(
            pytest.param(
                [
                    ("ServiceDown critical", {"service": service}),
                    ("StageNotReading critical", {"stage": "alerting"}),
                    ("LogLagGrowing critical", {"stage": "inference"}),
                    ("DayNotClosed critical", {"site": "ridge"}),
                    ("SitesSilent critical", {}),
                    ("WatchdogAbsent warning", {}),
                    ("FeedStale warning", {"site": "ridge", "feed": "asf"}),
                ],
                {
                    "ServiceDown critical",
                    "StageNotReading critical",
                    "LogLagGrowing critical",
                    "DayNotClosed critical",
                    "SitesSilent critical",
                    "FeedStale warning",
                    *others,
                },
                id=f"{service} is down for ever",
            )
            for service, others in (("watchdog", ()), ("ingest", ("WatchdogAbsent warning",)))
        ),
        pytest.param(
            [
                ("ServiceDown warning", {"service": "projector"}),
                ("VitalsAbsent warning", {}),
                ("VitalsOld critical", {"look": "alerts"}),
                ("SiteStale warning", {"site": "ridge"}),
            ],
            {"ServiceDown warning", "VitalsOld critical", "SiteStale warning"},
            id="the projector is down",
        ),
        pytest.param(
            [
                ("VitalsOld critical", {"look": "alerts"}),
                ("VitalsOld warning", {"look": "feeds"}),
            ],
            {"VitalsOld critical", "VitalsOld warning"},
            id="one look's trouble does not hide another's",
        ),
        pytest.param(
            [
                ("DiskFilling critical", {"folder": "/data"}),
                ("DiskFilling warning", {"folder": "/data"}),
                ("ClockSkew warning", {"against": "here"}),
            ],
            {"DiskFilling critical", "ClockSkew warning"},
            id="the same twice",
        ),
        pytest.param(
            [
                ("SiteBlind critical", {"site": "ridge"}),
                ("SlopeBlindSoon warning", {"site": "ridge"}),
                ("SiteStale warning", {"site": "dam"}),
            ],
            {"SiteBlind critical", "SiteStale warning"},
            id="one site's trouble does not hide another's",
        ),
        pytest.param(
            [
                ("SiteParked critical", {"site": "ridge", "stage": "inference"}),
                ("DayNotClosed critical", {"site": "ridge"}),
                ("SitesSilent critical", {}),
            ],
            {"SiteParked critical", "SitesSilent critical"},
            id="a site is parked",
        ),
        pytest.param(
            [
                ("RecipientsUnreachable critical", {"site": "ridge"}),
                ("OutboxOld critical", {"site": "ridge"}),
                ("OutboxOld critical", {"site": "dam"}),
                ("SendingsFailing warning", {"channel": "email"}),
            ],
            {"RecipientsUnreachable critical", "OutboxOld critical"},
            id="a recipient is cut off",
        ),
    ],
)
def test_what_only_follows_is_not_told(alertmanager, request, stands, is_told):
    known = {cases.key(rule) for rule in cases.alerts()}
    assert {key for key, _ in stands} <= known
    here = {"namespace": request.node.callspec.id}
    alerts = [alert(key, {**labels, **here}) for key, labels in stands]
    assert told(alertmanager, alerts) == is_told


def test_when_nothing_is_scraped_that_alone_is_told(lonely):
    alerts = [
        alert("SlopewatchAbsent critical", {"job": "slopewatch"}),
        alert("StageNotReading critical", {"stage": "inference"}),
        alert("VitalsAbsent warning", {}),
    ]
    assert told(lonely, alerts) == {"SlopewatchAbsent critical"}
