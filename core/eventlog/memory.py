"""`memory://`: a log of this process alone, gone when it is closed; each opening is a new log.

It is the SQLite log without a file, so both promise the same by construction.
"""

from __future__ import annotations

from core.errors import SettingsError
from core.eventlog._settings import LogSettings
from core.eventlog._sql_database import IN_MEMORY, Database
from core.eventlog.sqlite import SqliteLog


def open(url: str) -> SqliteLog:
    """Make the log for `memory://[?max_record_bytes=...&lease_s=...]`; SettingsError if bad."""
    settings = LogSettings.from_url(url)
    if settings.host or settings.path not in ("", "/"):
        raise SettingsError(f"event log url {url!r}: memory:// takes no host and no path")
    return SqliteLog(Database(IN_MEMORY), settings)
