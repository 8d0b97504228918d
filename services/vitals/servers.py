"""Servers that the settings name: which are asked over the web, and which show a certificate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies

from core import plugins
from core.database.database import Purpose
from core.database.postgresql import parse
from core.errors import SettingsError
from core.eventlog._kafka_settings import KafkaSettings
from core.ledger.database import LEDGER
from core.objects import bucket_of
from core.settings import Service, Site
from services.alerting.notifier import NOTIFIERS, from_environment
from services.projector.schema_version import PROJECTION
from services.vitals.look import Fault

ASKED_BY: Final = {"cmr": "asf", "gsod": "gsod", "usgs": "usgs"}
"""The kind of feed that asks each of the service's endpoints."""
HTTPS_PORT: Final = 443

Greeting = Literal["none", "smtp", "postgresql"]
"""What is said before TLS begins."""


class Server(NamedTuple):
    """A server that shows a certificate. `name` holds no secret.

    `ca`: file of the authorities that its client trusts, None the machine's; `own`: files with the
    client's certificate and key, and the key's password, where it shows one.
    """

    name: str
    host: str
    port: int
    greeting: Greeting = "none"
    ca: str | None = None
    own: tuple[str, str | None, str | None] | None = None


def web_servers(service: Service, sites: Sequence[Site]) -> dict[str, str]:
    """Address by name: endpoints that a feed of the sites asks, and S3 servers of one's own."""
    kinds = {plugin.kind for site in sites for plugin in site.feeds}
    found = {name: url for name, url in service.endpoints if ASKED_BY[name] in kinds}
    for field in ("state", "artifacts", "memory"):
        address = str(getattr(service, field))
        if address.startswith("s3://") and (endpoint := bucket_of(address).endpoint):
            found[f"s3 {urlsplit(endpoint).netloc}"] = endpoint
    return found


def tls_servers(service: Service, sites: Sequence[Site]) -> Iterator[Server | Fault]:
    """Every server that shows a certificate to slopewatch itself, not to a proxy between."""
    for name, url in web_servers(service, sites).items():
        if not get_environ_proxies(url):
            yield from _web(name, url)
    for part in (_kafka, _databases):
        try:
            yield from part(service)
        except SettingsError as error:
            yield Fault(str(error))
    mail = any(r.notifier.kind == "email" for site in sites for r in site.recipients)
    smtp = service.smtp
    if mail and smtp.security != "none":
        greeting: Greeting = "smtp" if smtp.security == "starttls" else "none"
        yield Server(f"mail {smtp.host}:{smtp.port}", smtp.host, smtp.port, greeting)
    for site in sites:
        yield from _webhooks(site)


def _web(name: str, url: str, ca: str | None = None) -> Iterator[Server]:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        yield Server(name, parts.hostname, parts.port or HTTPS_PORT, ca=ca)


def _kafka(service: Service) -> Iterator[Server]:
    if not str(service.log).startswith("kafka://"):
        return
    client = KafkaSettings.from_url(str(service.log)).client
    if not str(client["security_protocol"]).endswith("SSL"):
        return
    own = None
    if "ssl_certfile" in client:
        own = client["ssl_certfile"], client.get("ssl_keyfile"), client.get("ssl_password")
    for broker in client["bootstrap_servers"]:
        host, _, port = str(broker).rpartition(":")
        yield Server(f"kafka {broker}", host, int(port), ca=client.get("ssl_cafile"), own=own)


def _databases(service: Service) -> Iterator[Server]:
    for field, purpose in (("ledger", LEDGER), ("projection", PROJECTION)):
        yield from _database(str(getattr(service, field)), purpose)


def _database(url: str, purpose: Purpose) -> Iterator[Server]:
    if url.startswith("postgresql://"):
        at = parse(url, purpose)
        if at.tls == "verify-full":
            name = f"{purpose.name} {at.host}:{at.port}"
            yield Server(name, at.host, at.port, "postgresql", at.ca)


def _webhooks(site: Site) -> Iterator[Server | Fault]:
    for recipient in site.recipients:
        if recipient.notifier.kind != "webhook":
            continue
        name = f"webhook {site.name}/{recipient.id}"
        try:
            settings = plugins.settings(NOTIFIERS, recipient.notifier.model_dump())
            yield from _web(name, from_environment(settings.url))
        except SettingsError as error:
            yield Fault(f"{name}: {error}")
