"""The ledger: what alerting decided, hash-chained, and what is still to be sent.

Decisions are canonical JSON rows, one an input that led to one, chained per site, so that a later
change shows. Beside the chain stand the outbox of notifications, the attempts to send them, the
deadlines, and the alerting stage's state and bookmark, all written by one commit. Recipients
stand here by id only.

`sqlite:///path/ledger.db` is kept at the newest schema by `open_ledger`; a server database
(`postgresql://`) is migrated by `upgrade`.
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


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema of the ledger at `url` up to `revision`, creating it when missing.

    Raises what `open_ledger` raises; nothing is changed then.
    """
    from core.ledger.schema_version import migrate

    migrate(url, revision, down=False)


def downgrade(url: str, revision: str) -> None:
    """Take the schema of the ledger at `url` down to `revision`; `base` removes every table.

    Raises what `open_ledger` raises; nothing is changed then.
    """
    from core.ledger.schema_version import migrate

    migrate(url, revision, down=True)
