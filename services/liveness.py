"""Which loops of a process stand still for too long: /healthz tells whoever may restart it.

A loop asks its event to stop before each pass and waits by it, so the event knows when it did.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

Monotonic = Callable[[], float]


class Liveness:
    """The loops of a process by name, and since when each has been at one pass."""

    def __init__(self, now: Monotonic = time.monotonic) -> None:
        """`now`: seconds of a clock that never goes back."""
        self._now = now
        self._pulses: list[Pulse] = []

    def watch(self, name: str, limit_s: float, stop: threading.Event) -> Pulse:
        """The event that the loop `name` is to be given for `stop`, from now on it is watched.

        `limit_s` is longer than its longest honest pass.
        """
        pulse = Pulse(name, limit_s, stop, self._now)
        self._pulses.append(pulse)
        return pulse

    def hung(self) -> list[str]:
        """A sentence for each loop that has been at one pass for longer than it may."""
        now = self._now()
        return [
            f"{pulse.name} has not passed for {(now - pulse.since) / 60:.0f} min "
            f"(limit {pulse.limit_s / 60:.0f} min): restart this process"
            for pulse in self._pulses
            if now - pulse.since > pulse.limit_s
        ]


class Pulse(threading.Event):
    """The event `stop` as one loop sees it; `since` is when the loop last asked it or waited."""

    def __init__(self, name: str, limit_s: float, stop: threading.Event, now: Monotonic) -> None:
        super().__init__()
        self.name = name
        self.limit_s = limit_s
        self.since = now()
        self._stop = stop
        self._now = now

    def is_set(self) -> bool:
        """See `threading.Event.is_set`."""
        self.since = self._now()
        return self._stop.is_set()

    def set(self) -> None:
        """Stop every loop."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> bool:
        """See `threading.Event.wait`; the time that is waited for does not count."""
        self.since = self._now() + (timeout or 0.0)
        stopped = self._stop.wait(timeout)
        self.since = self._now()
        return stopped
