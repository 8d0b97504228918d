"""How long a warning waits for days that nobody has closed: an hour, and then it is told.

While days are missing, news waits for the last of them, so that the steps between are not told one
by one. Whoever closes days may be what is broken; a rise to orange or red, and a draft of one, must
not wait for its repair.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from core.events import identity
from core.ledger import Deadline, canonical
from core.settings import rank
from services.alerting.notices import gravity
from services.alerting.state import NewsKind, UnitAlert, Waiting
from services.alerting.turn import News

LONGEST_WAIT: Final = timedelta(hours=1)
_KINDS: Final[tuple[NewsKind, ...]] = ("level", "review")
_DAYS_MISSING: Final[tuple[Waiting, ...]] = ("catching up", "yesterday not closed")


def urgent_news(units: Mapping[str, UnitAlert]) -> News:
    """By unit: news of orange or red that waits for missing days."""
    waits = {
        name: [
            kind
            for kind in _KINDS
            if unit.waiting.get(kind) in _DAYS_MISSING
            and rank(gravity(kind, unit)) >= rank("orange")
        ]
        for name, unit in units.items()
    }
    return {name: kinds for name, kinds in waits.items() if kinds}


def end_of_patience(site: str, seq: int, now: datetime, news: News) -> Deadline:
    """The row at whose moment `news` is told, whatever is missing."""
    return Deadline(
        id=identity(site, seq, "patience"),
        site=site,
        due=now + LONGEST_WAIT,
        kind="missing days",
        body=canonical({"units": sorted(news)}),
    )
