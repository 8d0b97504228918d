"""A projection's store of one site: its rows and where it stands, in one SQL transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic

import msgspec
from sqlalchemy import Connection, Table, delete, exc, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.database.database import Database
from core.errors import ConflictError
from core.events import Event
from core.stage import Bookmark, Held
from services.projector.changes import Clear, M, Projected, Row, in_short
from services.projector.fingerprints import Fingerprints
from services.projector.schema import READ, TAKEN
from services.projector.schema_version import check_version

_INSERTS: dict[str, Callable[[Table], Any]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}


class ProjectionSite(Generic[M]):
    """One site of a projection: a `core.stage.SiteStore[Projected[M]]`, used by one thread.

    `stage` is the projection's name, `tables` are what it writes, `log_id` is the identity of its
    inbox: rows that were made of another log are cleared and made again.
    """

    def __init__(
        self,
        database: Database,
        stage: str,
        tables: Sequence[Table],
        log_id: str,
        site: str,
        memory: type[M],
    ) -> None:
        self._database = database
        self._stage = stage
        self._tables = tables
        self._log_id = log_id
        self._site = site
        self._memory = memory
        self._mine = (READ.c.projection == stage) & (READ.c.site == site)
        self._read: tuple[int, int] | None = None
        self._anew = False
        self._known: Fingerprints | None = None

    def open(self) -> Held[Projected[M]]:
        """Read what the projection remembers and where it stands; nothing while it is made anew.

        Raises NewerVersionError when a newer release keeps the tables, UnavailableError.
        """
        with self._database.read() as connection:
            check_version(connection)
            row = connection.execute(select(READ).where(self._mine)).one_or_none()
        self._read = (row.revision, row.seq) if row else (0, 0)
        self._known = None
        self._anew = row is None or row.seq == 0 or row.log_id != self._log_id
        if row is None or self._anew:
            clear = (Clear(table, {"site": self._site}) for table in self._tables)
            return Held(Projected(self._memory(), tuple(clear) if row else ()), None, ())
        memory = msgspec.json.decode(row.memory, type=self._memory)
        names = Bookmark.__struct_fields__
        return Held(Projected(memory), Bookmark(**{n: getattr(row, n) for n in names}), ())

    def seen(self, event_id: str) -> bool:
        """Whether an input with this id was taken in by a commit.

        Raises ConflictError for one that was when another holder committed since `open`.
        """
        read = self._opened()
        if self._anew:
            return False
        if self._known is None:
            ids = select(TAKEN.c.event_id).where(*self._of_site(TAKEN))
            with self._database.read() as connection:
                self._known = Fingerprints(connection.scalars(ids))
        if not self._known.may_have(event_id):
            return False
        taken = (
            (TAKEN.c.projection == READ.c.projection)
            & (TAKEN.c.site == READ.c.site)
            & (TAKEN.c.event_id == event_id)
        )
        rows = select(READ.c.revision, READ.c.seq, TAKEN.c.event_id).outerjoin(TAKEN, taken)
        with self._database.read() as connection:
            found = connection.execute(rows.where(self._mine)).one_or_none()
        *place, known = found or (0, 0, None)
        if tuple(place) != read:
            raise self._conflict()
        return known is not None

    def commit(
        self,
        state: Projected[M],
        bookmark: Bookmark,
        ids: Sequence[str],
        outcomes: Sequence[Event],
    ) -> Projected[M]:
        """Write rows, memory, bookmark and input ids, or nothing of it.

        Raises ConflictError when another holder committed since `open`, NewerVersionError when a
        newer release took over the tables, UnavailableError.
        """
        revision, _ = self._opened()
        memory = msgspec.json.encode(state.memory).decode()
        values = {"memory": memory, "revision": revision + 1, **msgspec.structs.asdict(bookmark)}
        with self._database.write() as connection:
            # It also keeps whoever empties or drops the tables out until this is written.
            check_version(connection)
            self._write_place(connection, values)
            if self._anew:
                connection.execute(delete(TAKEN).where(*self._of_site(TAKEN)))
            keys = {"projection": self._stage, "site": self._site}
            connection.execute(insert(TAKEN), [{**keys, "event_id": one} for one in ids])
            for table, work in in_short(state.changes).items():
                for where in work.clear:
                    columns = (table.c[name] == value for name, value in where.items())
                    connection.execute(delete(table).where(*columns))
                if work.put:
                    _upsert(connection, table, list(work.put.values()))
        if self._known is not None:
            self._known.add(ids)
        self._read, self._anew = (revision + 1, bookmark.seq), False
        return Projected(state.memory)

    def close(self) -> None:
        """Let go of the site; the projection keeps its connections."""
        self._read = None

    def _opened(self) -> tuple[int, int]:
        if self._read is None:
            raise ConflictError(f"site {self._site}: open it before asking or committing")
        return self._read

    def _conflict(self) -> ConflictError:
        return ConflictError(
            f"site {self._site}: another {self._stage} wrote, or the projection was emptied, after "
            f"revision {self._opened()[0]}"
        )

    def _of_site(self, table: Table) -> tuple[Any, Any]:
        return table.c.projection == self._stage, table.c.site == self._site

    def _write_place(self, connection: Connection, values: Row) -> None:
        revision, seq = self._opened()
        if revision == 0:
            mine = {"projection": self._stage, "site": self._site}
            try:
                connection.execute(insert(READ), {**mine, **values})
            except exc.IntegrityError as error:
                raise self._conflict() from error
            return
        unchanged = self._mine & (READ.c.revision == revision) & (READ.c.seq == seq)
        if connection.execute(update(READ).where(unchanged).values(**values)).rowcount != 1:
            raise self._conflict()


def _upsert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    statement = _INSERTS[connection.dialect.name](table)
    new = {c.name: statement.excluded[c.name] for c in table.c if not c.primary_key}
    statement = statement.on_conflict_do_update(index_elements=table.primary_key, set_=new)
    connection.execute(statement, list(rows))
