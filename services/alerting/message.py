"""What a notification says, before any notifier gives it a form."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

import msgspec

from core.events import Coverage, Level, Vote

MessageKind = Literal["level", "coverage"]
"""What alerting has to tell of a unit."""
WHOLE_SITE = "*"
"""`Message.unit` of a notice that speaks of every slope unit of the site."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One message to one recipient about one slope unit; canonical JSON in the outbox.

    `id` is the notification's and stays the same over every attempt. `kind` is `level` whenever the
    level is news, else `coverage`; `pipeline` when the watchdog speaks past the ledger: levels are
    then not known, and None. `unit` is `WHOLE_SITE` when one notice speaks of all units; `level` is
    then the highest of them. `previous_level` and `previous_coverage` are what this recipient was
    told last. `arose` is the day of which the news speaks, `known_since` the moment at which the
    service knew it, `late_days` the days between `arose` and the telling that should not have
    been. `reason` is plain sentences that stand by themselves. `ledger_head` is the hash
    of the chain after the decision `seq` that sent this.
    """

    id: str
    kind: MessageKind | Literal["pipeline"]
    site: str
    title: str
    unit: str
    unit_name: str
    level: Level | None
    previous_level: Level | None
    coverage: Coverage
    previous_coverage: Coverage
    coverage_reason: str
    reason: str
    votes: tuple[Vote, ...]
    arose: date
    known_since: datetime
    late_days: int
    next_pass: date | None
    simulated: bool
    ledger_head: str
    seq: int
