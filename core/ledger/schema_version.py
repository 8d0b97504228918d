"""Which schema a database has, and the way to another one (Alembic, run from here)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Connection, column, func, inspect, select, table

from core.errors import NewerVersionError, SettingsError
from core.ledger.database import Database
from core.ledger.schema import HEAD, decision, metadata, notification
from core.ledger.schema import site as site_table

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE: Final = "ledger_version"
_VERSION = table(VERSION_TABLE, column("version_num"))


_MIGRATION_LOCK: Final = 0x736C6F7065
"""Advisory lock of a server's database: of several migrations at once one goes first."""


class Move(NamedTuple):
    """Schema before and after a migration; empty for a database without a ledger."""

    before: str
    after: str


def migrate(url: str, revision: str, *, down: bool) -> Move:
    """Move the ledger at `url` to `revision`, in one transaction."""
    with closing(Database(url, migrates=True)) as database:
        return _move(database, revision, down=down)


def losses(url: str, revision: str) -> list[str]:
    """What going down to `revision` does, step by step, and how much the ledger holds now."""
    from alembic.script import ScriptDirectory

    with closing(Database(url)) as database, database.read() as connection:
        version = _version(connection)
        _refuse_newer(database, version)
        if not version:
            return []
        scripts = ScriptDirectory.from_config(config())
        with _known_revision(database, revision):
            steps = list(scripts.iterate_revisions(version, revision))
        if not steps:
            return []
        sites, decisions, unsent = (
            connection.scalar(counted)
            for counted in (
                select(func.count()).select_from(site_table),
                select(func.count()).select_from(decision),
                select(func.count(notification.c.id)).where(notification.c.outcome == "queued"),
            )
        )
    held = f"it holds {decisions} decisions of {sites} sites, {unsent} notifications are not sent"
    return [held, *(f"from {step.revision}: {step.module.downgrade.__doc__}" for step in steps)]


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
        " run `slopewatch ledger upgrade`"
    )


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, from memory: no ini file, no working directory."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", "core.ledger:migrations")
    made.attributes["connection"] = connection
    return made


def _move(database: Database, revision: str, *, down: bool) -> Move:
    from alembic import command

    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        version = _version(connection)
        if version is None:
            _refuse_foreign(database, connection)
        _refuse_newer(database, version)
        with _known_revision(database, revision):
            (command.downgrade if down else command.upgrade)(config(connection), revision)
        return Move(version or "", _version(connection) or "")


@contextmanager
def _known_revision(database: Database, revision: str) -> Iterator[None]:
    from alembic.script.revision import RevisionError
    from alembic.util import CommandError

    try:
        yield
    except (CommandError, RevisionError) as error:
        raise SettingsError(
            f"the ledger {database.name} cannot go to schema {revision}: {error}"
        ) from error


def _refuse_foreign(database: Database, connection: Connection) -> None:
    """A file is a ledger's alone; a server's database may hold tables that are not in the way."""
    there = set(inspect(connection).get_table_names())
    if database.is_sqlite and there:
        raise SettingsError(f"the file of {database.name} is a database, but not a ledger")
    if clash := sorted(there & set(metadata.tables)):
        raise SettingsError(
            f"the database of {database.name} has tables of something else ({', '.join(clash)}):"
            " give the ledger a database of its own"
        )


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
