"""The open projection: its tables are made on first use, and can be emptied at any time."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from sqlalchemy import Table, delete, func, select, text, update

from core.database.database import Database
from services.projector.changes import M
from services.projector.schema import READ, TABLES, TAKEN, VERSION
from services.projector.schema_version import PROJECTION, Move, upgrade
from services.projector.store import ProjectionSite


class Projection:
    """The projection at `url`; may be shared by threads.

    Opening connects to nothing, so that a database out of reach only keeps back what is written to
    it. Every method raises UnavailableError when it is out of reach, and what
    `services.projector.schema_version.upgrade` raises. Raises SettingsError for a bad URL.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._database = Database(url, PROJECTION)
        self._making = threading.Lock()
        self._made = False

    def upgrade(self) -> Move:
        """Make the tables, or make them anew where an older release made them."""
        return upgrade(self._url)

    def sites(self, stage: str) -> list[str]:
        """Names of all sites of which a projection has ever written anything."""
        with self._ready().read() as connection:
            return list(connection.scalars(select(READ.c.site).where(READ.c.projection == stage)))

    def site(
        self, stage: str, tables: Sequence[Table], log_id: str, name: str, memory: type[M]
    ) -> ProjectionSite[M]:
        """A projection's store of one site; nothing is opened yet."""
        return ProjectionSite(self._ready(), stage, tables, log_id, name, memory)

    def reset(self) -> None:
        """Empty all tables; whoever reads the log now, or does next, fills them again."""
        with self._ready().write() as connection:
            if connection.dialect.name == "postgresql":
                # Commits read this table: none is under way while others' rows are deleted.
                connection.execute(text(f"LOCK TABLE {VERSION.name} IN ACCESS EXCLUSIVE MODE"))
            anew = {"seq": 0, "taken": 0, "offset": -1, "revision": READ.c.revision + 1}
            connection.execute(update(READ).values(**anew))
            for table in (*TABLES, TAKEN):
                connection.execute(delete(table))

    def counts(self) -> dict[str, int]:
        """Rows of each table for reading, by its name."""
        with self._ready().read() as connection:
            return {
                table.name: connection.scalar(select(func.count()).select_from(table)) or 0
                for table in TABLES
            }

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def _ready(self) -> Database:
        with self._making:
            if not self._made:
                self.upgrade()
                self._made = True
        return self._database
