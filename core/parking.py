"""The sites of one worker that stand still: from where they go on, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.clock import Clock
from core.errors import ForkError, NewerVersionError, SlopewatchError

LONGEST_BACKOFF: Final = timedelta(minutes=10)


@dataclass(frozen=True)
class Parked:
    """Why a site stands still, from which offset it goes on, when it is tried again (or never).

    `attempt` counts failures in a row: 0 for a site that only catches up.
    """

    reason: str
    offset: int
    attempt: int
    retry_at: datetime | None


class Parking(dict[str, Parked]):
    """Parked sites by name. One that is open as well is catching up."""

    def __init__(self, clock: Clock, backoff: timedelta) -> None:
        super().__init__()
        self._clock = clock
        self._backoff = backoff

    def park(self, name: str, offset: int, error: Exception) -> Parked:
        """Let a site stand still: twice as long at each failure in a row, or as `error` asks."""
        attempt = self[name].attempt + 1 if name in self else 1
        retry_at = None
        if not isinstance(error, NewerVersionError | ForkError):
            wait = min(self._backoff * 2 ** min(attempt - 1, 16), LONGEST_BACKOFF)
            asked = error.retry_after if isinstance(error, SlopewatchError) else None
            retry_at = self._clock.now() + max(wait, asked or wait)
        self[name] = Parked(str(error), offset, attempt, retry_at)
        return self[name]

    def let_catch_up(self, name: str, offset: int) -> None:
        """Let a site take in by itself what its store lacks, from `offset` on."""
        self[name] = Parked("catches up with what its store lacks", offset, 0, self._clock.now())

    def due(self) -> str | None:
        """Of the sites that may be tried now the one that has waited longest."""
        now = self._clock.now()
        waiting = [(one.retry_at, name) for name, one in self.items() if one.retry_at is not None]
        return min(waiting)[1] if waiting and min(waiting)[0] <= now else None
