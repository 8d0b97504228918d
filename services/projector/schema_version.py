"""Which schema a projection has, and the way to this release's: it is emptied and filled again."""

from __future__ import annotations

from contextlib import closing
from typing import Final, NamedTuple

from sqlalchemy import (
    Connection,
    Integer,
    MetaData,
    Table,
    column,
    func,
    insert,
    inspect,
    select,
    table,
)
from sqlalchemy.schema import DropTable

from core.database.database import Database, Purpose
from core.errors import ConflictError, NewerVersionError, SettingsError
from services.projector.schema import METADATA, SCHEMA, VERSION

PROJECTION: Final = Purpose(
    "projection",
    "SLOPEWATCH_PROJECTION_PASSWORD",
    "slopewatch projection upgrade",
    durable=False,  # what a power loss takes is read from the log again
)
_LOCK: Final = 0x70726F6A65
"""Advisory lock of a server's database: of several that make the tables one goes first."""


class Move(NamedTuple):
    """Schema before and after; None for a database without a projection."""

    before: int | None
    after: int


def upgrade(url: str) -> Move:
    """Make the tables of the projection at `url`, or make them anew where they are older.

    Raises SettingsError for a bad URL or a database that holds something else, NewerVersionError
    for a schema newer than this release, UnavailableError.
    """
    with closing(Database(url, PROJECTION, migrates=True)) as database:
        with database.read() as connection:
            before = _version(connection)
        if before == SCHEMA:
            return Move(before, before)
        with database.write() as connection:
            if not database.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            return _make(database, connection)


def standing(url: str) -> int | None:
    """The schema of the projection at `url`, None for a database without one; nothing is made.

    Raises SettingsError for a bad URL, UnavailableError.
    """
    with closing(Database(url, PROJECTION)) as database, database.read() as connection:
        return _version(connection)


def check_version(connection: Connection) -> None:
    """NewerVersionError or ConflictError unless the tables are those of this release."""
    version = connection.scalar(select(VERSION.c.version))
    if version is not None and version > SCHEMA:
        raise _newer(version)
    if version != SCHEMA:
        raise ConflictError(
            f"the projection had schema {SCHEMA} and has {version or 'none'}: an older release "
            "made it anew; stop it"
        )


def _make(database: Database, connection: Connection) -> Move:
    before = _version(connection)
    if before == SCHEMA:
        return Move(before, before)
    if before is None:
        _refuse_foreign(database, connection)
    elif before > SCHEMA:
        raise _newer(before)
    else:
        for name in connection.scalars(select(VERSION.c.tables)).one().split():
            connection.execute(DropTable(Table(name, MetaData()), if_exists=True))
    METADATA.create_all(connection)
    connection.execute(
        insert(VERSION), {"version": SCHEMA, "tables": " ".join(sorted(METADATA.tables))}
    )
    return Move(before, SCHEMA)


def _version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(VERSION.name):
        return None
    return connection.scalar(select(column("version", Integer)).select_from(table(VERSION.name)))


def _newer(version: int) -> NewerVersionError:
    return NewerVersionError(
        f"the projection has schema {version}, this release knows up to {SCHEMA}: upgrade "
        "slopewatch, or name another database in the setting projection"
    )


def _refuse_foreign(database: Database, connection: Connection) -> None:
    """A file is a projection's alone; a server's database may hold tables not in the way."""
    there = set(inspect(connection).get_table_names())
    if database.is_sqlite and there:
        raise SettingsError(f"the file of {database.name} is a database, but not a projection")
    if clash := sorted(there & set(METADATA.tables)):
        raise SettingsError(
            f"the database of {database.name} has tables of something else ({', '.join(clash)}):"
            " give the projection a database of its own"
        )
