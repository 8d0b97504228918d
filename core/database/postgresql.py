"""A PostgreSQL server as a database: its address, its connections, their limits.

- **Secrets.** The password comes from the variable that its purpose names (the ledger's from
  `SLOPEWATCH_LEDGER_PASSWORD`) or from the file that `<NAME>_FILE` names. It is read at each new
  connection, so that one that was changed needs no restart. An address that holds a password is
  refused.
- **TLS.** `?tls=verify-full` checks the server's certificate and name, against `&ca=file` or the
  machine's authorities; `require` encrypts and checks nobody; `off` does neither. Without a word
  it is `verify-full`, and `off` only where the host is this machine: what leaves the machine
  unprotected does so because somebody wrote it. There is no mode that falls back to less.
- **Waits.** Each has an end: the connection, a lock, a statement, an answer. A server or a network
  that hangs is an UnavailableError, never a worker that stands still. A transaction that writes
  and idles (its process was stopped) is ended by the server, so that its locks hold up nobody.
- **Doubt.** A commit whose answer is lost may have been written. Its caller opens the site again
  and sees; to commit again without opening is refused by the comparison of revisions.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

import pg8000.legacy
from pg8000.exceptions import InterfaceError
from sqlalchemy import URL, Connection, Engine, create_engine, event

from core.database.database import WRITES, Purpose
from core.errors import SettingsError, UnavailableError
from core.settings import secret

FORM: Final = "postgresql://user@host:port/database"
Tls = Literal["verify-full", "require", "off"]
_HUNG_UP: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


@dataclass(frozen=True)
class Limits:
    """The longest waits in seconds; `answer` must be the longest: it ends the connection."""

    connect: float
    lock: float
    statement: float
    answer: float
    idle: float = 60.0


WORK: Final = Limits(connect=5, lock=5, statement=20, answer=25)
MIGRATION: Final = Limits(connect=5, lock=60, statement=3600, answer=3700)


@dataclass(frozen=True)
class Address:
    """Where the database is and how it is reached; as text it shows nothing secret."""

    user: str
    host: str
    port: int
    database: str
    tls: Tls
    ca: str | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{self.user}@{host}:{self.port}/{self.database}"


def parse(url: str, purpose: Purpose) -> Address:
    """Read a `postgresql://` address; SettingsError, without the address, for a bad one.

    The address is not repeated: what is wrong with it may be that it holds a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
        settings = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise SettingsError(
            f"the {purpose.name}'s url takes the form {FORM}?tls=...&ca=..."
        ) from None
    if parts.password is not None:
        raise SettingsError(
            f"the {purpose.name}'s url holds a password: write {FORM} and put the password into"
            f" {purpose.password} or a file that {purpose.password}_FILE names"
        )
    user, host = unquote(parts.username or ""), parts.hostname or ""
    database = unquote(parts.path[1:])
    if not (user and host and database) or "/" in database or "\0" in user + database:
        raise SettingsError(f"the {purpose.name}'s url takes the form {FORM}: one part is missing")
    given = dict(settings)
    if unknown := set(given) - {"tls", "ca"}:
        raise SettingsError(
            f"the {purpose.name}'s url has settings that it does not know: "
            f"{', '.join(sorted(unknown))}; it knows tls and ca"
        )
    return Address(user, host, port, database, _tls(host, given, purpose), given.get("ca"))


def server_engine(address: Address, purpose: Purpose, limits: Limits) -> Engine:
    """Connections to the server; raises SettingsError for a CA file that is none."""
    context = _context(address, purpose)

    def connect() -> _Connection:
        return _connect(address, purpose, context, limits)

    engine = create_engine(
        URL.create(
            "postgresql+pg8000", address.user, None, address.host, address.port, address.database
        ),
        creator=connect,
        pool_pre_ping=True,
    )
    # Else a batch of rows is as many statements, each of three journeys.
    engine.dialect.use_insertmanyvalues_wo_returning = True

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Readers see one moment and lock nothing: they may take their time between two pages.
        if not connection.get_execution_options().get(WRITES):
            connection.exec_driver_sql(
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;"
                " SET LOCAL idle_in_transaction_session_timeout = 0"
            )

    return engine


class _Connection(pg8000.legacy.Connection):  # type: ignore[misc]
    """pg8000's connection, in which a broken network is always the driver's own error.

    pg8000 lets the operating system's error through when it strikes at the first byte of an
    answer; the pool would then keep the dead connection.
    """

    def handle_messages(self, context: Any) -> None:
        try:
            super().handle_messages(context)
        except TimeoutError as error:
            raise InterfaceError("network error: the server did not answer in time") from error
        except OSError as error:
            raise InterfaceError(f"network error: {error}") from error

    def close(self) -> None:
        """Hang up; over a broken network without the goodbye, which nobody can hear."""
        try:
            super().close()
        except InterfaceError:
            return

    def wait_at_most(self, seconds: float) -> None:
        """Give up an answer that takes longer; the connection is of no use then."""
        self._usock.settimeout(seconds)


def _connect(
    address: Address, purpose: Purpose, context: ssl.SSLContext | None, limits: Limits
) -> _Connection:
    """A session of our own limits, in UTF-8, or an error in our words or the driver's."""
    try:
        raw = socket.create_connection((address.host, address.port), limits.connect)
    except OSError as error:
        raise UnavailableError(f"the {purpose.name} {address} is out of reach: {error}") from error
    try:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # Else each statement of several packets waits 40 ms for the acknowledgement of its first.
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _session(address, purpose, context, limits, raw)
    except BaseException:
        raw.close()
        raise
    encoding = connection.parameter_statuses.get("server_encoding")
    if encoding != "UTF8":
        connection.close()
        raise SettingsError(
            f"the database of the {purpose.name} {address} is in {encoding}: make it with ENCODING"
            " 'UTF8'"
        )
    connection.wait_at_most(limits.answer)
    return connection


def _session(
    address: Address,
    purpose: Purpose,
    context: ssl.SSLContext | None,
    limits: Limits,
    raw: socket.socket,
) -> _Connection:
    try:
        return _Connection(
            address.user,
            host=address.host,
            port=address.port,
            database=address.database,
            # A server that asks for one and gets none must refuse it; pg8000 would break.
            password=_password(purpose) or "",
            ssl_context=context or False,
            application_name="slopewatch",
            startup_params=_session_settings(limits, purpose),
            sock=raw,
        )
    except OSError as error:
        if isinstance(error, ssl.SSLError) and not isinstance(error, _HUNG_UP):
            raise SettingsError(
                f"no TLS with the {purpose.name} {address}: {error}; check the server's"
                " certificate, ca and tls"
            ) from error
        raise UnavailableError(f"the {purpose.name} {address} is out of reach: {error}") from error
    except InterfaceError as error:
        if "refuses SSL" in str(error):
            raise SettingsError(
                f"the {purpose.name} {address} offers no TLS: turn it on there, or write ?tls=off"
            ) from error
        raise


def _session_settings(limits: Limits, purpose: Purpose) -> dict[str, str]:
    def milliseconds(seconds: float) -> str:
        return str(round(seconds * 1000))

    return {
        "client_encoding": "UTF8",
        "default_transaction_isolation": "read committed",
        "statement_timeout": milliseconds(limits.statement),
        "lock_timeout": milliseconds(limits.lock),
        "idle_in_transaction_session_timeout": milliseconds(limits.idle),
        # A power loss must not take back a decision whose events are on the log already.
        "synchronous_commit": "on" if purpose.durable else "off",
    }


def _password(purpose: Purpose) -> str | None:
    try:
        return secret(purpose.password)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the file that {purpose.password}_FILE names cannot be read: {error}"
        ) from error


def _tls(host: str, given: Mapping[str, str], purpose: Purpose) -> Tls:
    modes: tuple[Tls, ...] = get_args(Tls)
    named = given.get("tls") or ("off" if _is_this_machine(host) else "verify-full")
    for mode in modes:
        if mode == named:
            if "ca" in given and mode != "verify-full":
                raise SettingsError(f"the {purpose.name}'s url: ca has no use with tls={mode}")
            return mode
    raise SettingsError(f"the {purpose.name}'s url: tls is one of {', '.join(modes)}")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _context(address: Address, purpose: Purpose) -> ssl.SSLContext | None:
    if address.tls == "off":
        return None
    try:
        context = ssl.create_default_context(cafile=address.ca)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"the {purpose.name}'s ca {address.ca} is no file of certificates: {error}"
        ) from error
    if address.tls == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
