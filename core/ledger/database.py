"""The connection to the ledger's database."""

from __future__ import annotations

from typing import Final

from core.database import database

LEDGER: Final = database.Purpose(
    "ledger", "SLOPEWATCH_LEDGER_PASSWORD", "slopewatch ledger upgrade"
)


class Database(database.Database):
    """A `core.database.database.Database` that holds a ledger."""

    def __init__(self, url: str, *, migrates: bool = False) -> None:
        super().__init__(url, LEDGER, migrates=migrates)
