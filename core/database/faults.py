"""Our words for a database's errors: what can be tried again, and what somebody must mend.

Only the sentence of a server's error is passed on. Its detail, and SQLAlchemy's own text, show
the values of a row, and so the text of messages.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from sqlalchemy import exc

from core.errors import BadInputError, SettingsError, SlopewatchError, UnavailableError

if TYPE_CHECKING:
    from core.database.database import Purpose

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


def in_our_words(purpose: Purpose, name: str, error: exc.SQLAlchemyError) -> SlopewatchError:
    """The error to raise for what the database `name` said."""
    place = f"{purpose.name} {name}"
    cause = getattr(error, "orig", None) or error
    code, said = _server_said(cause)
    if code:
        return _of_server(purpose, place, code, said)
    if isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError):
        return UnavailableError(f"the {place} is out of reach: {said}")
    if isinstance(error, exc.IntegrityError):
        return _twice(place, said)
    if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
        return SettingsError(f"the file of {name} is not a {purpose.name}")
    return _damaged(place, said)


def _server_said(cause: BaseException) -> tuple[str, str]:
    """SQLSTATE and sentence of a PostgreSQL error; an empty code for any other."""
    fields = cause.args[0] if cause.args else None
    if isinstance(fields, dict):
        return str(fields.get("C", "")), f"{fields.get('M')} ({fields.get('C')})"
    return "", str(cause)


def _of_server(purpose: Purpose, place: str, code: str, said: str) -> SlopewatchError:
    if code.startswith(_PASSES):
        return UnavailableError(f"the {place} is out of reach: {said}")
    if code.startswith(_LOGIN):
        return SettingsError(
            f"the {place} refuses the login: {said}; its password is read from"
            f" {purpose.password} or the file that {purpose.password}_FILE names"
        )
    if code.startswith(_DATABASE):
        return SettingsError(f"the {place}: {said}; make that database first")
    if code.startswith(_RIGHTS):
        return SettingsError(f"the {place}: {said}; grant its user the rights")
    if code.startswith(_SCHEMA):
        return SettingsError(
            f"the {place} has not the tables of this release: {said}; run `{purpose.upgrade}`"
        )
    if code.startswith(_VALUE):
        return BadInputError(f"the {place} cannot hold this: {said}")
    if code.startswith(_TWICE):
        return _twice(place, said)
    return _damaged(place, said)


def _twice(place: str, said: str) -> SlopewatchError:
    return SlopewatchError(f"the {place} holds such a row already: {said}")


def _damaged(place: str, said: str) -> SlopewatchError:
    return SlopewatchError(f"the {place} is damaged or was asked wrongly: {said}")
