"""Our words for a database's errors: what can be tried again, and what somebody must mend.

Only the sentence of a server's error is passed on. Its detail, and SQLAlchemy's own text, show
the values of a row, and so the text of messages.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy import exc

from core.errors import BadInputError, SettingsError, SlopewatchError, UnavailableError

_PASSES: Final = (
    "08",  # connection
    "25006",  # read only: a standby, or a server that is just being taken over
    "25P03",  # a transaction stood idle too long: this process was stopped in the middle of it
    "40",  # serialization, deadlock
    "53",  # disk, memory, connections
    "55",  # lock timeout
    "57",  # statement timeout, shutdown, crash, start
    "58",  # input or output of the server
)
_LOGIN: Final = ("28",)
_DATABASE: Final = ("3D",)
_RIGHTS: Final = ("42501",)
_SCHEMA: Final = ("3F", "42P01", "42703")
_VALUE: Final = ("22", "54")
_TWICE: Final = ("23505",)


def in_our_words(name: str, error: exc.SQLAlchemyError) -> SlopewatchError:
    """The error to raise for what the database behind the ledger `name` said."""
    cause = getattr(error, "orig", None) or error
    code, said = _server_said(cause)
    if code:
        return _of_server(name, code, said)
    if isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError):
        return UnavailableError(f"the ledger {name} is out of reach: {said}")
    if isinstance(error, exc.IntegrityError):
        return _twice(name, said)
    if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
        return SettingsError(f"the file of {name} is not a ledger")
    return _damaged(name, said)


def _server_said(cause: BaseException) -> tuple[str, str]:
    """SQLSTATE and sentence of a PostgreSQL error; an empty code for any other."""
    fields = cause.args[0] if cause.args else None
    if isinstance(fields, dict):
        return str(fields.get("C", "")), f"{fields.get('M')} ({fields.get('C')})"
    return "", str(cause)


def _of_server(name: str, code: str, said: str) -> SlopewatchError:
    if code.startswith(_PASSES):
        return UnavailableError(f"the ledger {name} is out of reach: {said}")
    if code.startswith(_LOGIN):
        return SettingsError(
            f"the ledger {name} refuses the login: {said}; its password is read from"
            " SLOPEWATCH_LEDGER_PASSWORD or the file that SLOPEWATCH_LEDGER_PASSWORD_FILE names"
        )
    if code.startswith(_DATABASE):
        return SettingsError(f"the ledger {name}: {said}; make that database first")
    if code.startswith(_RIGHTS):
        return SettingsError(f"the ledger {name}: {said}; grant its user the rights")
    if code.startswith(_SCHEMA):
        return SettingsError(
            f"the ledger {name} has not the tables of this release: {said}; run"
            " `slopewatch ledger upgrade`"
        )
    if code.startswith(_VALUE):
        return BadInputError(f"the ledger {name} cannot hold this: {said}")
    if code.startswith(_TWICE):
        return _twice(name, said)
    return _damaged(name, said)


def _twice(name: str, said: str) -> SlopewatchError:
    return SlopewatchError(f"the ledger {name} holds such a row already: {said}")


def _damaged(name: str, said: str) -> SlopewatchError:
    return SlopewatchError(f"the ledger {name} is damaged or was asked wrongly: {said}")
