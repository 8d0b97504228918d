"""Which machines a message may be handed to: none inside our own network, unless that is allowed.

Who may write a site file must not make this service knock at what only this service can reach: a
metadata service, a database, a neighbour. So the address that is really connected to is judged, not
the name: a name is looked up once, all of its addresses must be public, and the connection goes to
one of these.

Sources: RFC 6890 and the IANA special-purpose address registries (by way of `ipaddress`); RFC 6052
(IPv4 inside 64:ff9b::/96) and RFC 8215 (64:ff9b:1::/48); RFC 6890 section 2.2.2 (192.0.0.0/24).
"""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

_OURS: Final = tuple(
    ipaddress.ip_network(one)
    for one in (
        "192.0.0.0/24",  # protocol assignments; the metadata service of Oracle's cloud
        "168.63.129.16/32",  # public by its number, the host's own services in Azure
        "64:ff9b:1::/48",
    )
)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class PrivatePeerError(OSError):
    """The name or number leads to a machine that is not public; its text names neither."""


def is_public(address: str) -> bool:
    """Whether the number `address` (IPv4 or IPv6) is one of the open internet."""
    number = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(number, ipaddress.IPv6Address):
        inner = number.ipv4_mapped or number.sixtofour
        if inner is None and number in _NAT64:
            inner = ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if number.is_site_local:
            return False
    if number.is_multicast or number.is_reserved or not number.is_global:
        return False
    return not any(number in one for one in _OURS)


def is_private(host: str) -> bool:
    """Whether `host` is said to be no public machine by its very number or name."""
    try:
        return not is_public(host.strip("[]"))
    except ValueError:
        return f".{host.lower().rstrip('.')}".endswith(".localhost")


def public_addresses(host: str, port: int) -> list[str]:
    """The numbers of `host`, however it is written, looked up now.

    Raises `PrivatePeerError` when one of them is not public, `OSError` when there is none.
    """
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    numbers = list(dict.fromkeys(str(one[4][0]) for one in found))
    if not all(map(is_public, numbers)):
        raise PrivatePeerError("not a public address")
    return numbers


class _PublicMixin:
    """Connects to a public address or to none; TLS goes on checking the name."""

    _dns_host: str
    port: int

    def _new_conn(self) -> socket.socket:
        name = self._dns_host
        try:
            return self._first(public_addresses(name, self.port))
        except (socket.gaierror, UnicodeError) as error:
            raise NewConnectionError(self, "no such name") from error  # type: ignore[arg-type]
        finally:
            self._dns_host = name

    def _first(self, numbers: list[str]) -> socket.socket:
        """A connection to the first of the `numbers` that answers."""
        fault: HTTPError = NewConnectionError(self, "no address")  # type: ignore[arg-type]
        for number in numbers:
            self._dns_host = number
            try:
                made: socket.socket = super()._new_conn()  # type: ignore[misc]
                return made
            except (NewConnectionError, ConnectTimeoutError) as error:
                fault = error
        raise fault


class _PublicConnection(_PublicMixin, HTTPConnection):
    pass


class _PublicSecureConnection(_PublicMixin, HTTPSConnection):
    pass


class _PublicPool(HTTPConnectionPool):
    ConnectionCls = _PublicConnection


class _PublicSecurePool(HTTPSConnectionPool):
    ConnectionCls = _PublicSecureConnection


class _PublicAdapter(HTTPAdapter):
    """HTTP to public addresses alone."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _PublicPool,
            "https": _PublicSecurePool,
        }


def is_private_peer(error: BaseException | None) -> bool:
    """Whether `error` of a request came of a `PrivatePeerError`."""
    while error is not None and not isinstance(error, PrivatePeerError):
        error = error.__cause__ or error.__context__
    return error is not None


def open_session(*, allow_private: bool) -> requests.Session:
    """A session for one request: no proxy, no .netrc, and public addresses alone unless allowed.

    A proxy looks names up by itself, so that nothing here could be judged. Of the environment only
    REQUESTS_CA_BUNDLE is heeded, the certificates to trust.
    """
    session = requests.Session()
    session.trust_env = False
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    if not allow_private:
        session.mount("http://", _PublicAdapter())
        session.mount("https://", _PublicAdapter())
    return session
