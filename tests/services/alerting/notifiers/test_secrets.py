"""Whatever goes wrong on whatever channel: no address, URL, password or token shows anywhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from notifying import NOW, Script, http_server, smtp_server
from receiving import decide, unflushed

from core.ledger import open_ledger
from core.settings import Plugin, Service, Smtp
from core.telemetry import Telemetry
from services.alerting.notifier import open_notifier
from services.alerting.sender import Sender

# Apprise imports it where Python still has it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

SECRETS = {
    "HOOK_SECRET": "hunter2-signing-key",
    "SLOPEWATCH_SMTP_PASSWORD": "hunter2-mail-password",
    "DUTY_MAIL": "hunter2-duty@town.example",
}
TOKEN = "hunter2-token"
HTTP = (200, 302, 401, 404, 410, 422, 429, 500)
ECHO = f"550 <{SECRETS['DUTY_MAIL']}> is not known here"
MAIL: tuple[dict[str, list[str | float | None]], ...] = (
    {},
    {"RCPT": [ECHO]},
    {"RCPT": ["450 " + ECHO[4:]]},
    {"MAIL": ["550 no"]},
    {"CONNECT": [None]},
    {"DATA": ["554 " + ECHO[4:]]},
    {"CONTENT": [None]},
    {"EHLO": ["250-scripted\r\n250 AUTH PLAIN"], "AUTH": ["535 bad password"]},
)


class Kept(logging.Handler):
    """What libraries log, from warnings up: below that they tell what they post to."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def shown_by(tmp_path: Path, plugin: Plugin, service: Service) -> Iterator[list[str]]:
    """Send through the sender and ledger, three times if need be; all that is shown by it."""
    shown: list[str] = []
    notifier, kept = open_notifier(plugin, service), Kept()
    logging.getLogger().addHandler(kept)
    with (
        closing(unflushed(open_ledger(f"sqlite://{tmp_path}/ledger.db"))) as ledger,
        structlog.testing.capture_logs() as logs,
    ):
        sender = Sender(ledger, lambda *_: notifier, Telemetry())
        decide(ledger, "n1", alert="a.toe.1")
        for minutes in range(0, 12, 3):
            sender.step(NOW + timedelta(minutes=minutes))
        sender.close()
        rows = [asdict(row) for row in ledger.notifications()]
        tries = [asdict(one) for one in ledger.attempts("n1")]
        assert tries
        routes = [asdict(one) for one in ledger.routes()]
        exported = [str(line) for line in ledger.export()]
        shown += map(str, [repr(notifier), logs, rows, tries, routes, exported, kept.lines])
        logging.getLogger().removeHandler(kept)
        yield shown


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def nothing_secret(shown: list[str], capfd: pytest.CaptureFixture[str]) -> bool:
    """Whether no secret is in it; what is no secret must be, else nothing was looked at."""
    everything = "\n".join(shown) + "".join(capfd.readouterr())
    assert "n1" in everything
    return "hunter2" not in everything


@pytest.mark.parametrize("status", HTTP)
@pytest.mark.parametrize("kind", ["webhook", "apprise"])
def test_over_http(
    kind: str,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    echo = {"Location": f"http://127.0.0.1:9/{TOKEN}", "X-Echo": TOKEN}
    with http_server(status, echo, body=TOKEN.encode()) as (url, posts):
        place = url.removeprefix("http://").split("/")[0]
        given: dict[str, Any] = {"allow_private": True}
        if kind == "webhook":
            monkeypatch.setenv("HOOK_URL", f"http://{place}/{TOKEN}")
            given |= {"url": "${HOOK_URL}", "secret_env": "HOOK_SECRET"}
        else:
            monkeypatch.setenv("APPRISE", f"json://{TOKEN}:{TOKEN}-too@{place}/{TOKEN}")
            given |= {"url_env": "APPRISE"}
        with shown_by(tmp_path, Plugin(kind=kind, **given), Service()) as shown:
            assert posts
    assert nothing_secret(shown, capfd)


@pytest.mark.parametrize("answers", MAIL, ids=lambda one: "-".join(one) or "well")
def test_over_mail(
    answers: dict[str, list[str | float | None]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with smtp_server(Script({verb: list(given) for verb, given in answers.items()})) as port:
        user = "scott" if "AUTH" in answers else None
        smtp = Smtp(port=port, security="none", user=user, sender="w@example.org", timeout_s=2)
        mail = Plugin(kind="email", to=["${DUTY_MAIL}"])
        with shown_by(tmp_path, mail, Service(smtp=smtp)) as shown:
            pass
    assert nothing_secret(shown, capfd)


@pytest.mark.parametrize("kind", ["webhook", "apprise"])
def test_out_of_reach(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOOK_URL", f"http://127.0.0.1:9/{TOKEN}")
    monkeypatch.setenv("APPRISE", f"json://{TOKEN}@127.0.0.1:9/{TOKEN}")
    given: dict[str, Any] = (
        {"url": "${HOOK_URL}", "secret_env": "HOOK_SECRET"}
        if kind == "webhook"
        else {"url_env": "APPRISE"}
    )
    with shown_by(tmp_path, Plugin(kind=kind, allow_private=True, **given), Service()) as shown:
        pass
    assert nothing_secret(shown, capfd)
