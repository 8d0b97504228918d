"""The only two ways to learn what time it is."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from typing import Protocol


class Clock(Protocol):
    """Source of `now` for whatever lives outside handlers."""

    def now(self) -> datetime:
        """Aware UTC time."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait, or pretend to."""
        ...


class SystemClock:
    """Wall clock."""

    def now(self) -> datetime:
        """Aware UTC time of the machine."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Block for `seconds`."""
        time.sleep(seconds)


class ReplayClock:
    """A clock that a replay moves by hand; it never goes back."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """The replayed moment."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Move on by `seconds` without waiting."""
        self._now += timedelta(seconds=seconds)

    def set(self, moment: datetime) -> None:
        """Move to `moment`; a moment before the present one is ignored."""
        self._now = max(self._now, moment)


def midnight(day: date) -> datetime:
    """Start of a UTC day."""
    return datetime.combine(day, clock_time(), UTC)


def end_of(day: date) -> datetime:
    """The moment a UTC day is over."""
    return midnight(day) + timedelta(days=1)
