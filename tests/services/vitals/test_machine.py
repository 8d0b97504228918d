"""Disks, tokens and clocks."""

from __future__ import annotations

import base64
import json
import shutil
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.settings import Endpoints, Service, Site
from core.telemetry import Telemetry
from services.vitals import clocks
from services.vitals.clocks import ClockSkew, ask
from services.vitals.disks import Disk, disks
from services.vitals.look import Fault
from services.vitals.servers import ASKED_BY, web_servers
from services.vitals.tokens import Tokens, expiry_of
from tests.pipeline import make_site
from tests.services.commands.test_doctor import serve, web

__all__ = ["serve"]

UNTIL = datetime(2026, 5, 1, 12, tzinfo=UTC)


def token(claims: object) -> str:
    """A JSON web token as Earthdata gives it, with nonsense for a signature."""
    parts = ({"typ": "JWT", "alg": "RS256"}, claims)
    said = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*said, "c2lnbmF0dXJl"])


def app_of(service: Service) -> Any:
    return SimpleNamespace(telemetry=Telemetry(), service=service)


def sites_of(*sites: Site) -> Any:
    return SimpleNamespace(watched=lambda: list(sites))


def asf_site(**settings: str) -> Site:
    return make_site("dam", feeds=[{"kind": "asf", **settings}])


# Disks


def test_each_disk_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    service = Service(data=tmp_path, ledger=f"sqlite://{tmp_path}/other/ledger.db").resolved()
    (only,) = disks(service)
    usage = shutil.disk_usage(tmp_path)
    assert isinstance(only, Disk)
    assert (only.name, only.place, only.size) == ("data", tmp_path, usage.total)
    assert abs(only.free - usage.free) < 1 << 30
    device = Path.stat

    def two(path: Path, **given: bool) -> Any:
        found = device(path, **given)
        return SimpleNamespace(st_dev=7, st_mode=found.st_mode) if "other" in path.parts else found

    monkeypatch.setattr(Path, "stat", two)
    assert [disk.name for disk in disks(service) if isinstance(disk, Disk)] == ["data", "ledger"]


def test_what_lies_elsewhere_is_no_disk_of_ours(tmp_path: Path) -> None:
    service = Service(
        data=tmp_path / "not" / "yet",
        log="kafka://127.0.0.1:9092",
        ledger="postgresql://me@127.0.0.1/x",
        state="s3://bucket/state",
    ).resolved()
    (only,) = disks(service)
    assert isinstance(only, Disk)
    assert only.place == tmp_path


# Tokens


@pytest.mark.parametrize(
    ("said", "until"),
    [
        (token({"exp": UNTIL.timestamp(), "uid": "somebody"}), UNTIL),
        (token({"exp": int(UNTIL.timestamp())}), UNTIL),
        (token({"uid": "somebody"}), None),
        (token({"exp": "soon"}), None),
        (token({"exp": 1e300}), None),
        (token([1]), None),
        ("a plain password", None),
        ("a.b.c", None),
        ("..", None),
        ("", None),
        (token({"exp": 1, "pad": "x" * 20_000}), None),
    ],
)
def test_a_token_says_until_when_it_is_valid(said: str, until: datetime | None) -> None:
    assert expiry_of(said) == until


def test_tokens_of_the_settings_are_shown_by_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = token({"exp": UNTIL.timestamp()})
    monkeypatch.setenv("MY_TOKEN", secret)
    monkeypatch.delenv("OTHER_TOKEN", raising=False)
    sites = sites_of(asf_site(token_env="MY_TOKEN"), asf_site(token_env="OTHER_TOKEN"))
    app = app_of(Service())
    (figure,) = Tokens(app, sites).look()
    assert figure == (app.telemetry.token_expiry, ("MY_TOKEN",), UNTIL.timestamp())


# Clocks


@pytest.mark.parametrize("off_s", [-120, 0, 4000])
def test_this_clock_against_another_one(serve: Any, off_s: int) -> None:
    there = datetime.now(UTC).replace(microsecond=500_000) + timedelta(seconds=off_s)
    answer = ask(f"http://127.0.0.1:{serve(web(format_datetime(there, usegmt=True), 404))}")
    assert not isinstance(answer, str)
    assert answer.status == 404
    assert answer.skew_s == pytest.approx(-off_s, abs=1.5)


def test_the_clock_needs_one_server_that_says_its_time(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clocks, "TIMEOUT_S", (0.5, 0.5))
    date = format_datetime(datetime.now(UTC), usegmt=True)
    well, dateless = (f"http://127.0.0.1:{serve(web(d))}" for d in (date, None))
    away = "http://127.0.0.1:9"
    both = make_site(
        "dam", feeds=[{"kind": "asf"}, {"kind": "usgs", "site": "1", "parameter": "2"}]
    )

    def look(cmr: str, usgs: str) -> list[Any]:
        app = app_of(Service(endpoints=Endpoints(cmr=cmr, gsod=away, usgs=usgs)).resolved())
        return list(ClockSkew(app, sites_of(both)).look())

    assert [figure.labels for figure in look(well, away)] == [("cmr",)]
    assert [figure.labels for figure in look(well, dateless)] == [("cmr",)]
    (fault,) = look(away, dateless)
    assert isinstance(fault, Fault)
    assert "out of reach" in fault.sentence


def test_only_servers_that_are_asked_anyway_are_asked() -> None:
    assert set(ASKED_BY) == set(Endpoints.model_fields)
    own = "s3://bucket/x?endpoint=https://store.example.org:9000"
    service = Service(state=own, memory=own, artifacts="s3://bucket/y").resolved()
    assert web_servers(service, []) == {
        "s3 store.example.org:9000": "https://store.example.org:9000"
    }
    assert set(web_servers(service, [asf_site()])) == {"cmr", "s3 store.example.org:9000"}
