"""Which schema a database has, and the way to another one (Alembic, run from here)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, column, inspect, select, table

from core.errors import NewerVersionError, SettingsError
from core.ledger.database import Database
from core.ledger.schema import HEAD

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE: Final = "ledger_version"
_VERSION = table(VERSION_TABLE, column("version_num"))


def migrate(url: str, revision: str, *, down: bool) -> None:
    """Move the ledger at `url` to `revision`, in one transaction."""
    database = Database(url)
    try:
        _move(database, revision, down=down)
    finally:
        database.close()


def prepare(database: Database) -> None:
    """Make sure that the database has the newest schema; migrates a file, not a server.

    A server's schema is changed by its operator, once, not by whichever replica starts first.
    """
    with database.read() as connection:
        version = _version(connection)
    if version == HEAD:
        return
    if database.is_sqlite:
        _move(database, "head", down=False)
        return
    _refuse_newer(database, version)
    raise SettingsError(
        f"the ledger {database.name} has schema {version or 'none'}, this release needs {HEAD}:"
        " upgrade its schema first"
    )


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, from memory: no ini file, no working directory."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", "core.ledger:migrations")
    made.attributes["connection"] = connection
    return made


def _move(database: Database, revision: str, *, down: bool) -> None:
    from alembic import command
    from alembic.util import CommandError

    with database.write() as connection:
        version = _version(connection)
        if version is None and database.is_sqlite and inspect(connection).get_table_names():
            raise SettingsError(f"the file of {database.name} is a database, but not a ledger")
        _refuse_newer(database, version)
        try:
            (command.downgrade if down else command.upgrade)(config(connection), revision)
        except CommandError as error:
            raise SettingsError(
                f"the ledger {database.name} cannot go to schema {revision}: {error}"
            ) from error


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.scalar(select(_VERSION.c.version_num))
    # Taken down to the base the table stays, empty: nothing of a ledger is left then.
    return version or ""


def _refuse_newer(database: Database, version: str | None) -> None:
    from alembic.script import ScriptDirectory

    if not version:
        return
    known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
    if version not in known:
        raise NewerVersionError(
            f"the ledger {database.name} has schema {version}, this release knows up to {HEAD}:"
            " upgrade slopewatch"
        )
