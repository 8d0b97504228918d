"""The ledger: what alerting decided, hash-chained, and what is still to be sent.

Decisions are canonical JSON rows, one an input that led to one, chained per site, so that a later
change shows. Beside the chain stand the outbox of notifications, the attempts to send them, the
deadlines, and the alerting stage's state and bookmark, all written by one commit. Recipients
stand here by id only.

`sqlite:///path/ledger.db` is kept at the newest schema by `open_ledger`; a server database
(`postgresql://user@host:port/database`) is migrated by `upgrade` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.ledger.chain import canonical, chain_hash
from core.ledger.entries import (
    Attempt,
    Deadline,
    Decision,
    LedgerState,
    Notification,
    QueuedNotification,
    SendOutcome,
    SiteView,
)

if TYPE_CHECKING:
    from core.ledger.ledger import Ledger
    from core.ledger.schema_version import Move

__all__ = [
    "Attempt",
    "Deadline",
    "Decision",
    "LedgerState",
    "Notification",
    "QueuedNotification",
    "SendOutcome",
    "SiteView",
    "canonical",
    "chain_hash",
    "downgrade",
    "losses",
    "open_ledger",
    "upgrade",
]


def open_ledger(url: str) -> Ledger:
    """Open the ledger at `url`, such as `sqlite:///var/lib/slopewatch/ledger.db`.

    An SQLite file is made, or brought to the newest schema, on the way. Raises SettingsError for
    a bad URL, a file that is no ledger, or a server database that `upgrade` has yet to migrate;
    NewerVersionError for a schema newer than this release; UnavailableError when the database is
    out of reach.
    """
    from core.ledger.ledger import Ledger

    return Ledger(url)


def upgrade(url: str, revision: str = "head") -> Move:
    """Bring the schema of the ledger at `url` up to `revision`, creating it when missing.

    Of several at once on a server, each waits for the one before. Raises what `open_ledger`
    raises; nothing is changed then.
    """
    from core.ledger.schema_version import migrate

    return migrate(url, revision, down=False)


def losses(url: str, revision: str) -> list[str]:
    """Say in sentences what `downgrade` to `revision` would lose; an empty list: nothing.

    Raises what `open_ledger` raises.
    """
    from core.ledger import schema_version

    return schema_version.losses(url, revision)


def downgrade(url: str, revision: str) -> Move:
    """Take the schema of the ledger at `url` down to `revision`; `base` removes every table.

    Raises what `open_ledger` raises; nothing is changed then.
    """
    from core.ledger.schema_version import migrate

    return migrate(url, revision, down=True)
