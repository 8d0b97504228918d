"""Certificates that servers of the settings show, over plain TLS, SMTP and PostgreSQL."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.errors import UnavailableError
from core.settings import Service, Smtp
from services.vitals.certificates import Certificates, expiry_of
from services.vitals.look import Fault
from services.vitals.servers import Greeting, Server, tls_servers
from tests.pipeline import make_site
from tests.services.vitals.test_machine import app_of, asf_site, sites_of

HOST = "127.0.0.1"
NOW = datetime.now(UTC).replace(microsecond=0)


def certificate(folder: Path, until: datetime) -> Path:
    """A file with a key and a certificate of this machine that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.TraditionalOpenSSL
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def greet_smtp(plain: socket.socket) -> None:
    plain.sendall(b"220 here\r\n")
    plain.recv(1000)
    plain.sendall(b"250-here\r\n250 STARTTLS\r\n")
    plain.recv(1000)
    plain.sendall(b"220 go on\r\n")


def greet_postgresql(plain: socket.socket) -> None:
    plain.recv(8)
    plain.sendall(b"S")


def refuse_postgresql(plain: socket.socket) -> None:
    plain.recv(8)
    plain.sendall(b"N")


Greet = Callable[[socket.socket], None]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[datetime, Greet], int]]:
    """Serve one connection with a certificate that is valid until then; gives the port."""
    open_: list[tuple[socket.socket, threading.Thread]] = []

    def serve(until: datetime, greet: Greet) -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate(tmp_path, until))
        listening = socket.create_server((HOST, 0))

        def answer() -> None:
            plain, _ = listening.accept()
            with plain, suppress(OSError):
                greet(plain)
                with context.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(100)

        thread = threading.Thread(target=answer)
        thread.start()
        open_.append((listening, thread))
        return int(listening.getsockname()[1])

    yield serve
    for listening, thread in open_:
        thread.join(10)
        listening.close()


@pytest.mark.parametrize(
    ("greeting", "greet"),
    [
        ("none", lambda plain: None),
        ("smtp", greet_smtp),
        ("postgresql", greet_postgresql),
    ],
)
def test_a_certificate_says_until_when_it_is_valid(
    serve: Any, tmp_path: Path, greeting: Greeting, greet: Greet
) -> None:
    until = NOW + timedelta(days=40)
    ca = str(tmp_path / "server.pem")
    server = Server("it", HOST, serve(until, greet), greeting, ca)
    assert expiry_of(server) == until


@pytest.mark.parametrize(
    ("until", "trusted", "greeting", "greet", "said"),
    [
        (NOW - timedelta(days=1), True, "none", lambda plain: None, "certificate has expired"),
        (NOW + timedelta(days=1), False, "none", lambda plain: None, "self-signed certificate"),
        (NOW + timedelta(days=1), True, "postgresql", refuse_postgresql, "shows no certificate"),
        (NOW + timedelta(days=1), True, "none", lambda plain: plain.close(), "no certificate"),
    ],
)
def test_one_that_is_not_trusted_is_one_sentence(
    serve: Any,
    tmp_path: Path,
    until: datetime,
    trusted: bool,
    greeting: Greeting,
    greet: Greet,
    said: str,
) -> None:
    port = serve(until, greet)
    server = Server("it", HOST, port, greeting, str(tmp_path / "server.pem") if trusted else None)
    with pytest.raises(UnavailableError, match=f"^it .*{said}"):
        expiry_of(server)


def test_every_server_of_the_settings_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    ca = tmp_path / "ca.pem"
    ca.touch()
    monkeypatch.setenv("HOOK", "https://hooks.example.org:8443/a-secret")
    recipients = [
        {"id": "duty", "notifier": {"kind": "email", "to": ["a@example.org"]}},
        {"id": "hook", "notifier": {"kind": "webhook", "url": "${HOOK}"}},
        {"id": "lost", "notifier": {"kind": "webhook", "url": "${NOT_SET}"}},
    ]
    site = make_site("dam", feeds=[{"kind": "asf"}], recipients=recipients)
    service = Service(
        log=f"kafka://one:9093,two:9093/x?security=tls&ca={ca}",
        ledger=f"postgresql://me@db.example.org/x?ca={ca}",
        projection="postgresql://me@db.example.org/y?tls=require",
        state="s3://bucket/x?endpoint=https://store.example.org",
        artifacts="s3://bucket/x?endpoint=http://plain.example.org",
        smtp=Smtp(host="mail.example.org", port=587),
    ).resolved()
    found = list(tls_servers(service, [site]))
    assert [one for one in found if isinstance(one, Fault)] == [
        Fault("webhook dam/lost: the environment variable NOT_SET (or NOT_SET_FILE) is not set")
    ]
    assert {one for one in found if isinstance(one, Server)} == {
        Server("cmr", "cmr.earthdata.nasa.gov", 443),
        Server("s3 store.example.org", "store.example.org", 443),
        Server("kafka one:9093", "one", 9093, ca=str(ca)),
        Server("kafka two:9093", "two", 9093, ca=str(ca)),
        Server("ledger db.example.org:5432", "db.example.org", 5432, "postgresql", str(ca)),
        Server("mail mail.example.org:587", "mail.example.org", 587, "smtp"),
        Server("webhook dam/hook", "hooks.example.org", 8443),
    }
    assert "a-secret" not in repr(found)


def test_a_proxy_between_shows_its_own_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.org:3128")
    assert list(tls_servers(Service().resolved(), [asf_site()])) == []


def test_one_that_does_not_answer_costs_no_other(serve: Any, tmp_path: Path) -> None:
    until = NOW + timedelta(days=40)
    up = serve(until, greet_postgresql)
    ca = tmp_path / "server.pem"
    with socket.create_server((HOST, 0)) as probe:
        down = probe.getsockname()[1]
    service = Service(
        ledger=f"postgresql://me@{HOST}:{up}/x?tls=verify-full&ca={ca}",
        projection=f"postgresql://me@{HOST}:{down}/x?tls=verify-full&ca={ca}",
    ).resolved()
    app = app_of(service)
    figure, fault = Certificates(app, sites_of()).look()
    assert figure == (app.telemetry.certificate_expiry, (f"ledger {HOST}:{up}",), until.timestamp())
    assert isinstance(fault, Fault)
    assert "ConnectionRefusedError" in fault.sentence
