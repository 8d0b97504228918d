"""What `docs/projection.md` says: what the tables promise, and what stands in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Boolean, Column, Date, Double, Integer, Table, Text

from services.projector.schema import TABLES, Moment

PROMISES: Final = """
The projector reads the log and keeps these tables, for Grafana and for whoever asks in SQL. They
hold what has its own time: the day a satellite passed, the day a forecast speaks of. How the
services do is told by [metrics](metrics.md) instead.

`slopewatch run projector` fills them, and `slopewatch run` without the name of a service does so
beside its other work. The setting `projection` names the database:

- **SQLite**, which is the default: `projection.db` in the data folder. Days are text such as
  `2024-05-01`, times are UTC such as `2024-05-01T10:00:00.000000Z`, yes or no is 1 or 0.
- **PostgreSQL**: `projection: postgresql://user@host/database`, with the password in
  `SLOPEWATCH_PROJECTION_PASSWORD` or in the file that `SLOPEWATCH_PROJECTION_PASSWORD_FILE` names;
  TLS as for the [ledger](streams.md). The first start makes the tables, in a database of their own
  or beside others. Where the projector may not make tables, `slopewatch projection upgrade` does,
  run by a user who may, who then grants it SELECT, INSERT, UPDATE and DELETE on them.

Give Grafana a user that can read and nothing else. Where the projector is the user `slopewatch`,
this also holds for tables that are made anew:

```sql
CREATE ROLE grafana LOGIN;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO grafana;
ALTER DEFAULT PRIVILEGES FOR ROLE slopewatch IN SCHEMA public GRANT SELECT ON TABLES TO grafana;
```

## What it promises

- Three projections read one topic each: `drivers` reads observations, `motion` assessments,
  `alerts` alerts. Each writes its own tables, a site's rows and its place on the log in one
  transaction, so that nothing is lost or written twice wherever it is stopped.
- What is late takes its place: a newer vintage of rain or level replaces the older one, a late
  epoch replaces the motion from its day on. `available_at` says when a row could be known.
- It only looks on. It writes nothing to the log, and what it cannot use it leaves to the service
  whose inbox it shares; its own log says so. A site whose rows cannot be written stands still alone
  (`slopewatch_site_parked` with a stage that begins with `projection-`), and goes on by itself.
- Nothing depends on it. Where it runs beside the other services in one process and cannot work,
  such as after a changed password, that process goes on warning; its log and the alert
  [VitalsOld](runbooks/VitalsOld.md) tell, and it tries again every minute. Run by itself it ends.
- It needs no backup: `slopewatch projection rebuild` empties the tables
  and fills them from the log. A release with other tables does so by itself, as does a projector
  on another log, such as after `slopewatch log copy`. After the log was restored from a backup,
  run `slopewatch projection rebuild`: the tables may know what the log has lost.
- Several projectors share the sites, as many as the topics have partitions.

Motion is along the line of sight, positive toward the satellite, in mm since the track's reference
epoch and relative to firm ground. A retired site keeps its rows; `sites` says so.

## The tables

Columns in bold are the key.
"""

_WORDS: Final = (
    (Moment, "time"),
    (Date, "day"),
    (Boolean, "yes or no"),
    (Double, "number"),
    (Integer, "whole number"),  # BigInteger is one too
    (Text, "text"),
)


def meanings() -> Iterator[tuple[str, str, list[list[str]]]]:
    """Name, meaning and columns (name, type, meaning) of each table for reading."""
    for table in TABLES:
        yield table.name, _sentence(table), [_column(column) for column in table.c]


def _sentence(table: Table) -> str:
    said = f"{table.comment}. Written by the projection `{table.info['projection']}`."
    return said[0].upper() + said[1:]


def _column(column: Column[object]) -> list[str]:
    kind = next(word for kind, word in _WORDS if isinstance(column.type, kind))
    name = f"**`{column.name}`**" if column.primary_key else f"`{column.name}`"
    null = ", or null" if column.nullable else ""
    return [name, kind + null, str(column.comment)]
