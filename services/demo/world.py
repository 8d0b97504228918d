"""The world round the demo: a stand-in for the feeds, and sinks for mail and webhook."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import yaml

from core.clock import Clock
from core.settings import Service, Smtp
from services.demo.sinks import SmtpSink, WebhookSink
from services.demo.standin import StandIn, StandInSite, site_tree

SECRET_NAME = "SLOPEWATCH_DEMO_WEBHOOK_SECRET"
HOST = "127.0.0.1"


@contextmanager
def outside_world(
    folder: Path, places: dict[str, StandInSite], watched_from: date, clock: Clock
) -> Iterator[tuple[Service, SmtpSink, WebhookSink]]:
    """The stand-in server, the two sinks, and service settings that point to them."""
    os.environ[SECRET_NAME] = _secret(folder)
    with ExitStack() as stack:
        ports = _ports(folder)
        standin = stack.enter_context(StandIn(places.values(), clock, port=ports[0]))
        smtp = stack.enter_context(SmtpSink(folder / "mail", ports[1]))
        webhook = stack.enter_context(
            WebhookSink(folder / "webhook", os.environ[SECRET_NAME], ports[2])
        )
        recipients = [
            {
                "id": "civil-protection",
                "notifier": {"kind": "email", "to": ["duty@civil-protection.example"]},
            },
            {
                "id": "control-room",
                "notifier": {
                    "kind": "webhook",
                    "url": webhook.url,
                    "secret_env": SECRET_NAME,
                    "allow_private": True,
                },
            },
        ]
        _write_sites(folder / "sites", places, watched_from, standin.base_url, recipients)
        yield (
            Service(
                data=folder / "var",
                sites=folder / "sites",
                endpoints=standin.endpoints,
                smtp=Smtp(host=HOST, port=smtp.port, security="none"),
            ).resolved(),
            smtp,
            webhook,
        )


def _secret(folder: Path) -> str:
    """The secret that signs the demo's webhooks, made once and readable by its owner alone."""
    path = folder / "webhook-secret"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32), encoding="ascii")
    return path.read_text(encoding="ascii")


def _ports(folder: Path) -> list[int]:
    """Three free ports; those of the last demo if they still are, so that settings stay equal."""
    path = folder / "ports.json"
    if path.exists():
        known = msgspec.json.decode(path.read_bytes(), type=list[int])
        if all(_is_free(port) for port in known):
            return known
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(3)]
        ports = [int(one.getsockname()[1]) for one in held]
    path.write_bytes(msgspec.json.encode(ports))
    return ports


def _is_free(port: int) -> bool:
    try:
        with socket.create_server((HOST, port)):
            return True
    except OSError:
        return False


def _write_sites(
    folder: Path,
    places: dict[str, StandInSite],
    watched_from: date,
    base_url: str,
    recipients: list[dict[str, Any]],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for title, place in places.items():
        tree = site_tree(
            place, base_url, recipients=recipients, watched_from=watched_from, title=title
        )
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
        (folder / f"{place.name}.yaml").write_text(text, encoding="utf-8")
