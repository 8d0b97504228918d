"""When a failed sending is tried again, and when it is given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.ledger import Attempt


@dataclass(frozen=True)
class Retry:
    """Waits and limits of one notification.

    A week: a server that is down over a long weekend gets what was said meanwhile. `max_attempts`
    only ends what would go on without a pause; in a week of `longest` waits there are some 700.
    """

    first: timedelta = timedelta(seconds=30)
    longest: timedelta = timedelta(minutes=15)
    longest_asked: timedelta = timedelta(hours=1)
    max_attempts: int = 5000
    max_age: timedelta = timedelta(days=7)

    def wait(self, attempt: int, jitter: float, asked: timedelta | None = None) -> timedelta:
        """Wait after failed `attempt` (1, 2, ...): doubling, of which `jitter` (0 to 1) takes up
        to half; at least what the other side `asked` for, within `longest_asked`.
        """
        doubled = min(self.first * (1 << min(attempt - 1, 20)), self.longest)
        return max(doubled * (1 - jitter / 2), min(asked or timedelta(0), self.longest_asked))

    def limit_reached(self, now: datetime, earlier: Sequence[Attempt]) -> str | None:
        """Why the try after the `earlier` ones was the last, if so.

        Age counts from the first try: what was decided while no sender ran has not been tried yet.
        """
        number = len(earlier) + 1
        if number >= self.max_attempts:
            return f"given up after {number} attempts"
        if earlier and now - earlier[0].at >= self.max_age:
            return f"given up after {self.max_age}"
        return None
