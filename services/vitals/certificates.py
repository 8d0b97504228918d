"""Until when the certificates are valid that servers of the settings show."""

from __future__ import annotations

import smtplib
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from core.errors import UnavailableError
from core.figures import Figure
from services.vitals.look import Fault
from services.vitals.servers import Server, tls_servers

if TYPE_CHECKING:
    from services.compose import Slopewatch
    from services.vitals.sites import Sites

TIMEOUT_S: Final = 5.0
_TLS_PLEASE: Final = struct.pack("!ii", 8, 80877103)
"""PostgreSQL's SSLRequest (https://www.postgresql.org/docs/current/protocol-message-formats.html)."""


class Certificates:
    """Of every server that shows one to slopewatch itself; nothing is sent or asked for."""

    name = "certificates"
    every_s = 3600.0
    lasting = True

    def __init__(self, app: Slopewatch, sites: Sites) -> None:
        self._app = app
        self._sites = sites

    def look(self) -> Iterator[Figure | Fault]:
        """See `Look.look`."""
        for server in tls_servers(self._app.service, self._sites.watched()):
            if isinstance(server, Fault):
                yield server
                continue
            try:
                until = expiry_of(server).timestamp()
            except UnavailableError as error:
                yield Fault(str(error))
            else:
                yield Figure(self._app.telemetry.certificate_expiry, (server.name,), until)


def expiry_of(server: Server) -> datetime:
    """Until when the certificate of `server` is valid.

    Raises `UnavailableError` with one sentence when it does not answer, shows none, or shows one
    that is not trusted, as one is that has expired.
    """
    try:
        shown = _shown(server, _context(server))
    except ssl.SSLCertVerificationError as error:
        why = f"({error.verify_message}): have it renewed"
        raise UnavailableError(
            f"{server.name} shows a certificate that is not trusted {why}"
        ) from error
    except (OSError, smtplib.SMTPException) as error:
        raise UnavailableError(
            f"{server.name} shows no certificate ({type(error).__name__})"
        ) from error
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(shown), UTC)


def _context(server: Server) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=server.ca)
    if server.own is not None:
        certificate, key, password = server.own
        context.load_cert_chain(certificate, key, password)
    return context


def _shown(server: Server, context: ssl.SSLContext) -> str:
    """The end of the certificate's validity as `getpeercert` writes it."""
    if server.greeting == "smtp":
        with closing(smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)) as smtp:
            smtp.ehlo_or_helo_if_needed()
            smtp.starttls(context=context)
            assert isinstance(smtp.sock, ssl.SSLSocket)
            return _end(smtp.sock)
    with socket.create_connection((server.host, server.port), TIMEOUT_S) as plain:
        if server.greeting == "postgresql":
            plain.sendall(_TLS_PLEASE)
            if plain.recv(1) != b"S":
                raise ConnectionError("the server offers no TLS")
        with context.wrap_socket(plain, server_hostname=server.host) as secure:
            return _end(secure)


def _end(secure: ssl.SSLSocket) -> str:
    return str((secure.getpeercert() or {})["notAfter"])
